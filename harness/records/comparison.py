"""Two runs side by side: what one takes, reaches and needs, beside the other. The base comes first throughout."""

import math
import statistics
from collections.abc import Iterable
from enum import StrEnum

from harness import stats
from harness.records.base import Record
from harness.records.environment import Difference
from harness.records.measurement import Flag

# A spread over cases is told of no fewer than this.
LEAST_CASES = 3


class Change(StrEnum):
    """What can be said of a case's time: `unknown` where a run states no interval."""

    FASTER = "faster"
    SLOWER = "slower"
    NONE_SEEN = "no difference seen"
    UNKNOWN = "unknown"


class Compared(Record, frozen=True):
    """One case in two runs: its typical times in seconds, and what speaks against either.

    From `low` to `high` lies the true speed-up in 95 of 100 cases, as far as the intervals of both runs are honest;
    None where either has none.
    """

    case: str
    suite: str
    base: float
    other: float
    low: float | None = None
    high: float | None = None
    base_flags: tuple[Flag, ...] = ()
    other_flags: tuple[Flag, ...] = ()

    @property
    def speedup(self) -> float:
        """The base's time over the other's; above 1 the other is faster."""
        return self.base / self.other

    @property
    def verdict(self) -> Change:
        """Whether the interval leaves any doubt about the direction."""
        if self.low is None or self.high is None:
            return Change.UNKNOWN
        if self.low > 1.0:
            return Change.FASTER
        return Change.SLOWER if self.high < 1.0 else Change.NONE_SEEN


class Exact(Record, frozen=True):
    """A metric of a case that no noise touches, and yet it differs: work, or bytes.

    On another processor or device, or under another torch, kernels and measured memory may do so with good reason (scratch memory is the
    library's own): the differences of settings and environment stand beside it.
    """

    case: str
    metric: str
    base: int
    other: int


class CeilingCompared(Record, frozen=True):
    """The best rate that code reached in each run, of a dtype (FLOPs per second) or in a memory level (bytes per second).

    `kind` is "compute" or "bandwidth", and `name` the dtype or level. None where a run measured no such thing.
    """

    kind: str
    name: str
    threads: int
    base: float | None
    other: float | None

    @property
    def ratio(self) -> float | None:
        """The other's rate over the base's; above 1 the other machine can do more."""
        if self.base is None or self.other is None:
            return None
        return self.other / self.base


class SuiteCompared(Record, frozen=True):
    """The cases of one suite that both runs measured."""

    suite: str
    cases: tuple[Compared, ...]

    @property
    def speedup(self) -> float:
        """Geometric mean of the speed-ups: the same whichever run is the base."""
        return math.exp(statistics.fmean(self._logs))

    @property
    def interval(self) -> tuple[float, float] | None:
        """A 95 % interval of that mean; None for fewer than three cases.

        Student's t on logarithms of what the cases differ by, and beside it, in quadrature, what one of them typically does not know of
        itself: not over the root of their number, as what the machine did during a whole run is common to all of them.
        """
        count = len(self.cases)
        if count < LEAST_CASES:
            return None
        spread = stats.t975(count - 1) * stats.deviation(self._logs) / math.sqrt(count)
        own = [math.log(one.high / one.low) / 2 for one in self.cases if one.low and one.high]
        half = math.hypot(spread, stats.median(own) if own else 0.0)
        return self.speedup * math.exp(-half), self.speedup * math.exp(half)

    @property
    def faster(self) -> int:
        """How many cases the other run is faster in."""
        return self._count(Change.FASTER)

    @property
    def slower(self) -> int:
        """How many cases the other run is slower in."""
        return self._count(Change.SLOWER)

    @property
    def none_seen(self) -> int:
        """How many cases show no difference."""
        return self._count(Change.NONE_SEEN)

    @property
    def unknown(self) -> int:
        """How many cases have no interval in one of the runs."""
        return self._count(Change.UNKNOWN)

    @property
    def _logs(self) -> list[float]:
        return [math.log(case.speedup) for case in self.cases]

    def _count(self, change: Change) -> int:
        return sum(case.verdict is change for case in self.cases)


class Comparison(Record, frozen=True):
    """A run beside a base: what they were made with, and what came out.

    `same_machine`: the fingerprints of the environments agree; it may still be another copy of the same machine, which `differences` tells.
    `settings` are what was asked for differently: cases pair all the same, and a speed-up then is one of the settings too.
    `missing` are cases that the base measured and the other has no comparable measurement of, each with the reason; `added` those that
    the other alone measured.
    """

    base: str
    other: str
    same_machine: bool
    differences: tuple[Difference, ...] = ()
    settings: tuple[Difference, ...] = ()
    cases: tuple[Compared, ...] = ()
    exact: tuple[Exact, ...] = ()
    ceilings: tuple[CeilingCompared, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    added: tuple[str, ...] = ()

    @property
    def overall(self) -> "SuiteCompared | None":
        """All cases together; None where there are none."""
        return SuiteCompared("all", self.cases) if self.cases else None

    @property
    def suites(self) -> tuple[SuiteCompared, ...]:
        """The cases by suite, in the order of the base."""
        return tuple(SuiteCompared(name, tuple(cases)) for name, cases in _by_suite(self.cases).items())


def _by_suite(cases: Iterable[Compared]) -> dict[str, list[Compared]]:
    suites: dict[str, list[Compared]] = {}
    for case in cases:
        suites.setdefault(case.suite, []).append(case)
    return suites
