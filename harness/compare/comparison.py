"""Stored runs compared: of several machines, or of one machine at several times.

Runs that were not measured side by side share no minute: what their machine does differently from hour to hour is in a speed-up, and in its
interval only where a self-test has told it (docs/pages/explanation/decisions/0005-what-an-interval-covers.md).
"""

from collections.abc import Iterator, Sequence

import msgspec

from harness.records import (
    Case,
    Compared,
    Comparison,
    Exact,
    Failed,
    Measurement,
    PeakCompared,
    Peaks,
    Result,
    Run,
    Settings,
)
from harness.records.environment import Difference
from harness.records.measurement import speedup_interval


def side_by_side(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Each run but the first beside the first."""
    return tuple(compare(runs[0], other) for other in runs[1:])


def compare(base: Run, other: Run) -> Comparison:
    """A run beside a base. Cases are the same by id, and by what they say of themselves.

    Those that calibrate are left out: the models made of them are what a report tells of. Nothing forbids a comparison: what differs between the machines and in what was asked for is told beside it.
    """
    theirs = {result.case.id: result for result in other.results}
    pairs = {
        result.case.id: _compared(result, here, theirs.get(result.case.id), other)
        for result in base.results
        if (here := result.measurement) and not result.case.calibrates
    }
    mine, others = base.header.environment, other.header.environment
    return Comparison(
        base=base.header.id,
        other=other.header.id,
        same_machine=mine.fingerprint == others.fingerprint,
        differences=mine.differences(others),
        settings=tuple(_settings(base.header.settings, other.header.settings)),
        cases=tuple(found for found in pairs.values() if isinstance(found, Compared)),
        exact=tuple(_exact(base, theirs)),
        peaks=tuple(_peaks(base, other)),
        missing=tuple((case, found) for case, found in pairs.items() if isinstance(found, str)),
        added=tuple(
            result.case.id
            for result in other.measured
            if result.case.id not in pairs and not result.case.calibrates
        ),
    )


def _compared(mine: Result, here: Measurement, theirs: Result | None, other: Run) -> Compared | str:
    """A measured case of the base in both runs, or why there is nothing to compare."""
    if theirs is None:
        planned = mine.case.id in other.header.planned
        return "planned there, and not on record" if planned else "not part of that run"
    there = theirs.outcome
    if not isinstance(there, Measurement):
        return f"{'failed' if isinstance(there, Failed) else 'skipped'} there: {there.reason}"
    if here.view.name != there.view.name:
        return f"timed as {here.view.name} in the base, as {there.view.name} there"
    return unlike(mine.case, theirs.case) or _of_case(mine.case, here, there)


def unlike(mine: Case, theirs: Case) -> str | None:
    """What makes two cases of one id different work; None where they say the same of themselves."""
    for field in ("dtype", "sizes", "threads"):
        here, there = getattr(mine, field), getattr(theirs, field)
        if here != there:
            return f"other work under the same name: {field} is {here} in the base, {there} there"
    return None


def _of_case(case: Case, here: Measurement, there: Measurement) -> Compared:
    low, high = speedup_interval(here.view, there.view) or (None, None)
    return Compared(
        case=case.id,
        suite=case.suite,
        base=here.median,
        other=there.median,
        low=low,
        high=high,
        base_flags=here.flags,
        other_flags=there.flags,
    )


def _settings(base: Settings, other: Settings) -> Iterator[Difference]:
    """What was asked for differently, as far as it changes what a case comes out as."""
    for field in ("device", "threads", "profile"):
        yield from _difference(field, getattr(base, field), getattr(other, field))
    theirs = msgspec.structs.asdict(other.sampling)
    for field, asked in msgspec.structs.asdict(base.sampling).items():
        yield from _difference(f"sampling.{field}", asked, theirs[field])


def _difference(field: str, this: float | str, other: float | str) -> Iterator[Difference]:
    if this != other:
        yield Difference(field=field, this=this, other=other)


def _exact(base: Run, theirs: dict[str, Result]) -> Iterator[Exact]:
    """What both runs know of the same work, and know differently; of skipped cases too."""
    for result in base.results:
        found = theirs.get(result.case.id)
        if found is None or unlike(result.case, found.case) is not None:
            continue
        there = _metrics(found)
        for metric, value in _metrics(result).items():
            if value != there.get(metric, value):
                yield Exact(case=result.case.id, metric=metric, base=value, other=there[metric])


def _metrics(result: Result) -> dict[str, int]:
    """What a case comes to without any noise, as far as it is known."""
    cost, trace, measurement = result.case.cost, result.case.trace, result.measurement
    found: dict[str, int] = {}
    if cost is not None:
        found["FLOPs"], found["elementwise FLOPs"] = cost.flops, cost.elementwise_flops
        found["bytes moved"], found["predicted memory"] = cost.bytes_moved, cost.memory_bytes
    if trace is not None:
        found["kernels"] = trace.kernels
    if measurement is not None and measurement.peak_memory_bytes is not None:
        found["peak memory"] = measurement.peak_memory_bytes
    return found


def _peaks(base: Run, other: Run) -> Iterator[PeakCompared]:
    """The best that code reached, of all that either run measured."""
    mine, theirs = base.peaks, other.peaks
    for dtype, threads in dict.fromkeys((c.dtype, c.threads) for c in (*mine.compute, *theirs.compute)):
        rates = _compute_rate(mine, dtype, threads), _compute_rate(theirs, dtype, threads)
        if rates != (None, None):
            yield PeakCompared("compute", dtype, threads, *rates)
    for level, threads in dict.fromkeys((b.level, b.threads) for b in (*mine.bandwidth, *theirs.bandwidth)):
        rates = _bandwidth(mine, level, threads), _bandwidth(theirs, level, threads)
        if rates != (None, None):
            yield PeakCompared("bandwidth", level, threads, *rates)


def _compute_rate(peaks: Peaks, dtype: str, threads: int) -> float | None:
    best = peaks.compute_peak(dtype, threads)
    return best.flops_per_second if best else None


def _bandwidth(peaks: Peaks, level: str, threads: int) -> float | None:
    best = peaks.bandwidth_peak(level, threads)
    return best.bytes_per_second if best else None
