"""Adds run folders, or rows of other tools, to a data set: each run once. Base units throughout."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import PlumblineError, RecordError, UsageError, one_line
from harness.records.base import Record
from harness.store import runs
from harness.store.dataset import RUNS_KEY, TYPES, DataSet, Place, needed
from harness.store.frames import FolderRows, begun_of, folder_rows, run_folders
from harness.store.table import NAMES, Row, kinds

# Rows that lie together are read together: a series is a small part of a group of this size.
GROUP_ROWS = 16384
# The most runs of a file, and the most bytes of their cases.
BUNDLE_RUNS, BUNDLE_BYTES = 2500, 400 << 20
# Number of runs that are converted to columns at a time.
BATCH_RUNS = 64
# Two processes are faster than one from this number of new runs on.
WORTH_TWO = 2000
_ORDER = ("case", "series", "host", "started_at", "run")


class Compacted(Record, frozen=True):
    """The result of a compaction.

    `added` and `known` count runs, `rows` the rows added. `incomplete` are ids of runs left out. `unreadable` are runs and files of the data
    set, each with the reason.
    """

    added: int = 0
    known: int = 0
    incomplete: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    rows: int = 0


def compact(
    sources: Sequence[Path], target: str | Path, note: Callable[[str], object] = lambda _: None
) -> Compacted:
    """Adds the complete runs of results folders (or run folders) to a data set, each once however often it is called.

    `target` is a folder or a URL of fsspec. `note` gets lines on the progress.

    Raises:
        UsageError: a source contains no run, or a package is not installed.
        StorageError: the data set cannot be listed or written; what it contains stays whole.
    """
    needed("pyarrow")
    folders = [folder for source in sources for folder in _runs_in(source)]
    data = DataSet(target, note=lambda _: None, fresh=True)
    present, unreadable = data.runs, list(data.unreadable.items())
    new: dict[str, Path] = {}
    known, incomplete = set(), set()
    for folder in folders:
        try:
            begun = begun_of(folder)
        except RecordError as error:
            unreadable.append((str(folder), str(error)))
            continue
        if begun.id in present:
            known.add(begun.id)
        elif begun.finished_at is None:
            incomplete.add(begun.id)
        else:
            new[begun.id] = max(new.get(begun.id, folder), folder, key=_weight)
    added, rows, done = 0, 0, 0
    for bundle in _written(list(_bundles(new)), str(target), len(new)):
        added, rows = added + bundle.added, rows + bundle.rows
        incomplete.update(bundle.incomplete)
        unreadable += bundle.unreadable
        done += bundle.added + len(bundle.incomplete) + len(bundle.unreadable)
        note(f"{done:,} of {len(new):,} runs read, {rows:,} rows written")
    return Compacted(added, len(known), tuple(sorted(incomplete - known)), tuple(unreadable), rows)


def add(rows: Iterable[Row], target: str | Path) -> Compacted:
    """Adds the rows of runs that the data set does not contain, by run id.

    Raises:
        UsageError: a package is not installed.
        StorageError: the data set cannot be listed or written; what it contains stays whole.
    """
    needed("pyarrow")
    data = DataSet(target, note=lambda _: None, fresh=True)
    present, rows = data.runs, list(rows)
    new = [row for row in rows if row.run not in present]
    if new:
        _put([_table(new)], Place(target))
    added = {row.run for row in new}
    return Compacted(
        added=len(added),
        known=len({row.run for row in rows} - added),
        unreadable=tuple(data.unreadable.items()),
        rows=len(new),
    )


def _runs_in(source: Path) -> list[Path]:
    folders = [source] if (source / runs.HEADER).is_file() else run_folders(source)
    if not folders:
        raise UsageError(f"no run in {source}: `plumbline bench` makes one")
    return folders


def _weight(folder: Path) -> int:
    """Bytes of cases: of two copies of a run, one may be cut short."""
    cases = folder / runs.CASES
    return cases.stat().st_size if cases.is_file() else 0


def _bundles(folders: dict[str, Path]) -> Iterator[list[Path]]:
    """The folders, in order of their ids, in bundles that each become a file."""
    bundle: list[Path] = []
    size = 0
    for run in sorted(folders):
        weight = _weight(folders[run])
        if bundle and (len(bundle) == BUNDLE_RUNS or size + weight > BUNDLE_BYTES):
            yield bundle
            bundle, size = [], 0
        bundle.append(folders[run])
        size += weight
    if bundle:
        yield bundle


def _written(bundles: list[list[Path]], target: str, total: int) -> Iterator[Compacted]:
    """The result of each bundle, as its file is written; this process does what two workers leave."""
    done = 0
    if total >= WORTH_TWO and len(bundles) > 1:
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                for result in pool.map(_write, bundles, [target] * len(bundles)):
                    done += 1
                    yield result
        except BrokenProcessPool:
            pass  # the user's script has no `__main__` guard, or memory ran out
    for bundle in bundles[done:]:
        yield _write(bundle, target)


def _write(bundle: list[Path], target: str) -> Compacted:
    """Reads the runs of a bundle and writes their file."""
    tables: list[Any] = []
    incomplete: list[str] = []
    unreadable: list[tuple[str, str]] = []
    for start in range(0, len(bundle), BATCH_RUNS):
        batch: dict[Path, FolderRows] = {}
        for folder in bundle[start : start + BATCH_RUNS]:
            try:
                read = folder_rows(folder)
            except PlumblineError as error:
                unreadable.append((str(folder), str(error)))
            else:
                if read.complete and read.rows:
                    batch[folder] = read
                else:
                    incomplete.append(read.run)
        tables += _tables(batch, unreadable)
    added, rows = _put(tables, Place(target)) if tables else (0, 0)
    return Compacted(added, 0, tuple(incomplete), tuple(unreadable), rows)


def _tables(batch: dict[Path, FolderRows], unreadable: list[tuple[str, str]]) -> list[Any]:
    """The rows of some runs in one table; a table a run where a value of one run exceeds its column (a count beyond 64 bits)."""
    try:
        return [_table(row for read in batch.values() for row in read.rows)] if batch else []
    except (OverflowError, ValueError) as error:
        if len(batch) == 1:
            unreadable.append((str(next(iter(batch))), one_line(error)))
            return []
    return [table for folder, read in batch.items() for table in _tables({folder: read}, unreadable)]


def _table(rows: Iterable[Row]) -> Any:
    """Rows as an Arrow table."""
    arrow = needed("pyarrow")
    columns = dict(zip(NAMES, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True))
    columns["started_at"] = tuple(map(datetime.fromisoformat, columns["started_at"]))
    columns["parameters"] = tuple(
        {name: msgspec.json.encode(value).decode() for name, value in values.items()}
        for values in columns["parameters"]
    )
    arrays = []
    for name, kind in kinds().items():
        type_ = arrow.timestamp("us", tz="UTC") if name == "started_at" else TYPES[kind][1](arrow)
        values = columns[name]
        if arrow.types.is_map(type_):
            values = tuple(list(value.items()) for value in values)
        arrays.append(arrow.array(values, type=type_))
    return arrow.table(arrays, names=NAMES)


def _put(tables: list[Any], place: Place) -> tuple[int, int]:
    """Writes the file of some runs; returns the numbers of runs and rows."""
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    rows = arrow.concat_tables(tables).combine_chunks().sort_by([(name, "ascending") for name in _ORDER])
    ids = sorted(rows["run"].unique().to_pylist())
    buffer = arrow.BufferOutputStream()
    with parquet.ParquetWriter(
        buffer,
        rows.schema.remove_metadata(),
        compression="zstd",
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(rows, row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({RUNS_KEY: msgspec.json.encode(ids).decode()})
    name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
    place.write(f"{name}.parquet", buffer.getvalue().to_pybytes())
    return len(ids), rows.num_rows
