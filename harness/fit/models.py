"""The models of time: a small family with the physics in it.

    t0 + F/P                   overhead, then work at a rate; in bytes it is Hockney's alpha + m/beta of a copy or a
                               collective (Hockney, "The communication challenge for MPP", 1994)
    max(t0, F/P)               a floor: the host prepares the next call while the device works
    t0 + max(F/P, B/W)         the roofline with an overhead (Williams, Waterman, Patterson, 2009)
    (t0^p + (F/P)^p)^(1/p)     between the first two: partly hidden
    t0 + c*n^k, t0 + c/n^k     power with offset: a diagnostic where work is known, the family where a size alone is
    t0 + b/Rmax                throughput that saturates, fitted in time: half of Rmax is reached at b = t0*Rmax
    T1*(1 + sigma*(N-1) + kappa*N*(N-1))/N     Gunther's universal scalability model; Amdahl's where kappa is 0

A model is a function of the logarithms of its parameters and of the work, and gives the logarithm of seconds: no parameter
and no prediction can be negative, and nothing overflows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# The inputs of a model by name: natural logarithms of flops, bytes, size or threads; the index of the memory level.
Columns = Mapping[str, Vector]
Curve = Callable[[Vector, Columns], Vector]
Starts = Callable[[Columns, Vector], list[list[float]]]

# Stands for zero work: its logarithm is a number, and far from that of any work.
NOTHING = 1e-300
LARGEST = 700.0
# Seconds beyond these are not valid times: the range of logarithms ends soon after.
SHORTEST, LONGEST = 1e-300, 1e300
# The work of a column, its rate, and the unit of the rate.
RATES = {"flops": ("F", "P", "FLOP/s"), "bytes": ("B", "W", "B/s"), "size": ("b", "Rmax", "1/s")}
# Where a fit starts: the overhead as a fraction of the shortest time, the sharpness of a knee.
FRACTIONS = (0.9, 0.3, 0.03)
SHARPNESS = (2.0, 8.0)


@dataclass(frozen=True)
class Symbol:
    """A parameter of a model, fitted as the logarithm of its excess over `least`.

    A `shape` (an exponent, a sharpness) bends the curve; any other is the time, rate or fraction of a term. Values above `most` are not
    valid, and `beyond` is what they indicate.
    """

    name: str
    unit: str
    shape: bool = False
    least: float = 0.0
    most: float = math.inf
    beyond: str = ""


@dataclass(frozen=True)
class Model:
    """A family of curves: `curve(logs, columns)` for logs of shape (..., parameters) gives (..., points).

    `free`: its exponent is not predicted. `kinked`: it contains a maximum, so fits can end on either side of a knee. `half`: the work at
    half of the rate, over t0 times the rate; None where the shape has none. `starts` gives rows of logs to start a fit from, for the
    columns and the logarithms of the times.
    """

    formula: str
    symbols: tuple[Symbol, ...]
    curve: Curve
    starts: Starts = field(repr=False)
    free: bool = False
    kinked: bool = False
    half: float | None = None

    @property
    def size(self) -> int:
        """The number of parameters."""
        return len(self.symbols)

    def place(self, name: str) -> int | None:
        """The index of a parameter among the logs; None where the model does not have it."""
        return next((at for at, symbol in enumerate(self.symbols) if symbol.name == name), None)


def logarithms(numbers: Sequence[float] | Vector) -> Vector:
    """The logarithms of work; zero counts as `NOTHING`."""
    return np.asarray(np.log(np.maximum(np.asarray(numbers, dtype=float), NOTHING)))


def exponentials(logs: Vector | Sequence[float]) -> Vector:
    """The exponentials of logarithms, within the range of a float."""
    return np.asarray(np.exp(np.clip(logs, -LARGEST, LARGEST)))


OVERHEAD = Symbol("t0", "s")


def rate_of(column: str) -> Symbol:
    """The symbol of the rate at which a column's work is done."""
    return Symbol(RATES[column][1], RATES[column][2])


def proportional(column: str) -> Model:
    """Work at a rate, without an overhead."""
    work, rate, _ = RATES[column]
    return Model(
        f"{work}/{rate}",
        (rate_of(column),),
        lambda logs, columns: columns[column] - _at(logs, 0),
        lambda columns, times: [[_best_rate(columns[column], times)]],
    )


def additive(column: str) -> Model:
    """An overhead before work at a rate."""
    return _two(column, np.logaddexp, "t0 + {}")


def floored(column: str) -> Model:
    """Work hidden behind an overhead: the longer of the two."""
    return _two(column, np.maximum, "max(t0, {})")


def _two(column: str, joined: Callable[[Vector, Vector], Vector], formula: str) -> Model:
    work, rate, _ = RATES[column]
    return Model(
        formula.format(f"{work}/{rate}"),
        (OVERHEAD, rate_of(column)),
        lambda logs, columns: joined(_at(logs, 0), columns[column] - _at(logs, 1)),
        lambda columns, times: [[t0, _best_rate(columns[column], times)] for t0 in _overheads(times)],
        kinked=joined is np.maximum,
        half=0.5 if joined is np.maximum else 1.0,
    )


