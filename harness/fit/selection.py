"""The choice of a model: by AICc, ties by leave-one-out, and a free exponent only where no other model comes near.

Akaike's criterion for small samples (Hurvich and Tsai, 1989; Burnham and Anderson, 2002, for what its differences mean). Its n is the
number of sizes: repeats of a size add nothing about the shape of the curve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.fit.models import (
    NOTHING,
    Columns,
    Model,
    Symbol,
    Vector,
    additive,
    by_level,
    constant,
    floored,
    power,
    proportional,
    roof,
    roofline,
    smooth,
)
from harness.fit.solver import Points, Solution, finish, refit, solve


def scalability(*, contention: bool = True, coherency: bool = True) -> Model:
    """The time of fixed work on N threads: ideal, Amdahl's law (sigma is its serial fraction), or the universal scalability law.

    Gunther, "A general theory of computational scalability based on rational functions", 2008. Throughput has a
    maximum at N = sqrt((1 - sigma) / kappa).
    """
    fraction = Symbol("sigma", "", most=1.0, beyond="threads make it slower")
    shapes = [
        symbol for symbol, present in ((fraction, contention), (Symbol("kappa", ""), coherency)) if present
    ]

    def curve(logs: Vector, columns: Columns) -> Vector:
        count = columns["threads"]
        more = np.log(np.maximum(np.expm1(count), NOTHING))  # of N - 1
        slowed = np.zeros_like(count)
        if contention:
            slowed = np.logaddexp(slowed, logs[..., 1, None] + more)
        if coherency:
            slowed = np.logaddexp(slowed, logs[..., 2, None] + count + more)
        return np.asarray(logs[..., 0, None] + slowed - count)

    terms = ["1", *(["sigma*(N-1)"] if contention else []), *(["kappa*N*(N-1)"] if coherency else [])]
    return Model(
        f"T1*({' + '.join(terms)})/N" if contention else "T1/N",
        (Symbol("T1", "s"), *shapes),
        curve,
        lambda columns, times: [
            [float(np.max(columns["threads"] + times)) - away, *(math.log(fraction) for _ in shapes)]
            for away in (0.0, 0.5)
            for fraction in (0.2, 0.02, 0.002)
        ],
    )


def family(columns: Columns, levels: tuple[str, ...] = (), *, falling: bool = False) -> tuple[Model, ...]:
    """The models for such columns, simpler ones first. `falling`: values decrease with size."""
    if levels:
        kinds = [(overhead, free) for free in (False, True) for overhead in (False, True)]
        return tuple(by_level(levels, overhead=overhead, free=free) for overhead, free in kinds)
    if "threads" in columns:
        return (
            scalability(contention=False, coherency=False),
            scalability(coherency=False),
            scalability(),
        )
    if "size" in columns:
        powers = [power("size", joined, falling=falling) for joined in ("", "+", "max")]
        growing = () if falling else (proportional("size"), additive("size"))
        return (constant(), *growing, *powers)
    worked = [column for column in ("flops", "bytes") if column in columns]
    models = [make(column) for make in (proportional, additive, floored) for column in worked]
    models += [roof(), roofline()] if len(worked) == 2 else []
    return (*models, smooth(worked[0]), power(worked[0], ""), power(worked[0], "+"), power(worked[0], "max"))


# Differences of AICc: below the first, models explain the sizes equally well; up to the second the worse one is plausible; beyond the last
# nothing supports it.
EQUAL, PLAUSIBLE, DECISIVE = 2.0, 4.0, 10.0
# One more parameter must reduce the error of leave-one-out to this fraction.
BETTER = 0.5
# Smaller residuals are rounding, which must not distinguish models of exact data.
EXACT = 1e-4
# A model needs this many sizes more than it has parameters.
SPARE = 2
# Beyond this many sizes leave-one-out agrees with AICc (Stone, 1977), and takes long.
MANY = 200
# Degrees of freedom of the likelihood, and iterations of its scale.
TAILS, TURNS_OF_SCALE = 4.0, 30
# Iterations between the times of the sizes and the model.
TURNS = 5


@dataclass(frozen=True)
class Candidate:
    """A fitted model and its AICc."""

    model: Model
    solution: Solution
    aicc: float


@dataclass(frozen=True)
class Choice:
    """The chosen model, all candidates (the others by AICc), and the log times that they were fitted to."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    times: Vector

    @property
    def best(self) -> float:
        """The lowest AICc; that of the chosen model is a little higher where a simpler model is as good."""
        return min(candidate.aicc for candidate in self.candidates)


