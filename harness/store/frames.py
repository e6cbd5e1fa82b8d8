"""Rows and frames of whatever holds results: a run, a folder of runs, a data set. Base units throughout."""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import RecordError, UsageError
from harness.records import Header, Result, Run
from harness.store import runs
from harness.store.dataset import NAMES, DataSet, kinds
from harness.store.place import SCHEMA
from harness.store.table import Row, Told, flat, utc

if TYPE_CHECKING:
    import pandas as pd

Source = str | Path | Run
_Note = Callable[[str], object]


class FolderRows(msgspec.Struct, frozen=True):
    """The rows of a run folder; `complete` as `Run.complete` has it, where all of its rows were asked for."""

    run: str
    complete: bool
    rows: tuple[Row, ...]


class Wanted(msgspec.Struct, frozen=True):
    """Which rows: of a case or a pattern of cases, of a host (or the start of its id), of runs started then (UTC) or later."""

    case: str | None = None
    host: str | None = None
    since: str | None = None

    @property
    def needle(self) -> bytes:
        """What stands in each line that is wanted."""
        plain = self.case is not None and re.fullmatch(r"[\w.+:/-]+", self.case)
        return self.case.encode() if self.case is not None and plain else b""

    def of(self, header: Header | Told, results: Iterable[Result]) -> tuple[Row, ...]:
        """Those of a run."""
        if not self.includes(header):
            return ()
        named = (
            result
            for result in results
            if self.case is None or result.case.id == self.case or fnmatchcase(result.case.id, self.case)
        )
        return tuple(flat(header, named))

    def includes(self, told: Header | Told) -> bool:
        """Whether a run may have any."""
        at = utc(told.started_at, told.id)
        here = self.host is None or told.environment.host.id.startswith(self.host)
        return here and (self.since is None or at >= self.since)


EVERYTHING = Wanted()


def load(
    source: Source,
    *,
    case: str | None = None,
    host: str | None = None,
    since: str | datetime | None = None,
    results: Path = runs.DEFAULT_RESULTS,
) -> "pd.DataFrame":
    """A frame of results: a row per case of each run, with the columns of `harness.store.table.Row`.

    `source`: a run (its folder, its id or the start of one, `latest`, or the record), a results folder, a data set's folder or URL.
    `case` is an id, or a pattern as of a shell (`matmul-*`); `since` a time, ISO 8601. Runs that are not complete are in it, except in a
    data set. What cannot be read of many is left out with a warning.

    Raises:
        UsageError: there is no such run or folder, or a package is not installed.
        RecordError: the run named cannot be read.
    """
    import pandas as pd  # noqa: PLC0415 - half a second

    found = list(rows_of(source, case=case, host=host, since=since, results=results))
    columns: dict[str, Any] = {}
    names = {str: "string", int: "Int64", bool: "boolean", float: "float64"}
    for name, kind in kinds().items():
        values = [getattr(row, name) for row in found]
        if name == "started_at":
            columns[name] = pd.Series(pd.to_datetime(values, utc=True, format="ISO8601")).astype(
                "datetime64[us, UTC]"
            )
        else:
            columns[name] = pd.Series(values, dtype=names.get(kind, "object"))
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
    """The rows of some sources, each run once, as the first source has it: see `load`. Only a data set needs the extra `history`.

    Of a data set, `columns` alone are fetched (`DataSet.rows`). `note` gets a line for each run of a folder, and each file of a data set, that cannot be read and is left out.

    Raises:
        UsageError: there is no such run or folder, `since` is no time, or a package is not installed.
        RecordError: a run named cannot be read.
    """
    wanted = Wanted(case, host, None if since is None else _since(since))
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


def _of_folders(source: Source, wanted: Wanted, results: Path, note: _Note) -> Iterator[Sequence[Row]]:
    """The rows, those of a run together."""
    if isinstance(source, Run):
        yield wanted.of(source.header, source.results)
    elif found := run_folders(Path(source)):
        for folder in found:
            try:
                yield folder_rows(folder, wanted).rows
            except RecordError as error:
                note(f"{error}; left out")
    elif (Path(source) / runs.HEADER).is_file() or not Path(source).is_dir():
        yield folder_rows(runs.find(str(source), results), wanted).rows
    else:
        raise UsageError(f"no run and no data set in {source}: `plumbline bench` makes a run")


def is_dataset(source: str | Path) -> bool:
    """Whether it is the URL or the folder of a data set."""
    return "://" in str(source) or (Path(source) / SCHEMA).is_dir()


def run_folders(folder: Path) -> list[Path]:
    """The runs in a results folder, by name; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [folder / name for name in names if (folder / name / runs.HEADER).is_file()]


class Begun(msgspec.Struct, frozen=True):
    """As much of a header as tells whether its run is new, and came to its end."""

    id: str
    schema_version: int
    started_at: str
    finished_at: str | None = None


def begun_of(folder: Path) -> Begun:
    """The begin and end of a run on disk.

    Raises:
        RecordError: the run cannot be read, or a newer version wrote it.
    """
    try:
        begun = msgspec.json.decode((folder / runs.HEADER).read_bytes(), type=Begun)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        begun = None
    if begun is None or begun.schema_version > runs.SCHEMA_VERSION:
        header = runs.read(folder).header  # it says what is wrong
        begun = Begun(header.id, header.schema_version, header.started_at, header.finished_at)
    utc(begun.started_at, begun.id)
    return begun


def folder_rows(folder: Path, wanted: Wanted = EVERYTHING) -> FolderRows:
    """The rows of a run on disk, without reading more of it than they need.

    Raises:
        RecordError: the run cannot be read, or a newer version wrote it.
    """
    try:
        content, needle = (folder / runs.CASES).read_bytes(), wanted.needle
        if needle and needle not in content:
            return FolderRows("", complete=False, rows=())
        told = msgspec.json.decode((folder / runs.HEADER).read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        told = None
    if told is None or told.schema_version != runs.SCHEMA_VERSION:
        run = runs.read(folder)  # of an older version; or it says what is wrong
        return FolderRows(run.header.id, run.complete, wanted.of(run.header, run.results))
    results: dict[str, Result] = {}
    for line in content.split(b"\n")[:-1] if wanted.includes(told) else ():
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # it counts as not measured
            if needle in line:
                result = _DECODER.decode(line)
                results[result.case.id] = result
    complete = told.finished_at is not None and all(case in results for case in told.planned)
    order = {case: place for place, case in enumerate(told.planned)}
    in_order = sorted(results.values(), key=lambda result: order.get(result.case.id, len(order)))
    return FolderRows(told.id, complete, wanted.of(told, in_order))


_DECODER = msgspec.json.Decoder(Result)


def _since(time: str | datetime) -> str:
    """A time as rows tell theirs."""
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError as error:
        raise UsageError(f"since {time!r} is no time: give one such as 2026-01-31") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
