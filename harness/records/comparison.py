"""A base against a candidate: case by case a ratio, its interval and a decision. A ratio is always candidate / base."""

from enum import StrEnum
from typing import Literal

from harness.records.base import Record
from harness.records.case import Case
from harness.records.environment import Difference
from harness.records.measurement import Flag

# A shift common to all cases is reported from this fraction on.
LEAST_SHIFT = 0.005


class Decision(StrEnum):
    """What follows from a case's times; `inconclusive` is neither a pass nor a failure."""

    REGRESSED = "regressed"
    IMPROVED = "improved"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


class ExactChange(Record, frozen=True):
    """A metric without noise (work or bytes) that differs between base and candidate.

    Another processor, device or torch can change kernels and measured memory for good reason: scratch memory belongs to the library.
    """

    case: str
    metric: str
    base: int
    candidate: int


class CaseComparison(Record, frozen=True):
    """One case: the candidate's time over the base's, and what follows from it.

    The interval from `low` to `high` holds the true `ratio` at the level of the comparison; above 1 the candidate is slower. A change up
    to `threshold` (a fraction) has no practical meaning. `detectable`: the smallest change that as many pairs detect here in 80 of 100
    cases. `p`: two-sided, of no change at all. `informational`: why the time is not gated; empty where it is. `work_grew`: metrics without
    noise that grew; they fail where `work_gates`. `reading`: which statistic of a burst the ratio compares, for interleaved measurements.
    """

    case: str
    suite: str
    decision: Decision
    threshold: float = 0.0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None
    pairs: int | None = None
    base_seconds: float | None = None
    candidate_seconds: float | None = None
    base_flags: tuple[Flag, ...] = ()
    candidate_flags: tuple[Flag, ...] = ()
    informational: str = ""
    reason: str = ""
    work_grew: tuple[ExactChange, ...] = ()
    work_shrank: tuple[ExactChange, ...] = ()
    work_gates: bool = True
    reading: str = ""

    @classmethod
    def undecided(cls, case: Case, threshold: float, reason: str) -> "CaseComparison":
        """A case without a usable time, and the reason."""
        return cls(case.id, case.suite, Decision.INCONCLUSIVE, threshold, informational=reason, reason=reason)

    @property
    def change(self) -> float | None:
        """The ratio minus one: 0.05 is 5% slower."""
        return None if self.ratio is None else self.ratio - 1.0

    @property
    def gates(self) -> bool:
        """Whether a regression of its time fails a gate."""
        return not self.informational

    @property
    def fails(self) -> bool:
        """Whether it fails a gate: a regression that is gated, or more work than before."""
        return (self.work_gates and bool(self.work_grew)) or (
            self.gates and self.decision is Decision.REGRESSED
        )


class GroupComparison(Record, frozen=True):
    """Several cases together, a suite or all: the ratio common to them, its interval, and how many came out how.

    `low` and `high` are None for fewer than three cases. `without_interval` are the inconclusive cases whose runs give no interval.
    """

    name: str
    ratio: float
    low: float | None
    high: float | None
    cases: int
    regressed: int = 0
    improved: int = 0
    equivalent: int = 0
    inconclusive: int = 0
    without_interval: int = 0

    @property
    def shifted(self) -> bool:
        """Whether the direction is beyond doubt and the shift large enough to report."""
        if self.low is None or self.high is None:
            return False
        return not self.low <= 1.0 <= self.high and abs(self.ratio - 1.0) >= LEAST_SHIFT


class PeakComparison(Record, frozen=True):
    """The best rate that code reached in each run, for a dtype (FLOP/s) or in a memory level (bytes per second).

    `kind` is "compute" or "bandwidth", and `name` the dtype or level. None where a run measured no such rate.
    """

    kind: str
    name: str
    threads: int
    base: float | None
    candidate: float | None

    @property
    def ratio(self) -> float | None:
        """The candidate's rate over the base's; above 1 its machine can do more."""
        if self.base is None or self.candidate is None:
            return None
        return self.candidate / self.base


class Comparison(Record, frozen=True):
    """A candidate against a base: how they were measured, what differs, and what came out.

    `method`: "interleaved" (pairs of fresh processes, now) or "stored" (two runs, at different times). `level`: confidence of the intervals.
    `same_machine`: the fingerprints agree; `differences` shows whether it is another machine of the same kind. `settings` differ in what
    the user asked for. `missing`: cases of the base without a comparable measurement in the candidate, each with the reason. `new`: cases
    of the candidate alone. `trial`: the id of the stored trial. `notes`: sentences for the user.
    """

    base: str
    candidate: str
    method: Literal["interleaved", "stored"]
    level: float
    same_machine: bool = True
    differences: tuple[Difference, ...] = ()
    settings: tuple[Difference, ...] = ()
    cases: tuple[CaseComparison, ...] = ()
    suites: tuple[GroupComparison, ...] = ()
    overall: GroupComparison | None = None
    exact: tuple[ExactChange, ...] = ()
    peaks: tuple[PeakComparison, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    trial: str | None = None

    @property
    def failing(self) -> tuple[CaseComparison, ...]:
        """The cases that fail a gate."""
        return tuple(case for case in self.cases if case.fails)

    @property
    def failed(self) -> bool:
        """Whether a gate fails."""
        return bool(self.failing or self.missing)

    @property
    def undecided(self) -> bool:
        """Whether no case was decided."""
        return not self.missing and all(case.decision is Decision.INCONCLUSIVE for case in self.cases)

    def count(self, decision: Decision) -> int:
        """The number of cases with this decision."""
        return sum(case.decision is decision for case in self.cases)
