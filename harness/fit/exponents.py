"""Which exponent of size the times speak for: models with the exponent that theory gives against the same models with others.

A free exponent alone is no witness: where a floor bends the curve, it comes out at 3.04 +- 0.01 for a product that is n^3. So whole models are
compared, by AICc.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from harness.fit.intervals import Uncertainty
from harness.fit.models import Columns, Model, Vector, additive, by_level, floored, proportional
from harness.fit.points import Points
from harness.fit.selection import SPARE, Candidate, Choice, aicc
from harness.fit.solver import slopes, solve
from harness.records import Parameter, Rival

# Sizes beyond those that the coefficients took, on which a model must hold as well; and the highest power that tensors have.
SPARE_SIZES, HIGHEST = 1, 2


@dataclass(frozen=True)
class Polynomial:
    """Coefficients by power, the constant first; `first` is the size from which on the values are exactly these."""

    coefficients: tuple[Fraction, ...]
    first: int

    @property
    def degree(self) -> int:
        """The power that a large size leaves."""
        return len(self.coefficients) - 1

    def __call__(self, size: int) -> Fraction:
        """Its value."""
        return sum((c * size**power for power, c in enumerate(self.coefficients)), Fraction(0))

    def formula(self, variable: str) -> str:
        """As a formula.

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
    """The polynomial of the lowest degree that the largest sizes follow to the last digit; None where there is none, or sizes are too few.

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
            obeying = [size for size, value in known if model(size) == value]
            broken = [size for size, value in known if model(size) != value]
            return Polynomial(
                model.coefficients, min(size for size in obeying if size > max(broken, default=-1))
            )
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
    """The exponent with which work grows at large sizes: from the middle size to the largest; logarithms in."""
    order = np.argsort(sizes)
    middle, last = order[(len(order) - 1) // 2], order[-1]
    return float((work[last] - work[middle]) / (sizes[last] - sizes[middle]))


def rivals(
    choice: Choice, points: Points, growths: Mapping[str, float], column: str, powers: tuple[float, ...]
) -> tuple[Rival, ...]:
    """The models that were tried, and simple ones of other powers of the work; each with its exponent of size.

    `growths`: how each column grows with size.
    """
    found = [
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
                found.append(Rival(f"{model.formula}, work^{power:g}", power * growths[column], worse))
    return tuple(found)


def free_exponent(choice: Choice, points: Points, growths: Mapping[str, float], column: str) -> Parameter:
    """The exponent of size that comes out where it is free, with its interval; a diagnostic."""
    nothing = Parameter(name="exponent", unit="", why="too few sizes for a free exponent")
    free = [candidate for candidate in choice.candidates if candidate.model.free]
    if not free:
        return nothing
    best = min(free, key=lambda one: one.aicc)
    place = best.model.place("k")
    if place is None:
        return nothing
    known = Uncertainty(best.model, points, best.solution, choice.times).parameter(place)
    if known.value is None or known.low is None or known.high is None:
        return Parameter(name="exponent", unit="", why=known.why)
    value, low, high = (growths[column] * one for one in (known.value, known.low, known.high))
    return Parameter(name="exponent", unit="", value=value, low=low, high=high)


def _simple(points: Points, column: str) -> tuple[Model, ...]:
    if "level" in points.columns:
        levels = tuple(str(place) for place in range(int(points.columns["level"].max()) + 1))
        models: tuple[Model, ...] = by_level(levels, overhead=False), by_level(levels, overhead=True)
    else:
        models = proportional(column), additive(column), floored(column)
    return tuple(model for model in models if len(points) >= model.size + SPARE)


def _exponent(candidate: Candidate, columns: Columns, growths: Mapping[str, float]) -> float:
    """The exponent of size of what a model has beside its overhead, at the largest work."""
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
