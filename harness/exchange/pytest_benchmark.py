"""Runs that pytest-benchmark saved, as rows; those that Plumbline's plugin measured keep what it told beside them.

pytest-benchmark measures in one process, so a row has one process and no interval. A file names
its host, which only a hash of gets into a row.
"""

from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import RecordError
from harness.exchange.foreign import (
    LARGEST,
    Imported,
    MachineFacts,
    converted,
    host_of,
    is_time,
    read_json,
    run_id,
    utc,
)
from harness.records.base import Record
from harness.store.table import Row, series_key

TOOL = "pytest-benchmark"
_NO_COMMIT = {"unversioned", "unknown"}
_NO_BRANCH = {"(unknown)", "(detached head)"}


class _Stats(Record, frozen=True):
    median: float
    min: float | None = None
    iqr: float | None = None
    rounds: int | None = None


class _Benchmark(Record, frozen=True):
    fullname: str
    stats: _Stats
    group: str | None = None
    params: dict[str, Any] | None = None
    extra_info: dict[str, Any] = msgspec.field(default_factory=dict)


class _Processor(Record, frozen=True):
    brand_raw: str | None = None
    brand: str | None = None


class _Machine(Record, frozen=True):
    node: str | None = None
    cpu: _Processor = _Processor()
    plumbline: MachineFacts = MachineFacts()


class _Commit(Record, frozen=True):
    id: str | None = None
    branch: str | None = None
    dirty: bool | None = None


class _File(Record, frozen=True):
    benchmarks: tuple[_Benchmark, ...]
    machine_info: _Machine
    datetime: datetime
    commit_info: _Commit = _Commit()
    plumbline: MachineFacts | None = None


class _Told(Record, frozen=True):
    """What Plumbline's plugin says of a benchmark besides its rounds."""

    case: str
    median_seconds: float
    suite: str | None = None
    source: str | None = None
    threads: int | None = None
    view: str | None = None
    interval_seconds: tuple[float, float] | None = None
    roofline_seconds: float | None = None
    peak_memory_bytes: int | None = None
    flops: int | None = None
    bytes_moved: int | None = None
    flags: tuple[str, ...] = ()


def is_saved_run(content: Any) -> bool:
    """Whether the content of a file looks like a run of pytest-benchmark."""
    return isinstance(content, dict) and "benchmarks" in content and "machine_info" in content


def read(path: Path) -> Imported:
    """The rows of a file, or of all files of a storage folder with a folder for each interpreter that can be read.

    Raises:
        RecordError: the file cannot be read, or is no run of pytest-benchmark.
    """
    if not path.is_dir():
        return Imported(tuple(_rows(path)))
    rows: list[Row] = []
    unreadable: list[str] = []
    for one in sorted(path.rglob("*.json")):
        try:
            rows += list(_rows(one))
        except RecordError as error:
            unreadable.append(str(error))
    return Imported(tuple(rows), unreadable=tuple(unreadable))


def _rows(path: Path) -> Iterator[Row]:
    content = read_json(path)
    if not is_saved_run(content):
        raise RecordError(f"{path} is no run of pytest-benchmark: it has no benchmarks and machine_info")
    saved = converted(content, _File, path)
    run = run_id(TOOL, content)
    try:
        started_at = utc(saved.datetime)
    except OverflowError as error:
        raise RecordError(f"{path} cannot be imported: {saved.datetime} is no date of a run") from error
    for benchmark in saved.benchmarks:
        yield msgspec.structs.replace(_row(run, saved, benchmark), started_at=started_at)


def _row(run: str, saved: _File, benchmark: _Benchmark) -> Row:
    known, commit = saved.plumbline or saved.machine_info.plumbline, saved.commit_info
    processor = saved.machine_info.cpu.brand_raw or saved.machine_info.cpu.brand
    machine = known.machine or processor
    told, stats, params = _told(benchmark), benchmark.stats, benchmark.params or {}
    case = told.case if told else benchmark.fullname
    source = told.source if told else None
    threads = (told.threads if told else None) or known.threads
    common = Row(
        run=run,
        started_at="",
        case=case,
        series=series_key(case, source, machine or "", threads or 0),
        outcome="measurement",
        host=host_of(saved.machine_info.node),
        machine=machine,
        device=known.device,
        threads=threads,
        fingerprint=known.fingerprint,
        torch=known.torch,
        commit=None if commit.id in _NO_COMMIT else commit.id,
        branch=None if commit.branch in _NO_BRANCH else commit.branch,
        dirty=commit.dirty,
        suite=(told.suite if told else None) or Path(benchmark.fullname.partition("::")[0]).stem,
        family=benchmark.group,
        dtype=params["dtype"] if isinstance(params.get("dtype"), str) else None,
        sizes={name: size for name, size in params.items() if type(size) is int and abs(size) < LARGEST},
        source=source,
    )
    if not is_time(stats.median):
        reason = f"a median of {stats.median:g} s is no time"
        return msgspec.structs.replace(common, outcome="failed", reason=reason)
    measured: dict[str, Any] = {
        "median_seconds": stats.median,
        "process_seconds": (stats.median,),
        "best_seconds": stats.min if is_time(stats.min) else None,
        "relative_iqr": stats.iqr / stats.median if stats.iqr is not None and isfinite(stats.iqr) else None,
        "samples": stats.rounds,
    }
    return msgspec.structs.replace(common, **(measured | (_of_plumbline(told) if told else {})))


def _told(benchmark: _Benchmark) -> _Told | None:
    try:
        told = msgspec.convert(benchmark.extra_info, _Told)
    except msgspec.ValidationError:
        return None
    return told if all(map(is_time, (told.median_seconds, *(told.interval_seconds or ())))) else None


def _of_plumbline(told: _Told) -> dict[str, Any]:
    """Of several processes the file has the median time and its interval, not the median of each."""
    low, high = told.interval_seconds or (None, None)
    return {
        "median_seconds": told.median_seconds,
        "process_seconds": (),
        "low_seconds": low,
        "high_seconds": high,
        "view": told.view,
        "roofline_seconds": told.roofline_seconds,
        "peak_memory_bytes": told.peak_memory_bytes,
        "flops": told.flops,
        "bytes_moved": told.bytes_moved,
        "flags": told.flags,
    }
