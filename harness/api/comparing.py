"""`compare`: how the times of functions compare."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness import units
from harness.api import Shown
from harness.api.calls import (
    Function,
    Place,
    check_budget,
    checked,
    counted,
    label_of,
    opened_pool,
    place_of,
    sampling,
    settings_kept,
)
from harness.compare.decision import PRACTICAL_THRESHOLD, Effect, decide, effect, least_pairs
from harness.errors import NothingMeasuredError, UsageError
from harness.measure.pairs import Arm, Pairs
from harness.measure.pool import DeclinedError, LostError, SpoiledError
from harness.measure.sensors import card_of
from harness.records.comparison import Decision
from harness.records.trial import CaseTrial, Pair
from harness.workload import Workload

# Rounds of interleaved bursts: at least so many, as the ranks of fewer are never certain.
ROUNDS, LEAST_ROUNDS = 16, 6
# The interval of a comparison leaves out so much of the distribution.
ALPHA = 0.05


@dataclass(frozen=True, repr=False)
class Contrast(Shown):
    """How the time of a candidate compares with that of a base.

    `ratio` is candidate / base, above 1 where the candidate is slower; from `low` to `high` is its 95% interval. A
    change up to `threshold` (a fraction) is taken for none. `detectable` is the smallest change that as many
    readings find in 80 of 100 cases. `readings` are rounds in one process, or pairs of fresh processes.
    """

    base: str
    candidate: str
    ratio: float
    low: float
    high: float
    p: float
    decision: Decision
    threshold: float
    detectable: float
    base_seconds: float
    candidate_seconds: float
    readings: int
    processes: int

    def as_dict(self) -> dict[str, Any]:
        """Returns every figure for programs, in base units."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        change = f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"
        readings = (
            f"{self.readings} rounds; of this process alone (processes=6 or more compares fresh ones)"
            if self.processes == 1
            else f"{self.readings} pairs of fresh processes"
        )
        rows = [
            ("ratio", f"{change} of {self.base}, with its 95% interval"),
            ("base", f"{units.seconds(self.base_seconds)}, {self.base}"),
            ("candidate", f"{units.seconds(self.candidate_seconds)}, {self.candidate}"),
            (
                "readings",
                f"{readings}; they detect changes from {units.percent(self.detectable)} on, the threshold is {units.percent(self.threshold)}",
            ),
        ]
        return f"{self.candidate}: {self.decision.value}", rows


def compare(  # noqa: PLR0913 - the options of a comparison, each once
    f: Callable[..., Any] | Workload,
    g: Callable[..., Any] | Workload,
    /,
    *args: Any,
    seconds: float = 2.0,
    processes: int = 1,
    threads: int | None = None,
    device: str | None = None,
    threshold: float = PRACTICAL_THRESHOLD,
    **kwargs: Any,
) -> Contrast:
    """Compares two functions on the same arguments, in interleaved rounds.

    Args:
        f: The base.
        g: The candidate.
        args: The arguments of both.
        seconds: How long to sample, both and all rounds together.
        processes: 1 compares in this process; 6 or more compare as many pairs of fresh processes, whose differences
            are then in the interval.
        threads: Threads of torch; None: those it uses now.
        device: A device such as `cuda:0`; None: the one whose tensors the calls use.
        threshold: The smallest change that matters, as a fraction: 0.02 is 2%.
        kwargs: Keyword arguments of both.

    Returns:
        A `Contrast`: `ratio` (time of g over time of f), `low` and `high` (its 95% interval), and `decision`, one
        of `regressed`, `improved`, `equivalent`, `inconclusive`.

    Raises:
        UsageError: an argument is not allowed, or cannot be handed to another process.
        NothingMeasuredError: a function failed after its first call.
    """
    for what, function in (("compare(f, ...)", f), ("compare(..., g)", g)):
        checked(what, function)
    if not 0.0 < threshold < 1.0:
        raise UsageError(f"threshold={threshold}: write a fraction above 0 and below 1; 0.02 is 2%")
    names = [label_of(f), label_of(g)]
    names = names if names[0] != names[1] else ["f", "g"]
    functions: list[Function] = [(names[0], f, args, kwargs), (names[1], g, args, kwargs)]
    return interleaved(functions, seconds, processes, threads, device, threshold)[0]


