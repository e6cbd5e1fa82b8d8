"""The model of a kind of operators, fitted to operators measured alone.

    t = (t0^p + (F/P)^p + (Y/W + Y_far/W_far)^p)^(1/p)

p = 1 adds the three terms, a large p takes the longest: real overlap lies between. The fit is of the logarithms of the times, with a
robust loss. Each parameter has a prior at the machine's peaks, so that a kind with few cases has a conservative model. Some effects have
no parameter (a library that has another kernel for thin matrices), but are smooth in the shape: the residuals correct the model near the
measured cases.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from harness.costmodel.demand import Demand
from harness.records import Bend, OperatorModel

Vector = NDArray[np.float64]

SHARPNESS = (1.0, 1.6, 4.0)
# Residuals of the logarithm beyond this cost less than quadratically (soft L1).
ROBUST_SCALE = 0.1
# Folds of the cross-validation.
FOLDS = 5
# The weight of the prior: a parameter that is a factor of e away from it costs as much as a residual of this.
HOLD = 0.03
# How far overhead and rates may lie below and above the prior, as logarithms: memory reaches its peak within a factor of three, while
# a kernel may miss the machine's peak by more.
BELOW, ABOVE = np.array([3.0, 3.0, 3.0, 1.2]), np.array([3.0, 1.5, 1.5, 0.7])
SHORTEST_SECONDS = 2e-7
# A parameter that the cases changed by less than this is not identified.
UNCHANGED = 1e-3
# Errors are clipped at a factor of e, so that one wild case does not decide the residual.
WILD = 1.0


class Measured(NamedTuple):
    """One operator measured alone."""

    case: str
    demand: Demand
    seconds: float


class Roof(NamedTuple):
    """Rates that the machine reaches: FLOP/s, bytes a second from caches and from memory."""

    flops_per_second: float
    bytes_per_second: float
    far_bytes_per_second: float


def fit_model(kind: str, dtype: str, cases: Sequence[Measured], roof: Roof) -> OperatorModel:
    """The model of one case or more; its residual is that of cases left out of the fit."""
    columns, seconds = _columns(cases), np.array([case.seconds for case in cases])
    prior = np.log([max(float(seconds.min()) / 2, SHORTEST_SECONDS), *roof])
    fits = [(_fitted(columns, seconds, p, prior, prior), p) for p in SHARPNESS]
    (_, free), sharpness = min(fits, key=lambda fit: fit[0][0])
    off = _left_out(cases, sharpness, prior, free)
    worst = int(np.argmax(np.abs(off)))
    rates = [float(rate) for rate in np.exp(free[1:])]
    identified = np.abs(free - prior)[1:] > UNCHANGED
    places = _places(cases)
    weights = _weights(places, np.log(_model(free, columns, sharpness)) - np.log(seconds))
    return OperatorModel(
        kind=kind,
        dtype=dtype,
        cases=len(cases),
        overhead=float(np.exp(free[0])),
        sharpness=sharpness,
        flops_per_second=rates[0],
        bytes_per_second=rates[1],
        far_bytes_per_second=rates[2],
        identified=tuple(
            name for name, changed in zip(("flops", "bytes", "far"), identified, strict=True) if changed
        ),
        bends=tuple(
            Bend(size, intensity, traffic, inner, float(weight), name)
            for (size, intensity, traffic, inner), weight, name in zip(
                places.at.T.tolist(), weights, places.names, strict=True
            )
        ),
        residual=float(np.sqrt(np.mean(np.minimum(off**2, WILD**2)))),
        median=float(np.mean(np.abs(np.expm1(off)))),
        worst=float(np.expm1(off[worst])),
        worst_case=cases[worst].case,
        most_flops=int(max(case.demand.flops for case in cases)),
        most_bytes=int(max(case.demand.moved_bytes for case in cases)),
    )


def misfit(cases: Sequence[Measured], roof: Roof) -> float:
    """The cost of the best fit, to choose between ways to count bytes."""
    columns, seconds = _columns(cases), np.array([case.seconds for case in cases])
    prior = np.log([max(float(seconds.min()) / 2, SHORTEST_SECONDS), *roof])
    return min(_fitted(columns, seconds, p, prior, prior)[0] for p in SHARPNESS)


def seconds_of(model: OperatorModel, demand: Demand) -> float:
    """The seconds of one call by the model."""
    rates = model.flops_per_second, model.bytes_per_second, model.far_bytes_per_second
    logs, columns = np.log([model.overhead, *rates]), _columns([Measured("", demand, 0.0)])
    here = _places([Measured("", demand, 0.0)])
    there = _Places(
        np.array([(bend.size, bend.intensity, bend.traffic, bend.inner) for bend in model.bends]).T,
        tuple(bend.name for bend in model.bends),
    )
    weights = np.array([bend.weight for bend in model.bends])
    bent = float(_alike(here, there)[0] @ weights) if model.bends else 0.0
    return float(_model(logs, columns, model.sharpness)[0]) * math.exp(-bent)


# Kriging (Matheron, "Principles of geostatistics", Economic Geology 58, 1963): similar shapes have similar residuals, those of another
# operator (`OTHER`) less. `NUGGET` is the variance of a residual's own part over that of the part it shares with its neighbours.
NUGGET, OTHER = 0.3, 0.3
# The distances over which residuals are similar, in factors of e: of size, FLOPs a byte, bytes for each element made, and the size that
# decides between kernels.
LENGTHS = np.array([2.5, 1.0, 1.0, 1.2])


class _Places(NamedTuple):
    """The coordinates of cases, as in `Bend`, and the names of their operators."""

    at: Vector
    names: tuple[str, ...]


def _places(cases: Sequence[Measured]) -> _Places:
    return _Places(
        np.array([_place(case.demand) for case in cases], dtype=np.float64).T,
        tuple(case.demand.name for case in cases),
    )


def _place(demand: Demand) -> tuple[float, float, float, float]:
    flops, moved, made, inner = (
        math.log1p(value) for value in (demand.flops, demand.moved_bytes, demand.made, demand.inner)
    )
    return moved, flops - moved, moved - made, inner


def _alike(places: _Places, other: _Places) -> Vector:
    apart = places.at[:, :, None] - other.at[:, None, :]
    near = np.exp(-((apart / LENGTHS[:, None, None]) ** 2).sum(axis=0) / 2)
    same = np.array([[1.0 if a == b else OTHER for b in other.names] for a in places.names])
    return np.asarray(near * same)


def _weights(places: _Places, off: Vector) -> Vector:
    return np.asarray(np.linalg.solve(_alike(places, places) + NUGGET * np.eye(len(off)), off))


def _columns(cases: Sequence[Measured]) -> Vector:
    rows = [
        (
            case.demand.flops / case.demand.fraction,
            case.demand.moved_bytes / case.demand.fraction,
            case.demand.far_bytes,
        )
        for case in cases
    ]
    return np.array(rows, dtype=np.float64).T


def _model(logs: Vector, columns: Vector, sharpness: float) -> Vector:
    flops, moved, far = columns
    overhead, rate, bytes_rate, far_rate = np.exp(logs)
    terms = np.array([np.full_like(flops, overhead), flops / rate, moved / bytes_rate + far / far_rate])
    longest = terms.max(axis=0)
    return np.asarray(longest * ((terms / longest) ** sharpness).sum(axis=0) ** (1 / sharpness))


def _fitted(
    columns: Vector, seconds: Vector, sharpness: float, start: Vector, prior: Vector
) -> tuple[float, Vector]:
    logs = np.log(seconds)

    def residuals(free: Vector) -> Vector:
        return np.asarray(
            np.concatenate([np.log(_model(free, columns, sharpness)) - logs, HOLD * (free - prior)])
        )

    found = least_squares(
        residuals,
        np.clip(start, prior - BELOW + 1e-6, prior + ABOVE - 1e-6),
        bounds=(prior - BELOW, prior + ABOVE),
        loss="soft_l1",
        f_scale=ROBUST_SCALE,
    )
    return float(found.cost), np.asarray(found.x)


def _left_out(cases: Sequence[Measured], sharpness: float, prior: Vector, start: Vector) -> Vector:
    """log(predicted / measured) of each case, by a model fitted without it."""
    off = np.zeros(len(cases))
    folds = min(FOLDS, len(cases))
    for fold in range(folds):
        out = list(range(fold, len(cases), folds))
        kept = [case for index, case in enumerate(cases) if index % folds != fold]
        held_out = [cases[index] for index in out]
        predicted = _predicted(kept, held_out, sharpness, prior, start)
        off[out] = predicted - np.log([case.seconds for case in held_out])
    return off


def _predicted(
    cases: Sequence[Measured], held_out: Sequence[Measured], sharpness: float, prior: Vector, start: Vector
) -> Vector:
    """The logarithms of the times of held-out cases, by a model fitted to the other cases."""
    if not cases:
        return np.asarray(np.log(_model(prior, _columns(held_out), sharpness)))
    columns, seconds = _columns(cases), np.array([case.seconds for case in cases])
    free = _fitted(columns, seconds, sharpness, start, prior)[1]
    off = np.log(_model(free, columns, sharpness)) - np.log(seconds)
    places = _places(cases)
    bent = _alike(_places(held_out), places) @ _weights(places, off)
    return np.asarray(np.log(_model(free, _columns(held_out), sharpness)) - bent)
