"""What a fitted law expects of work that was not measured, with an interval that owns up to what is not known.

Its parts: how well the parameters are known; what other laws say that are still plausible (outside the
sizes: that are not ruled out); what a time scatters by about the
law. Beyond the sizes that were fitted also how far the exponent of work may be off, and the residuals walk on at random, a step for
each spacing of the sizes. What the sizes do not identify is bounded all the same, and the upper end allows for it: an overhead may hide in
the scatter of the shortest time, and memory that bound no size may bind the next, though at no worse than the best rate seen.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.fit.intervals import Uncertainty
from harness.fit.laws import RATES, Columns, Vector, exponentials
from harness.fit.selection import DECISIVE, PLAUSIBLE, Choice
from harness.fit.solver import NUDGE, slopes, weights

# How far off an exponent may be, at most, where the sizes tell nothing of it.
ANY_EXPONENT = 0.5
# Logarithms that differ by less are the same; and what counts as no farther away than this: no work lies infinitely far from some.
SAME, FARTHEST = 1e-9, 20.0


@dataclass(frozen=True)
class Expectation:
    """The time expected of some work, in seconds, and a 95 % interval for a time measured there."""

    seconds: float
    low: float
    high: float
    extrapolated: bool


def expect(known: Uncertainty, choice: Choice, columns: Columns) -> list[Expectation]:
    """For each place of the columns; work in logarithms, as the law was fitted."""
    expected = known.law.curve(known.solution.logs, columns)
    low, high = _curves(known, columns)
    away, outside = _distance(known.points.columns, columns)
    for rival in choice.candidates:
        other = rival.law.curve(rival.solution.logs, columns)
        counts = rival.aicc - choice.best <= np.where(outside, DECISIVE, PLAUSIBLE)
        low, high = (
            np.where(counts, np.minimum(low, other), low),
            np.where(counts, np.maximum(high, other), high),
        )
    walk = known.sigma**2 * (1.0 + away / _spacing(known.points.columns))
    noise = known.quantile * np.sqrt(walk + known.points.scatter**2)
    off = _exponent_error(known) * _share(known, columns) * away
    below = np.sqrt((expected - low) ** 2 + noise**2 + off**2)
    above = np.sqrt((high - expected) ** 2 + noise**2 + off**2)
    top = np.maximum(expected + above, _hidden(known, columns, expected))
    middle, bottom, upper = (exponentials(logs).tolist() for logs in (expected, expected - below, top))
    return [Expectation(*one) for one in zip(middle, bottom, upper, outside.tolist(), strict=True)]


def _curves(known: Uncertainty, columns: Columns) -> tuple[Vector, Vector]:
    """The 95 % band of the curve, from both kinds of intervals."""
    expected = known.law.curve(known.solution.logs, columns)
    slope = slopes(known.law, columns, known.solution.logs)[:, known.moves]
    inner = known.covariance[np.ix_(known.moves, known.moves)]
    variance = np.einsum("ni,ij,nj->n", slope, np.where(np.isfinite(inner), inner, 0.0), slope)
    half = known.quantile * np.sqrt(np.maximum(variance, 0.0))
    low, high = expected - half, expected + half
    if len(known.draws):
        drawn = np.quantile(known.law.curve(known.draws, columns), (0.025, 0.975), axis=0)
        low, high = np.minimum(low, drawn[0]), np.maximum(high, drawn[1])
    return low, high


def _distance(fitted: Columns, columns: Columns) -> tuple[Vector, NDArray[np.bool_]]:
    """How far the work lies outside what was fitted, as a logarithm, by the farthest of its columns; and whether it does."""
    beyond = np.array(
        [
            np.maximum(
                np.maximum(columns[name] - fitted[name].max(), fitted[name].min() - columns[name]), 0.0
            )
            for name in fitted
            if name != "level"
        ]
    )
    return np.asarray(np.minimum(beyond.max(axis=0), FARTHEST)), np.asarray((beyond > SAME).any(axis=0))


def _spacing(fitted: Columns) -> float:
    """How far one size lies from the next, as a logarithm, on average; the widest of the columns."""
    spans = [float(np.ptp(work)) for name, work in fitted.items() if name != "level"]
    return max(max(spans) / max(len(next(iter(fitted.values()))) - 1, 1), SAME)


def _exponent_error(known: Uncertainty) -> float:
    """Half of the 95 % interval of an exponent of all work, were it free beside the law's own parameters."""
    if known.law.free:
        return 0.0  # its own interval says it
    columns = known.points.columns
    work = next((one for name, one in columns.items() if name != "level" and np.ptp(one) > SAME), None)
    if work is None or known.freedom < 2:
        return ANY_EXPONENT
    tilt = _share(known, columns) * (work - work.mean())
    bent = np.column_stack([known.slopes[:, known.moves], tilt])
    curvature = bent.T @ (weights(known.solution.residuals)[:, None] * bent)
    if np.linalg.matrix_rank(curvature) < len(curvature):
        return ANY_EXPONENT
    variance = known.sigma**2 * float(np.linalg.inv(curvature)[-1, -1])
    return min(known.quantile * math.sqrt(variance), ANY_EXPONENT)


def _share(known: Uncertainty, columns: Columns) -> Vector:
    """The share of the time that grows with work."""
    sides = [
        known.law.curve(
            known.solution.logs,
            {name: work if name == "level" else work + nudge for name, work in columns.items()},
        )
        for nudge in (NUDGE, -NUDGE)
    ]
    return np.abs(sides[0] - sides[1]) / (2.0 * NUDGE)


def _hidden(known: Uncertainty, columns: Columns, expected: Vector) -> Vector:
    """The longest log time with what the sizes do not identify at its worst."""
    told = {name for name in ("t0", "P", "W") if _identified(known, name)}
    fitted = known.law.curve(known.solution.logs, known.points.columns)
    worst = expected
    if "t0" not in told:
        noise = known.quantile * math.hypot(known.sigma, known.points.scatter)
        worst = np.logaddexp(expected, fitted.min() + noise + math.log(-math.expm1(-noise - SAME)))
    # A law with a power of its own knows no rate, and of a size no rate is known to bound it.
    bounded = () if known.law.free or "level" in columns else ("flops", "bytes")
    for name in bounded:
        if name in columns and name in known.points.columns and RATES[name][1] not in told:
            best = np.max(known.points.columns[name] - fitted)
            worst = np.maximum(worst, columns[name] - best)
    return np.asarray(worst)


def _identified(known: Uncertainty, name: str) -> bool:
    place = known.law.place(name)
    return place is not None and known.parameter(place).identified
