"""Points, and fits to the logarithms of their times: robust, from many starts, many data sets at once.

The loss is soft L1 of the residuals of log seconds: all sizes count alike, and disturbed ones count less. A batch of
Levenberg-Marquardt steps (Marquardt, 1963) on reweighted residuals serves what needs hundreds of fits: starts, leave-one-out, the
bootstrap. scipy's `least_squares` refines the fit that is kept.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from harness.fit.models import Columns, Model, Vector, logarithms
from harness.stats import MAD_TO_SIGMA

Matrix = NDArray[np.float64]

# A time farther from the model than this many standard deviations has no weight.
OUTLIER = 4.685
# The standard deviation of a log time where fewer than `FEW` times lie below the model, and its lower limit.
UNKNOWN_SIGMA, LEAST_SIGMA, FEW = 0.05, 1e-3, 4

Numbers = Sequence[float] | Vector


@dataclass(frozen=True)
class Points:
    """Sizes with their work, and the times of each: repeats, such as one of each process.

    `columns`: natural logarithms of the work, one for each size. `values`: natural logarithms of the times, grouped by size.
    `member`: the index of the size of each time.
    """

    columns: Columns
    values: Vector
    member: np.ndarray[tuple[int], np.dtype[np.intp]]

    @classmethod
    def of(cls, work: Mapping[str, Numbers], seconds: Sequence[Numbers]) -> "Points":
        """Points from work in base units and the times of each size in seconds. A level is an index, not a logarithm."""
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
        """The number of times of each size."""
        return np.bincount(self.member).astype(float)

    @property
    def repeated(self) -> bool:
        """Whether any size has more than one time."""
        return len(self.values) > len(self.counts)

    @cached_property
    def first(self) -> Vector:
        """The start of a fit for each size: the lowest tenth of many times, the median of few."""
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
        """The weight of each time, 0 to 1, by its distance from a model's log times: Tukey's biweight.

        The scale is that of the times *below* the model. Nothing makes a call faster than it is, and delays should not be averaged
        (a preempted process takes 1.5 to 6 times as long).
        """
        off = self.values - curve[self.member]
        below = -off[off < 0.0]
        sigma = MAD_TO_SIGMA * float(np.median(below)) if len(below) >= FEW else UNKNOWN_SIGMA
        fraction = np.minimum(np.abs(off) / (OUTLIER * max(sigma, self.scatter, LEAST_SIGMA)), 1.0)
        return np.asarray((1.0 - fraction**2) ** 2)

    def located(self, trust: Vector) -> Vector:
        """The log time of each size: the weighted mean of its times; the start value where all weights are zero."""
        total = np.bincount(self.member, trust)
        summed = np.bincount(self.member, trust * self.values)
        return np.where(total > 1e-6, summed / np.maximum(total, 1e-6), self.first)

    @cached_property
    def scatter(self) -> float:
        """The pooled standard deviation of log times about the median of their size; 0 without repeats."""
        if not self.repeated:
            return 0.0
        several = self.counts[self.member] > 1
        off = np.abs(self.values - self.medians[self.member])[several]
        # Residuals of a median are too small by the fraction of freedom that it took.
        freed = len(off) / max(len(off) - int(np.sum(self.counts > 1)), 1)
        return float(MAD_TO_SIGMA * np.median(off) * math.sqrt(freed))


# Residuals of the logarithm beyond this cost less than quadratically.
ROBUST_SCALE = 0.05
# A step of the numeric derivative, in logarithms, and the longest step of a fit.
NUDGE, LONGEST_STEP = 1e-6, 3.0
# The largest distance of a logarithm from its start (a factor of 10^10): a parameter that vanished need not vanish further.
FARTHEST = 23.0
# The most steps of a fit; the steps after which the best of many starts is chosen; and the relative gain at which a fit ends.
STEPS, GLANCE, ENOUGH = 40, 8, 1e-6
# Of more sizes than this, a sample of this many finds the optimum.
PLENTY = 300
# Restarts of a fit with a knee around its first solution: their distance and number.
AWAY, AROUND, SEED = 0.15, 24, 20260102


@dataclass(frozen=True)
class Solution:
    """The logs of a model's parameters, half the sum of the loss, and the residual of each log time."""

    logs: Vector
    cost: float
    residuals: Vector


def solve(model: Model, columns: Columns, times: Vector, known: Vector | None = None) -> Solution | None:
    """The model fitted to log times from all its starts; None where it cannot describe them (no work and no overhead).

    `known` replaces the starts: logs that fit nearly the same times.
    """
    sample = _thinned(columns, len(times))
    few, fewer = {name: work[sample] for name, work in columns.items()}, times[sample]
    starts = np.array(model.starts(few, fewer)) if known is None else known[None]
    if not np.isfinite(starts).all() or not np.isfinite(model.curve(starts[:1], columns)).all():
        return None
    best = _best(model, few, fewer, starts)
    if model.kinked:
        # A size near a knee may be on either side of it, and each choice is a local optimum.
        best = _best(model, few, fewer, around(best, AROUND))
    if len(fewer) < len(times):
        best = refit(model, columns, times[None], best[None])[0][0]
    return _solution(model, columns, times, best)