def smooth(column: str) -> Model:
    """Between sum (p = 1) and maximum (large p)."""
    work, rate, _ = RATES[column]

    def curve(logs: Vector, columns: Columns) -> Vector:
        p = 1.0 + np.exp(_at(logs, 2))
        return np.asarray(np.logaddexp(p * _at(logs, 0), p * (columns[column] - _at(logs, 1))) / p)

    return Model(
        f"(t0^p + ({work}/{rate})^p)^(1/p)",
        (OVERHEAD, rate_of(column), Symbol("p", "", shape=True, least=1.0)),
        curve,
        lambda columns, times: [
            [t0, _best_rate(columns[column], times), math.log(p - 1.0)]
            for t0 in _overheads(times)
            for p in SHARPNESS
        ],
    )


def roof() -> Model:
    """The longer of compute and memory, without an overhead."""
    return Model(
        "max(F/P, B/W)",
        (rate_of("flops"), rate_of("bytes")),
        lambda logs, columns: np.maximum(columns["flops"] - _at(logs, 0), columns["bytes"] - _at(logs, 1)),
        lambda columns, times: [
            [p, w] for p in _rates(columns["flops"], times) for w in _rates(columns["bytes"], times)
        ],
        kinked=True,
    )


def roofline() -> Model:
    """An overhead before the longer of compute and memory."""
    bare = roof()
    return Model(
        f"t0 + {bare.formula}",
        (OVERHEAD, *bare.symbols),
        lambda logs, columns: np.logaddexp(_at(logs, 0), bare.curve(logs[..., 1:], columns)),
        lambda columns, times: [
            [t0, *rates] for t0 in _overheads(times) for rates in bare.starts(columns, times)
        ],
        kinked=True,
    )


def by_level(levels: tuple[str, ...], *, overhead: bool, free: bool = False) -> Model:
    """Bytes at a rate for each memory level, with or without an overhead before it; `free`: a power of them, one for all levels."""
    first, last = int(overhead), int(overhead) + len(levels)

    def curve(logs: Vector, columns: Columns) -> Vector:
        exponent = np.exp(_at(logs, last)) if free else 1.0
        moved = exponent * columns["bytes"] - logs[..., first + columns["level"].astype(int)]
        return np.asarray(np.logaddexp(_at(logs, 0), moved) if overhead else moved)

    def starts(columns: Columns, times: Vector) -> list[list[float]]:
        places = [columns["level"] == place for place in range(len(levels))]
        rates = [_best_rate(columns["bytes"][here], times[here]) for here in places]
        row = [*rates, *([0.0] if free else [])]
        return [[t0, *row] for t0 in _overheads(times)] if overhead else [row]

    rate = "B^k/W of the level" if free else "B/W of the level"
    shape = (Symbol("k", "", shape=True),) if free else ()
    return Model(
        f"t0 + {rate}" if overhead else rate,
        (*((OVERHEAD,) if overhead else ()), *(Symbol(f"W {level}", "B/s") for level in levels), *shape),
        curve,
        starts,
        free=free,
    )


def power(column: str, joined: str, *, falling: bool = False) -> Model:
    """A power of the work with a free exponent: alone, after an offset ("+") or behind a floor ("max").

    `falling`: of its inverse, as a loss falls with size towards an offset (Hoffmann et al., "Training compute-optimal large
    language models", 2022).
    """
    name, sign = {"flops": "F", "bytes": "B"}.get(column, "n"), -1.0 if falling else 1.0
    term, unit = (f"c/{name}^k", f"s*{name}^k") if falling else (f"c*{name}^k", f"s/{name}^k")
    symbols = Symbol("c", unit), Symbol("k", "", shape=True)
    if not joined:
        return Model(
            term,
            symbols,
            lambda logs, columns: _at(logs, 0) + sign * np.exp(_at(logs, 1)) * columns[column],
            lambda columns, times: _slopes(sign * columns[column], times),
            free=True,
        )
    join, formula = (np.logaddexp, "t0 + {}") if joined == "+" else (np.maximum, "max(t0, {})")
    return Model(
        formula.format(term),
        (OVERHEAD, *symbols),
        lambda logs, columns: join(
            _at(logs, 0), _at(logs, 1) + sign * np.exp(_at(logs, 2)) * columns[column]
        ),
        lambda columns, times: [
            [t0, *slope] for t0 in _overheads(times) for slope in _slopes(sign * columns[column], times)
        ],
        free=True,
        kinked=joined == "max",
    )


def constant() -> Model:
    """The same time whatever the size."""
    return Model(
        "t0",
        (OVERHEAD,),
        lambda logs, columns: _at(logs, 0) + np.zeros(len(next(iter(columns.values())))),
        lambda _, times: [[float(np.median(times))]],
    )


def _at(logs: Vector, place: int) -> Vector:
    return np.asarray(logs[..., place, None])


def _overheads(times: Vector) -> list[float]:
    return [float(times.min()) + math.log(fraction) for fraction in FRACTIONS]


def _best_rate(work: Vector, times: Vector) -> float:
    return float(np.max(work - times))


def _rates(work: Vector, times: Vector) -> list[float]:
    """The best rate and lower ones, as this work may not bound every size."""
    return [float(rate) for rate in np.quantile(work - times, (1.0, 0.75, 0.5, 0.25))]


def _slopes(work: Vector, times: Vector) -> list[list[float]]:
    """Coefficient and log exponent through the ends, and through the upper half."""
    order = np.argsort(work)
    ends = [(order[0], order[-1]), (order[len(order) // 2], order[-1])]
    starts = []
    for low, high in ends:
        run = float(work[high] - work[low])
        k = max(float(times[high] - times[low]) / run, 0.05) if run > 0 else 1.0
        starts.append([float(times[high] - k * work[high]), math.log(k)])
    return starts
