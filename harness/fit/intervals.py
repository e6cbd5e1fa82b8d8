"""How well the sizes know a model: intervals of its parameters and of its curve, and what they do not identify.

Two intervals, of which each parameter gets the wider: a bootstrap of repeats within sizes (where a size has several, such as one of
each process), which knows how well each time is known; and Student's t with the curvature at the solution and what is left of the
residuals, which knows how far real curves bend from the model. The bootstrap is the wild one, as repeats are few: each repeat's
distance from its size's time gets a random weight (Cameron, Gelbach, Miller, "Bootstrap-based improvements for inference with
clustered errors", 2008).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.fit.models import RATES, Columns, Model, Vector, exponentials
from harness.fit.points import Points
from harness.fit.selection import DECISIVE, EXACT, MANY, PLAUSIBLE, Choice
from harness.fit.solver import NUDGE, Matrix, Solution, around, refit, slopes, weights
from harness.records import Parameter

DRAWS, SEED = 200, 20260102
# A parameter whose 95 % interval spans more than this factor is not identified by the sizes.
IDENTIFIED_FACTOR = 3.0
# Nor is one whose term takes less than this fraction of the time at so many sizes.
ACTIVE, SIZES = 0.20, 2
# A parameter whose factor of e changes no time by this share has vanished.
VANISHED = 1e-4


@dataclass(frozen=True)
class Uncertainty:
    """What is known of a fitted model. `sigma`: what a size's log time scatters by about the curve, or the curve about it."""

    model: Model
    points: Points
    solution: Solution
    times: Vector

    @cached_property
    def slopes(self) -> Matrix:
        """The fraction of each size's time that each parameter decides."""
        return slopes(self.model, self.points.columns, self.solution.logs)

    @cached_property
    def moves(self) -> NDArray[np.intp]:
        """The parameters that move any time at all."""
        return np.flatnonzero(np.linalg.norm(self.slopes, axis=0) > VANISHED)

    @cached_property
    def freedom(self) -> int:
        """Sizes beyond those that the parameters took."""
        return len(self.times) - len(self.moves)

    @cached_property
    def sigma(self) -> float:
        """The standard deviation of the residuals, the large ones counted less."""
        # Exact data are no surer than rounding: no interval has zero width.
        return max(math.sqrt(2.0 * self.solution.cost / max(self.freedom, 1)), EXACT)

    @property
    def quantile(self) -> float:
        """Student's t, 97.5 %."""
        return stats.students_t(0.975, self.freedom)

    @cached_property
    def covariance(self) -> Matrix:
        """Of the logs, from the curvature; infinite variance for what moves nothing or cannot be told apart."""
        found = np.diag(np.full(self.model.size, np.inf))
        slope = self.slopes[:, self.moves]
        curvature = slope.T @ (weights(self.solution.residuals)[:, None] * slope)
        if self.freedom >= 1 and np.linalg.matrix_rank(curvature) == len(curvature) > 0:
            found[np.ix_(self.moves, self.moves)] = self.sigma**2 * np.linalg.inv(curvature)
        return found

    @cached_property
    def draws(self) -> Matrix:
        """Logs fitted to times drawn anew from the repeats; no rows where there are none."""
        if not self.points.repeated or len(self.times) > MANY:
            return np.empty((0, self.model.size))
        noise = np.random.default_rng(SEED).normal(size=(DRAWS, len(self.times))) * self._errors
        times, logs = self.times + noise, np.tile(self.solution.logs, (DRAWS, 1))
        found, cost = refit(self.model, self.points.columns, times, logs)
        if self.model.kinked:
            other, lower = refit(self.model, self.points.columns, times, around(self.solution.logs, DRAWS))
            found = np.where((lower < cost)[:, None], other, found)
        return found

    @property
    def _errors(self) -> Vector:
        """The standard error of each size's log time, from its repeats as far as they are trusted."""
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
        """The 95 % interval of a sum of logs, each with its sign: the wider end of both kinds at either side."""
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
        """A parameter times another (or over it) and a factor, such as the work done in the time of an overhead; None where the model has not both."""
        one, other = self.model.place(first), self.model.place(second)
        if one is None or other is None:
            return None
        unknown = [known.name for known in map(self.parameter, (one, other)) if not known.identified]
        direction = np.zeros(self.model.size)
        direction[one], direction[other] = 1.0, sign
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
        f"its 95 % interval spans a factor of {math.exp(width):.1f}"
        if width < 5.0
        else "the sizes leave it open"
    )


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
    """For each place of the columns; work in logarithms, as the model was fitted."""
    expected = known.model.curve(known.solution.logs, columns)
    low, high = _curves(known, columns)
    away, outside = _distance(known.points.columns, columns)
    for rival in choice.candidates:
        other = rival.model.curve(rival.solution.logs, columns)
        counts = rival.aicc - choice.best <= np.where(outside, DECISIVE, PLAUSIBLE)
        low, high = (
            np.where(counts, np.minimum(low, other), low),
            np.where(counts, np.maximum(high, other), high),
        )
    walk = known.sigma**2 * (1.0 + away / _spacing(known.points.columns))
    noise = known.quantile * np.sqrt(walk + known.points.scatter**2)
    off = _exponent_error(known) * _fraction(known, columns) * away
    below = np.sqrt((expected - low) ** 2 + noise**2 + off**2)
    above = np.sqrt((high - expected) ** 2 + noise**2 + off**2)
    top = np.maximum(expected + above, _hidden(known, columns, expected))
    middle, bottom, upper = (exponentials(logs).tolist() for logs in (expected, expected - below, top))
    return [Expectation(*one) for one in zip(middle, bottom, upper, outside.tolist(), strict=True)]


