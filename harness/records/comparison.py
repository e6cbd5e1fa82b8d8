"""Two runs side by side: what one takes, reaches and needs, beside the other. The base comes first throughout."""

import math
import statistics
from collections.abc import Iterable
from enum import StrEnum

from harness import stats
from harness.records.base import Record
from harness.records.case import Case
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
    """One case in two runs: its median times in seconds, and what speaks against either.

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


class PeakCompared(Record, frozen=True):
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
        spread = stats.students_t(0.975, count - 1) * stats.deviation(self._logs) / math.sqrt(count)
        own = [math.log(case.high / case.low) / 2 for case in self.cases if case.low and case.high]
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
    peaks: tuple[PeakCompared, ...] = ()
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


# A shift common to all cases is told of from this share on.
WORTH_TELLING = 0.005


class Decision(StrEnum):
    """What can be said of a case's time; `inconclusive` is neither a pass nor a failure."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


class CaseDecision(Record, frozen=True):
    """One case: the candidate's time over the base's, and what follows.

    From `low` to `high` lies the true `ratio`, as sure as `Judgement.level`; above 1 the candidate is slower. A change up to `floor` (a share) is no
    change for practice. `detectable`: the least change that as many pairs find here in 80 of 100 cases. `p`: two-sided, of no change at all. `gates`:
    whether a regression of its time fails; where it does not, `informs` says why. `work_grew` are metrics without noise that grew, which
    fails where `work_gates`. `reading`: what of a burst of samples the ratio is of, where it was measured side by side.
    """

    case: str
    suite: str
    decision: Decision
    floor: float
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None
    pairs: int | None = None
    base_seconds: float | None = None
    candidate_seconds: float | None = None
    gates: bool = True
    informs: str = ""
    reason: str = ""
    work_grew: tuple[Exact, ...] = ()
    work_shrank: tuple[Exact, ...] = ()
    work_gates: bool = True
    reading: str = ""

    @classmethod
    def untold(cls, case: Case, floor: float, reason: str) -> "CaseDecision":
        """Of a case of which nothing can be said, and why."""
        return cls(
            case=case.id,
            suite=case.suite,
            decision=Decision.INCONCLUSIVE,
            floor=floor,
            gates=False,
            informs=reason,
            reason=reason,
        )

    @property
    def change(self) -> float | None:
        """The ratio minus one: 0.05 is 5 % slower."""
        return None if self.ratio is None else self.ratio - 1.0

    @property
    def fails(self) -> bool:
        """Whether it is a reason to stop: a regression that gates, or more work than before."""
        return (self.work_gates and bool(self.work_grew)) or (
            self.gates and self.decision is Decision.REGRESSED
        )


class Overall(Record, frozen=True):
    """All cases together: the ratio common to them, with its interval. A machine that changed shows here, and so does a small loss everywhere."""

    ratio: float
    low: float
    high: float
    cases: int

    @property
    def shifted(self) -> bool:
        """Whether the interval leaves no doubt about the direction, and it is enough to be worth a word."""
        return not self.low <= 1.0 <= self.high and abs(self.ratio - 1.0) >= WORTH_TELLING


class Judgement(Record, frozen=True):
    """A candidate beside a base, whole.

    `method` says how they were measured: "side by side" (in turns, in pairs of fresh processes) or "stored" (at other times). `missing` are cases of
    the base that the candidate does not measure, each with the reason: they fail. `new` are those of the candidate alone. `differences` are
    those of the two environments, told because they may explain a change. `notes` are said to a person, each one sentence.
    """

    base: str
    candidate: str
    method: str
    level: float
    cases: tuple[CaseDecision, ...] = ()
    overall: Overall | None = None
    missing: tuple[tuple[str, str], ...] = ()
    new: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    trial: str | None = None

    @property
    def failing(self) -> tuple[CaseDecision, ...]:
        """The cases that are a reason to stop."""
        return tuple(case for case in self.cases if case.fails)

    @property
    def failed(self) -> bool:
        """Whether a gate stops here."""
        return bool(self.failing or self.missing)

    @property
    def idle(self) -> bool:
        """Whether nothing could be said of any case."""
        return not self.missing and all(case.decision is Decision.INCONCLUSIVE for case in self.cases)

    def counted(self, decision: Decision) -> int:
        """How many cases came out so."""
        return sum(case.decision is decision for case in self.cases)
