"""Rows and data frames of results: of a run, a folder of runs, or a data set. Base units throughout."""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

import msgspec

from harness.errors import RecordError, UsageError
from harness.records import Header, Result, Run
from harness.store import runs
from harness.store.dataset import SCHEMA, DataSet
from harness.store.table import NAMES, Row, RowHeader, cells, flat, in_utc, kinds, utc

if TYPE_CHECKING:
    import pandas as pd

Source = str | Path | Run
_Note = Callable[[str], object]


class FolderRows(msgspec.Struct, frozen=True):
    """The rows of a run folder; `complete` is `Run.complete` where all rows were read."""

    run: str
    complete: bool
    rows: tuple[Row, ...]


class Filter(msgspec.Struct, frozen=True):
    """Selects rows of a case (or a shell pattern), of a host (or the start of its id), of runs started at `since` (UTC) or later."""

    case: str | None = None
    host: str | None = None
    since: str | None = None

    @property
    def needle(self) -> bytes:
        """Bytes that each selected line contains."""
        plain = self.case is not None and re.fullmatch(r"[\w.+:/-]+", self.case)
        return self.case.encode() if self.case is not None and plain else b""

    def of(self, header: Header | RowHeader, results: Iterable[Result]) -> tuple[Row, ...]:
        """The selected rows of a run."""
        if not self.includes(header):
            return ()
        named = (
            result
            for result in results
            if self.case is None or result.case.id == self.case or fnmatchcase(result.case.id, self.case)
        )
        return tuple(flat(header, named))

    def includes(self, header: Header | RowHeader) -> bool:
        """Whether a run may have selected rows."""
        at = utc(header.started_at, header.id)
        here = self.host is None or header.environment.host.id.startswith(self.host)
        return here and (self.since is None or at >= self.since)


EVERYTHING = Filter()


def load(
    source: Source,
    *,
    case: str | None = None,
    host: str | None = None,
    since: str | datetime | None = None,
    results: Path = runs.DEFAULT_RESULTS,
) -> "pd.DataFrame":
    """A data frame of results, in base units: a row per case of each run.

    The columns are those of `harness.store.table.Row`, with nested ones as `size.m`, `parameter.optimizer`, `forward_seconds`, `samples_per_second`.
    Incomplete runs are included, but in a data set. Of several runs, those that cannot be read are left out with a warning.

    Args:
        source: a run (its folder, its id or the start of it, `latest`, or the record), a results folder, or a data set (folder or URL).
        case: an id, or a shell pattern such as `matmul-*`.
        host: a host's id or the start of it.
        since: the earliest start of a run, ISO 8601; UTC where it has no offset.
        results: the results folder in which ids are looked up.

    Returns:
        A row per case of each run.

    Raises:
        UsageError: there is no such run or folder, or a package is not installed.
        RecordError: the run named cannot be read.
    """
    import pandas as pd  # noqa: PLC0415 - half a second

    rows = list(map(cells, rows_of(source, case=case, host=host, since=since, results=results)))
    types = {str: "string", int: "Int64", bool: "boolean", float: "float64"}
    fixed = {name: kind for name, kind in kinds().items() if get_origin(kind) is not dict}
    nested = sorted({name for row in rows for name in row} - set(fixed))
    columns: dict[str, Any] = {}
    for name in (*fixed, *nested):
        values: list[Any] = [row.get(name) for row in rows]
        if name == "started_at":
            moments = pd.Series(pd.to_datetime(values, utc=True, format="ISO8601"))
            columns[name] = moments.astype("datetime64[us, UTC]")
            continue
        present = {type(value) for value in values if value is not None}
        kind = fixed[name] if name in fixed else present.pop() if len(present) == 1 else object
        columns[name] = pd.Series(values, dtype=types.get(kind, "object"))
    return pd.DataFrame(columns)


