"""Run folders made into a data set, by many hosts at once if they like. Base units throughout.

A file holds the rows of some runs of one month, and is named by a hash of their ids. No file is changed. A file is removed only after one that
has all its runs was written, and one with just the same runs has the same name: so whatever two hosts do at the same time, no run is lost. At worst
one is in two files; queries count it once, and the next compaction merges the two.
"""

import hashlib
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import PlumblineError, RecordError, StorageError, UsageError, one_line
from harness.records.base import Record
from harness.store import runs
from harness.store.dataset import NAMES, RUNS_KEY, DataSet, Part, kinds
from harness.store.frames import FolderRows, begun_of, folder_rows, run_folders
from harness.store.place import SCHEMA, Place, needed, place
from harness.store.table import Row, utc

# Rows that lie together are read together; a series is a small part of so many.
GROUP_ROWS = 16384
# So many files of a month with fewer rows than that are merged.
SMALL_ROWS, MANY = 65536, 8
# A file is made of at most so many runs, with at most so many bytes of cases between them.
BUNDLE_RUNS, BUNDLE_BYTES = 2500, 400 << 20
# So many runs at a time are made into columns.
BATCH_RUNS = 64
# From so many new runs on two processes are sooner done than one.
WORTH_TWO = 2000
_ORDER = ("case", "series", "host", "started_at", "run")


class Compacted(Record, frozen=True):
    """What a compaction came to.

    `added` and `known` count runs, `rows` those added; `incomplete` are ids of runs that are not, and were not added; `unreadable` are runs and
    files of the data set, each with the reason; `merged` counts files that others took the place of.
    """

    added: int = 0
    known: int = 0
    incomplete: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()
    rows: int = 0
    merged: int = 0


def compact(
    sources: Sequence[Path], target: str | Path, note: Callable[[str], object] = lambda _: None
) -> Compacted:
    """Adds the complete runs of some results folders (or run folders) to a data set, each once however often it is called.

    `target` is a folder or a URL that fsspec knows. `note` gets a line on how far it is, now and then.

    Raises:
        UsageError: a source holds no run, or a package is not installed.
        StorageError: the data set cannot be listed or written; what is in it stays whole.
    """
    needed("pyarrow")
    folders = [folder for source in sources for folder in _runs_in(source)]
    data = DataSet(target, note=lambda _: None, fresh=True)
    present = {run for part in data.parts for run in part.runs}
    unreadable = list(data.unreadable.items())
    months: dict[str, dict[str, Path]] = defaultdict(dict)
    known, incomplete = set(), {}
    for folder in folders:
        try:
            begun = begun_of(folder)
        except RecordError as error:
            unreadable.append((str(folder), str(error)))
            continue
        if begun.id in present:
            known.add(begun.id)
        elif begun.finished_at is None:
            incomplete[begun.id] = folder
        else:
            copies = months[utc(begun.started_at, begun.id)[:7]]
            copies[begun.id] = max(copies.get(begun.id, folder), folder, key=_weight)
    bundles = [bundle for month in sorted(months) for bundle in _bundles(month, months[month])]
    total, done = sum(len(bundle.folders) for bundle in bundles), 0
    outcomes: list[_Bundled] = []
    for outcome in _written(bundles, str(target), total):
        outcomes.append(outcome)
        done += len(outcome.ids) + len(outcome.incomplete) + len(outcome.unreadable)
        note(f"{done:,} of {total:,} runs read, {sum(outcome.rows for outcome in outcomes):,} rows written")
    merged, broken = merge_parts(DataSet(target, note=lambda _: None, fresh=True).parts, place(target))
    added = {run for outcome in outcomes for run in outcome.ids}
    return Compacted(
        added=len(added),
        known=len(known),
        incomplete=tuple(
            sorted(
                {*incomplete, *(run for outcome in outcomes for run in outcome.incomplete)} - added - known
            )
        ),
        unreadable=(*unreadable, *(bad for outcome in outcomes for bad in outcome.unreadable), *broken),
        rows=sum(outcome.rows for outcome in outcomes),
        merged=merged,
    )


