"""A fitted model: its parameters, residuals and expectations, and which exponent of size the times support.

A free exponent alone proves nothing: an overhead bends the curve of a product with n^3 to 3.04 ± 0.01. So whole models are compared by AICc:
those with the predicted exponent against the same models with other exponents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from harness.fit.intervals import Expectation, Uncertainty, expect
from harness.fit.models import (
    OVERHEAD,
    RATES,
    Columns,
    Model,
    Symbol,
    Vector,
    additive,
    by_level,
    exponentials,
    floored,
    proportional,
    rate_of,
)
from harness.fit.selection import SPARE, Candidate, Choice, aicc, choose, family
from harness.fit.solver import Points, slopes, solve
from harness.records import Parameter, Rival

# Fewer sizes do not distinguish models.
FEWEST = 4
# Cache edges and packing bend real curves by 10% to 30%: a model with a larger median residual describes nothing.
CROOKED = 0.25


@dataclass(frozen=True)
class Fitted:
    """The model chosen for some points, with its parameters and residuals."""

    points: Points
    choice: Choice

    @property
    def model(self) -> str:
        """The formula of the chosen model."""
        return self.choice.chosen.model.formula

    @cached_property
    def known(self) -> Uncertainty:
        """The uncertainty of the parameters."""
        chosen = self.choice.chosen
        return Uncertainty(chosen.model, self.points, chosen.solution, self.choice.times)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of the model, those of larger models that it lacks, and those that follow from them."""
        own = [self.known.parameter(place) for place in range(self.choice.chosen.model.size)]
        names = {parameter.name for parameter in own}
        absent = [
            Parameter(symbol.name, symbol.unit, why=f"{self.model} explains the sizes without it")
            for symbol in self._structure
            if symbol.name not in names
        ]
        return (*own, *absent, *self._derived)

    @property
    def _structure(self) -> list[Symbol]:
        worked = [column for column in RATES if column in self.points.columns and column != "size"]
        rates = [] if "level" in self.points.columns else [rate_of(column) for column in worked]
        return [OVERHEAD, *rates] if worked else []

    @property
    def _derived(self) -> list[Parameter]:
        """The work at half of the rate, where the model's shape has one, and the ridge."""
        half = self.choice.chosen.model.half
        units = {"flops": "FLOP", "bytes": "B", "size": ""}
        products = [
            self.known.product(f"{work}_half", units[column], "t0", rate, factor=half)
            for column, (work, rate, _) in RATES.items()
            if half is not None and column in self.points.columns
        ]
        products.append(self.known.product("ridge", "FLOP/B", "P", "W", -1.0))
        return [parameter for parameter in products if parameter is not None]

    @cached_property
    def measured(self) -> Vector:
        """The median time of each size, in seconds: the median of its repeats."""
        return exponentials(self.points.medians)

    @cached_property
    def fitted(self) -> Vector:
        """The time of each size by the model, in seconds."""
        return exponentials(self._curve)

    @cached_property
    def residuals(self) -> Vector:
        """Measured over fitted, minus one."""
        return exponentials(self.points.medians - self._curve) - 1.0

    @property
    def median(self) -> float:
        """The median of the absolute residuals."""
        return float(np.median(np.abs(self.residuals)))

    @property
    def _curve(self) -> Vector:
        chosen = self.choice.chosen
        return chosen.model.curve(chosen.solution.logs, self.points.columns)

    def expect(self, columns: Columns) -> list[Expectation]:
        """The times expected of other work."""
        return expect(self.known, self.choice, columns)


def fit(points: Points, levels: tuple[str, ...] = ()) -> Fitted | None:
    """The best model of the family for these columns; None for too few sizes."""
    if len(points) < FEWEST:
        return None
    # Work that never varies has no rate.
    varying = {name: work for name, work in points.columns.items() if np.ptp(work) > 0.0}
    if not varying:
        return None
    choice = choose(points, family(varying, levels, falling=_falling(varying, points.medians)))
    return None if choice is None else Fitted(points, choice)


def _falling(columns: Columns, times: Vector) -> bool:
    """Whether large sizes take less time than small ones."""
    order = np.argsort(next(iter(columns.values())))
    half = len(order) // 2
    return bool(np.median(times[order[half:]]) < np.median(times[order[:half]]))


# Sizes beyond those that determine the coefficients, as a test; and the highest power that tensors have.
SPARE_SIZES, HIGHEST = 1, 2


@dataclass(frozen=True)
class Polynomial:
    """Coefficients by power, the constant first; `first` is the size from which on the values are exactly these."""

    coefficients: tuple[Fraction, ...]
    first: int

    @property
    def degree(self) -> int:
        """The highest power."""
        return len(self.coefficients) - 1

    def __call__(self, size: int) -> Fraction:
        """The value at a size."""
        return sum((c * size**power for power, c in enumerate(self.coefficients)), Fraction(0))

    def formula(self, variable: str) -> str:
        """The polynomial as a formula.

        >>> Polynomial((Fraction(0), Fraction(0), Fraction(12)), 64).formula("n")
        '12 n^2'
        """
        names = {0: "", 1: f" {variable}"}
        terms = [
            f"{_whole(c)}{names.get(power, f' {variable}^{power}')}"
            for power, c in enumerate(self.coefficients)
            if c
        ]
        return " + ".join(terms).replace("+ -", "- ") or "0"


