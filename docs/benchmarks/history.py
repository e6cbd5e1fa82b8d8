"""Compare the detector of change points with simpler ones on synthetic series whose change points are known.

    python docs/benchmarks/history.py > results/reference/benchmarks/history.json

The table goes to standard error. Below it stands how many large and small change points Plumbline found. Only the detectors are
timed: every machine gives the same results.

Each series has 60 to 400 points and a noise of 0.3 to 6% (standard deviation, log-uniform). Stepped series have one to four
steps in either direction, of 5% or 2.5 standard deviations, whichever is more, times 1 to 3. There are eight points or more
before the first step and ten or more between two. A step is found if an alarm comes at most six points after the first point of
the step and names that point to within two. A clean series is alarmed if any alarm comes at any time. The detector was not tuned
on these seeds.

The other detectors follow published rules: the previous point, 5%; z above 5 against the last 100 points; Treeherder's t test of
12 points against the 12 before, weighted towards the change, with t above 7 and 2%. The t test needs 12 points after a step.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from harness.history.change_points import change_points
from harness.records.history import Point

Vector = NDArray[np.float64]
Random = np.random.Generator
SERIES, SEED = 60, 27182
SOON, NEAR = 6, 2
LATEST = 24
# The standard deviations from which a step is large, and the points below which a level is young.
LARGE, YOUNG = 3.5, 20
# Names of kinds of series in the printed table.
LABELS = {"steps": "change points"}


@dataclass(frozen=True)
class Alarm:
    """A reported change: its first point, the point at which it was reported, and its direction."""

    index: int
    at: int
    up: bool


@dataclass(frozen=True)
class Series:
    """Values, the index and size (a logarithm) of each true step, and the standard deviation of the noise."""

    values: Vector
    truth: tuple[tuple[int, float], ...] = ()
    sigma: float = math.nan


def plain(random: Random, count: int, family: str) -> Vector:
    """Noise of standard deviation 1."""
    if family == "t3":
        return random.standard_t(3, count) / math.sqrt(3.0)
    if family == "skewed":
        return (random.gamma(2.0, 1.0, count) - 2.0) / math.sqrt(2.0)
    if family == "variance x 3":
        sigma = np.ones(count)
        if random.random() < 0.5:
            sigma[random.integers(count // 4, 3 * count // 4) :] = 3.0
        else:
            sigma[np.arange(count) // 20 % 2 == 0] = 3.0
        return random.normal(size=count) * (sigma if random.random() < 0.7 else 4.0 - sigma) / 3.0
    if family.startswith("AR"):
        return autoregressive(random, count, float(family.split()[1]))
    return random.normal(size=count)


def autoregressive(random: Random, count: int, correlation: float) -> Vector:
    noise = random.normal(size=count) * math.sqrt(1.0 - correlation**2)
    noise[0] = random.normal()
    for index in range(1, count):
        noise[index] += correlation * noise[index - 1]
    return noise


def spiked(random: Random, logs: Vector) -> Vector:
    """Adds spikes of one or two points at 3% of places."""
    for place in np.flatnonzero(random.random(len(logs)) < 0.03):
        logs[place : place + random.integers(1, 3)] += math.log(random.uniform(1.2, 4.0))
    return logs


def excursions(random: Random, logs: Vector) -> Vector:
    """Adds groups of two to five points that deviate and come back, mostly slower."""
    place = 10 + int(random.exponential(40))
    while place < len(logs):
        logs[place : place + random.integers(2, 6)] += math.log(random.uniform(1.05, 1.5)) * random.choice(
            [1, 1, -1]
        )
        place += 12 + int(random.exponential(40))
    return logs


def jitter(random: Random, logs: Vector) -> Vector:
    """Adds builds of one to three points that have their own levels, 2.5% apart."""
    place = 0
    while place < len(logs):
        width = int(random.integers(1, 4))
        logs[place : place + width] += random.normal() * 0.025
        place += width
    return logs


def bimodal(random: Random, logs: Vector) -> Vector:
    fraction, apart = random.uniform(0.1, 0.6), random.uniform(0.05, 0.25)
    return logs + apart * (random.random(len(logs)) < fraction)


def wander(random: Random, logs: Vector) -> Vector:
    """Adds a slow wander of up to 3% (standard deviation), smaller than the noise."""
    size = min(0.03, random.uniform(0.3, 1.0) * float(np.std(logs)))
    return logs + size * autoregressive(random, len(logs), 0.97)


def ticks(random: Random, logs: Vector) -> Vector:
    """Rounds to whole ticks of a coarse timer."""
    return np.log(np.maximum(1.0, np.round(random.integers(8, 60) * np.exp(logs / 2.0))))


SHAPES: dict[str, Callable[[Random, Vector], Vector]] = {
    "spikes": spiked,
    "excursions": excursions,
    "jitter of builds": jitter,
    "bimodal": bimodal,
    "slow wander": wander,
    "ticks": ticks,
}
NOISES = ("normal", "t3", "skewed", "AR 0.3", "AR 0.5", "variance x 3")
CLEAN = (*NOISES, *SHAPES)
STEPPED = ("normal", "t3", "skewed", "AR 0.3", "variance x 3", "spikes")


def base(random: Random, family: str) -> tuple[Vector, float]:
    count = int(random.integers(60, 401))
    sigma = math.exp(random.uniform(math.log(0.003), math.log(0.06)))
    return plain(random, count, family) * sigma, sigma


def clean(random: Random, family: str) -> Series:
    logs, _ = base(random, family)
    return Series(np.exp(SHAPES[family](random, logs) if family in SHAPES else logs))


def stepped(random: Random, family: str) -> Series:
    logs, sigma = base(random, family)
    if family in SHAPES:
        logs = SHAPES[family](random, logs)
    truth = []
    place = 8 + int(random.integers(0, 40))
    for _ in range(int(random.integers(1, 5))):
        if place > len(logs) - SOON - 1:
            break
        size = max(math.log(1.05), 2.5 * sigma) * random.choice([1.0, 1.1, 1.3, 1.6, 2.0, 3.0])
        size = float(size * random.choice([-1, 1]))
        logs[place:] += size
        truth.append((place, size))
        place += 10 + int(random.integers(0, 120))
    return Series(np.exp(logs), tuple(truth), sigma)


def drifting(random: Random) -> Series:
    """Returns a level, a ramp of 0.2 to 0.6% a point over 30 to 100 points, and a level; the truth is the start and size of the ramp."""
    count = int(random.integers(100, 300))
    begin = int(random.integers(20, count - 60))
    length = int(random.integers(30, min(100, count - begin)))
    slope = float(random.uniform(0.002, 0.006) * random.choice([-1, 1]))
    logs = random.normal(size=count) * random.uniform(0.003, 0.02)
    logs += slope * np.clip(np.arange(count) - begin, 0, length)
    return Series(np.exp(logs), ((begin, slope * length),))


def plumbline(values: Vector) -> list[Alarm]:
    points = [Point(value=float(value)) for value in values]
    return [
        Alarm(step.index, step.confirmed_at, step.ratio > 1.0)
        for step in change_points(points)
        if step.confirmed_at is not None
    ]


def previous(values: Vector) -> list[Alarm]:
    ratios = values[1:] / values[:-1]
    return [
        Alarm(index + 1, index + 1, bool(ratio > 1.0))
        for index, ratio in enumerate(ratios)
        if not 1.0 / 1.05 <= ratio <= 1.05
    ]


def z_score(values: Vector) -> list[Alarm]:
    alarms = []
    for index in range(10, len(values)):
        last = values[max(0, index - 100) : index]
        z = (values[index] - np.mean(last)) / (np.std(last, ddof=1) or 1e-12)
        if abs(z) > 5.0:
            alarms.append(Alarm(index, index, bool(z > 0.0)))
    return alarms


def t_test(values: Vector) -> list[Alarm]:
    """Raises an alarm where t is the largest within the windows."""
    wide = 12
    weights = np.linspace(1.0, 1.0 / wide, wide)
    weights /= np.sum(weights)
    tests = np.zeros(len(values))
    for index in range(wide, len(values) - wide + 1):
        before, after = values[index - wide : index][::-1], values[index : index + wide]
        means = np.sum(weights * before), np.sum(weights * after)
        error = math.sqrt((np.var(before, ddof=1) + np.var(after, ddof=1)) / wide) or 1e-12
        if abs(means[1] / means[0] - 1.0) >= 0.02:
            tests[index] = (means[1] - means[0]) / error
    return [
        Alarm(index, index + wide - 1, bool(tests[index] > 0.0))
        for index in np.flatnonzero(np.abs(tests) > 7.0).tolist()
        if abs(tests[index]) == np.max(np.abs(tests[max(0, index - wide) : index + wide + 1]))
    ]


DETECTORS = {
    "Plumbline": plumbline,
    "previous point, 5%": previous,
    "z > 5 of last 100": z_score,
    "t > 7, 12 against 12": t_test,
}


@dataclass(frozen=True)
class Outcome:
    """The results of a detector on a family.

    Each true step has its delay, its size in standard deviations and its distance from the previous step. Each series has its
    alarms, and those that are near no true step.
    """

    kind: str
    family: str
    detector: str
    delays: list[int | None]
    sizes: list[float]
    ages: list[int]
    alarms: list[int]
    elsewhere: list[int]
    seconds_a_point: float


def delays(series: Series, alarms: list[Alarm]) -> Iterator[int | None]:
    """Yields the delay of each true step in points, or None if it was not reported within two dozen points."""
    for place, size in series.truth:
        reported = [
            alarm.at - place
            for alarm in alarms
            if abs(alarm.index - place) <= NEAR
            and alarm.up == (size > 0.0)
            and 0 <= alarm.at - place <= LATEST
        ]
        yield min(reported, default=None)


def outcome(kind: str, family: str, made: list[Series], detector: str) -> Outcome:
    start = time.perf_counter()
    reported = [DETECTORS[detector](series.values) for series in made]
    seconds = time.perf_counter() - start
    after = [delay for series, alarms in zip(made, reported, strict=True) for delay in delays(series, alarms)]
    elsewhere = [
        sum(all(abs(alarm.index - place) > NEAR + SOON for place, _ in series.truth) for alarm in alarms)
        for series, alarms in zip(made, reported, strict=True)
    ]
    points = sum(len(series.values) for series in made)
    sizes = [abs(size) / series.sigma for series in made for _, size in series.truth]
    ages = [
        place - before
        for series in made
        for (place, _), before in zip(series.truth, (0, *(start for start, _ in series.truth)), strict=False)
    ]
    counts = [len(alarms) for alarms in reported]
    return Outcome(kind, family, detector, after, sizes, ages, counts, elsewhere, seconds / points)


def cells(rows: list[Outcome]) -> str:
    alarms = [each for row in rows for each in row.alarms]
    after = [each for row in rows for each in row.delays]
    if rows[0].kind == "clean":
        return f"{sum(map(bool, alarms)) / len(alarms):.1%} ({sum(alarms)})"
    if rows[0].kind == "drift":
        return f"{sum(map(bool, alarms)) / len(alarms):.0%} seen, {sum(alarms) / len(alarms):.1f} alarms"
    ever = [delay for delay in after if delay is not None]
    soon = [delay for delay in ever if delay <= SOON]
    middle = f"{np.median(ever):.0f}" if ever else "-"
    return f"{len(soon) / len(after):.1%}, {len(ever) / len(after):.1%}, {middle}"


def soon_enough(rows: list[Outcome]) -> str:
    """Returns the fraction found in time of large steps, of small steps, and of small steps soon after the previous one."""
    steps = [
        (delay is not None and delay <= SOON, size, age)
        for row in rows
        for delay, size, age in zip(row.delays, row.sizes, row.ages, strict=True)
    ]
    groups = {
        f"from {LARGE} standard deviations on": [hit for hit, size, _ in steps if size >= LARGE],
        "smaller": [hit for hit, size, _ in steps if size < LARGE],
        f"smaller, and fewer than {YOUNG} points after the previous step": [
            hit for hit, size, age in steps if size < LARGE and age < YOUNG
        ],
    }
    return "; ".join(f"{name}: {np.mean(hits):.1%} of {len(hits)}" for name, hits in groups.items())


def main() -> None:
    print(f"| series | {' | '.join(DETECTORS)} |", file=sys.stderr)
    print(f"|---|{'---|' * len(DETECTORS)}", file=sys.stderr)
    makers: list[tuple[str, str, Callable[[Random], Series]]] = [
        *(("clean", family, lambda random, family=family: clean(random, family)) for family in CLEAN),
        *(("steps", family, lambda random, family=family: stepped(random, family)) for family in STEPPED),
        ("drift", "ramp", drifting),
    ]
    rows: list[Outcome] = []
    for number, (kind, family, make) in enumerate(makers):
        made = [make(np.random.default_rng([SEED, number, each])) for each in range(SERIES)]
        outcomes = [outcome(kind, family, made, detector) for detector in DETECTORS]
        rows += outcomes
        print(
            f"| {LABELS.get(kind, kind)}: {family} | {' | '.join(cells([row]) for row in outcomes)} |",
            file=sys.stderr,
            flush=True,
        )
    for kind in ("clean", "steps"):
        totals = [
            cells([row for row in rows if row.kind == kind and row.detector == detector])
            for detector in DETECTORS
        ]
        print(f"| **{LABELS.get(kind, kind)}: all** | {' | '.join(totals)} |", file=sys.stderr)
    ours = [row for row in rows if row.kind == "steps" and row.detector == "Plumbline"]
    print(f"found in time, {soon_enough(ours)}", file=sys.stderr)
    json.dump(
        {"series": SERIES, "seed": SEED, "soon": SOON, "near": NEAR, "rows": [asdict(row) for row in rows]},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
