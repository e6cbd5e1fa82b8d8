"""The uncertainty of a fitted model: intervals of its parameters and of its curve, and parameters that the sizes do not identify.

Each parameter gets the wider of two intervals. A bootstrap of the repeats within sizes (such as one time of each process) contains the
error of each time. Student's t, with the curvature at the solution and the residuals, contains how far real curves bend from the
model. Repeats are few, so the bootstrap is wild: each repeat's distance from its size's time gets a random weight (Cameron, Gelbach,
Miller, "Bootstrap-based improvements for inference with clustered errors", 2008).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.fit.models import RATES, Columns, Model, Vector, exponentials
from harness.fit.selection import DECISIVE, EXACT, MANY, PLAUSIBLE, Choice
from harness.fit.solver import NUDGE, Matrix, Points, Solution, around, refit, slopes, weights
from harness.records import Parameter

DRAWS, SEED = 200, 20260102
# A parameter whose 95% interval spans more than this factor is not identified.
IDENTIFIED_FACTOR = 3.0
# Nor is one whose term takes less than this fraction of the time at all but one size.
ACTIVE, SIZES = 0.20, 2
# A parameter has vanished if a factor of e changes every time by less than this fraction.
VANISHED = 1e-4


@dataclass(frozen=True)
class Uncertainty:
    """The uncertainty of a fitted model. `sigma`: the scatter of the log times of sizes about the curve."""

    model: Model
    points: Points
    solution: Solution
    times: Vector

    @cached_property
    def slopes(self) -> Matrix:
        """The derivative of each size's log time by each parameter."""
        return slopes(self.model, self.points.columns, self.solution.logs)

    @cached_property
    def active(self) -> NDArray[np.intp]:
        """The parameters that change any time."""
        return np.flatnonzero(np.linalg.norm(self.slopes, axis=0) > VANISHED)

    @cached_property
    def freedom(self) -> int:
        """Degrees of freedom: sizes less active parameters."""
        return len(self.times) - len(self.active)

    @cached_property
    def sigma(self) -> float:
        """The robust standard deviation of the residuals."""
        # Exact data are known to rounding: no interval has zero width.
        return max(math.sqrt(2.0 * self.solution.cost / max(self.freedom, 1)), EXACT)

    @property
    def quantile(self) -> float:
        """The 97.5% quantile of Student's t."""
        return stats.students_t(0.975, self.freedom)

    @cached_property
    def covariance(self) -> Matrix:
        """The covariance of the logs, from the curvature; infinite for parameters without effect or that cannot be separated."""
        covariance = np.diag(np.full(self.model.size, np.inf))
        slope = self.slopes[:, self.active]
        curvature = slope.T @ (weights(self.solution.residuals)[:, None] * slope)
        if self.freedom >= 1 and np.linalg.matrix_rank(curvature) == len(curvature) > 0:
            covariance[np.ix_(self.active, self.active)] = self.sigma**2 * np.linalg.inv(curvature)
        return covariance

    @cached_property
    def draws(self) -> Matrix:
        """Logs fitted to bootstrapped times; no rows where there are no repeats."""
        if not self.points.repeated or len(self.times) > MANY:
            return np.empty((0, self.model.size))
        noise = np.random.default_rng(SEED).normal(size=(DRAWS, len(self.times))) * self._errors
        times, logs = self.times + noise, np.tile(self.solution.logs, (DRAWS, 1))
        drawn, cost = refit(self.model, self.points.columns, times, logs)
        if self.model.kinked:
            again, lower = refit(self.model, self.points.columns, times, around(self.solution.logs, DRAWS))
            drawn = np.where((lower < cost)[:, None], again, drawn)
        return drawn

    @property
    def _errors(self) -> Vector:
        """The standard error of each size's log time, from its weighted repeats."""
        points = self.points
        trust = points.trust(self.model.curve(self.solution.logs, points.columns))
        trust = np.where(np.bincount(points.member, trust)[points.member] > 1e-6, trust, 1.0)
        total = np.bincount(points.member, trust)
        square = np.bincount(points.member, (trust * (points.values - self.times[points.member])) ** 2)
        counted = total**2 / np.bincount(points.member, trust**2)
        alone = counted < 1.5
        error = np.sqrt(square / total**2 * counted / np.where(alone, 1.0, counted - 1.0))
        return np.where(alone, points.scatter, error)

    def interval(self, direction: Vector) -> tuple[float, float]:
        """The 95% interval of a signed sum of logs: the wider end of both kinds on each side."""
        log = float(direction @ self.solution.logs)
        variance = float(
            direction @ np.where(np.outer(direction, direction) != 0.0, self.covariance, 0.0) @ direction
        )
        half = self.quantile * math.sqrt(variance)
        low, high = log - half, log + half
        if len(self.draws):
            drawn = np.quantile(self.draws @ direction, (0.025, 0.975))
            low, high = min(low, float(drawn[0])), max(high, float(drawn[1]))
        return low, high

    def parameter(self, place: int) -> Parameter:
        """A parameter with its interval, or why it has none."""
        symbol = self.model.symbols[place]
        low, high = self.interval(np.eye(self.model.size)[place])
        why = self._idle(place) or _wide(high - low)
        if symbol.least + float(exponentials([low])[0]) > symbol.most:
            why = f"above {symbol.most:g}: {symbol.beyond}"
        if why:
            return Parameter(name=symbol.name, unit=symbol.unit, why=why)
        log = float(self.solution.logs[place])
        value, low, high = np.minimum(symbol.least + exponentials([log, low, high]), symbol.most).tolist()
        return Parameter(name=symbol.name, unit=symbol.unit, value=value, low=low, high=high)

    def product(
        self, name: str, unit: str, first: str, second: str, sign: float = 1.0, *, factor: float = 1.0
    ) -> Parameter | None:
        """A parameter times another (or over it) and a factor, such as the work in the time of an overhead; None where the model lacks one."""
        left, right = self.model.place(first), self.model.place(second)
        if left is None or right is None:
            return None
        unknown = [known.name for known in map(self.parameter, (left, right)) if not known.identified]
        direction = np.zeros(self.model.size)
        direction[left], direction[right] = 1.0, sign
        low, high = self.interval(direction)
        why = f"{' and '.join(unknown)} not identified" if unknown else _wide(high - low)
        if why:
            return Parameter(name=name, unit=unit, why=why)
        value, low, high = (
            factor * exponentials([float(direction @ self.solution.logs), low, high])
        ).tolist()
        return Parameter(name=name, unit=unit, value=value, low=low, high=high)

    def _idle(self, place: int) -> str:
        active = int(np.sum(np.abs(self.slopes[:, place]) >= ACTIVE))
        if active >= SIZES or self.model.symbols[place].shape:
            return ""
        return f"it takes a fifth of the time at {active or 'none'} of {len(self.times)} sizes"


