"""Gathers the results of a run into sweeps and fits each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.fit.fitted import FEWEST, Fitted, fit, free_exponent, growth, rivals
from harness.fit.solver import Points
from harness.records import Case, Cost, Fit, FitPoint, Flag, Parameter, Peaks, Result, Run, Scalar, Series

# An exponent agrees with the predicted one within this fraction: cache edges and kernel switches bend real curves by 10% to 30%,
# which over two decades of work changes the slope by as much.
TOLERANCE = 0.05
# An exponent differs only beyond this, by the kind of work. A kernel of twice the rate from the middle of a sweep on bends it by a seventh
# (measured: bfloat16 on AMX); a bandwidth that other programs change by a factor of two, by a quarter.
CERTAIN = {"flops": 0.15, "bytes": 0.25}
SLIVER = 1.001


@dataclass(frozen=True)
class Size:
    """One size of a sweep: its work by column (flops, bytes, threads), the median seconds of each process, and its memory level."""

    size: int
    work: dict[str, float]
    seconds: tuple[float, ...]
    level: str = ""
    flagged: bool = False


@dataclass(frozen=True)
class Sweep:
    """Sizes of one workload. `exponent` is the predicted exponent of work in size; `unmeasured` are the sizes without a time."""

    series: str
    variable: str
    exponent: float
    sizes: tuple[Size, ...]
    unmeasured: tuple[Size, ...] = ()

    @property
    def column(self) -> str:
        """The work with the predicted exponent: FLOPs where there are any, else bytes; threads in a sweep of those."""
        return next(iter(self.sizes[0].work))

    @property
    def levels(self) -> tuple[str, ...]:
        """The memory levels of a sweep of bytes; empty where all sizes have the same."""
        if self.column != "bytes":
            return ()
        levels = tuple(dict.fromkeys(size.level for size in self.sizes))
        return levels if len(levels) > 1 else ()

    def columns(self, sizes: tuple[Size, ...]) -> dict[str, list[float]]:
        """The work of some sizes by column, with the index of the level where there are several."""
        columns = {name: [size.work[name] for size in sizes] for name in self.sizes[0].work}
        if self.levels:
            columns["level"] = [float(self.levels.index(size.level)) for size in sizes]
        return columns

    @property
    def points(self) -> Points:
        """The points that a model is fitted to."""
        return Points.of(self.columns(self.sizes), [size.seconds for size in self.sizes])


def fit_sweep(sweep: Sweep) -> Fit | None:
    """The fit of a sweep, its rivals and its free exponent; None for too few sizes."""
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
                size=size.size,
                work=size.work[column],
                measured=float(measured),
                fitted=expected.seconds,
                flagged=size.flagged,
                low=expected.low,
                high=expected.high,
            )
            for size, measured, expected in zip(
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
    """The powers of the work to compare: just inside the tolerance, and just beyond what is certain.

    The predicted power is added where the counted work grows with another.
    """
    scale, certain = sweep.exponent / grown, CERTAIN[sweep.column]
    steps = (-SLIVER * certain, -TOLERANCE / SLIVER, TOLERANCE / SLIVER, SLIVER * certain)
    return tuple(scale * (1.0 + step) for step in ((0.0, *steps) if abs(scale - 1.0) > TOLERANCE else steps))


def parameters(sweep: Sweep, fitted: Fitted) -> tuple[Parameter, ...]:
    """The parameters of the model; the work at half of the rate as a size, and the best rate in items of a batch."""
    half = {"flops": "F_half", "bytes": "B_half"}.get(sweep.column)
    shown = [
        _as_size(sweep, parameter) if parameter.name == half else parameter
        for parameter in fitted.parameters
        if parameter.name == half or not parameter.name.endswith(("F_half", "B_half"))
    ]
    if sweep.variable == "batch":
        shown += [_per_item(sweep, parameter) for parameter in fitted.parameters if parameter.name == "P"]
    return tuple(shown)


def _as_size(sweep: Sweep, half: Parameter) -> Parameter:
    name = f"{sweep.variable}_half"
    if half.value is None or half.low is None or half.high is None:
        return Parameter(name, "", why=half.why)
    value, low, high = (_size_of(sweep, work) for work in (half.value, half.low, half.high))
    return Parameter(name, "", value, low, high)


def _size_of(sweep: Sweep, work: float) -> float:
    """The size with this much work, interpolated between the sizes of the sweep, or extrapolated by the predicted exponent."""
    ordered = sorted(sweep.sizes, key=lambda size: size.size)
    known = np.log([size.work[sweep.column] for size in ordered])
    sizes = np.log([size.size for size in ordered])
    wanted = math.log(work)
    if known[0] <= wanted <= known[-1]:
        return math.exp(float(np.interp(wanted, known, sizes)))
    edge = 0 if wanted < known[0] else -1
    return math.exp(float(sizes[edge] + (wanted - known[edge]) / sweep.exponent))


def _per_item(sweep: Sweep, rate: Parameter) -> Parameter:
    if rate.value is None or rate.low is None or rate.high is None:
        return Parameter("Rmax", "1/s", why=rate.why)
    largest = max(sweep.sizes, key=lambda size: size.size)
    each = largest.work["flops"] / largest.size
    return Parameter("Rmax", "1/s", rate.value / each, rate.low / each, rate.high / each)


# The variable of a sweep that does the same work on an increasing number of threads.
THREADS = "threads"


def fit_sweeps(run: Run) -> tuple[Fit, ...]:
    """A fit for each sweep with enough sizes, in the order the sweeps first appear."""
    fits = map(fit_sweep, sweeps(run))
    return tuple(fitted for fitted in fits if fitted is not None)


class _Member(NamedTuple):
    """A case that belongs to a sweep and has a cost."""

    series: Series
    cost: Cost
    result: Result


def sweeps(run: Run) -> Iterator[Sweep]:
    """The sweeps of a run with two measured sizes or more.

    A sweep with matrix FLOPs is fitted in FLOPs, and in bytes too where the roofline bounds one of its cases by memory. Any other is
    fitted in bytes with a rate for each memory level, without working sets at the edge of a level. A sweep of threads is fitted in
    threads, up to the number of cores. Training steps of one kind that differ in more than their batch form a sweep in 6ND, six FLOPs
    for each parameter and token.
    """
    by_series: dict[str, list[_Member]] = {}
    for result in run.results:
        series, cost = result.case.series, result.case.cost
        if series and series.size > 0 and cost:
            by_series.setdefault(series.name, []).append(_Member(series, cost, result))
    for members in by_series.values():
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
    return _gathered(series, [_size(member, columns) for member in inside])


def _oversubscribed(member: _Member) -> bool:
    """Whether threads shared cores, which no model of scaling describes."""
    return bool(member.result.measurement and Flag.OVERSUBSCRIBED in member.result.measurement.flags)


def _gathered(series: Series, members: list[Size]) -> Sweep:
    sizes: dict[int, Size] = {}
    absent: dict[int, Size] = {}
    for member in members:
        kept = sizes if member.seconds else absent
        kept[member.size] = _together(kept[member.size], member) if member.size in kept else member
    ordered = tuple(sizes[size] for size in sorted(sizes))
    left = tuple(absent[size] for size in sorted(absent.keys() - sizes.keys()))
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


def _together(size: Size, more: Size) -> Size:
    return Size(size.size, size.work, size.seconds + more.seconds, size.level, size.flagged or more.flagged)


def _by_parameters_and_tokens(run: Run) -> Iterator[Sweep]:
    """Sweeps of training steps of one kind of model, by their 6ND FLOPs."""
    kinds: dict[tuple[Scalar, ...], dict[int, Size]] = {}
    parameters: dict[tuple[Scalar, ...], set[int]] = {}
    for result in run.measured:
        case, measurement = result.case, result.measurement
        if measurement is None or case.trace is None or not case.trace.phase("backward").flops:
            continue
        size = 6 * case.trace.parameters * case.items.get("tokens", 0)
        if size:
            seconds = tuple(process.median for process in measurement.view.processes)
            step = Size(size, {"flops": float(size)}, seconds, flagged=bool(measurement.flags))
            known = kinds.setdefault(_kind(case), {})
            known[size] = _together(known[size], step) if size in known else step
            parameters.setdefault(_kind(case), set()).add(case.trace.parameters)
    for kind, sizes in kinds.items():
        # Models of one number of parameters differ in their batch alone, and have a sweep of that.
        if len(sizes) >= FEWEST and len(parameters[kind]) > 1:
            yield Sweep(
                "-".join(str(word) for word in kind if word != ""),
                "6ND",
                1.0,
                tuple(sizes[size] for size in sorted(sizes)),
            )


def _kind(case: Case) -> tuple[Scalar, ...]:
    """All that cases of different sizes have in common: family, parameters such as model and optimizer, dtype."""
    return (case.family, *case.parameters.values(), case.dtype)