def _curves(known: Uncertainty, columns: Columns) -> tuple[Vector, Vector]:
    """The 95 % band of the curve, from both kinds of intervals."""
    expected = known.model.curve(known.solution.logs, columns)
    slope = slopes(known.model, columns, known.solution.logs)[:, known.moves]
    inner = known.covariance[np.ix_(known.moves, known.moves)]
    variance = np.einsum("ni,ij,nj->n", slope, np.where(np.isfinite(inner), inner, 0.0), slope)
    half = known.quantile * np.sqrt(np.maximum(variance, 0.0))
    low, high = expected - half, expected + half
    if len(known.draws):
        drawn = np.quantile(known.model.curve(known.draws, columns), (0.025, 0.975), axis=0)
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
    """Half of the 95 % interval of an exponent of all work, were it free beside the model's own parameters."""
    if known.model.free:
        return 0.0  # its own interval says it
    columns = known.points.columns
    work = next((one for name, one in columns.items() if name != "level" and np.ptp(one) > SAME), None)
    if work is None or known.freedom < 2:
        return ANY_EXPONENT
    tilt = _fraction(known, columns) * (work - work.mean())
    bent = np.column_stack([known.slopes[:, known.moves], tilt])
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
    """The longest log time with what the sizes do not identify at its worst."""
    told = {name for name in ("t0", "P", "W") if _identified(known, name)}
    fitted = known.model.curve(known.solution.logs, known.points.columns)
    worst = expected
    if "t0" not in told:
        noise = known.quantile * math.hypot(known.sigma, known.points.scatter)
        worst = np.logaddexp(expected, fitted.min() + noise + math.log(-math.expm1(-noise - SAME)))
    # A model with a power of its own knows no rate, and of a size no rate is known to bound it.
    bounded = () if known.model.free or "level" in columns else ("flops", "bytes")
    for name in bounded:
        if name in columns and name in known.points.columns and RATES[name][1] not in told:
            best = np.max(known.points.columns[name] - fitted)
            worst = np.maximum(worst, columns[name] - best)
    return np.asarray(worst)


def _identified(known: Uncertainty, name: str) -> bool:
    place = known.model.place(name)
    return place is not None and known.parameter(place).identified
