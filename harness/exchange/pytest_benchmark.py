"""Runs that pytest-benchmark saved as rows, with the extra information of Plumbline's plugin where it measured.

pytest-benchmark measures in one process, so that a row has one process and no interval. A row contains a hash of the host's name.
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
    read_files,
    read_json,
    run_id,
)
from harness.records.base import Record
from harness.store.table import Row, in_utc, series_key

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


class _Extra(Record, frozen=True):
    """The extra information that Plumbline's plugin stores with a benchmark."""

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
    """The rows of a file, or of the readable files of a storage folder.

    Raises:
        RecordError: the file cannot be read, or is not a run of pytest-benchmark.
    """
    rows, unreadable = read_files(path, _rows)
    return Imported(rows, unreadable=unreadable)


def _rows(path: Path) -> Iterator[Row]:
    content = read_json(path)
    if not is_saved_run(content):
        raise RecordError(f"{path} is not a run of pytest-benchmark: it has no benchmarks and machine_info")
    saved = converted(content, _File, path)
    run = run_id(TOOL, content)
    try:
        started_at = in_utc(saved.datetime).isoformat(timespec="seconds")
    except OverflowError as error:
        raise RecordError(f"{path} cannot be imported: {saved.datetime} is not the date of a run") from error
    for benchmark in saved.benchmarks:
        yield msgspec.structs.replace(_row(run, saved, benchmark), started_at=started_at)


def _row(run: str, saved: _File, benchmark: _Benchmark) -> Row:
    known, commit = saved.plumbline or saved.machine_info.plumbline, saved.commit_info
    processor = saved.machine_info.cpu.brand_raw or saved.machine_info.cpu.brand
    machine = known.machine or processor
    extra, stats, params = _extra(benchmark), benchmark.stats, benchmark.params or {}
    case = extra.case if extra else benchmark.fullname
    source = extra.source if extra else None
    threads = (extra.threads if extra else None) or known.threads
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
        suite=(extra.suite if extra else None) or Path(benchmark.fullname.partition("::")[0]).stem,
        family=benchmark.group,
        dtype=params["dtype"] if isinstance(params.get("dtype"), str) else None,
        sizes={name: size for name, size in params.items() if type(size) is int and abs(size) < LARGEST},
        parameters={
            name: value for name, value in params.items() if name != "dtype" and isinstance(value, str | bool)
        },
        source=source,
    )
    if not is_time(stats.median):
        reason = f"a median of {stats.median:g} s is not a time"
        return msgspec.structs.replace(common, outcome="failed", reason=reason)
    measured: dict[str, Any] = {
        "median_seconds": stats.median,
        "process_seconds": (stats.median,),
        "best_seconds": stats.min if is_time(stats.min) else None,
        "relative_iqr": stats.iqr / stats.median if stats.iqr is not None and isfinite(stats.iqr) else None,
        "samples": stats.rounds,
    }
    return msgspec.structs.replace(common, **(measured | (_of_plumbline(extra) if extra else {})))


def _extra(benchmark: _Benchmark) -> _Extra | None:
    try:
        extra = msgspec.convert(benchmark.extra_info, _Extra)
    except msgspec.ValidationError:
        return None
    return extra if all(map(is_time, (extra.median_seconds, *(extra.interval_seconds or ())))) else None


def _of_plumbline(extra: _Extra) -> dict[str, Any]:
    """The columns of a Plumbline measurement; the file has no medians of single processes."""
    low, high = extra.interval_seconds or (None, None)
    return {
        "median_seconds": extra.median_seconds,
        "process_seconds": (),
        "low_seconds": low,
        "high_seconds": high,
        "view": extra.view,
        "roofline_seconds": extra.roofline_seconds,
        "peak_memory_bytes": extra.peak_memory_bytes,
        "flops": extra.flops,
        "bytes_moved": extra.bytes_moved,
        "flags": extra.flags,
    }
