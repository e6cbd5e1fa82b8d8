"""The law of a sweep: seconds = overhead + work / rate, with one rate per memory level.

Fitted to the logarithms of the times with a robust loss, so that each size counts alike and a
disturbed one counts less. A single term fitted to absolute errors looks perfect (0.2 % RMS) and
is 66 % wrong at the small end.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import t as student_t

from harness.records import Fit, FitPoint, Parameter

Vector = NDArray[np.float64]

# Residuals of the logarithm beyond this count less than quadratically (soft L1).
ROBUST_SCALE = 0.05
# A parameter whose 95 % interval spans more than this factor is not identified by the sizes.
IDENTIFIED_FACTOR = 3.0
# Where the optimiser starts: the overhead as a share of the shortest time.
STARTS = (0.9, 0.3, 0.03)
# How far a logarithm may run from its start, a factor of 10^10: keeps exp() finite.
FARTHEST = 23.0
# A size is large when overhead is less than this share of its time.
LARGE = 0.05
# A parameter whose factor of e changes no time by this share has vanished.
VANISHED = 1e-4


@dataclass(frozen=True)
class Observation:
    """One size of a sweep: work in FLOPs or bytes, typical time in seconds, the level that serves it."""

    size: int
    work: float
    seconds: float
    level: str = ""
    flagged: bool = False


def fit_sweep(
    series: str, variable: str, exponent: float, unit: str, observations: Sequence[Observation]
) -> Fit | None:
    """The law fitted to a sweep; None where there are fewer than two sizes more than parameters.

    `unit` is that of the rate, "FLOP/s" or "B/s"; `exponent` is what theory says of the growth of
    work with size.
    """
    observed = sorted(observations, key=lambda one: one.size)
    levels = tuple(dict.fromkeys(one.level for one in observed))
    if len(observed) < len(levels) + 1 + 2:
        return None
    works = np.array([one.work for one in observed])
    seconds = np.array([one.seconds for one in observed])
    member = np.array([levels.index(one.level) for one in observed])

    def law(logs: Vector) -> Vector:
        return np.asarray(np.exp(logs[0]) + works * np.exp(-logs[1:][member]))

    rates = [float(np.max((works / seconds)[member == index])) for index in range(len(levels))]
    solution = _solve(law, seconds, [[math.log(s * seconds.min()), *np.log(rates)] for s in STARTS])
    half_widths = _half_widths(solution, len(seconds))
    names = [("overhead", "s"), *((f"rate {level}".strip(), unit) for level in levels)]
    parameters = tuple(
        _parameter(name, unit_of, log, half)
        for (name, unit_of), log, half in zip(names, solution.x.tolist(), half_widths.tolist(), strict=True)
    )
    fitted = law(solution.x)
    return Fit(
        series=series,
        variable=variable,
        law="overhead + work / rate"
        if len(levels) == 1
        else "overhead + work / rate of the memory level, edges left out",
        parameters=parameters,
        points=tuple(
            FitPoint(one.size, one.work, one.seconds, float(law_says), one.flagged)
            for one, law_says in zip(observed, fitted, strict=True)
        ),
        theory_exponent=exponent,
        exponent=_free_exponent(exponent, observed, math.exp(solution.x[0])),
    )


def _free_exponent(theory: float, observed: Sequence[Observation], overhead: float) -> Parameter:
    """The exponent of size the data choose at large sizes: overhead + c size^k, one c per level, one k.

    Large sizes are those whose time is overhead to less than a twentieth. Where the law finds too few
    of them it does not describe the sweep: then the upper half, without overhead.
    """
    large, levels = _paired([one for one in observed if overhead < LARGE * one.seconds])
    if len(large) < len(levels) + 1 + 2:
        large, levels = _paired(observed[-max(len(observed) // 2, 4) :])
        overhead = 0.0
    if len(large) < len(levels) + 1 + 2:
        return Parameter(name="exponent", unit="")
    relative = np.array([one.size for one in large]) / large[-1].size
    seconds = np.array([one.seconds for one in large])
    member = np.array([levels.index(one.level) for one in large])

    def law(free: Vector) -> Vector:
        return np.asarray(overhead + np.exp(free[1:][member]) * relative ** free[0])

    factors = np.log([np.median((seconds / relative**theory)[member == i]) for i in range(len(levels))])
    solution = _solve(law, seconds, [[k, *factors] for k in (theory, 0.8 * theory)])
    half, exponent = float(_half_widths(solution, len(seconds))[0]), float(solution.x[0])
    if not math.isfinite(half):
        return Parameter(name="exponent", unit="")
    return Parameter(name="exponent", unit="", value=exponent, low=exponent - half, high=exponent + half)


def _paired(observed: Sequence[Observation]) -> tuple[list[Observation], tuple[str, ...]]:
    """The observations of levels that have two or more, and those levels: one alone tells no slope."""
    counts = Counter(one.level for one in observed)
    kept = [one for one in observed if counts[one.level] > 1]
    return kept, tuple(dict.fromkeys(one.level for one in kept))


def _solve(
    law: Callable[[Vector], Vector], seconds: Vector, starts: Sequence[Sequence[float]]
) -> OptimizeResult:
    def residuals(parameters: Vector) -> Vector:
        return np.log(law(parameters)) - np.log(seconds)

    solutions = [
        least_squares(
            residuals,
            np.asarray(start),
            bounds=(np.subtract(start, FARTHEST), np.add(start, FARTHEST)),
            loss="soft_l1",
            f_scale=ROBUST_SCALE,
            x_scale="jac",
        )
        for start in starts
    ]
    return min(solutions, key=lambda solution: solution.cost)


def _half_widths(solution: OptimizeResult, n: int) -> Vector:
    """Half-widths of 95 % intervals from the curvature at the solution, by Student's t."""
    half_widths = np.full(len(solution.x), np.inf)
    # A term that vanished (an overhead far below the shortest time) moves nothing: no interval.
    moves = np.linalg.norm(solution.jac, axis=0) > VANISHED
    freedom = n - int(moves.sum())
    curvature = (solution.jac.T @ solution.jac)[np.ix_(moves, moves)]
    if freedom < 1 or np.linalg.matrix_rank(curvature) < len(curvature):
        return half_widths
    variance = 2.0 * solution.cost / freedom
    deviations = np.sqrt(np.diag(np.linalg.inv(curvature)) * variance)
    half_widths[moves] = student_t.ppf(0.975, freedom) * deviations
    return half_widths


def _parameter(name: str, unit: str, log: float, half_width: float) -> Parameter:
    if not math.isfinite(half_width) or 2.0 * half_width > math.log(IDENTIFIED_FACTOR):
        return Parameter(name=name, unit=unit)
    low, value, high = (math.exp(log + shift) for shift in (-half_width, 0.0, half_width))
    return Parameter(name=name, unit=unit, value=value, low=low, high=high)
