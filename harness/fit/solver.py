"""Fits of the logarithms: robust, from many starts, and many data sets at once.

The loss is soft L1 of the residuals of log seconds: each size counts alike, and a disturbed one counts less. A batch of
Levenberg-Marquardt steps (Marquardt, 1963) on reweighted residuals serves what needs hundreds of fits: starts, leave-one-out, the
bootstrap. scipy's `least_squares` finishes the one that is kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from harness.fit.models import Columns, Model, Vector

Matrix = NDArray[np.float64]

# Residuals of the logarithm beyond this count less than quadratically.
ROBUST_SCALE = 0.05
# A step of the numeric derivative, in logarithms, and the longest step of a fit.
NUDGE, LONGEST_STEP = 1e-6, 3.0
# How far a logarithm may run from its start, a factor of 10^10: what vanished need not go on to vanish.
FARTHEST = 23.0
# Steps of a fit at most, steps after which one of many starts shows whether it is worth going on with, and a gain too small to.
STEPS, GLANCE, ENOUGH = 40, 8, 1e-6
# Of more sizes than this, so many find the optimum for all.
PLENTY = 300
# How far, and how often, a fit with a knee is begun again around its first solution.
AWAY, AROUND, SEED = 0.15, 24, 20260102


@dataclass(frozen=True)
class Solution:
    """The logs of a model's parameters, half the sum of the loss, and the residual of each log time."""

    logs: Vector
    cost: float
    residuals: Vector


def solve(model: Model, columns: Columns, times: Vector, known: Vector | None = None) -> Solution | None:
    """The model fitted to log times from all its starts; None where it cannot describe them (no work, and no overhead).

    `known`: logs that fit much the same times, to begin with.
    """
    some = _thinned(columns, len(times))
    few, fewer = {name: work[some] for name, work in columns.items()}, times[some]
    starts = np.array(model.starts(few, fewer)) if known is None else known[None]
    if not np.isfinite(starts).all() or not np.isfinite(model.curve(starts[:1], columns)).all():
        return None
    best = _best(model, few, fewer, starts)
    if model.kinked:
        # A size near a knee may be on either side of it, and each choice of sides is an optimum of its own.
        best = _best(model, few, fewer, around(best, AROUND))
    if len(fewer) < len(times):
        best = refit(model, columns, times[None], best[None])[0][0]
    return _solution(model, columns, times, best)


def _thinned(columns: Columns, count: int) -> NDArray[np.intp]:
    """So many places as are enough to find an optimum, evenly over the order of work."""
    if count <= PLENTY:
        return np.arange(count)
    order = np.argsort(next(iter(columns.values())))
    return np.asarray(order[np.linspace(0, count - 1, PLENTY).astype(int)])


def finish(model: Model, columns: Columns, times: Vector, logs: Vector) -> Solution:
    """The fit that is kept, by `least_squares` from logs that are close; those stay where it finds nothing better."""

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
        found = (weight * _loss(off)).sum(-1)
        better = found <= cost
        gain = np.where(better, cost - found, cost)
        logs, residuals = np.where(better[:, None], tried, logs), np.where(better[:, None], off, residuals)
        cost = np.where(better, found, cost)
        damping = np.where(better, 0.2 * damping, 5.0 * damping)
        # A row that cannot get better any more has damped its steps to nothing.
        if np.all((gain <= ENOUGH * cost + 1e-15) | (damping > 1e6)):
            break
    return logs, cost


def slopes(model: Model, columns: Columns, logs: Matrix) -> Matrix:
    """The derivative of log seconds by each log, in the last axis: the fraction of the time that each term takes."""
    nudges = NUDGE * np.eye(logs.shape[-1])
    round_spread = [
        (model.curve(logs + nudge, columns) - model.curve(logs - nudge, columns)) / (2.0 * NUDGE)
        for nudge in nudges
    ]
    return np.stack(round_spread, axis=-1)


def weights(residuals: Vector) -> Vector:
    """What each residual counts, as soft L1 has it."""
    return np.asarray(1.0 / np.sqrt(1.0 + (residuals / ROBUST_SCALE) ** 2))


def _step(slope: Matrix, counts: Matrix, residuals: Matrix, damping: Vector) -> Matrix:
    turned = (slope * counts[..., None]).swapaxes(-1, -2)
    curvature, gradient = turned @ slope, turned @ residuals[..., None]
    diagonal = np.diagonal(curvature, axis1=-2, axis2=-1)
    # What moves nothing has no curvature: it stays where it is.
    raised = damping[:, None] * diagonal + 1e-12
    curvature = curvature + raised[:, :, None] * np.eye(slope.shape[-1])
    return np.clip(np.linalg.solve(curvature, gradient)[..., 0], -LONGEST_STEP, LONGEST_STEP)


def _loss(residuals: Matrix) -> Matrix:
    """Half of scipy's soft L1: half the square of a small residual, and its size for a large one."""
    return np.asarray(ROBUST_SCALE**2 * (np.sqrt(1.0 + (residuals / ROBUST_SCALE) ** 2) - 1.0))