def _wide(width: float) -> str:
    if width <= math.log(IDENTIFIED_FACTOR):
        return ""
    return (
        f"its 95% interval spans a factor of {math.exp(width):.1f}"
        if width < 5.0
        else "the sizes do not determine it"
    )


# The largest error of an exponent, where the sizes do not determine it.
ANY_EXPONENT = 0.5
# Logarithms that differ by less are equal; and the largest distance of work, as a logarithm.
SAME, FARTHEST = 1e-9, 20.0


@dataclass(frozen=True)
class Expectation:
    """The expected time of some work, in seconds, and a 95% interval for a time measured there."""

    seconds: float
    low: float
    high: float
    extrapolated: bool


def expect(known: Uncertainty, choice: Choice, columns: Columns) -> list[Expectation]:
    """The expectation for each row of the columns; work in logarithms."""
    expected = known.model.curve(known.solution.logs, columns)
    low, high = _curves(known, columns)
    away, outside = _distance(known.points.columns, columns)
    for rival in choice.candidates:
        curve = rival.model.curve(rival.solution.logs, columns)
        counts = rival.aicc - choice.best <= np.where(outside, DECISIVE, PLAUSIBLE)
        low, high = (
            np.where(counts, np.minimum(low, curve), low),
            np.where(counts, np.maximum(high, curve), high),
        )
    walk = known.sigma**2 * (1.0 + away / _spacing(known.points.columns))
    noise = known.quantile * np.sqrt(walk + known.points.scatter**2)
    off = _exponent_error(known) * _fraction(known, columns) * away
    below = np.sqrt((expected - low) ** 2 + noise**2 + off**2)
    above = np.sqrt((high - expected) ** 2 + noise**2 + off**2)
    top = np.maximum(expected + above, _hidden(known, columns, expected))
    middle, bottom, upper = (exponentials(logs).tolist() for logs in (expected, expected - below, top))
    return list(map(Expectation, middle, bottom, upper, outside.tolist()))


