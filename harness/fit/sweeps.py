"""Gathers the results of a run into sweeps and fits each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.fit.exponents import free_exponent, growth, rivals
from harness.fit.fitted import FEWEST, Fitted, fit
from harness.fit.points import Points
from harness.records import Cost, Fit, FitPoint, Flag, Parameter, Peaks, Result, Run, Series

# A time grows with size as theory says when its exponent lies within this fraction of it: cache edges and kernel switches bend
# real curves by 10-30 %, which over two decades of work is this much of a slope.
TOLERANCE = 0.05
# It certainly does not only beyond this, by the work that is counted. A library that changes to a kernel of twice the
# rate in the middle of a sweep bends it by a seventh (seen: bfloat16 on AMX); bandwidth that neighbours move by
# a factor of two, by a quarter.
CERTAIN = {"flops": 0.15, "bytes": 0.25}
SLIVER = 1.001


@dataclass(frozen=True)
class Size:
    """One size of a sweep: its work by column (flops, bytes, threads), the median time of each process in seconds, the level that serves it."""

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
        """The memory levels that serve it, where bytes are what it does; empty where one model is enough."""
        if self.column != "bytes":
            return ()
        told = tuple(dict.fromkeys(size.level for size in self.sizes))
        return told if len(told) > 1 else ()

    def columns(self, sizes: tuple[Size, ...]) -> dict[str, list[float]]:
        """The work of some sizes by column, with the place of the level where there are several."""
        found = {name: [size.work[name] for size in sizes] for name in self.sizes[0].work}
        if self.levels:
            found["level"] = [float(self.levels.index(size.level)) for size in sizes]
        return found

    @property
    def points(self) -> Points:
        """What a model is fitted to."""
        return Points.of(self.columns(self.sizes), [size.seconds for size in self.sizes])


def fit_sweep(sweep: Sweep) -> Fit | None:
    """The model of a sweep, what else was tried, and what the sizes say of the exponent; None where they are too few."""
    fitted = fit(sweep.points, sweep.levels) if len(sweep.sizes) >= FEWEST else None
    if fitted is None:
        return None
    logs = np.log([size.size for size in sweep.sizes])
    points, choice, column = fitted.points, fitted.choice, sweep.column
    growths = {name: growth(work, logs) for name, work in points.columns.items() if name != "level"}
    powered = column in CERTAIN and growths[column] > 0.0
    return Fit(
        series=sweep.series,
        variable=sweep.variable,
        model=fitted.model,
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
    """Those of the model; the work at half of the rate as a size; the best rate in items of a batch."""
    half = {"flops": "F_half", "bytes": "B_half"}.get(sweep.column)
    found = [
        _as_size(sweep, parameter) if parameter.name == half else parameter for parameter in fitted.parameters
    ]
    found = [one for one in found if not one.name.endswith(("F_half", "B_half"))]
    if sweep.variable == "batch":
        found += [_per_item(sweep, parameter) for parameter in fitted.parameters if parameter.name == "P"]
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


# The variable of a sweep that does the same work on more and more threads.
THREADS = "threads"


def fit_sweeps(run: Run) -> tuple[Fit, ...]:
    """A fit for each sweep with enough sizes, in the order the sweeps first appear."""
    fits = (fit_sweep(sweep) for sweep in sweeps(run))
    return tuple(found for found in fits if found is not None)


class _Member(NamedTuple):
    """A case that belongs to a sweep and has a cost."""

    series: Series
    cost: Cost
    result: Result


def sweeps(run: Run) -> Iterator[Sweep]:
    """The sweeps of a run with two measured sizes or more.

    A sweep whose cases do matrix FLOPs is fitted in FLOPs, and in bytes too where memory bounds one of them by the roofline of
    the machine's peaks. Any other is fitted in bytes with a rate for each memory level; working sets at the edge of a
    level, which no one rate serves, are left out. A sweep of threads is fitted in threads, as many as there are cores. Training steps of one kind that differ in more than their batch form a
    sweep in 6ND, six FLOPs for each parameter and token.
    """
    found: dict[str, list[_Member]] = {}
    for result in run.results:
        series, cost = result.case.series, result.case.cost
        if series and series.size > 0 and cost:
            found.setdefault(series.name, []).append(_Member(series, cost, result))
    for members in found.values():
        sweep = _sweep(members, run.peaks)
        if len(sweep.sizes) > 1:
            yield sweep
    yield from _by_parameters_and_tokens(run)


def _sweep(members: list[_Member], peaks: Peaks) -> Sweep:
    series = members[0].series
    if series.variable == THREADS:
        return _gathered(
            series, [_size(member, [THREADS]) for member in members if not _oversubscribed(member)]
        )
    by_flops = all(member.cost.flops for member in members)
    bound = {
        member.result.prediction.bound
        for member in members
        if member.result.prediction and not member.result.case.fused
    }
    columns = ["flops"] if by_flops else ["bytes"]
    columns += ["bytes"] if by_flops and "memory" in bound else []
    inside = [
        member
        for member in members
        if by_flops or not peaks.between_levels(member.result.case.working_set_bytes or 0)
    ]
    return _gathered(series, [_size(one, columns) for one in inside])


def _oversubscribed(member: _Member) -> bool:
    """Whether threads had to share cores: no model of scaling is about that."""
    return bool(member.result.measurement and Flag.OVERSUBSCRIBED in member.result.measurement.flags)


def _gathered(series: Series, members: list[Size]) -> Sweep:
    sizes: dict[int, Size] = {}
    absent: dict[int, Size] = {}
    for member in members:
        kept = sizes if member.seconds else absent
        kept[member.size] = _together(kept[member.size], member) if member.size in kept else member
    ordered = tuple(sizes[size] for size in sorted(sizes))
    left = tuple(one for size, one in sorted(absent.items()) if size not in sizes)
    return Sweep(series.name, series.variable, series.exponent, ordered, left)


def _size(member: _Member, columns: list[str]) -> Size:
    measurement, prediction = member.result.measurement, member.result.prediction
    work = {
        "flops": float(member.cost.flops),
        "bytes": float(member.cost.bytes_moved),
        THREADS: float(member.series.size),
    }
    return Size(
        size=member.series.size,
        work={name: work[name] for name in columns},
        seconds=tuple(process.median for process in measurement.view.processes) if measurement else (),
        level=prediction.level or "" if prediction and columns == ["bytes"] else "",
        flagged=bool(measurement and measurement.flags),
    )


def _together(size: Size, other: Size) -> Size:
    return Size(size.size, size.work, size.seconds + other.seconds, size.level, size.flagged or other.flagged)


def _by_parameters_and_tokens(run: Run) -> Iterator[Sweep]:
    """Training steps of one kind of model, against the 6 N D FLOPs that theory gives them."""
    kinds: dict[str, dict[int, Size]] = {}
    for result in run.measured:
        case, measurement = result.case, result.measurement
        if measurement is None or case.trace is None or not case.trace.phase("backward").flops:
            continue
        size = 6 * case.trace.parameters * case.items.get("tokens", 0)
        if size:
            seconds = tuple(process.median for process in measurement.view.processes)
            one = Size(size, {"flops": float(size)}, seconds, flagged=bool(measurement.flags))
            known = kinds.setdefault(_kind(result), {})
            known[size] = _together(known[size], one) if size in known else one
    series = {result.case.series.name for result in run.measured if result.case.series}
    for name, sizes in kinds.items():
        if len(sizes) >= FEWEST and name not in series and _varied(run, name):
            yield Sweep(name, "6ND", 1.0, tuple(sizes[size] for size in sorted(sizes)))


def _kind(result: Result) -> str:
    """The id of a case without its sizes: model, dtype, optimizer, mode."""
    sizes = {f"{name}{value}" for name, value in result.case.sizes.items()}
    return "-".join(part for part in result.case.id.split("-") if part not in sizes)


def _varied(run: Run, name: str) -> bool:
    """Whether the models of a kind differ in their parameters: else its sweep over batches says it all."""
    return (
        len(
            {
                result.case.trace.parameters
                for result in run.measured
                if result.case.trace and _kind(result) == name
            }
        )
        > 1
    )
