"""A model for each sweep of a run or group of a table, or the reason why not, and its expectations for work without a time."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness import units
from harness.errors import UsageError
from harness.fit.fitted import CROOKED, FEWEST, Fitted, fit
from harness.fit.intervals import Expectation
from harness.fit.models import LONGEST, SHORTEST, logarithms
from harness.fit.selection import SPARE
from harness.fit.solver import Points
from harness.fit.sweeps import Sweep, parameters, sweeps
from harness.records import Parameter, Run
from harness.text import read_csv, visible

# Expectations are computed in chunks of this size: each is a curve for every draw of the bootstrap.
AT_ONCE = 10_000


@dataclass(frozen=True)
class Group:
    """Sizes with the model fitted to them. `where`: the work of each size. `reason`: why there is no model.

    `left_out` counts invalid times (zero, negative, not a number). `predictions`: the rows without a time, and the expectations for
    them.
    """

    name: str
    fitted: Fitted | None
    parameters: tuple[Parameter, ...]
    where: tuple[Mapping[str, float], ...]
    reason: str
    left_out: int
    predictions: tuple[tuple[Mapping[str, object], Expectation | None], ...]


def grouped(
    name: str,
    times: Mapping[tuple[float, ...], Sequence[float]],
    columns: Sequence[str],
    wanted: Sequence[tuple[tuple[float, ...], Mapping[str, object]]],
    left_out: int,
) -> Group:
    """A group from the times of each work (in the order of `columns`), and the rows without a time, each with its work."""
    works = list(times)
    fitted, reason = None, _reason(len(works), left_out)
    if len(works) >= FEWEST:
        points = Points.of(
            {column: [work[at] for work in works] for at, column in enumerate(columns)}, list(times.values())
        )
        fitted = fit(points)
    if fitted is not None and fitted.median > CROOKED:
        best = f"the best: {fitted.model}, {units.percent(fitted.median)}"
        fitted, reason = (
            None,
            f"inconclusive: no model is within {units.percent(CROOKED)} of the sizes ({best})",
        )
    return Group(
        name=name,
        fitted=fitted,
        parameters=fitted.parameters if fitted else (),
        where=tuple(dict(zip(columns, work, strict=True)) for work in works),
        reason="" if fitted else reason,
        left_out=left_out,
        predictions=tuple(_expected(fitted, columns, wanted)),
    )


def of_run(run: Run) -> tuple[Group, ...]:
    """A group for each sweep of a run; its rows without a time are the sizes that were not measured."""
    return tuple(_of_sweep(sweep) for sweep in sweeps(run))


def _of_sweep(sweep: Sweep) -> Group:
    fitted = fit(sweep.points, sweep.levels)
    # A level without a measured size has no rate.
    wanted = [size for size in sweep.unmeasured if not sweep.levels or size.level in sweep.levels]
    expected: list[Expectation | None] = [None] * len(wanted)
    if fitted and wanted:
        columns = Points.of(sweep.columns(tuple(wanted)), [[1.0]] * len(wanted)).columns
        expected = list(fitted.expect(columns))
    # A rate for each level, and spare sizes to test them.
    needs = len(sweep.levels) + SPARE
    return Group(
        name=sweep.series,
        fitted=fitted,
        parameters=parameters(sweep, fitted) if fitted else (),
        where=tuple({sweep.variable: size.size} for size in sweep.sizes),
        reason="" if fitted else _reason(len(sweep.sizes), 0, max(needs, FEWEST)),
        left_out=0,
        predictions=tuple(
            ({sweep.variable: size.size, **size.work}, expectation)
            for size, expectation in zip(wanted, expected, strict=True)
        ),
    )


def _reason(sizes: int, left_out: int, needed: int = FEWEST) -> str:
    counted = {0: "no size has a time", 1: "one size has a time"}.get(sizes, f"{sizes} sizes have a time")
    if sizes >= needed:
        return f"inconclusive: {counted}, and no model describes them"
    dropped = f" ({left_out} left out: zero, negative or not a number)" if left_out else ""
    return f"inconclusive: {counted}{dropped}; a model needs at least {needed}"


def _expected(
    fitted: Fitted | None,
    columns: Sequence[str],
    wanted: Sequence[tuple[tuple[float, ...], Mapping[str, object]]],
) -> Iterator[tuple[Mapping[str, object], Expectation | None]]:
    if fitted is None:
        yield from ((row, None) for _, row in wanted)
        return
    works = list(dict.fromkeys(work for work, _ in wanted))
    known: dict[tuple[float, ...], Expectation] = {}
    for start in range(0, len(works), AT_ONCE):
        chunk = np.array(works[start : start + AT_ONCE], dtype=float)
        logs = {column: logarithms(chunk[:, at]) for at, column in enumerate(columns)}
        known.update(zip(works[start : start + AT_ONCE], fitted.expect(logs), strict=True))
    yield from ((row, known[work]) for work, row in wanted)


# Suffixes of tables: a missing file with such a name was meant as a table, as no run has such a name.
SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".json")
TIME, GROUP = "seconds", "group"
# The columns that a time can depend on: FLOPs and bytes, together where a table has both, else the first of the others.
WORK = ("flops", "bytes")
ALONE = ("size", "threads")
NEEDED = "needed: seconds, and flops, bytes, size or threads, separated by commas, semicolons or tabs"
# The name of the group where a table has none.
EVERYTHING = "all"

Work = tuple[float, ...]


@dataclass
class _Rows:
    """The rows of one group of a table."""

    times: dict[Work, list[float]] = field(default_factory=dict)
    wanted: list[tuple[Work, dict[str, object]]] = field(default_factory=list)
    left_out: int = 0


def is_table(reference: str) -> bool:
    """Whether a reference means a table: a file or pipe, or a missing file with the suffix of a table."""
    with contextlib.suppress(OSError, ValueError):  # a reference no path can be, such as one too long
        path = Path(reference)
        return not path.is_dir() if path.exists() else path.suffix.lower() in SUFFIXES
    return False


def fit_table(path: Path) -> tuple[Group, ...]:
    """A model for each group of a table.

    Columns: `seconds`; `flops`, `bytes` or both, else `size`, else `threads`; `group` where there are several. Rows of the same work
    are repeats. A row without seconds gets an expectation. A row whose time is zero, negative or not a number is left out and
    counted.

    Raises:
        UsageError: it cannot be read as such a table; names the row and the column.
    """
    rows = read_csv(path, "no such run or table")
    if len(rows) < 2:
        raise UsageError(f"{path} is an empty table: a header and rows are needed; {NEEDED}")
    (_, header), *rest = rows
    # Spreadsheets write rows that are shorter or longer than the header.
    padded = [(number, (cells + [""] * len(header))[: len(header)]) for number, cells in rest]
    return fit_rows(path, header, padded)


def fit_rows(path: Path, header: list[str], rows: Iterable[tuple[int, list[str]]]) -> tuple[Group, ...]:
    """Fits rows of cells, each with its number; `path` names the table in messages.

    Raises:
        UsageError: names the row and the column.
    """
    columns = _work_columns(path, header)
    at = {name: header.index(name) for name in (*columns, TIME)}
    group = header.index(GROUP) if GROUP in header else None
    groups: dict[str, _Rows] = {}
    for number, cells in rows:
        kept = groups.setdefault(EVERYTHING if group is None else cells[group], _Rows())
        work = tuple(_work(path, number, name, cells[at[name]]) for name in columns)
        if not cells[at[TIME]]:
            kept.wanted.append(
                (work, {**dict(zip(header, cells, strict=True)), **dict(zip(columns, work, strict=True))})
            )
            continue
        seconds = _number(path, number, TIME, cells[at[TIME]])
        if SHORTEST <= seconds <= LONGEST:
            kept.times.setdefault(work, []).append(seconds)
        else:
            kept.left_out += 1
    return tuple(
        grouped(name, kept.times, columns, kept.wanted, kept.left_out) for name, kept in groups.items()
    )


def _work_columns(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    columns = (
        tuple(name for name in WORK if name in header) or tuple(name for name in ALONE if name in header)[:1]
    )
    has = f"its columns are {', '.join(visible(name) or '(no name)' for name in header)}; {NEEDED}"
    if TIME not in header:
        raise UsageError(f"{path} has no column {TIME!r}: {has}")
    if not columns:
        raise UsageError(f"{path} has no column of work (flops, bytes, size or threads): {has}")
    for name in (*columns, TIME, GROUP):
        if header.count(name) > 1:
            raise UsageError(f"{path} has the column {name!r} more than once")
    return columns


def _work(path: Path, row: int, column: str, cell: str) -> float:
    number = _number(path, row, column, cell)
    if not math.isfinite(number) or number < 0.0:
        raise UsageError(
            f"{path}, row {row}, column {column!r}: {cell} is not a valid size: it must be finite and not negative"
        )
    if column == "threads" and number < 1.0:
        raise UsageError(
            f"{path}, row {row}, column {column!r}: {cell} is not a valid number of threads: at least 1"
        )
    return number


def _number(path: Path, row: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        shown = f"{cell[:40]!r} is not a number" if cell else "the cell is empty"
        shown += f"; needed: a number{', or nothing to have it predicted' if column == TIME else ''}"
        raise UsageError(f"{path}, row {row}, column {column!r}: {shown}") from None
