"""Which exponent of size the times speak for: laws with the exponent that theory gives against the same laws with others.

A free exponent alone is no witness: where a floor bends the curve, it comes out at 3.04 +- 0.01 for a product that is n^3. So whole laws are
compared, by AICc.
"""

from collections.abc import Mapping

import numpy as np

from harness.fit.intervals import Uncertainty
from harness.fit.laws import Columns, Law, Vector, additive, by_level, floored, proportional
from harness.fit.points import Points
from harness.fit.selection import SPARE, Candidate, Choice, aicc
from harness.fit.solver import slopes, solve
from harness.records import Parameter, Rival


def growth(work: Vector, sizes: Vector) -> float:
    """The exponent with which work grows at large sizes: from the middle size to the largest; logarithms in."""
    order = np.argsort(sizes)
    middle, last = order[(len(order) - 1) // 2], order[-1]
    return float((work[last] - work[middle]) / (sizes[last] - sizes[middle]))


def rivals(
    choice: Choice, points: Points, growths: Mapping[str, float], column: str, powers: tuple[float, ...]
) -> tuple[Rival, ...]:
    """The laws that were tried, and simple ones of other powers of the work; each with its exponent of size.

    `growths`: how each column grows with size.
    """
    found = [
        Rival(one.law.formula, _exponent(one, points.columns, growths), one.aicc - choice.chosen.aicc)
        for one in choice.candidates
    ]
    for power in powers:
        columns = {**points.columns, column: power * points.columns[column]}
        for law in _simple(points, column):
            solution = solve(law, columns, choice.times)
            if solution is not None:
                worse = aicc(solution.residuals, law.size) - choice.chosen.aicc
                found.append(Rival(f"{law.formula}, work^{power:g}", power * growths[column], worse))
    return tuple(found)


def free_exponent(choice: Choice, points: Points, growths: Mapping[str, float], column: str) -> Parameter:
    """The exponent of size that comes out where it is free, with its interval; a diagnostic."""
    nothing = Parameter(name="exponent", unit="", why="too few sizes for a free exponent")
    free = [one for one in choice.candidates if one.law.free]
    if not free:
        return nothing
    best = min(free, key=lambda one: one.aicc)
    place = best.law.place("k")
    if place is None:
        return nothing
    known = Uncertainty(best.law, points, best.solution, choice.times).parameter(place)
    if known.value is None or known.low is None or known.high is None:
        return Parameter(name="exponent", unit="", why=known.why)
    value, low, high = (growths[column] * one for one in (known.value, known.low, known.high))
    return Parameter(name="exponent", unit="", value=value, low=low, high=high)


def _simple(points: Points, column: str) -> tuple[Law, ...]:
    if "level" in points.columns:
        levels = tuple(str(place) for place in range(int(points.columns["level"].max()) + 1))
        laws: tuple[Law, ...] = by_level(levels, overhead=False), by_level(levels, overhead=True)
    else:
        laws = proportional(column), additive(column), floored(column)
    return tuple(law for law in laws if len(points) >= law.size + SPARE)


def _exponent(one: Candidate, columns: Columns, growths: Mapping[str, float]) -> float:
    """The exponent of size of what a law has beside its overhead, at the largest work."""
    shares = np.abs(slopes(one.law, columns, one.solution.logs))[int(np.argmax(next(iter(columns.values()))))]
    place = one.law.place("k")
    power = 1.0 if place is None else float(np.exp(one.solution.logs[place]))
    grown = {"P": growths.get("flops", 0.0), "W": growths.get("bytes", 0.0)}
    grown["c"] = next(iter(growths.values()))
    parts = [
        (share, grown[symbol.name[0]])
        for symbol, share in zip(one.law.symbols, shares, strict=True)
        if symbol.name[0] in grown
    ]
    total = sum(share for share, _ in parts)
    return float(power * sum(share * exponent for share, exponent in parts) / total) if total else 0.0
