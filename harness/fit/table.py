"""A user's own table: a CSV of times and work, fitted group by group."""

import contextlib
import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.fit.groups import Group, grouped
from harness.fit.laws import LONGEST, SHORTEST

# What a table that is not there may have been called: no run has such a name.
SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".json")
TIME, GROUP = "seconds", "group"
# What a time may depend on: the first of these that a table has. FLOPs and bytes together where it has both.
WORK = ("flops", "bytes")
ALONE = ("size", "threads")
NEEDED = "needed: seconds, and flops, bytes, size or threads, separated by commas"
# The name of the group where a table has none.
EVERYTHING = "all"

Work = tuple[float, ...]


@dataclass
class _Rows:
    """The rows of one group, as they are read."""

    times: dict[Work, list[float]] = field(default_factory=dict)
    wanted: list[tuple[Work, dict[str, object]]] = field(default_factory=list)
    left_out: int = 0


def is_table(reference: str) -> bool:
    """Whether a reference means a table: there is such a file or pipe, or there is nothing and only a file has such a name."""
    with contextlib.suppress(OSError, ValueError):  # a reference no path can be, such as one too long
        path = Path(reference)
        return not path.is_dir() if path.exists() else path.suffix.lower() in SUFFIXES
    return False


def printable(text: str) -> str:
    r"""Text from a file, with what would command a terminal escaped.

    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def fit_table(path: Path) -> tuple[Group, ...]:
    """A law for each group of a table.

    Columns: `seconds`; `flops`, `bytes` or both, else `size`, else `threads`; `group` where there are several. Rows of the same work
    are repeats. A row without seconds wants an expectation; one whose time is zero, negative or not a number is left
    out and counted.

    Raises:
        UsageError: it cannot be read as such a table; names the row and the column.
    """
    header, rows = _read(path)
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
    return tuple(grouped(name, one.times, columns, one.wanted, one.left_out) for name, one in groups.items())


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each row with its number as a spreadsheet shows it; rows of nothing are passed over."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            told = [
                (number, [cell.strip() for cell in row])
                for number, row in enumerate(csv.reader(file), start=1)
            ]
    except FileNotFoundError:
        raise UsageError(f"no such run or table: {str(path)!r}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV table in UTF-8: {error}") from error
    told = [(number, row) for number, row in told if any(row)]
    if len(told) < 2:
        raise UsageError(f"{path} is an empty table: a header and rows are needed; {NEEDED}")
    (_, header), *rows = told
    # A row may be shorter than the header, as spreadsheets write them, or longer.
    return header, [(number, (row + [""] * len(header))[: len(header)]) for number, row in rows]


def _work_columns(path: Path, header: Sequence[str]) -> tuple[str, ...]:
    columns = (
        tuple(name for name in WORK if name in header) or tuple(name for name in ALONE if name in header)[:1]
    )
    has = f"its columns are {', '.join(printable(name) or '(no name)' for name in header)}; {NEEDED}"
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
            f"{path}, row {row}, column {column!r}: {cell} is no size: it must be finite and not negative"
        )
    if column == "threads" and number < 1.0:
        raise UsageError(f"{path}, row {row}, column {column!r}: {cell} is no number of threads: at least 1")
    return number


def _number(path: Path, row: int, column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        shown = f"{cell[:40]!r} is not a number" if cell else "the cell is empty"
        shown += f"; needed: a number{', or nothing to have it predicted' if column == TIME else ''}"
        raise UsageError(f"{path}, row {row}, column {column!r}: {shown}") from None