def rows_of(
    *sources: Source,
    case: str | None = None,
    host: str | None = None,
    since: str | datetime | None = None,
    results: Path = runs.DEFAULT_RESULTS,
    columns: Collection[str] = NAMES,
    note: _Note = warnings.warn,
) -> Iterator[Row]:
    """The rows of some sources, each run once, from the first source that contains it: see `load`. Only a data set needs the extra `history`.

    Of a data set, only `columns` are read (`DataSet.rows`). `note` gets a line for each run or file that cannot be read and is left out.

    Raises:
        UsageError: there is no such run or folder, `since` is not a time, or a package is not installed.
        RecordError: a run named cannot be read.
    """
    wanted = Filter(case, host, None if since is None else _since(since))
    seen: set[str] = set()
    for source in sources:
        if not isinstance(source, Run) and is_dataset(source):
            data = DataSet(source, note)
            blocks: Iterator[Sequence[Row]] = iter(
                [data.rows(case=case, host=host, since=wanted.since, columns=columns)]
            )
        else:
            blocks = _of_folders(source, wanted, results, note)
        for rows in blocks:
            fresh = [row for row in rows if row.run not in seen]
            yield from fresh
            seen.update(row.run for row in fresh)


def _of_folders(source: Source, wanted: Filter, results: Path, note: _Note) -> Iterator[Sequence[Row]]:
    """The rows of folders, a run at a time."""
    if isinstance(source, Run):
        yield wanted.of(source.header, source.results)
    elif folders := run_folders(Path(source)):
        for folder in folders:
            try:
                yield folder_rows(folder, wanted).rows
            except RecordError as error:
                note(f"{error}; left out")
    elif (Path(source) / runs.HEADER).is_file() or not Path(source).is_dir():
        yield folder_rows(runs.find(str(source), results), wanted).rows
    else:
        raise UsageError(f"no run and no data set in {source}: `plumbline bench` makes a run")


def is_dataset(source: str | Path) -> bool:
    """Whether a source is the URL or the folder of a data set."""
    return "://" in str(source) or (Path(source) / SCHEMA).is_dir()


def run_folders(folder: Path) -> list[Path]:
    """The run folders in a results folder, by name; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if (folder / name / runs.HEADER).is_file()]


class Begun(msgspec.Struct, frozen=True):
    """The part of a header that identifies a run and its end."""

    id: str
    schema_version: int
    started_at: str
    finished_at: str | None = None


def begun_of(folder: Path) -> Begun:
    """The id, start and end of a run on disk.

    Raises:
        RecordError: the run cannot be read, or a newer version wrote it.
    """
    try:
        begun = msgspec.json.decode((folder / runs.HEADER).read_bytes(), type=Begun)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        begun = None
    if begun is None or begun.schema_version > runs.SCHEMA_VERSION:
        header = runs.read(folder).header  # raises the reason
        begun = Begun(header.id, header.schema_version, header.started_at, header.finished_at)
    utc(begun.started_at, begun.id)
    return begun


def folder_rows(folder: Path, wanted: Filter = EVERYTHING) -> FolderRows:
    """The rows of a run on disk; only the files that they need are read.

    Raises:
        RecordError: the run cannot be read, or a newer version wrote it.
    """
    try:
        content, needle = (folder / runs.CASES).read_bytes(), wanted.needle
        if needle and needle not in content:
            return FolderRows("", complete=False, rows=())
        header = msgspec.json.decode((folder / runs.HEADER).read_bytes(), type=RowHeader)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        header = None
    if header is None or header.schema_version != runs.SCHEMA_VERSION:
        run = runs.read(folder)  # of an older version; else it raises the reason
        return FolderRows(run.header.id, run.complete, wanted.of(run.header, run.results))
    results: dict[str, Result] = {}
    for line in content.split(b"\n")[:-1] if wanted.includes(header) else ():
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # its case counts as not measured
            if needle in line:
                result = _DECODER.decode(line)
                results[result.case.id] = result
    complete = header.finished_at is not None and all(case in results for case in header.planned)
    order = {case: place for place, case in enumerate(header.planned)}
    in_order = sorted(results.values(), key=lambda result: order.get(result.case.id, len(order)))
    return FolderRows(header.id, complete, wanted.of(header, in_order))


_DECODER = msgspec.json.Decoder(Result)


def _since(time: str | datetime) -> str:
    """A time in the form of `Row.started_at`."""
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError as error:
        raise UsageError(f"since {time!r}: not a time; write one such as 2026-01-31") from error
    return in_utc(moment).isoformat()
