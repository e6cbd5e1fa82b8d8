"""The history detector on series whose steps are known, and its parts beside other implementations."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as reference

from harness.history.change_points import boundaries, change_points
from harness.history.levels import noise, partition, ramp, shift, split_cost
from harness.records.history import ChangeKind, ChangePoint, ChangeState, Point
from harness.stats import EXACT_PAIRS, mann_whitney

Vector = NDArray[np.float64]


def series(values: Vector | list[float], stacks: str = "") -> list[Point]:
    named = stacks or " " * len(values)
    return [
        Point(value=float(value), row=row, build=f"b{row}", stack=stack.strip() or None)
        for row, (value, stack) in enumerate(zip(values, named, strict=True))
    ]


def confirmed(values: Vector | list[float], stacks: str = "") -> list[ChangePoint]:
    return [step for step in change_points(series(values, stacks)) if step.state is ChangeState.CONFIRMED]


def quiet(count: int, seed: int = 0, sigma: float = 0.01) -> Vector:
    return np.exp(np.random.default_rng(seed).normal(0.0, sigma, count))


def autoregressive(random: np.random.Generator, count: int, correlation: float) -> Vector:
    noise_of_points = random.normal(size=count) * math.sqrt(1.0 - correlation**2)
    for index in range(1, count):
        noise_of_points[index] += correlation * noise_of_points[index - 1]
    return noise_of_points


@pytest.mark.parametrize(("m", "n"), [(3, 3), (6, 8), (7, 30), (12, 60)])
@pytest.mark.parametrize("whole", [False, True])
def test_the_rank_test_is_that_of_scipy(m: int, n: int, *, whole: bool) -> None:
    for seed in range(20):
        random = np.random.default_rng(seed)
        one, other = random.normal(0.7, 1.0, m), random.normal(0.0, 1.0, n)
        if whole:  # ties
            one, other = np.round(one), np.round(other)
        if whole or m * n > EXACT_PAIRS:
            expected = reference.mannwhitneyu(one, other, method="asymptotic").pvalue
        else:
            expected = reference.mannwhitneyu(one, other, method="exact").pvalue
        assert mann_whitney(one, other) == pytest.approx(min(1.0, expected), abs=1e-12)


def test_the_rank_test_of_nothing_and_of_equals_tells_nothing() -> None:
    assert mann_whitney(np.zeros(0), np.ones(3)) == 1.0
    assert mann_whitney(np.ones(6), np.ones(9)) == 1.0


def test_a_partition_is_the_best_of_all_partitions() -> None:
    """Beside every way to cut eight values."""

    def cost(values: Vector, cuts: tuple[int, ...]) -> float:
        pieces = np.split(values, cuts)
        return sum(float(np.sum((piece - np.mean(piece)) ** 2)) + 1.5 for piece in pieces)

    for seed in range(10):
        values = np.random.default_rng(seed).normal(0.0, 1.5, 8)
        ways = [cuts for many in range(8) for cuts in itertools.combinations(range(1, 8), many)]
        best = min(ways, key=lambda cuts: cost(values, cuts))
        assert partition(values, 1.5) == [0, *best]
    assert partition(np.zeros(0), 1.0) == []


def test_a_ramp_explains_a_ramp_and_a_step_a_step() -> None:
    slope = 0.01 * np.maximum(np.arange(40.0) - 20.0, 0.0)
    jump = np.repeat([0.0, 0.1], 20)

    assert ramp(slope, 35).begin == 20
    assert ramp(slope, 35).cost == pytest.approx(0.0, abs=1e-9)
    assert split_cost(jump, 20) == 0.0
    assert ramp(jump, 35).cost > 0.5


def test_noise_is_robust_and_knows_correlation() -> None:
    random = np.random.default_rng(1)
    white = random.normal(0.0, 0.02, 400)
    red = 0.02 * autoregressive(random, 400, 0.6)
    spiked = white.copy()
    spiked[::25] += 1.0

    assert noise(white).sigma == pytest.approx(0.02, rel=0.3)
    assert noise(spiked).sigma == pytest.approx(noise(white).sigma, rel=0.25)
    assert noise(white).correlation < 0.15
    assert noise(red).correlation > 0.4
    assert noise(red).wander > 1.3 * noise(white).wander
    assert shift(np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0])) == 10.0


@pytest.mark.parametrize("ratio", [1.06, 1 / 1.06, 1.5, 0.5])
def test_a_step_is_found_where_it_is_and_soon(ratio: float) -> None:
    values = quiet(80)
    values[50:] *= ratio
    (step,) = confirmed(values)

    assert abs(step.index - 50) <= 1
    assert step.ratio == pytest.approx(ratio, rel=0.01)
    assert (step.kind, step.build, step.row) == (ChangeKind.SHIFT, f"b{step.index}", step.index)
    assert step.confirmed_at is not None
    assert step.confirmed_at - 50 <= 6


def test_a_verdict_rests_on_no_later_point() -> None:
    """The steps confirmed in the first n points are those that all points show confirmed by then."""
    values = quiet(120, 3, 0.02)
    values[40:] *= 1.2
    values[66:69] *= 1.5
    values[90:] *= 0.8
    every = confirmed(values)

    assert len(every) == 2
    for count in range(1, len(values), 7):
        assert [(step.index, step.confirmed_at) for step in confirmed(values[:count])] == [
            (step.index, step.confirmed_at)
            for step in every
            if step.confirmed_at is not None and step.confirmed_at < count
        ]


def test_a_step_is_suspected_before_it_is_confirmed_and_forgotten_if_it_goes() -> None:
    values = quiet(60)
    values[50:] *= 1.3

    assert change_points(series(values[:52])) == ()
    (seen,) = change_points(series(values[:53]))
    assert (seen.state, seen.index, seen.confirmed_at) == (ChangeState.SUSPECTED, 50, None)
    assert seen.ratio == pytest.approx(1.3, rel=0.02)
    values[53:] /= 1.3
    assert change_points(series(values)) == ()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_group_of_points_that_comes_back_never_alarms(width: int) -> None:
    values = quiet(100, 4)
    for place in (30, 55, 80):
        values[place : place + width] *= 2.0

    assert confirmed(values) == []


def test_an_old_step_does_not_widen_later_thresholds() -> None:
    values = quiet(120, 5)
    values[30:] *= 4.0
    values[70:] *= 1.05

    assert [step.ratio for step in confirmed(values)] == pytest.approx([4.0, 1.05], rel=0.01)


def soon(values: Vector, at: int) -> bool:
    """Whether a step is confirmed at most six points after it, and placed to within one."""
    return any(
        abs(step.index - at) <= 1 and step.confirmed_at is not None and step.confirmed_at <= at + 6
        for step in confirmed(values)
    )


@pytest.mark.parametrize("ratio", [1.1, 1 / 1.1])
@pytest.mark.parametrize("spikes", [[51], [52, 53], [54], [51, 54]])
def test_spikes_after_a_step_delay_nothing(ratio: float, spikes: list[int]) -> None:
    values = quiet(80, 10)
    values[50:] *= ratio
    values[spikes] *= 3.0

    assert soon(values, 50)


def test_a_level_is_not_confirmed_by_the_point_that_leaves_it() -> None:
    values = quiet(80, 14)
    values[50:55] *= 1.1
    values[55:] *= 0.5
    assert confirmed(values[:56]) == []
    (step,) = confirmed(values)
    assert abs(step.index - 55) <= 1
    assert step.ratio == pytest.approx(0.5, rel=0.02)
    values[56:] *= 2.0  # one wild point after a group that comes back
    assert confirmed(values) == []


@pytest.mark.parametrize("every", [5, 8])
def test_spikes_before_a_step_hide_nothing(every: int) -> None:
    """They were beyond the new level, and not at it."""
    values = quiet(80, 11)
    values[2:50:every] *= 4.0
    values[50:] *= 1.1

    assert soon(values, 50)


@pytest.mark.parametrize("width", [3, 4, 5])
def test_a_bad_build_that_was_taken_back_hides_no_later_step(width: int) -> None:
    values = quiet(80, 12)
    values[20 : 20 + width] *= 1.5
    values[45:] *= 1.1

    assert soon(values, 45)


def test_a_step_is_placed_at_its_first_point_and_not_at_noise_before_it() -> None:
    found = 0
    for seed in range(20):
        values = quiet(80, seed, 0.015)
        values[44:46] *= 1.03
        values[50:] *= 1.065
        found += soon(values, 50)
    assert found >= 17


def test_steps_ten_points_apart_are_told_apart() -> None:
    values = quiet(60, 6)
    values[20:] *= 1.2
    values[30:] *= 1.2
    values[40:] /= 1.44

    assert [abs(step.index - at) <= 1 for step, at in zip(confirmed(values), (20, 30, 40), strict=True)] == [
        True
    ] * 3


@pytest.mark.parametrize("slope", [0.002, 0.005, -0.005])
@pytest.mark.parametrize("sigma", [0.003, 0.015])
def test_a_slow_drift_is_one_drift(slope: float, sigma: float) -> None:
    """Where noise hides the bend, its first points may pass for a step; never more than that."""
    rise = slope * np.clip(np.arange(220) - 60, 0, 100)
    first, *more = confirmed(quiet(220, 7, sigma) * np.exp(rise))

    assert len(more) <= (1 if sigma > abs(slope) else 0)
    assert ChangeKind.DRIFT in {step.kind for step in (first, *more)}
    assert all((step.ratio > 1.0) == (slope > 0.0) for step in (first, *more))
    assert first.confirmed_at is not None
    assert 60 < first.confirmed_at < 60 + 0.15 / abs(slope)
    assert abs(first.index - 60) < 25


def test_a_drift_from_the_first_point_on_is_seen() -> None:
    (step,) = confirmed(quiet(150, 8, 0.005) * np.exp(0.005 * np.arange(150)))

    assert step.kind is ChangeKind.DRIFT


def test_no_step_is_looked_for_across_a_change_of_the_stack() -> None:
    values = quiet(80, 9)
    values[40:] *= 1.5
    values[60:] *= 1.2

    assert [step.index for step in confirmed(values, "a" * 40 + "b" * 40)] == [60]
    assert len(confirmed(values)) == 2
    assert [b.index for b in boundaries(series(values, "a" * 40 + "b" * 40))] == [40]


@pytest.mark.parametrize(
    ("stacks", "at"),
    [("    ", []), ("aaaa", []), ("  aa", []), ("a ab", [3]), ("a b ", [2]), ("abba", [1, 3])],
)
def test_what_is_unknown_of_a_stack_is_no_change(stacks: str, at: list[int]) -> None:
    assert [boundary.index for boundary in boundaries(series([1.0] * 4, stacks))] == at


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [1.0, 2.0],
        [5.0] * 100,
        [10.0, 10.0, 11.0, 10.0] * 25,
        [1e-9] * 50,
        [1.0] * 30 + [1000.0] + [1.0] * 30,
    ],
)
def test_series_with_nothing_in_them_show_nothing(values: list[float]) -> None:
    assert change_points(series(values)) == ()


def test_a_step_between_two_constants_is_seen() -> None:
    (step,) = confirmed([10.0] * 20 + [11.0] * 20)

    assert (step.index, step.confirmed_at) == (20, 25)
    assert step.ratio == pytest.approx(1.1)


def noisy(family: str, seed: int, count: int = 200) -> Vector:
    random = np.random.default_rng([seed, len(family)])
    logs = random.normal(size=count) * 0.02
    if family == "heavy tails":
        logs = 0.02 * random.standard_t(3, count) / math.sqrt(3.0)
    elif family == "correlated":
        logs = 0.02 * autoregressive(random, count, 0.4)
    elif family == "variance":
        logs *= np.where(np.arange(count) < count // 2, 0.5, 1.5)
    elif family == "two modes":
        logs += 0.15 * (random.random(count) < 0.3)
    elif family == "spikes":
        logs += 0.7 * (random.random(count) < 0.03)
    return np.exp(logs)


FAMILIES = ("normal", "heavy tails", "correlated", "variance", "two modes", "spikes")


@pytest.mark.slow
def test_noise_alone_alarms_in_at_most_one_series_in_twenty() -> None:
    """Over 120 series of 200 points of every kind of noise. Correlated noise is the hardest: twice that."""
    alarmed = {family: sum(bool(confirmed(noisy(family, seed))) for seed in range(20)) for family in FAMILIES}

    assert sum(alarmed.values()) <= 20 * len(FAMILIES) / 20
    assert max(alarmed.values()) <= 2


@pytest.mark.parametrize("family", ["normal", "heavy tails", "correlated"])
def test_a_step_of_five_standard_deviations_is_found_in_nine_of_ten(family: str) -> None:
    found = 0
    for seed in range(20):
        values = noisy(family, seed, 90)
        values[60:] *= math.exp(0.1)
        found += any(
            abs(step.index - 60) <= 2 and step.confirmed_at is not None and step.confirmed_at <= 66
            for step in confirmed(values)
        )
    assert found >= 18


def test_a_change_of_unit_or_direction_changes_no_verdict() -> None:
    """Logarithms: values a thousand times as large, or their inverses, have their steps at the same places."""
    values = noisy("heavy tails", 1)
    values[100:] *= 1.3
    places = [(step.index, step.confirmed_at) for step in confirmed(values)]

    assert places
    assert [(step.index, step.confirmed_at) for step in confirmed(1000.0 * values)] == places
    assert [(step.index, step.confirmed_at) for step in confirmed(1.0 / values)] == places


@pytest.mark.parametrize("first", range(1, 10))
def test_a_few_points_of_another_level_in_front_hide_no_later_step(first: int) -> None:
    found = 0
    for seed in range(10):
        values = quiet(first + 40, seed)
        values[:first] /= 1.5
        values[first + 20 :] *= 1.15
        found += any(abs(step.index - first - 20) <= 2 for step in confirmed(values))
    assert found >= 9


def test_levels_that_change_again_and_again_are_no_trouble() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        jumps = random.normal(0.0, 0.08, 60) * (random.random(60) < 0.2)
        found = change_points(series(np.exp(np.cumsum(jumps) + random.normal(0.0, 0.01, 60))))
        assert all(math.isfinite(step.ratio) for step in found)
        assert [step.index for step in found] == sorted({step.index for step in found})
