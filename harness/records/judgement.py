"""What is said of a candidate beside a base: faster, slower, the same, or nothing can be said. The base comes first throughout."""

from enum import StrEnum

from harness.records.base import Record
from harness.records.case import Case
from harness.records.comparison import Exact
from harness.records.environment import Difference

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
        return not self.missing and all(one.decision is Decision.INCONCLUSIVE for one in self.cases)

    def counted(self, decision: Decision) -> int:
        """How many cases came out so."""
        return sum(case.decision is decision for case in self.cases)