def _thinned(columns: Columns, count: int) -> NDArray[np.intp]:
    """The indices of a sample of sizes, evenly over the order of work."""
    if count <= PLENTY:
        return np.arange(count)
    order = np.argsort(next(iter(columns.values())))
    return np.asarray(order[np.linspace(0, count - 1, PLENTY).astype(int)])


def finish(model: Model, columns: Columns, times: Vector, logs: Vector) -> Solution:
    """The fit that is kept: `least_squares` from logs that are close, or those where it finds nothing better."""

    def residuals(tried: Vector) -> Vector:
        return np.asarray(model.curve(tried, columns) - times)

    def derivative(tried: Vector) -> Matrix:
        return slopes(model, columns, tried)

    found = least_squares(
        residuals, logs, jac=derivative, loss="soft_l1", f_scale=ROBUST_SCALE, x_scale="jac"
    )
    before, after = (_solution(model, columns, times, one) for one in (logs, found.x))
    return min(before, after, key=lambda one: one.cost)


def _solution(model: Model, columns: Columns, times: Vector, logs: Vector) -> Solution:
    residuals = times - model.curve(logs, columns)
    return Solution(logs, float(_loss(residuals).sum()), residuals)


def around(logs: Vector, count: int) -> Matrix:
    """Starts about a solution, itself the first: the same ones every time."""
    away = np.random.default_rng(SEED).normal(0.0, AWAY, (count, len(logs)))
    away[0] = 0.0
    return np.asarray(logs + away)


def _best(model: Model, columns: Columns, times: Vector, starts: Matrix) -> Vector:
    logs, costs = refit(model, columns, np.tile(times, (len(starts), 1)), starts, steps=GLANCE)
    found, _ = refit(model, columns, times[None], logs[[int(np.argmin(costs))]])
    return np.asarray(found[0])


def refit(
    model: Model,
    columns: Columns,
    times: Matrix,
    starts: Matrix,
    weights: Matrix | None = None,
    *,
    steps: int = STEPS,
) -> tuple[Matrix, Vector]:
    """A fit for each row of log times, from its row of logs: the logs, and the cost."""
    weight = np.ones(times.shape) if weights is None else weights
    logs = np.array(np.broadcast_to(starts, (len(times), starts.shape[-1])))
    first = logs.copy()
    damping = np.full(len(times), 1e-3)
    residuals = model.curve(logs, columns) - times
    cost = (weight * _loss(residuals)).sum(-1)
    for _ in range(steps):
        slope = slopes(model, columns, logs)
        counts = weight / np.sqrt(1.0 + (residuals / ROBUST_SCALE) ** 2)
        step = _step(slope, counts, residuals, damping)
        tried = np.clip(logs - step, first - FARTHEST, first + FARTHEST)
        off = model.curve(tried, columns) - times
        lower = (weight * _loss(off)).sum(-1)
        better = lower <= cost
        gain = np.where(better, cost - lower, cost)
        logs, residuals = np.where(better[:, None], tried, logs), np.where(better[:, None], off, residuals)
        cost = np.where(better, lower, cost)
        damping = np.where(better, 0.2 * damping, 5.0 * damping)
        # A row that cannot improve has damped its steps to nothing.
        if np.all((gain <= ENOUGH * cost + 1e-15) | (damping > 1e6)):
            break
    return logs, cost


def slopes(model: Model, columns: Columns, logs: Matrix) -> Matrix:
    """The derivative of log seconds by each log, in the last axis: the fraction of the time of each term."""
    nudges = NUDGE * np.eye(logs.shape[-1])
    differences = [
        (model.curve(logs + nudge, columns) - model.curve(logs - nudge, columns)) / (2.0 * NUDGE)
        for nudge in nudges
    ]
    return np.stack(differences, axis=-1)


def weights(residuals: Vector) -> Vector:
    """The weight of each residual under soft L1."""
    return np.asarray(1.0 / np.sqrt(1.0 + (residuals / ROBUST_SCALE) ** 2))


def _step(slope: Matrix, counts: Matrix, residuals: Matrix, damping: Vector) -> Matrix:
    turned = (slope * counts[..., None]).swapaxes(-1, -2)
    curvature, gradient = turned @ slope, turned @ residuals[..., None]
    diagonal = np.diagonal(curvature, axis1=-2, axis2=-1)
    # A parameter without effect has no curvature: it keeps its value.
    raised = damping[:, None] * diagonal + 1e-12
    curvature = curvature + raised[:, :, None] * np.eye(slope.shape[-1])
    return np.clip(np.linalg.solve(curvature, gradient)[..., 0], -LONGEST_STEP, LONGEST_STEP)


def _loss(residuals: Matrix) -> Matrix:
    """Half of scipy's soft L1: half the square of a small residual, and its size for a large one."""
    return np.asarray(ROBUST_SCALE**2 * (np.sqrt(1.0 + (residuals / ROBUST_SCALE) ** 2) - 1.0))