def exact_model(sizes: Sequence[int], values: Sequence[int]) -> Polynomial | None:
    """The polynomial of the lowest degree that the largest sizes follow exactly; None without one, or for too few sizes.

    >>> exact_model([1, 2, 4, 8], [107, 114, 128, 156]).formula("batch")
    '100 + 7 batch'
    """
    known = sorted(set(zip(sizes, values, strict=True)), reverse=True)
    if len({size for size, _ in known}) < len(known):
        return None  # one size, two values
    for degree in range(HIGHEST + 1):
        tried = known[: degree + 1 + SPARE_SIZES]
        if len(tried) < degree + 1 + SPARE_SIZES:
            return None
        model = Polynomial(_through(tried[: degree + 1]), 0)
        if all(model(size) == value for size, value in tried):
            last = max((size for size, value in known if model(size) != value), default=-1)
            return Polynomial(model.coefficients, min(size for size, _ in known if size > last))
    return None


def _whole(number: Fraction) -> str:
    return f"{number.numerator:,}" if number.denominator == 1 else str(number)


def _through(points: Sequence[tuple[int, int]]) -> tuple[Fraction, ...]:
    """The coefficients of the polynomial through some points (Lagrange)."""
    total = [Fraction(0)] * len(points)
    for size, value in points:
        basis = [Fraction(1)]
        for other, _ in points:
            if other != size:
                scaled = [Fraction(0), *basis]
                basis = [
                    (up - other * here) / (size - other)
                    for up, here in zip(scaled, [*basis, Fraction(0)], strict=True)
                ]
        total = [have + value * more for have, more in zip(total, basis, strict=True)]
    return tuple(total)


def growth(work: Vector, sizes: Vector) -> float:
    """The exponent of the growth of work from the middle size to the largest; both in logarithms."""
    order = np.argsort(sizes)
    middle, last = order[(len(order) - 1) // 2], order[-1]
    return float((work[last] - work[middle]) / (sizes[last] - sizes[middle]))


def rivals(
    choice: Choice, points: Points, growths: Mapping[str, float], column: str, powers: tuple[float, ...]
) -> tuple[Rival, ...]:
    """The models that were tried, and simple models of other powers of the work, each with its exponent of size.

    `growths`: the exponent of size of each column.
    """
    tried = [
        Rival(
            candidate.model.formula,
            _exponent(candidate, points.columns, growths),
            candidate.aicc - choice.chosen.aicc,
        )
        for candidate in choice.candidates
    ]
    for power in powers:
        columns = {**points.columns, column: power * points.columns[column]}
        for model in _simple(points, column):
            solution = solve(model, columns, choice.times)
            if solution is not None:
                worse = aicc(solution.residuals, model.size) - choice.chosen.aicc
                tried.append(Rival(f"{model.formula}, work^{power:g}", power * growths[column], worse))
    return tuple(tried)


def free_exponent(choice: Choice, points: Points, growths: Mapping[str, float], column: str) -> Parameter:
    """The exponent of size of the best model with a free one, with its interval; a diagnostic."""
    nothing = Parameter(name="exponent", unit="", why="too few sizes for a free exponent")
    free = [candidate for candidate in choice.candidates if candidate.model.free]
    if not free:
        return nothing
    best = min(free, key=lambda candidate: candidate.aicc)
    place = best.model.place("k")
    if place is None:
        return nothing
    known = Uncertainty(best.model, points, best.solution, choice.times).parameter(place)
    if known.value is None or known.low is None or known.high is None:
        return Parameter(name="exponent", unit="", why=known.why)
    value, low, high = (growths[column] * power for power in (known.value, known.low, known.high))
    return Parameter(name="exponent", unit="", value=value, low=low, high=high)


def _simple(points: Points, column: str) -> tuple[Model, ...]:
    if "level" in points.columns:
        levels = tuple(str(place) for place in range(int(points.columns["level"].max()) + 1))
        models: tuple[Model, ...] = by_level(levels, overhead=False), by_level(levels, overhead=True)
    else:
        models = proportional(column), additive(column), floored(column)
    return tuple(model for model in models if len(points) >= model.size + SPARE)


def _exponent(candidate: Candidate, columns: Columns, growths: Mapping[str, float]) -> float:
    """The exponent of size of a model without its overhead, at the largest work."""
    fractions = np.abs(slopes(candidate.model, columns, candidate.solution.logs))[
        int(np.argmax(next(iter(columns.values()))))
    ]
    place = candidate.model.place("k")
    power = 1.0 if place is None else float(np.exp(candidate.solution.logs[place]))
    grown = {"P": growths.get("flops", 0.0), "W": growths.get("bytes", 0.0)}
    grown["c"] = next(iter(growths.values()))
    parts = [
        (fraction, grown[symbol.name[0]])
        for symbol, fraction in zip(candidate.model.symbols, fractions, strict=True)
        if symbol.name[0] in grown
    ]
    total = sum(fraction for fraction, _ in parts)
    return float(power * sum(fraction * exponent for fraction, exponent in parts) / total) if total else 0.0