def choose(points: Points, models: Sequence[Model]) -> Choice | None:
    """The best of some models for these points; None where there are too few sizes for any."""
    models = [model for model in models if len(points) >= model.size + SPARE]
    candidates = _candidates(points, [(model, None) for model in models], points.first)
    if not candidates:
        return None
    times = points.first
    if points.repeated:
        # All models are fitted to the same times: those weighted by the closest model.
        closest = min(candidates, key=lambda candidate: candidate.solution.cost)
        times, _ = located(points, closest.model, closest.solution.logs)
        candidates = _candidates(
            points, [(candidate.model, candidate.solution.logs) for candidate in candidates], times
        )
    chosen = _chosen(points, candidates, times)
    logs = chosen.solution.logs
    if points.repeated:
        times, logs = located(points, chosen.model, logs)
    solution = finish(chosen.model, points.columns, times, logs)
    chosen = Candidate(chosen.model, solution, chosen.aicc)
    others = sorted(
        (candidate for candidate in candidates if candidate.model is not chosen.model),
        key=lambda candidate: candidate.aicc,
    )
    return Choice(chosen, (chosen, *others), times)


def located(points: Points, model: Model, logs: Vector) -> tuple[Vector, Vector]:
    """The log time of each size by the repeats near a model, and the model's logs fitted to those times."""
    times = points.first
    for _ in range(TURNS):
        times = points.located(points.trust(model.curve(logs, points.columns)))
        before, logs = logs, refit(model, points.columns, times[None], logs[None])[0][0]
        if np.allclose(before, logs, rtol=0.0, atol=1e-4):
            break
    return times, logs


def aicc(residuals: Vector, parameters: int) -> float:
    """The AICc of a fit with these residuals.

    The likelihood is Student's t with 4 degrees of freedom, its scale profiled out: its tails allow for a disturbed size. With a normal
    likelihood one such size would decide (Ronchetti, "Robustness aspects of model choice", 1997).
    """
    square, sizes = residuals**2 + EXACT**2, len(residuals)
    scale = float(np.median(square))
    for _ in range(TURNS_OF_SCALE):
        scale = float(np.mean(square * (TAILS + 1.0) / (TAILS + square / scale)))
    spread = sizes * math.log(scale) + (TAILS + 1.0) * float(np.sum(np.log1p(square / (TAILS * scale))))
    return spread + 2.0 * parameters * sizes / (sizes - parameters - 1)


def _candidates(
    points: Points, models: Sequence[tuple[Model, Vector | None]], times: Vector
) -> list[Candidate]:
    solutions = [(model, solve(model, points.columns, times, known)) for model, known in models]
    return [
        Candidate(model, solution, aicc(solution.residuals, model.size))
        for model, solution in solutions
        if solution is not None
    ]


def _chosen(points: Points, candidates: Sequence[Candidate], times: Vector) -> Candidate:
    """The simplest among equals, unless one with more parameters halves its error of leave-one-out.

    A free exponent is allowed where only the size is known.
    """
    given = [candidate for candidate in candidates if not candidate.model.free]
    best = min(candidates, key=lambda candidate: candidate.aicc)
    structured = min(given, key=lambda candidate: candidate.aicc, default=best)
    if "size" not in points.columns and structured.aicc - best.aicc <= DECISIVE:
        candidates, best = given or candidates, structured
    equal = [candidate for candidate in candidates if candidate.aicc - best.aicc < EQUAL]
    if len(equal) == 1 or len(points) > MANY:
        return min(equal, key=lambda candidate: (candidate.model.size, candidate.aicc))
    # Rounded, so that the first of two equivalent models is taken (work and bytes that grow alike).
    errors = [(candidate, round(_left_out(points, candidate, times), 6)) for candidate in equal]
    chosen, lowest = min(errors, key=lambda pair: (pair[0].model.size, pair[1]))
    for candidate, error in sorted(errors, key=lambda pair: pair[0].model.size):
        if candidate.model.size > chosen.model.size and error < BETTER * lowest:
            chosen, lowest = candidate, error
    return chosen


def _left_out(points: Points, candidate: Candidate, times: Vector) -> float:
    """The mean error of the log time of each size, predicted from the others."""
    kept = 1.0 - np.eye(len(points))
    rows = np.tile(times, (len(points), 1))
    logs, _ = refit(
        candidate.model, points.columns, rows, np.tile(candidate.solution.logs, (len(points), 1)), kept
    )
    return float(np.mean(np.abs(np.diagonal(candidate.model.curve(logs, points.columns) - rows))))