def _runs_in(source: Path) -> list[Path]:
    found = [source] if (source / runs.HEADER).is_file() else run_folders(source)
    if not found:
        raise UsageError(f"no run in {source}: `plumbline bench` makes one")
    return found


class _Bundle(msgspec.Struct, frozen=True):
    """Runs that go into one file."""

    month: str
    folders: tuple[Path, ...]


class _Bundled(msgspec.Struct, frozen=True):
    """What became of them."""

    ids: tuple[str, ...] = ()
    rows: int = 0
    incomplete: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()


def _bundles(month: str, found: dict[str, Path]) -> Iterator[_Bundle]:
    bundle: list[Path] = []
    size = 0
    for run in sorted(found):
        weight = _weight(found[run])
        if bundle and (len(bundle) == BUNDLE_RUNS or size + weight > BUNDLE_BYTES):
            yield _Bundle(month, tuple(bundle))
            bundle, size = [], 0
        bundle.append(found[run])
        size += weight
    if bundle:
        yield _Bundle(month, tuple(bundle))


def _weight(folder: Path) -> int:
    """Bytes of cases: of two copies of a run, one may be cut short."""
    cases = folder / runs.CASES
    return cases.stat().st_size if cases.is_file() else 0


def _written(bundles: list[_Bundle], target: str, total: int) -> Iterator[_Bundled]:
    """Each bundle as it comes to its file; what two processes leave undone, one does."""
    done = 0
    if total >= WORTH_TWO and len(bundles) > 1:
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                for outcome in pool.map(_write, bundles, [target] * len(bundles)):
                    done += 1
                    yield outcome
        except BrokenProcessPool:
            pass  # a script of its own that guards nothing cannot start any; or memory ran out
    for bundle in bundles[done:]:
        yield _write(bundle, target)


def _write(bundle: _Bundle, target: str) -> _Bundled:
    """Reads the runs of a bundle and writes their file."""
    tables: list[Any] = []
    incomplete: list[str] = []
    unreadable: list[tuple[str, str]] = []
    for start in range(0, len(bundle.folders), BATCH_RUNS):
        batch: dict[Path, FolderRows] = {}
        for folder in bundle.folders[start : start + BATCH_RUNS]:
            try:
                found = folder_rows(folder)
            except PlumblineError as error:
                unreadable.append((str(folder), str(error)))
            else:
                if found.complete and found.rows:
                    batch[folder] = found
                else:
                    incomplete.append(found.run)
        tables += _tables(batch, unreadable)
    if not tables:
        return _Bundled((), 0, tuple(incomplete), tuple(unreadable))
    joined = needed("pyarrow").concat_tables(tables)
    ids = joined["run"].unique().to_pylist()
    put_part(joined, ids, bundle.month, place(target))
    return _Bundled(tuple(ids), joined.num_rows, tuple(incomplete), tuple(unreadable))


def _tables(batch: dict[Path, FolderRows], unreadable: list[tuple[str, str]]) -> list[Any]:
    """The rows of some runs together; one by one where a run among them has what no column holds (a count beyond 64 bits)."""
    try:
        return [table(row for found in batch.values() for row in found.rows)]
    except (OverflowError, ValueError) as error:
        if len(batch) == 1:
            unreadable.append((str(next(iter(batch))), one_line(error)))
            return []
    return [one for folder, found in batch.items() for one in _tables({folder: found}, unreadable)]


def table(rows: Iterable[Row]) -> Any:
    """Rows as an Arrow table."""
    arrow, types = needed("pyarrow"), _types()
    told = dict(zip(NAMES, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True))
    told["started_at"] = tuple(map(datetime.fromisoformat, told["started_at"]))
    told["sizes"] = tuple(list(sizes.items()) for sizes in told["sizes"])
    return arrow.table([arrow.array(told[name], type=types[name]) for name in NAMES], names=NAMES)


def _types() -> dict[str, Any]:
    arrow = needed("pyarrow")
    known = {
        bool: arrow.bool_(),
        int: arrow.int64(),
        float: arrow.float64(),
        str: arrow.string(),
        dict[str, int]: arrow.map_(arrow.string(), arrow.int64()),
        tuple[float, ...]: arrow.list_(arrow.float64()),
        tuple[str, ...]: arrow.list_(arrow.string()),
    }
    return {name: known[kind] for name, kind in kinds().items()} | {
        "started_at": arrow.timestamp("us", tz="UTC")
    }


