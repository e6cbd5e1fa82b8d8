"""One sweep: sizes of one workload, the law fitted to them, and what they say of the exponent that theory gives."""

import math
from dataclasses import dataclass

import numpy as np

from harness.fit.exponents import free_exponent, growth, rivals
from harness.fit.fitted import FEWEST, Fitted, fit
from harness.fit.points import Points
from harness.records import Fit, FitPoint, Parameter

# A time grows with size as theory says when its exponent lies within this share of it: cache edges and kernel switches bend
# real curves by 10-30 %, which over two decades of work is this much of a slope.
TOLERANCE = 0.05
# It certainly does not only beyond this, by the work that is counted. A library that changes to a kernel of twice the
# rate in the middle of a sweep bends it by a seventh (seen: bfloat16 on AMX); bandwidth that neighbours move by
# a factor of two, by a quarter.
CERTAIN = {"flops": 0.15, "bytes": 0.25}
SLIVER = 1.001


@dataclass(frozen=True)
class Size:
    """One size of a sweep: its work by column (flops, bytes, threads), the typical time of each process in seconds, the level that serves it."""

    size: int
    work: dict[str, float]
    seconds: tuple[float, ...]
    level: str = ""
    flagged: bool = False


@dataclass(frozen=True)
class Sweep:
    """Sizes of one workload. `exponent` is what theory says of the growth of work with size.

    `unmeasured`: the sizes of the sweep that have no time, and their work.
    """

    series: str
    variable: str
    exponent: float
    sizes: tuple[Size, ...]
    unmeasured: tuple[Size, ...] = ()

    @property
    def column(self) -> str:
        """What theory speaks of: FLOPs where there are any, else bytes; threads in a sweep of those."""
        return next(iter(self.sizes[0].work))

    @property
    def levels(self) -> tuple[str, ...]:
        """The memory levels that serve it, where bytes are what it does; empty where one law is enough."""
        if self.column != "bytes":
            return ()
        told = tuple(dict.fromkeys(one.level for one in self.sizes))
        return told if len(told) > 1 else ()

    def columns(self, sizes: tuple[Size, ...]) -> dict[str, list[float]]:
        """The work of some sizes by column, with the place of the level where there are several."""
        found = {name: [one.work[name] for one in sizes] for name in self.sizes[0].work}
        if self.levels:
            found["level"] = [float(self.levels.index(one.level)) for one in sizes]
        return found

    @property
    def points(self) -> Points:
        """What a law is fitted to."""
        return Points.of(self.columns(self.sizes), [one.seconds for one in self.sizes])


def fit_sweep(sweep: Sweep) -> Fit | None:
    """The law of a sweep, what else was tried, and what the sizes say of the exponent; None where they are too few."""
    fitted = fit(sweep.points, sweep.levels) if len(sweep.sizes) >= FEWEST else None
    if fitted is None:
        return None
    logs = np.log([one.size for one in sweep.sizes])
    points, choice, column = fitted.points, fitted.choice, sweep.column
    growths = {name: growth(work, logs) for name, work in points.columns.items() if name != "level"}
    powered = column in CERTAIN and growths[column] > 0.0
    return Fit(
        series=sweep.series,
        variable=sweep.variable,
        law=fitted.law,
        parameters=parameters(sweep, fitted),
        points=tuple(
            FitPoint(
                one.size, one.work[column], float(measured), said.seconds, one.flagged, said.low, said.high
            )
            for one, measured, said in zip(
                sweep.sizes, fitted.measured, fitted.expect(points.columns), strict=True
            )
        ),
        theory_exponent=sweep.exponent,
        exponent=free_exponent(choice, points, growths, column),
        growth=growths[column] if column in CERTAIN else None,
        work_in=column,
        rivals=rivals(choice, points, growths, column, _powers(sweep, growths[column])) if powered else (),
    )


def _powers(sweep: Sweep, grown: float) -> tuple[float, ...]:
    """The powers of the work to compare: just inside the tolerance and just beyond what is certain.

    Theory's own too, where the work does not grow with it.
    """
    scale, certain = sweep.exponent / grown, CERTAIN[sweep.column]
    steps = (-SLIVER * certain, -TOLERANCE / SLIVER, TOLERANCE / SLIVER, SLIVER * certain)
    return tuple(scale * (1.0 + step) for step in ((0.0, *steps) if abs(scale - 1.0) > TOLERANCE else steps))


def parameters(sweep: Sweep, fitted: Fitted) -> tuple[Parameter, ...]:
    """Those of the law; the work at half of the rate as a size; the best rate in items of a batch."""
    half = {"flops": "F_half", "bytes": "B_half"}.get(sweep.column)
    found = [_as_size(sweep, one) if one.name == half else one for one in fitted.parameters]
    found = [one for one in found if not one.name.endswith(("F_half", "B_half"))]
    if sweep.variable == "batch":
        found += [_per_item(sweep, one) for one in fitted.parameters if one.name == "P"]
    return tuple(found)


def _as_size(sweep: Sweep, half: Parameter) -> Parameter:
    name = f"{sweep.variable}_half"
    if half.value is None or half.low is None or half.high is None:
        return Parameter(name, "", why=half.why)
    value, low, high = (_size_of(sweep, work) for work in (half.value, half.low, half.high))
    return Parameter(name, "", value, low, high)


def _size_of(sweep: Sweep, work: float) -> float:
    """The size that has so much work, between the sizes of the sweep or beyond them."""
    ordered = sorted(sweep.sizes, key=lambda one: one.size)
    known = np.log([one.work[sweep.column] for one in ordered])
    sizes = np.log([one.size for one in ordered])
    wanted = math.log(work)
    if known[0] <= wanted <= known[-1]:
        return math.exp(float(np.interp(wanted, known, sizes)))
    edge = 0 if wanted < known[0] else -1
    return math.exp(float(sizes[edge] + (wanted - known[edge]) / sweep.exponent))


def _per_item(sweep: Sweep, rate: Parameter) -> Parameter:
    if rate.value is None or rate.low is None or rate.high is None:
        return Parameter("Rmax", "1/s", why=rate.why)
    largest = max(sweep.sizes, key=lambda one: one.size)
    each = largest.work["flops"] / largest.size
    return Parameter("Rmax", "1/s", rate.value / each, rate.low / each, rate.high / each)
