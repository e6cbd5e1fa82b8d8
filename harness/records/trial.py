"""A base and a candidate measured side by side on one host, now: the raw readings."""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from harness import stats
from harness.records.base import Record
from harness.records.case import Case
from harness.records.environment import Environment


class Burst(NamedTuple):
    """What a burst of samples reads, in seconds per call: the fastest of them, what a tenth are below, the middle one, and the mean of all."""

    fastest: float
    low: float
    median: float
    mean: float


# The readings that one is chosen of; and the one that no slow call escapes.
READINGS, ALL_CALLS = ("fastest", "low", "median"), "mean"


class Side(Record, frozen=True):
    """One of the two: what a person calls it, on what it ran, and with which settings that the other may not have."""

    name: str
    device: str
    threads: int
    environment: Environment
    settings: dict[str, str]


class Pair(Record, frozen=True):
    """What one pair of fresh processes read of a case: rounds of two bursts of each side. `number` counts the pairs of a trial from 0."""

    number: int
    base: tuple[Burst, ...]
    candidate: tuple[Burst, ...]

    def rounds(self, reading: str) -> list[float]:
        """The logarithm of candidate over base in each round."""
        return round_log_ratios(column(self.base, reading), column(self.candidate, reading))


class CaseTrial(Record, frozen=True, dict=True):
    """One case on both sides, a reading for each pair of processes.

    `base_work` and `candidate_work` are what it comes to without noise, by metric: FLOPs, kernels, bytes. `trouble`: why there are no readings, or no more; `guilty`: the side
    it lies with, "base" or "candidate". `altered`: the code of the workload's class differs between the sides.
    """

    case: Case
    pairs: tuple[Pair, ...] = ()
    view: str = ""
    base_work: dict[str, int] = msgspec.field(default_factory=dict)
    candidate_work: dict[str, int] = msgspec.field(default_factory=dict)
    trouble: str = ""
    guilty: str = ""
    altered: bool = False

    @cached_property
    def reading(self) -> str:
        """Which reading of a burst is used: the one whose rounds scatter least, within pairs, as the median of them.

        Where others take CPU time away, the fastest sample is what repeats; where samples spread both ways, as on a GPU, it is the median one. The choice
        is blind to what it is to decide: neither the ratio nor what pairs differ by goes into it.
        """
        return min(READINGS, key=self._scatter)

    def _scatter(self, reading: str) -> float:
        return stats.median([stats.deviation(pair.rounds(reading)) for pair in self.pairs])

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """The logarithm of candidate over base as each pair tells it, by the reading that repeats best."""
        return self.ratios_by(self.reading) if self.pairs else ()

    def ratios_by(self, reading: str) -> tuple[float, ...]:
        """The same by a reading: the centre of the rounds of each pair, by Hodges and Lehmann.

        Their median would throw a third of the readings' worth away where rounds spread evenly.
        """
        return tuple(stats.hodges_lehmann(pair.rounds(reading)) for pair in self.pairs)

    @property
    def base_seconds(self) -> float | None:
        """The time of a call of the base: the median over pairs of the medians over bursts, as read."""
        return self._median([pair.base for pair in self.pairs])

    @property
    def candidate_seconds(self) -> float | None:
        """The same of the candidate."""
        return self._median([pair.candidate for pair in self.pairs])

    def _median(self, bursts: list[tuple[Burst, ...]]) -> float | None:
        reading = self.reading if bursts else ""
        return stats.median([stats.median(column(burst, reading)) for burst in bursts]) if bursts else None


class Trial(Record, frozen=True):
    """A trial as it is kept. `looks` is how often the readings may be judged: 2 where pairs are doubled once if nothing can be said.

    `lost_pairs` counts processes that were lost, `dropped_rounds` rounds in which a card slowed itself down for one side alone.
    """

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
    finished_at: str | None = None
    lost_pairs: int = 0
    dropped_rounds: int = 0


def column(bursts: Sequence[Burst], reading: str) -> list[float]:
    """One reading of each burst."""
    return [getattr(burst, reading) for burst in bursts]


def round_log_ratios(base: Sequence[float], other: Sequence[float]) -> list[float]:
    """The logarithm of `other` over `base` in each round of two bursts: the difference of the mean logarithms.

    >>> [round(math.exp(one), 3) for one in round_log_ratios((1.0, 1.0, 2.0, 2.0), (1.1, 1.1, 2.4, 2.4))]
    [1.1, 1.2]
    """
    return [b - a for a, b in zip(_by_round(base), _by_round(other), strict=True)]


def _by_round(bursts: Sequence[float]) -> list[float]:
    return [
        (math.log(first) + math.log(second)) / 2
        for first, second in zip(bursts[::2], bursts[1::2], strict=True)
    ]
