"""The raw readings of a base and a candidate, measured interleaved on one host."""

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
    """Statistics of a burst of samples, in seconds per call; a tenth of the samples are below `low`."""

    fastest: float
    low: float
    median: float
    mean: float


# The readings to choose from, and the one that contains every slow call.
READINGS, ALL_CALLS = ("fastest", "low", "median"), "mean"


class Side(Record, frozen=True):
    """The base or the candidate: its name, device and environment, and the settings given for it alone."""

    name: str
    device: str
    threads: int
    environment: Environment
    settings: dict[str, str]


class Pair(Record, frozen=True):
    """One case in one pair of fresh processes: rounds of two bursts of each side. `number` counts the pairs of a trial from 0."""

    number: int
    base: tuple[Burst, ...]
    candidate: tuple[Burst, ...]

    def rounds(self, reading: str) -> list[float]:
        """The logarithm of candidate over base in each round."""
        return round_log_ratios(column(self.base, reading), column(self.candidate, reading))


class CaseTrial(Record, frozen=True, dict=True):
    """One case on both sides, with the readings of each pair of processes.

    `base_work` and `candidate_work`: metrics without noise by name (FLOPs, kernels, bytes). `failure`: why readings are missing;
    `failed_side`: "base" or "candidate". `altered`: the code of the workload's class differs between the sides.
    """

    case: Case
    pairs: tuple[Pair, ...] = ()
    view: str = ""
    base_work: dict[str, int] = msgspec.field(default_factory=dict)
    candidate_work: dict[str, int] = msgspec.field(default_factory=dict)
    failure: str = ""
    failed_side: str = ""
    altered: bool = False

    @cached_property
    def reading(self) -> str:
        """The reading whose rounds scatter least within pairs, by the median over pairs.

        Under background load the fastest sample repeats best; where samples spread both ways, as on a GPU, the median does. The choice
        uses neither the ratio nor the differences between pairs.
        """
        return min(READINGS, key=self._scatter)

    def _scatter(self, reading: str) -> float:
        return stats.median([stats.deviation(pair.rounds(reading)) for pair in self.pairs])

    @property
    def log_ratios(self) -> tuple[float, ...]:
        """The logarithm of candidate over base for each pair, by the reading that repeats best."""
        return self.ratios_by(self.reading) if self.pairs else ()

    def ratios_by(self, reading: str) -> tuple[float, ...]:
        """The same by a given reading: the Hodges-Lehmann centre of the rounds of each pair.

        The median would lose a third of the information where rounds are normally distributed.
        """
        return tuple(stats.hodges_lehmann(pair.rounds(reading)) for pair in self.pairs)

    @property
    def base_seconds(self) -> float | None:
        """Seconds per call of the base: the median over pairs of the medians over bursts."""
        return self._median([pair.base for pair in self.pairs])

    @property
    def candidate_seconds(self) -> float | None:
        """The same of the candidate."""
        return self._median([pair.candidate for pair in self.pairs])

    def _median(self, bursts: list[tuple[Burst, ...]]) -> float | None:
        reading = self.reading if bursts else ""
        return stats.median([stats.median(column(burst, reading)) for burst in bursts]) if bursts else None


class Trial(Record, frozen=True):
    """A trial as it is stored. `analyses`: how often the readings may be analysed; 2 where undecided cases are measured again.

    `lost_pairs` counts lost processes, `dropped_rounds` rounds in which the GPU throttled for one side alone.
    """

    id: str
    schema_version: int
    started_at: str
    base: Side
    candidate: Side
    asked_pairs: int
    analyses: int
    threshold: float
    cases: tuple[CaseTrial, ...]
    missing: tuple[tuple[str, str], ...] = ()
    new: tuple[str, ...] = ()
    finished_at: str | None = None
    lost_pairs: int = 0
    dropped_rounds: int = 0


def column(bursts: Sequence[Burst], reading: str) -> list[float]:
    """One reading of each burst."""
    return [getattr(burst, reading) for burst in bursts]


def round_log_ratios(base: Sequence[float], candidate: Sequence[float]) -> list[float]:
    """The logarithm of candidate over base in each round of two bursts: the difference of the mean logarithms.

    >>> [round(math.exp(x), 3) for x in round_log_ratios((1.0, 1.0, 2.0, 2.0), (1.1, 1.1, 2.4, 2.4))]
    [1.1, 1.2]
    """
    return [b - a for a, b in zip(_by_round(base), _by_round(candidate), strict=True)]


def _by_round(bursts: Sequence[float]) -> list[float]:
    return [
        (math.log(first) + math.log(second)) / 2
        for first, second in zip(bursts[::2], bursts[1::2], strict=True)
    ]
