"""What a person should know first of a run, and can do about it."""

from enum import StrEnum

from harness.records.base import Record


class FindingKind(StrEnum):
    """What a finding is about.

    `wrong`: theory and machine part, or the record is broken. `voids`: the numbers may not be what this machine can do.
    `advice`: speed that can be had back.
    """

    WRONG = "wrong"
    VOIDS = "voids"
    ADVICE = "advice"


class Finding(Record, frozen=True):
    """One trouble, however many cases have it: a fact from the record, why it is so as far as the record tells, and one thing to do about it."""

    name: str
    kind: FindingKind
    finding: str
    cause: str
    fix: str
    cases: tuple[str, ...] = ()
