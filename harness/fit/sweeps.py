"""Gathers the results of a run into sweeps and fits each."""

from collections.abc import Iterator
from typing import NamedTuple

from harness.fit.fitted import FEWEST
from harness.fit.sweep import Size, Sweep, fit_sweep
from harness.records import Ceilings, Cost, Fit, Flag, Result, Run, Series

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
    the machine's ceilings. Any other is fitted in bytes with a rate for each memory level; working sets at the edge of a
    level, which no one rate serves, are left out. A sweep of threads is fitted in threads, as many as there are cores. Training steps of one kind that differ in more than their batch form a
    sweep in 6ND, six FLOPs for each parameter and token.
    """
    found: dict[str, list[_Member]] = {}
    for result in run.results:
        series, cost = result.case.series, result.case.cost
        if series and series.size > 0 and cost:
            found.setdefault(series.name, []).append(_Member(series, cost, result))
    for members in found.values():
        sweep = _sweep(members, run.ceilings)
        if len(sweep.sizes) > 1:
            yield sweep
    yield from _by_parameters_and_tokens(run)


def _sweep(members: list[_Member], ceilings: Ceilings) -> Sweep:
    series = members[0].series
    if series.variable == THREADS:
        return _gathered(series, [_size(one, [THREADS]) for one in members if not _oversubscribed(one)])
    by_flops = all(one.cost.flops for one in members)
    bound = {
        one.result.prediction.bound for one in members if one.result.prediction and not one.result.case.fused
    }
    columns = ["flops"] if by_flops else ["bytes"]
    columns += ["bytes"] if by_flops and "memory" in bound else []
    inside = [
        one
        for one in members
        if by_flops or not ceilings.between_levels(one.result.case.working_set_bytes or 0)
    ]
    return _gathered(series, [_size(one, columns) for one in inside])


def _oversubscribed(member: _Member) -> bool:
    """Whether threads had to share cores: no law of scaling is about that."""
    return bool(member.result.measurement and Flag.OVERSUBSCRIBED in member.result.measurement.flags)


def _gathered(series: Series, members: list[Size]) -> Sweep:
    sizes: dict[int, Size] = {}
    absent: dict[int, Size] = {}
    for one in members:
        kept = sizes if one.seconds else absent
        kept[one.size] = _together(kept[one.size], one) if one.size in kept else one
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
        seconds=tuple(one.median for one in measurement.view.processes) if measurement else (),
        level=prediction.level or "" if prediction and columns == ["bytes"] else "",
        flagged=bool(measurement and measurement.flags),
    )


def _together(one: Size, other: Size) -> Size:
    return Size(one.size, one.work, one.seconds + other.seconds, one.level, one.flagged or other.flagged)


def _by_parameters_and_tokens(run: Run) -> Iterator[Sweep]:
    """Training steps of one kind of model, against the 6 N D FLOPs that theory gives them."""
    kinds: dict[str, dict[int, Size]] = {}
    for result in run.measured:
        case, measurement = result.case, result.measurement
        if measurement is None or case.trace is None or not case.trace.phase("backward").flops:
            continue
        size = 6 * case.trace.parameters * case.items.get("tokens", 0)
        if size:
            seconds = tuple(one.median for one in measurement.view.processes)
            one = Size(size, {"flops": float(size)}, seconds, flagged=bool(measurement.flags))
            known = kinds.setdefault(_kind(result), {})
            known[size] = _together(known[size], one) if size in known else one
    series = {one.case.series.name for one in run.measured if one.case.series}
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
        len({one.case.trace.parameters for one in run.measured if one.case.trace and _kind(one) == name}) > 1
    )