def interleaved(
    functions: Sequence[Function],
    seconds: float,
    processes: int,
    threads: int | None,
    device: str | None,
    threshold: float,
) -> list[Contrast]:
    """Each of some functions after the first, against the first; all of them in the same rounds."""
    check_budget(seconds, processes, threads)
    least = least_pairs(1)
    if 1 < processes < least:
        raise UsageError(f"processes={processes}: write 1 (this process), or {least} or more fresh pairs")
    with settings_kept():
        found = [counted(*function, device) for function in functions]
        place = place_of([count for _, count in found], device, threads)
        workloads = [workload for workload, _ in found]
        try:
            pairs = _pairs(workloads, place, seconds, processes)
        except (DeclinedError, LostError, SpoiledError) as error:
            raise NothingMeasuredError(f"{' or '.join(map(str, workloads))}: {error}") from error
    base = str(workloads[0])
    return [
        _contrast((base, str(workload)), _trial(workload, several), processes, threshold)
        for workload, several in zip(workloads[1:], pairs, strict=True)
    ]


def _pairs(workloads: Sequence[Workload], place: Place, seconds: float, processes: int) -> list[list[Pair]]:
    """For each candidate, what each process or pair of processes read."""
    here, count, each = processes == 1, len(workloads), seconds / processes
    most = ROUNDS if here else LEAST_ROUNDS
    burst = each / (2 * count * most)
    found: list[list[Pair]] = [[] for _ in workloads[1:]]
    for number in range(processes):
        with opened_pool(place, workloads, here=here) as (pool, orders):
            pool.grow(1 if here else count)
            opened = pool.opened
            pairs = Pairs(sampling(each, 1), burst, card_of(opened.uuid if opened else None))
            arms = [Arm(order, pool, 0 if here else worker) for worker, order in enumerate(orders)]
            for arm in arms:
                pairs.prepare(arm)
            # A burst is a call that brings back what the others displaced, and a sample at least.
            long = sum(max(burst, arm.seconds * arm.calls) + arm.seconds for arm in arms)
            rounds, taken = max(LEAST_ROUNDS, min(most, int(each / (2 * long)))), 0
            for attempt in range(3 * rounds):  # a round in which a card slowed itself down does not count
                taken += pairs.round(arms if attempt % 2 == 0 else arms[::-1])
                if taken == rounds:
                    break
            base, *candidates = arms
            for several, arm in zip(found, candidates, strict=True):
                if base.bursts:
                    several.append(Pair(number, tuple(base.bursts), tuple(arm.bursts)))
    return found


def _trial(workload: Workload, pairs: Sequence[Pair]) -> CaseTrial:
    if not pairs:
        raise NothingMeasuredError(f"{workload}: every round was disturbed by the card slowing itself down")
    return CaseTrial(workload.describe("api"), tuple(pairs))


def _contrast(names: tuple[str, str], trial: CaseTrial, processes: int, threshold: float) -> Contrast:
    ratios = trial.pairs[0].rounds(trial.reading) if processes == 1 else trial.log_ratios
    found = effect(ratios, ALPHA)
    return Contrast(
        base=names[0],
        candidate=names[1],
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        p=found.p,
        decision=_decided(found, threshold),
        threshold=threshold,
        detectable=found.detectable,
        base_seconds=trial.base_seconds or math.nan,
        candidate_seconds=trial.candidate_seconds or math.nan,
        readings=len(ratios),
        processes=processes,
    )


def _decided(found: Effect, threshold: float) -> Decision:
    """The decision; where so few or so noisy readings detect no change of the threshold, only one beyond what they detect counts."""
    decision = decide({"": found}, {"": threshold})[""]
    if found.detectable <= threshold or decision is Decision.EQUIVALENT:
        return decision
    sure = decide({"": found}, {"": found.detectable})[""]
    return decision if sure is decision else Decision.INCONCLUSIVE
