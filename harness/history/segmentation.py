"""Series in pieces: level after level, or a level and a ramp."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def partition(values: Vector, penalty: float) -> list[int]:
    """Where the pieces of the best piecewise constant fit begin; the first begins at 0.

    The least sum of squares about the means of the pieces plus `penalty` for each piece, by dynamic programming over the last piece (Jackson
    and others, "An algorithm for optimal partitioning of data on an interval", 2005): O(n^2).

    >>> partition(np.array([1.0, 1.0, 1.0, 3.0, 3.0, 3.0]), 1.0)
    [0, 3]
    """
    count = len(values)
    sums = np.concatenate(([0.0], np.cumsum(values)))
    squares = np.concatenate(([0.0], np.cumsum(values * values)))
    lengths = np.arange(count, 0, -1, dtype=np.float64)
    best = np.zeros(count + 1)
    begins = np.zeros(count + 1, dtype=np.intp)
    for end in range(1, count + 1):
        within = sums[end] - sums[:end]
        costs = best[:end] + (squares[end] - squares[:end]) - within * within / lengths[count - end :]
        begin = int(np.argmin(costs))
        begins[end] = begin
        best[end] = costs[begin] + penalty
    found = [int(begins[count])] if count else []
    while found and found[-1] > 0:
        found.append(int(begins[found[-1]]))
    return found[::-1]


def step_cost(values: Vector, at: int, most: float = math.inf) -> float:
    """The sum of absolute deviations from two levels, one before `at` and one from there on, none counted as more than `most`."""
    off = np.concatenate([np.abs(part - np.median(part)) for part in (values[:at], values[at:])])
    return float(np.sum(np.minimum(off, most)))


@dataclass(frozen=True)
class Ramp:
    """A level and a ramp on from it to the end of a series: where it begins, and what the points are off by."""

    begin: int
    residuals: Vector

    @property
    def cost(self) -> float:
        """The sum of absolute residuals."""
        return float(np.sum(np.abs(self.residuals)))


def ramp(values: Vector, until: int) -> Ramp:
    """The best level and ramp by least squares, over all places before `until` where the ramp may begin; residuals about their median."""
    places = np.arange(len(values), dtype=np.float64)
    begins = np.arange(max(1, until), dtype=np.float64)
    centred = values - np.mean(values)
    rises = np.maximum(places[None, :] - begins[:, None], 0.0)
    rises -= np.mean(rises, axis=1, keepdims=True)
    slopes = (rises @ centred) / np.sum(rises * rises, axis=1)
    residuals = centred[None, :] - slopes[:, None] * rises
    best = int(np.argmin(np.sum(residuals * residuals, axis=1)))
    return Ramp(best, residuals[best] - np.median(residuals[best]))
