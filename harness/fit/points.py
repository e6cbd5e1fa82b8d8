"""What a model is fitted to: sizes, each with one or more times."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.fit.models import Columns, Vector, logarithms
from harness.stats import MAD_TO_SIGMA

# A time farther above or below the model than so many standard deviations says nothing of its size.
FARTHEST = 4.685
# The standard deviation of a log time where too few times lie below the model to tell it, and the least believed.
UNKNOWN_SIGMA, LEAST_SIGMA, FEW = 0.05, 1e-3, 4


Numbers = Sequence[float] | Vector


@dataclass(frozen=True)
class Points:
    """Sizes with their work, and the times of each: repeats, such as one of each process.

    `columns`: natural logarithms of the work, a place for each size. `values`: natural logarithms of the times,
    those of one size side by side; `member`: the place of the size of each.
    """

    columns: Columns
    values: Vector
    member: np.ndarray[tuple[int], np.dtype[np.intp]]

    @classmethod
    def of(cls, work: Mapping[str, Numbers], seconds: Sequence[Numbers]) -> "Points":
        """From work in base units and the times of each size in seconds. A level is a place, and stays one."""
        columns = {
            name: np.asarray(numbers, dtype=float) if name == "level" else logarithms(numbers)
            for name, numbers in work.items()
        }
        counts = [len(times) for times in seconds]
        values = np.log(np.concatenate([np.asarray(times, dtype=float) for times in seconds]))
        return cls(columns, values, np.repeat(np.arange(len(counts)), counts))

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def counts(self) -> Vector:
        """How many times each size has."""
        return np.bincount(self.member).astype(float)

    @property
    def repeated(self) -> bool:
        """Whether any size has more than one time."""
        return len(self.values) > len(self.counts)

    @cached_property
    def first(self) -> Vector:
        """Where a fit starts: the lowest tenth of many times, the median of few."""
        ordered = self.values[np.lexsort((self.values, self.member))]
        count = self.counts.astype(int)
        start = np.cumsum(count) - count
        return np.where(count < FEW, self.medians, ordered[start + (count - 1) // 10])

    @cached_property
    def medians(self) -> Vector:
        """The median of the log times of each size."""
        ordered = self.values[np.lexsort((self.values, self.member))]
        ends = np.cumsum(self.counts).astype(int)
        first, count = ends - self.counts.astype(int), self.counts.astype(int)
        return np.asarray((ordered[first + (count - 1) // 2] + ordered[first + count // 2]) / 2.0)

    def trust(self, curve: Vector) -> Vector:
        """What each time counts, 0 to 1, beside a model's log times: Tukey's biweight.

        The scale is that of the times *below* the model: nothing makes a call faster than it is, and what slows it down is
        no noise to be averaged (a preempted process: 1.5 to 6 times).
        """
        off = self.values - curve[self.member]
        below = -off[off < 0.0]
        sigma = MAD_TO_SIGMA * float(np.median(below)) if len(below) >= FEW else UNKNOWN_SIGMA
        fraction = np.minimum(np.abs(off) / (FARTHEST * max(sigma, self.scatter, LEAST_SIGMA)), 1.0)
        return np.asarray((1.0 - fraction**2) ** 2)

    def located(self, trust: Vector) -> Vector:
        """The log time of each size: the mean of its times as far as they are trusted; the median where none is."""
        total = np.bincount(self.member, trust)
        summed = np.bincount(self.member, trust * self.values)
        return np.where(total > 1e-6, summed / np.maximum(total, 1e-6), self.first)

    @cached_property
    def scatter(self) -> float:
        """The standard deviation of a log time about its size's median, of the repeats all together; 0 for one each."""
        if not self.repeated:
            return 0.0
        several = self.counts[self.member] > 1
        off = np.abs(self.values - self.medians[self.member])[several]
        # Residuals of a median are too small by the fraction of freedom that it took.
        freed = len(off) / max(len(off) - int(np.sum(self.counts > 1)), 1)
        return float(MAD_TO_SIGMA * np.median(off) * math.sqrt(freed))
