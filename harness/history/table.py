"""Series over time, from tables of values and from rows of runs."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.history.change_points import CONFIRMED, HISTORY, boundaries, change_points
from harness.records.history import Boundary, History, Point
from harness.stats import median
from harness.store.table import Row, in_utc
from harness.text import read_csv, visible

VALUE, TIME, BUILD = "value", "time", "build"
NEEDED = "needed: value, and optionally time and build, separated by commas, semicolons or tabs"
# A note lists up to this many lines.
NAMED = 5

# The cells of a row by column, and the line of the file it ends on.
_Row = tuple[int, dict[str, str]]


def analysed(
    name: str, unit: str, points: Sequence[Point], *, notes: Iterable[str] = (), host: str | None = None
) -> History:
    """A series with its change points and the boundaries between which they were searched. Values must be positive and finite."""
    parts = boundaries(points)
    edges = [0, *(part.index for part in parts), len(points)]
    longest = max(last - first for first, last in itertools.pairwise(edges))
    every = list(notes)
    if longest < HISTORY + CONFIRMED:
        every.append(
            f"inconclusive: {longest} points on one stack at most; a change point needs {HISTORY} before it and {CONFIRMED} after"
        )
    return History(
        name=name,
        unit=unit,
        points=tuple(points),
        change_points=change_points(points),
        boundaries=parts,
        notes=tuple(every),
        host=host,
    )


def read_table(path: Path, unit: str = "") -> History:
    """The series of a table, with its change points.

    Columns: `value`, and optionally `time` and `build`; others are ignored. The median of the values of one build is one point, where the
    build first appears; a row without a build is a point of its own. `row` of a point counts rows from 0, without the header. Values that
    are zero, negative or not finite are left out, with a note.

    Raises:
        UsageError: it cannot be read as such a table; names the line.
    """
    rows = _read(path)
    values = [_value(path, line, cells[VALUE]) for line, cells in rows]
    left_out = [line for (line, _), value in zip(rows, values, strict=True) if not 0.0 < value < math.inf]
    if len(left_out) == len(rows):
        raise UsageError(f"{path} has no value that is positive and finite")
    notes = []
    if left_out:
        which = _lines(left_out)
        notes.append(
            f"{len(left_out)} of {len(rows)} values left out, missing, zero, negative or not finite: {which}"
        )
    back = [
        line
        for ((_, before), (line, after)) in itertools.pairwise(rows)
        if _is_before(after[TIME], before[TIME])
    ]
    if back:
        notes.append(f"times go backwards, the order of the file is kept: {_lines(back)}")
    return analysed(path.name, unit, _points(rows, values), notes=notes)


def _points(rows: Sequence[_Row], values: Sequence[float]) -> list[Point]:
    """A point for each build and for each row without one, in order of first appearance."""
    grouped: dict[str | int, list[int]] = {}
    for place, ((_, cells), value) in enumerate(zip(rows, values, strict=True)):
        if 0.0 < value < math.inf:
            grouped.setdefault(cells[BUILD] or place, []).append(place)
    return [
        Point(
            value=_middle([values[place] for place in places]),
            row=places[0],
            time=rows[places[0]][1][TIME] or None,
            build=rows[places[0]][1][BUILD] or None,
        )
        for places in grouped.values()
    ]


def _middle(values: Sequence[float]) -> float:
    """The median, where the mean of the middle two may overflow."""
    return min(median(values), max(values))


def _read(path: Path) -> list[_Row]:
    rows = read_csv(path, "no such table")
    if not rows:
        raise UsageError(f"{path} is empty; {NEEDED}")
    (_, header), *rest = rows
    columns = _columns(path, header)
    if not rest:
        raise UsageError(f"{path} has a header and no rows")
    return [
        (line, {name: row[at] if at is not None and at < len(row) else "" for name, at in columns.items()})
        for line, row in rest
    ]


def _columns(path: Path, header: Sequence[str]) -> dict[str, int | None]:
    """The index of each column; capitals do not matter."""
    names = [name.lower() for name in header]
    if VALUE not in names:
        has = ", ".join(visible(name[:40]) or "(no name)" for name in header)
        raise UsageError(f"{path} has no column 'value': its columns are {has}; {NEEDED}")
    for name in (VALUE, TIME, BUILD):
        if names.count(name) > 1:
            raise UsageError(f"{path} has the column {name!r} more than once")
    return {name: names.index(name) if name in names else None for name in (VALUE, TIME, BUILD)}


def _value(path: Path, line: int, cell: str) -> float:
    if not cell:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        hint = ": write a decimal point, and nothing between thousands" if "," in cell else ""
        raise UsageError(f"{path}, line {line}: {cell[:40]!r} is not a number{hint}") from None


def _is_before(time: str, previous: str) -> bool:
    """Whether a time is before the previous one, where both are known."""
    now, before = seconds(time), seconds(previous)
    return now is not None and before is not None and now < before


def seconds(time: str | None) -> float | None:
    """A time in seconds: a number as it is, an ISO 8601 time since 1970 (of UTC where it names no zone); None for others.

    >>> seconds("1970-01-01T00:01:00"), seconds("12.5"), seconds("soon")
    (60.0, 12.5, None)
    """
    if not time:
        return None
    try:
        number = float(time)
    except ValueError:
        try:
            moment = datetime.fromisoformat(time)
        except ValueError:
            return None
        number = in_utc(moment).timestamp()
    return number if math.isfinite(number) else None


def _lines(lines: Sequence[int]) -> str:
    named = ", ".join(str(line) for line in lines[:NAMED])
    more = f" and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
    return f"line {named}" if len(lines) == 1 else f"lines {named}{more}"


# The metrics of series, with their units.
METRICS = {
    "median_seconds": "s",
    "best_seconds": "s",
    "peak_memory_bytes": "B",
    "flops": "FLOP",
    "kernels": "",
    "joules_per_call": "J",
}
# The note of several series of one case on one machine.
ANOTHER = "the code of its workload changed: there is another series of this case, from before or after"
# The parts of a stack that a row contains.
STACK = ("torch", "cuda", "driver")


def histories(rows: Iterable[Row], metric: str = "median_seconds") -> tuple[History, ...]:
    """The series of some rows, with their change points: one for each series and host, in order of case, machine and host. A run is a point.

    Raises:
        UsageError: no such metric.
    """
    if metric not in METRICS:
        raise UsageError(f"no metric {metric!r}: one of {', '.join(METRICS)}")
    ordered = sorted(
        rows,
        key=lambda row: (row.case, row.machine or "", row.series, row.host or "", row.started_at, row.run),
    )
    series = [
        _history(list(group), metric)
        for _, group in itertools.groupby(ordered, key=attrgetter("case", "machine", "series", "host"))
    ]
    keys = [(history.name, history.machine, history.threads, history.host) for history in series]
    counts = Counter(keys)
    return tuple(
        msgspec.structs.replace(history, notes=(*history.notes, ANOTHER)) if counts[key] > 1 else history
        for history, key in zip(series, keys, strict=True)
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
            build=None if row.dirty else row.commit,  # a dirty tree has no name
            run=row.run,
            stack=row.stack,
        )
        for place, (row, value) in enumerate(kept)
    ]
    history = analysed(rows[0].case, METRICS[metric], points, notes=notes, host=rows[0].host)
    kept_rows = [row for row, _ in kept]
    return msgspec.structs.replace(
        history,
        machine=rows[0].machine,
        threads=rows[0].threads,
        series=rows[0].series,
        boundaries=tuple(_explained(boundary, kept_rows) for boundary in history.boundaries),
    )


def _explained(boundary: Boundary, rows: Sequence[Row]) -> Boundary:
    """The boundary with the known differences."""
    before, after = rows[boundary.index - 1], rows[boundary.index]
    changes = tuple(
        f"{name} {was or 'unknown'} to {now or 'unknown'}"
        for name in STACK
        if (was := getattr(before, name)) != (now := getattr(after, name))
    )
    return msgspec.structs.replace(
        boundary, changes=changes or ("another stack: settings, clocks or libraries",)
    )