def put_part(rows: Any, ids: Iterable[str], month: str, at: Place) -> str:
    """Writes the file of some runs, and returns its name."""
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    named = sorted(ids)
    ordered = rows.combine_chunks().sort_by([(name, "ascending") for name in _ORDER])
    buffer = arrow.BufferOutputStream()
    with parquet.ParquetWriter(
        buffer,
        ordered.schema.remove_metadata(),
        compression="zstd",
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(ordered, row_group_size=GROUP_ROWS)
        writer.add_key_value_metadata({RUNS_KEY: msgspec.json.encode(named).decode()})
    digest = hashlib.sha256("\n".join(named).encode()).hexdigest()[:32]
    name = f"{SCHEMA}/month={month}/{digest}.parquet"
    at.write(name, buffer.getvalue().to_pybytes())
    return name


def merge_parts(parts: Sequence[Part], at: Place) -> tuple[int, list[tuple[str, str]]]:
    """Merges files that share a run, and many small ones; how many are gone, and which are damaged."""
    gone, broken = 0, []
    for month in sorted({_month(part) for part in parts}):
        chosen = _chosen([part for part in parts if _month(part) == month])
        read: list[tuple[Part, Any]] = []
        for part in chosen:
            try:
                read.append((part, _read(at.read(part.name))))
            except StorageError:
                continue  # another host has merged it
            except (needed("pyarrow").ArrowException, OSError) as error:
                broken.append((part.name, one_line(error)))
        if len(read) < 2:
            continue
        name = put_part(_joined(read), {run for part, _ in read for run in part.runs}, month, at)
        for part, _ in read:
            if part.name != name:
                at.remove(part.name)
                gone += 1
    return gone, broken


def _month(part: Part) -> str:
    return part.name.split("/")[1].removeprefix("month=")


def _chosen(parts: list[Part]) -> list[Part]:
    counts = Counter(run for part in parts for run in part.runs)
    small = [part for part in parts if part.rows < SMALL_ROWS]
    return [
        part
        for part in parts
        if (len(small) >= MANY and part in small) or any(counts[run] > 1 for run in part.runs)
    ]


def _read(content: bytes) -> Any:
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    return parquet.ParquetFile(arrow.BufferReader(content), page_checksum_verification=True).read()


def _joined(read: list[tuple[Part, Any]]) -> Any:
    """All rows with all columns; a run that is in two files is taken from the one that tells more of it."""
    arrow, compute = needed("pyarrow"), needed("pyarrow.compute")
    seen: set[str] = set()
    tables = []
    for part, rows in sorted(read, key=lambda one: -one[1].num_columns):
        known = arrow.array([run for run in part.runs if run in seen], type=arrow.string())
        tables.append(rows.filter(compute.invert(compute.is_in(rows["run"], value_set=known))))
        seen.update(part.runs)
    return arrow.concat_tables(tables, promote_options="permissive")


def add(rows: Iterable[Row], target: str | Path) -> Compacted:
    """Adds the rows of runs that are not there yet, by run id; a second time nothing changes.

    Raises:
        UsageError: a package is not installed.
        StorageError: the data set cannot be listed or written; what is in it stays whole.
    """
    needed("pyarrow")
    at, data = place(target), DataSet(target, note=lambda _: None, fresh=True)
    present = {run for part in data.parts for run in part.runs}
    months: dict[str, list[Row]] = {}
    known: set[str] = set()
    for row in rows:
        if row.run in present:
            known.add(row.run)
        else:
            months.setdefault(row.started_at[:7], []).append(row)
    added = 0
    for month, fresh in sorted(months.items()):
        ids = {row.run for row in fresh}
        put_part(table(fresh), ids, month, at)
        added += len(ids)
    merged, broken = merge_parts(DataSet(target, note=lambda _: None, fresh=True).parts, at)
    return Compacted(
        added=added,
        known=len(known),
        unreadable=(*data.unreadable.items(), *broken),
        rows=sum(map(len, months.values())),
        merged=merged,
    )
