"""A base and a candidate measured side by side on one host, now: the raw readings."""

import math

import msgspec

from harness import stats
from harness.records.base import Record
from harness.records.case import Case
from harness.records.environment import Environment

# Readings of a pair: the bursts of the base and those of the candidate, two of each a round, in seconds per call.
Bursts = tuple[float, ...]


class Side(Record, frozen=True):
    """One of the two: what a person calls it, on what it ran, and with which settings that the other may not have."""

    name: str
    device: str
    threads: int
    environment: Environment
    settings: dict[str, str]


class Pair(Record, frozen=True):
    """What one pair of fresh processes read of a case."""

    base: Bursts
    candidate: Bursts

    @property
    def log_ratio(self) -> float:
        """The logarithm of candidate over base: per round the difference of the mean logarithms, then their centre."""
        return paired_log_ratio(self.base, self.candidate)


class CaseTrial(Record, frozen=True):
    """One case on both sides, a reading for each pair of processes.

    `base_work` and `candidate_work` are what it comes to without noise, by metric: FLOPs, kernels, bytes. `trouble`: why there are no readings; `broken`: it is a fault, and no
    lack of this device. `altered`: the code of the workload's class differs between the sides.
    """

    case: Case
    pairs: tuple[Pair, ...] = ()
    view: str = ""
    base_work: dict[str, int] = msgspec.field(default_factory=dict)
    candidate_work: dict[str, int] = msgspec.field(default_factory=dict)
    trouble: str = ""
    broken: bool = False
    altered: bool = False

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """A reading of each pair."""
        return tuple(pair.log_ratio for pair in self.pairs)

    @property
    def base_seconds(self) -> float | None:
        """The typical time of a call of the base: the median over pairs of the medians over bursts."""
        return _typical([pair.base for pair in self.pairs])

    @property
    def candidate_seconds(self) -> float | None:
        """The same of the candidate."""
        return _typical([pair.candidate for pair in self.pairs])


class Trial(Record, frozen=True):
    """A trial as it is kept. `looks` is how often the readings may be judged: 2 where pairs are doubled once if nothing can be said."""

    id: str
    schema_version: int
    started_at: str
    base: Side
    candidate: Side
    asked_pairs: int
    looks: int
    floor: float
    cases: tuple[CaseTrial, ...]
    missing: tuple[tuple[str, str], ...] = ()
    new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    finished_at: str | None = None
    lost_pairs: int = 0


def paired_log_ratio(base: Bursts, other: Bursts) -> float:
    """The logarithm of `other` over `base`, both in rounds of two bursts: the centre of the rounds by Hodges and Lehmann.

    Their median would throw a third of the readings' worth away where rounds spread evenly.

    >>> round(math.exp(paired_log_ratio((1.0, 1.0, 2.0, 2.0), (1.1, 1.1, 2.2, 2.2))), 3)
    1.1
    """
    rounds = zip(_by_round(base), _by_round(other), strict=True)
    return stats.hodges_lehmann([b - a for a, b in rounds])


def _by_round(bursts: Bursts) -> list[float]:
    return [
        (math.log(first) + math.log(second)) / 2
        for first, second in zip(bursts[::2], bursts[1::2], strict=True)
    ]


def _typical(bursts: list[Bursts]) -> float | None:
    return stats.median([stats.median(one) for one in bursts]) if bursts else None
