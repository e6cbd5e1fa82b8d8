"""Series of recorded runs: a history for each series and host."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

import msgspec

from harness.errors import UsageError
from harness.history.table import analysed
from harness.records.history import Boundary, History, Point
from harness.records.row import Row

# What a series can be of, with the unit.
METRICS = {
    "typical_seconds": "s",
    "best_seconds": "s",
    "peak_memory_bytes": "B",
    "flops": "FLOP",
    "kernels": "",
    "joules_per_call": "J",
}
# Said of series that are of one case on one machine and yet several.
ANOTHER = "the code of its workload changed: there is another series of this case, from before or after"
# What of a stack a row tells in words.
TOLD = ("torch", "cuda", "driver")


def histories(rows: Iterable[Row], metric: str = "typical_seconds") -> tuple[History, ...]:
    """The series of some rows, judged: one for each series and host, in order of case, machine and host; every run is a point.

    Raises:
        UsageError: no such metric.
    """
    if metric not in METRICS:
        raise UsageError(f"no metric {metric!r}: one of {', '.join(METRICS)}")
    ordered = sorted(
        rows,
        key=lambda row: (row.case, row.machine or "", row.series, row.host or "", row.started_at, row.run),
    )
    found = [
        _history(list(group), metric)
        for _, group in itertools.groupby(ordered, key=attrgetter("case", "machine", "series", "host"))
    ]
    alike = Counter((one.name, one.machine, one.threads, one.host) for one in found)
    return tuple(
        msgspec.structs.replace(one, notes=(*one.notes, ANOTHER))
        if alike[one.name, one.machine, one.threads, one.host] > 1
        else one
        for one in found
    )


def _history(rows: Sequence[Row], metric: str) -> History:
    known = [(row, value) for row in rows if (value := getattr(row, metric)) is not None]
    kept = [(row, float(value)) for row, value in known if 0.0 < value < math.inf]
    notes = [f"{len(rows) - len(known)} runs have no such measurement"] if len(known) < len(rows) else []
    if len(kept) < len(known):
        notes.append(f"{len(known) - len(kept)} values left out, zero, negative or not finite")
    points = [
        Point(
            value=value,
            row=place,
            time=row.started_at,
            build=None if row.dirty else row.commit,  # what was not committed has no name
            run=row.run,
            stack=row.stack,
        )
        for place, (row, value) in enumerate(kept)
    ]
    history = analysed(rows[0].case, METRICS[metric], points, notes=notes, host=rows[0].host)
    told = [row for row, _ in kept]
    return msgspec.structs.replace(
        history,
        machine=rows[0].machine,
        threads=rows[0].threads,
        series=rows[0].series,
        boundaries=tuple(_explained(one, told) for one in history.boundaries),
    )


def _explained(boundary: Boundary, rows: Sequence[Row]) -> Boundary:
    """The boundary with what is known to differ over it."""
    before, after = rows[boundary.index - 1], rows[boundary.index]
    changes = tuple(
        f"{name} {was or 'unknown'} to {now or 'unknown'}"
        for name in TOLD
        if (was := getattr(before, name)) != (now := getattr(after, name))
    )
    return msgspec.structs.replace(
        boundary, changes=changes or ("another stack: settings, clocks or libraries",)
    )