def _curves(known: Uncertainty, columns: Columns) -> tuple[Vector, Vector]:
    """The 95% band of the curve, from both kinds of intervals."""
    expected = known.model.curve(known.solution.logs, columns)
    slope = slopes(known.model, columns, known.solution.logs)[:, known.active]
    inner = known.covariance[np.ix_(known.active, known.active)]
    variance = np.einsum("ni,ij,nj->n", slope, np.where(np.isfinite(inner), inner, 0.0), slope)
    half = known.quantile * np.sqrt(np.maximum(variance, 0.0))
    low, high = expected - half, expected + half
    if len(known.draws):
        drawn = np.quantile(known.model.curve(known.draws, columns), (0.025, 0.975), axis=0)
        low, high = np.minimum(low, drawn[0]), np.maximum(high, drawn[1])
    return low, high


def _distance(fitted: Columns, columns: Columns) -> tuple[Vector, NDArray[np.bool_]]:
    """The distance of work from the fitted range, as a logarithm, by its farthest column; and whether it lies outside."""
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
    """The mean distance between sizes, as a logarithm; that of the widest column."""
    spans = [float(np.ptp(work)) for name, work in fitted.items() if name != "level"]
    return max(max(spans) / max(len(next(iter(fitted.values()))) - 1, 1), SAME)


def _exponent_error(known: Uncertainty) -> float:
    """Half of the 95% interval of an exponent of all work, if it were free in addition to the model's parameters."""
    if known.model.free:
        return 0.0  # its own interval contains it
    columns = known.points.columns
    varying = (work for name, work in columns.items() if name != "level" and np.ptp(work) > SAME)
    work = next(varying, None)
    if work is None or known.freedom < 2:
        return ANY_EXPONENT
    tilt = _fraction(known, columns) * (work - work.mean())
    bent = np.column_stack([known.slopes[:, known.active], tilt])
    curvature = bent.T @ (weights(known.solution.residuals)[:, None] * bent)
    if np.linalg.matrix_rank(curvature) < len(curvature):
        return ANY_EXPONENT
    variance = known.sigma**2 * float(np.linalg.inv(curvature)[-1, -1])
    return min(known.quantile * math.sqrt(variance), ANY_EXPONENT)


def _fraction(known: Uncertainty, columns: Columns) -> Vector:
    """The fraction of the time that grows with work."""
    sides = [
        known.model.curve(
            known.solution.logs,
            {name: work if name == "level" else work + nudge for name, work in columns.items()},
        )
        for nudge in (NUDGE, -NUDGE)
    ]
    return np.abs(sides[0] - sides[1]) / (2.0 * NUDGE)


def _hidden(known: Uncertainty, columns: Columns, expected: Vector) -> Vector:
    """The longest log time, with parameters that are not identified at their worst."""
    identified = {name for name in ("t0", "P", "W") if _identified(known, name)}
    fitted = known.model.curve(known.solution.logs, known.points.columns)
    worst = expected
    if "t0" not in identified:
        noise = known.quantile * math.hypot(known.sigma, known.points.scatter)
        worst = np.logaddexp(expected, fitted.min() + noise + math.log(-math.expm1(-noise - SAME)))
    # A model with a free power has no rate, and no known rate bounds a size.
    bounded = () if known.model.free or "level" in columns else ("flops", "bytes")
    for name in bounded:
        if name in columns and name in known.points.columns and RATES[name][1] not in identified:
            best = np.max(known.points.columns[name] - fitted)
            worst = np.maximum(worst, columns[name] - best)
    return np.asarray(worst)


def _identified(known: Uncertainty, name: str) -> bool:
    place = known.model.place(name)
    return place is not None and known.parameter(place).identified
