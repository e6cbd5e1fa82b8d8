"""The model of a kind of operators, fitted to those that were measured alone.

    t = (t0^p + (F/P)^p + (Y/W + Y_far/W_far)^p)^(1/p)

p = 1 adds the three, a large p takes the longest: overlapping is somewhere between. Fitted to the logarithms of the times with a
robust loss; each parameter is held near what the machine's peaks say, as far as the cases do not say otherwise,
so that a kind of which there are few cases has a model that is dull rather than wild. What no such model can follow (a library that has
another kernel for thin matrices) is smooth in the shape all the same: the residuals bend the model where cases lie, and nowhere else.
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
# Residuals of the logarithm beyond this count less than quadratically (soft L1).
ROBUST_SCALE = 0.1
# How many parts of the cases are left out in turn.
FOLDS = 5
# How firmly a parameter is held to what the peaks say: a factor of e away from it weighs as much as a residual of this.
HOLD = 0.03
# How far overhead and rates may lie below and above that, as logarithms: memory is what its peak says within a factor of three, while
# a kernel may miss the machine's peak by more.
BELOW, ABOVE = np.array([3.0, 3.0, 3.0, 1.2]), np.array([3.0, 1.5, 1.5, 0.7])
SHORTEST_SECONDS = 2e-7
# A parameter that no case moved by so much stays where it began.
UNCHANGED = 1e-3
# An error beyond a factor of e counts as that: one wild case is no measure of the others.
WILD = 1.0


class Measured(NamedTuple):
    """One operator measured alone."""

    case: str
    demand: Demand
    seconds: float


class Roof(NamedTuple):
    """What the machine is known to reach: FLOP/s, bytes a second from caches and from memory."""

    flops_per_second: float
    bytes_per_second: float
    far_bytes_per_second: float


def fit_model(kind: str, dtype: str, cases: Sequence[Measured], roof: Roof) -> OperatorModel:
    """The model of at least one case; its residual is what cases left out of the fit differ by."""
    columns, seconds = _columns(cases), np.array([case.seconds for case in cases])
    prior = np.log([max(float(seconds.min()) / 2, SHORTEST_SECONDS), *roof])
    fits = [(_fitted(columns, seconds, p, prior, prior), p) for p in SHARPNESS]
    (_, free), sharpness = min(fits, key=lambda fit: fit[0][0])
    off = _left_out(cases, sharpness, prior, free)
    worst = int(np.argmax(np.abs(off)))
    rates = [float(rate) for rate in np.exp(free[1:])]
    round_spread = np.abs(free - prior)[1:] > UNCHANGED
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
        told=tuple(name for name, one in zip(("flops", "bytes", "far"), round_spread, strict=True) if one),
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
    """How badly the best model explains cases: to choose between ways to count their bytes."""
    columns, seconds = _columns(cases), np.array([case.seconds for case in cases])
    prior = np.log([max(float(seconds.min()) / 2, SHORTEST_SECONDS), *roof])
    return min(_fitted(columns, seconds, p, prior, prior)[0] for p in SHARPNESS)


def seconds_of(model: OperatorModel, demand: Demand) -> float:
    """What the model says of one call."""
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


# Kriging (Matheron, "Principles of geostatistics", Economic Geology 58, 1963): where the model is off by so much for a shape, it is off by
# a little less for one that is like it, and less so for another operator. The
# fraction of a residual that is its own is `NUGGET` to what it has in common with its neighbours.
NUGGET, OTHER = 0.3, 0.3
# How far apart two cases are alike, in factors of e: of size, of FLOPs a byte, of bytes for each element made, and of the size that decides
# between kernels. What is but larger is much alike.
LENGTHS = np.array([2.5, 1.0, 1.0, 1.2])


class _Places(NamedTuple):
    """Where cases lie, in the terms of `Bend`; and the names of their operators."""

    at: Vector
    names: tuple[str, ...]


def _places(cases: Sequence[Measured]) -> _Places:
    return _Places(
        np.array([_place(case.demand) for case in cases], dtype=np.float64).T,
        tuple(case.demand.name for case in cases),
    )


def _place(demand: Demand) -> tuple[float, float, float, float]:
    flops, round_spread, made, inner = (
        math.log1p(value) for value in (demand.flops, demand.moved_bytes, demand.made, demand.inner)
    )
    return round_spread, flops - round_spread, round_spread - made, inner


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
    flops, round_spread, far = columns
    overhead, rate, bytes_rate, far_rate = np.exp(logs)
    terms = np.array(
        [np.full_like(flops, overhead), flops / rate, round_spread / bytes_rate + far / far_rate]
    )
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
    """log(predicted / measured) of each case by a model that did not see it."""
    off = np.zeros(len(cases))
    folds = min(FOLDS, len(cases))
    for fold in range(folds):
        out = list(range(fold, len(cases), folds))
        kept = [one for index, one in enumerate(cases) if index % folds != fold]
        asked = [cases[index] for index in out]
        off[out] = _said(kept, asked, sharpness, prior, start) - np.log([one.seconds for one in asked])
    return off


def _said(
    cases: Sequence[Measured], asked: Sequence[Measured], sharpness: float, prior: Vector, start: Vector
) -> Vector:
    """The logarithms of the times that a model fitted to some cases says of others."""
    if not cases:
        return np.asarray(np.log(_model(prior, _columns(asked), sharpness)))
    columns, seconds = _columns(cases), np.array([case.seconds for case in cases])
    free = _fitted(columns, seconds, sharpness, start, prior)[1]
    off = np.log(_model(free, columns, sharpness)) - np.log(seconds)
    places = _places(cases)
    bent = _alike(_places(asked), places) @ _weights(places, off)
    return np.asarray(np.log(_model(free, _columns(asked), sharpness)) - bent)
