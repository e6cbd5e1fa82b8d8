"""A user's own series: a CSV of values, with what they were measured at."""

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import msgspec

from harness.errors import UsageError
from harness.history.change_points import CONFIRMED, HISTORY, boundaries, steps
from harness.records.history import Boundary, History, Point
from harness.stats import median
from harness.store.table import Row, in_utc

VALUE, TIME, BUILD = "value", "time", "build"
DELIMITERS = ",;\t"
NEEDED = "needed: value, and where they are known time and build, separated by commas, semicolons or tabs"
# So many lines are named in a note.
NAMED = 5

# The cells of a row by column, and the line of the file it ends on.
_Row = tuple[int, dict[str, str]]


def analysed(
    name: str, unit: str, points: Sequence[Point], *, notes: Iterable[str] = (), host: str | None = None
) -> History:
    """A series with its steps and the boundaries between which they were looked for. Values must be positive and finite."""
    parts = boundaries(points)
    edges = [0, *(part.index for part in parts), len(points)]
    longest = max(last - first for first, last in itertools.pairwise(edges))
    told = list(notes)
    if longest < HISTORY + CONFIRMED:
        told.append(
            f"inconclusive: {longest} points on one stack at most, where a step is told by {HISTORY} before it and {CONFIRMED} after"
        )
    return History(
        name=name,
        unit=unit,
        points=tuple(points),
        steps=steps(points),
        boundaries=parts,
        notes=tuple(told),
        host=host,
    )


def read_table(path: Path, unit: str = "") -> History:
    """The series of a table, judged.

    Columns: `value`; `time` and `build` where they are known; others are ignored. The values of one build are one point, their median, where the
    build appears first; a row without a build is a point of its own. `row` of a point counts rows from 0, without the header. Values that
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
    """Their median, where the mean of two of them is not beyond what a number can be, too."""
    return min(median(values), max(values))


def _read(path: Path) -> list[_Row]:
    """The rows that are not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"no such table: {str(path)!r}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a table in UTF-8: {error}") from error
    lines = io.StringIO(text, newline="")
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    reader = csv.reader(lines, delimiter=max(DELIMITERS, key=first.count))
    try:
        told = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path} is not a CSV table: {error}") from error
    told = [(line, row) for line, row in told if any(row)]
    if not told:
        raise UsageError(f"{path} is empty; {NEEDED}")
    (_, header), *rows = told
    columns = _columns(path, header)
    if not rows:
        raise UsageError(f"{path} has a header and no rows")
    return [
        (line, {name: row[at] if at is not None and at < len(row) else "" for name, at in columns.items()})
        for line, row in rows
    ]


def _columns(path: Path, header: Sequence[str]) -> dict[str, int | None]:
    """Where the columns stand; capitals do not matter."""
    names = [name.lower() for name in header]
    if VALUE not in names:
        has = ", ".join(_shown(name) or "(no name)" for name in header)
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
        hint = ": a decimal point, and nothing between thousands" if "," in cell else ""
        raise UsageError(f"{path}, line {line}: {cell[:40]!r} is not a number{hint}") from None


def _is_before(this: str, other: str) -> bool:
    """Whether a time is before another, where both can be told."""
    mine, theirs = seconds(this), seconds(other)
    return mine is not None and theirs is not None and mine < theirs


def seconds(time: str | None) -> float | None:
    """A time in seconds: a number as it is, an ISO 8601 time since 1970 (of UTC where it names no zone); None for others.

    >>> seconds("1970-01-01T00:01:00"), seconds("12.5"), seconds("soon")
    (60.0, 12.5, None)
    """
    if not time:
        return None
    try:
        found = float(time)
    except ValueError:
        try:
            told = datetime.fromisoformat(time)
        except ValueError:
            return None
        found = in_utc(told).timestamp()
    return found if math.isfinite(found) else None


def _lines(lines: Sequence[int]) -> str:
    named = ", ".join(str(line) for line in lines[:NAMED])
    more = f" and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
    return f"line {named}" if len(lines) == 1 else f"lines {named}{more}"


def _shown(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text[:40])


# What a series can be of, with the unit.
METRICS = {
    "median_seconds": "s",
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


def histories(rows: Iterable[Row], metric: str = "median_seconds") -> tuple[History, ...]:
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
        boundaries=tuple(_explained(boundary, told) for boundary in history.boundaries),
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
