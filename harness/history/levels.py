"""Levels of a series: their noise, partitions into levels, and ramps."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# The smallest relevant change, as a logarithm, and the smallest that is reported: noise makes some changes of 5% look like 4%.
FLOOR = math.log(1.05)
LEAST = 0.8 * FLOOR
# The numbers of latest points that determine the level, its noise, and its wander.
NEAR, WIDE, FAR = 30, 60, 150
# The smallest noise of a series: timers and clocks have ticks.
LEAST_SIGMA = 0.002
# Standard errors that a change must exceed: of a well-known level, and of one of few points, which has had fewer tests.
Z, Z_YOUNG = 3.6, 3.3
# The wander of a level is that of medians of `WINDOW` points; a change must exceed `BEYOND` times the distance of nearly all of them.
WINDOW, NEARLY_ALL, BEYOND = 7, 0.95, 2.2
# Farther than this many standard deviations of one point, a median of several was on another level for a while.
EXCURSION = 3.0
# Prior of the correlation of successive points, and its weight in points.
PRIOR_CORRELATION, PRIOR_POINTS = 0.3, 20
# Noise counts as changed beyond this factor: that of the last points, and that of the points after a change. The noise before a change
# then has the weight of `PRIOR_SCATTER` points.
CHANGED, PRIOR_SCATTER = 1.4, 3
# The smallest number of points of a level in Student's t.
LEAST_COUNT = 6


@dataclass(frozen=True)
class Noise:
    """The noise of `count` points of a level: standard deviation, correlation of successive points, and wander of medians."""

    sigma: float
    correlation: float
    wander: float
    count: int


def noise(residuals: Vector) -> Noise:
    """The noise of residuals, in their order. Robust: one spike in ten points changes little.

    The spread is that of the last 60, or of the last 30 where it has grown: more noise alone must not raise an alarm.
    """
    late = residuals[-WIDE:]
    sigma = max(_sigma(late), LEAST_SIGMA)
    now = _sigma(late[-NEAR:])
    sigma = now if now > CHANGED * sigma else sigma
    return Noise(
        sigma,
        _correlation(np.clip(residuals, -1.5 * sigma, 1.5 * sigma)),
        _wander(residuals[-FAR:], sigma),
        len(residuals),
    )


def shift(before: Vector, after: Vector) -> float:
    """The shift of `after` against `before`: the median of all differences (Hodges and Lehmann, 1963)."""
    return float(np.median(after[:, None] - before[None, :]))


def allowed(known: Noise, before: int, after: Vector) -> float:
    """The largest shift from `before` points to `after` that is not reported: noise, or less than 5%.

    It is a multiple of the standard error, or of the level's earlier wander. The error includes correlation and the scatter of `after`;
    the multiple has the first term of the expansion of Student's t (Abramowitz and Stegun, 26.7.5).
    """
    count = len(after)
    off = np.clip(after - np.median(after), -4.0 * known.sigma, 4.0 * known.sigma)
    scatter = float(np.std(off, ddof=1))
    sigma = known.sigma
    if scatter > CHANGED * sigma:
        sigma = math.sqrt((PRIOR_SCATTER * sigma**2 + count * scatter**2) / (PRIOR_SCATTER + count))
    error = sigma * math.sqrt(
        _inflation(known.correlation, count) / count + _inflation(known.correlation, before) / before
    )
    z = Z_YOUNG + (Z - Z_YOUNG) * min(1.0, known.count / WIDE)
    z += (z**3 + z) / (4.0 * max(known.count, LEAST_COUNT))
    return max(z * error, BEYOND * known.wander, LEAST)


def _sigma(values: Vector) -> float:
    """A robust standard deviation about 0, clipped at 2.5 times that of the nearest 70% of the values; 0 for fewer than two."""
    if len(values) < 2:
        return 0.0
    most = 2.5 * float(np.quantile(np.abs(values), 0.7)) / 1.036
    return float(np.sqrt(np.mean(np.clip(values, -most, most) ** 2))) * 1.02


def _correlation(values: Vector) -> float:
    """Lag-1 autocorrelation, 0 to 0.8, corrected for the bias of short series (Kendall, 1954), with a prior."""
    count = len(values)
    off = values - np.mean(values)
    total = float(off @ off)
    correlation = 0.0
    if count > 3 and total > 0.0:
        correlation = float(off[1:] @ off[:-1]) / total
        correlation += (1.0 + 4.0 * correlation) / count
    weighted = (count * correlation + PRIOR_POINTS * PRIOR_CORRELATION) / (count + PRIOR_POINTS)
    return min(0.8, max(0.0, weighted))


def _wander(residuals: Vector, sigma: float) -> float:
    """The distance of nearly all medians of successive points, without one excursion, such as a bad build that was soon reverted."""
    if len(residuals) < 2 * WINDOW:
        return 0.0
    off = np.abs(np.median(np.lib.stride_tricks.sliding_window_view(residuals, WINDOW), axis=1))
    worst = int(np.argmax(off))
    if off[worst] > EXCURSION * sigma:
        rest = np.concatenate((off[: max(0, worst - WINDOW + 1)], off[worst + WINDOW :]))
        off = rest if len(rest) else off
    return float(np.quantile(off, NEARLY_ALL))


def _inflation(correlation: float, count: int) -> float:
    """The factor on the variance of a mean of `count` values where each is correlated with the next (AR(1))."""
    apart = 1.0 - correlation
    return 1.0 + 2.0 * correlation / apart * (1.0 - (1.0 - correlation**count) / (count * apart))


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
    pieces = [int(begins[count])] if count else []
    while pieces and pieces[-1] > 0:
        pieces.append(int(begins[pieces[-1]]))
    return pieces[::-1]


def split_cost(values: Vector, at: int, most: float = math.inf) -> float:
    """The sum of absolute deviations from two levels, one before `at` and one from there on, none counted as more than `most`."""
    off = np.concatenate([np.abs(part - np.median(part)) for part in (values[:at], values[at:])])
    return float(np.sum(np.minimum(off, most)))


@dataclass(frozen=True)
class Ramp:
    """A level followed by a ramp to the end of a series: where the ramp begins, and the residuals of the points."""

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
