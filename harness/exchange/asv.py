"""Results of airspeed velocity as rows: the time or memory of each commit in each environment.

    results/
        benchmarks.json              the unit of each benchmark and the names of its parameters
        <machine>/machine.json       a description of the machine
        <machine>/<commit>-<environment>.json   versions 1 (a value or a table for each benchmark) and 2 (columns)

The format is that of asv's developer documentation. A result null is a failure, NaN was skipped. The results of a grid of
parameters are in the order of their Cartesian product. `started_at` of a row is the date of the commit, by which asv orders
its history; the commit may have been measured years later. Each environment has its own series, as in asv.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import RecordError
from harness.exchange.foreign import (
    LARGEST,
    Imported,
    converted,
    host_of,
    is_time,
    read_files,
    read_json,
    run_id,
)
from harness.records.base import Record, digest
from harness.store.table import Row, in_utc, series_key

TOOL = "asv"
BENCHMARKS, MACHINE = "benchmarks.json", "machine.json"
_SECONDS = {
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1.0),
    **dict.fromkeys(("milliseconds", "millisecond", "ms"), 1e-3),
    **dict.fromkeys(("microseconds", "microsecond", "us", "µs"), 1e-6),
    **dict.fromkeys(("nanoseconds", "nanosecond", "ns"), 1e-9),
}
# The unit by the prefix of a benchmark's name, where benchmarks.json is missing.
_PREFIXES = {"time_": "seconds", "timeraw_": "seconds", "mem_": "bytes", "peakmem_": "bytes"}

_Value = TypeVar("_Value")


class _Benchmark(Record, frozen=True):
    unit: str = ""
    param_names: tuple[str, ...] = ()


class _Machine(Record, frozen=True):
    machine: str | None = None
    cpu: str | None = None


class _Entry(Record, frozen=True):
    """A benchmark of one file in the form of version 2; each list has an item per point of the grid."""

    result: tuple[float | None, ...] | None = None
    params: tuple[tuple[Any, ...], ...] = ()
    version: str | int | None = None
    stats_ci_99_a: tuple[float | None, ...] | None = None
    stats_ci_99_b: tuple[float | None, ...] | None = None
    stats_q_25: tuple[float | None, ...] | None = None
    stats_q_75: tuple[float | None, ...] | None = None
    stats_repeat: tuple[int | None, ...] | None = None
    samples: tuple[tuple[float, ...] | None, ...] | None = None


class _File(Record, frozen=True):
    commit_hash: str
    date: float
    params: _Machine
    results: dict[str, Any]
    version: int = 1
    env_name: str | None = None
    python: str | None = None
    requirements: dict[str, Any] = msgspec.field(default_factory=dict)
    env_vars: dict[str, Any] = msgspec.field(default_factory=dict)
    result_columns: tuple[str, ...] = ()
    benchmark_version: dict[str, Any] = msgspec.field(default_factory=dict)


def is_result(content: Any) -> bool:
    """Whether the content of a file has the form of results of one commit."""
    return isinstance(content, dict) and "results" in content and "commit_hash" in content


def is_folder(path: Path) -> bool:
    """Whether a path is a folder of results, or that of one machine."""
    names = (BENCHMARKS, MACHINE, f"*/{MACHINE}")
    return path.is_dir() and any(next(path.glob(name), None) for name in names)


def read(path: Path) -> Imported:
    """The rows of a folder of results, of the folder of one machine, or of one file.

    Raises:
        RecordError: the one file cannot be read, or has another version; in a folder such files are listed.
    """
    known = _benchmarks(path if path.is_dir() else path.parent)
    left_out: dict[str, None] = {}
    rows, unreadable = read_files(path, lambda file: _of_file(file, known, left_out), {BENCHMARKS, MACHINE})
    return Imported(rows, tuple(left_out), unreadable)


def _of_file(path: Path, known: dict[str, _Benchmark], left_out: dict[str, None]) -> Iterator[Row]:
    """The rows of one file. Each benchmark is a run of its own: asv adds new ones to the file of their commit."""
    content = read_json(path)
    if not is_result(content):
        raise RecordError(f"{path} is not a result file of asv: it has no commit_hash and results")
    saved = converted(content, _File, path)
    if saved.version not in {1, 2}:
        raise RecordError(f"{path} has version {saved.version} of asv's results: versions 1 and 2 are read")
    for name, values in saved.results.items():
        kind = known.get(name) or _Benchmark(unit=_unit_by_name(name))
        if kind.unit in _SECONDS or kind.unit == "bytes":
            yield from _rows(saved, path, name, kind, _entry(saved, name, values, path))
        else:
            left_out[name] = None


def _benchmarks(folder: Path) -> dict[str, _Benchmark]:
    """The benchmarks in benchmarks.json of the folder of results; empty where it is missing."""
    for place in (folder, folder.parent):
        if (place / BENCHMARKS).is_file():
            content = read_json(place / BENCHMARKS)
            items = content.items() if isinstance(content, dict) else ()
            described = {name: fields for name, fields in items if isinstance(fields, dict)}
            return converted(described, dict[str, _Benchmark], place / BENCHMARKS)
    return {}


def _unit_by_name(name: str) -> str:
    last = name.rpartition(".")[2]
    return next((unit for prefix, unit in _PREFIXES.items() if last.startswith(prefix)), "")


def _entry(saved: _File, name: str, values: Any, path: Path) -> _Entry:
    if saved.version == 1:
        try:
            fields = _of_version_1(values) | {"version": saved.benchmark_version.get(name)}
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise RecordError(
                f"{path} cannot be imported: {name} has statistics of an unknown form"
            ) from error
    else:
        fields = dict(zip(saved.result_columns, values if isinstance(values, list) else (), strict=False))
    return converted({field: value for field, value in fields.items() if value is not None}, _Entry, path)


def _of_version_1(values: Any) -> dict[str, Any]:
    """The fields of a bare value, or of a table of values with their statistics."""
    table = values if isinstance(values, dict) else {"result": values}
    fields = {name: table.get(name) for name in ("params", "samples")}
    result, stats = table.get("result"), table.get("stats")
    fields["result"] = (
        result if isinstance(result, list) or (result is None and fields["params"]) else [result]
    )
    if stats is not None:
        each = [stat or {} for stat in (stats if isinstance(stats, list) else [stats])]
        for field in ("q_25", "q_75", "repeat"):
            fields[f"stats_{field}"] = [stat.get(field) for stat in each]
        for place, field in enumerate(("ci_99_a", "ci_99_b")):
            fields[f"stats_{field}"] = [(stat.get("ci_99") or (None, None))[place] for stat in each]
    return fields


def _rows(saved: _File, path: Path, name: str, kind: _Benchmark, entry: _Entry) -> Iterator[Row]:
    grid = [tuple(map(str, point)) for point in product(*entry.params)]
    values = entry.result if entry.result is not None else (None,) * len(grid)
    if len(values) != len(grid):
        raise RecordError(
            f"{path} cannot be imported: {name} has {len(values)} results for {len(grid)} points"
        )
    try:
        date = in_utc(datetime.fromtimestamp(saved.date / 1000, UTC)).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError) as error:
        raise RecordError(f"{path} cannot be imported: {saved.date} is not the date of a commit") from error
    source = None if entry.version is None else str(entry.version)
    stack = digest([saved.env_name, saved.python, saved.requirements, saved.env_vars])
    machine = f"{saved.params.cpu or ''} {saved.env_name or stack}"
    cases = ["-".join([name, *map(_plain, point)]) for point in grid]
    count = Counter(cases)
    for place, (plain, point, value) in enumerate(zip(cases, grid, values, strict=True)):
        case = plain if count[plain] == 1 else f"{plain}-{place + 1}"
        named = dict(zip(kind.param_names, point, strict=False))
        yield Row(
            run=run_id(TOOL, [saved.params.machine, saved.commit_hash, path.stem, name]),
            started_at=date,
            case=case,
            series=series_key(case, source, machine, 0),
            host=host_of(saved.params.machine),
            label=saved.env_name,
            machine=saved.params.cpu,
            stack=stack,
            commit=saved.commit_hash,
            suite=name.partition(".")[0],
            family=name,
            source=source,
            sizes={key: int(text) for key, text in named.items() if _is_whole(text)},
            parameters={key: text for key, text in named.items() if not _is_whole(text)},
            **({"outcome": "measurement"} | _outcome(value, entry, place, kind.unit)),
        )


def _plain(parameter: str) -> str:
    """A parameter as part of an id, without characters that need quotes."""
    return re.sub(r"[^\w.+-]+", "_", parameter).strip("_")


def _is_whole(parameter: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,18}", parameter) is not None


def _outcome(value: float | None, entry: _Entry, place: int, unit: str) -> dict[str, Any]:
    if value is None:
        return {"outcome": "failed", "reason": "asv reports a failure"}
    if math.isnan(value):
        return {"outcome": "skipped", "reason": "asv reports it as skipped"}
    if unit == "bytes" and 0.0 <= value < LARGEST:
        return {"peak_memory_bytes": round(value)}
    scale = _SECONDS.get(unit, math.nan)
    seconds = scale * value
    if not is_time(seconds):
        return {"outcome": "failed", "reason": f"asv reports {value:g} {unit}"}

    def pair(*columns: tuple[float | None, ...] | None) -> tuple[float, float] | None:
        low, high = (
            scale * found if (found := _at(column, place)) is not None else None for column in columns
        )
        return (
            (low, high) if low is not None and high is not None and is_time(low) and is_time(high) else None
        )

    interval = pair(entry.stats_ci_99_a, entry.stats_ci_99_b) or (None, None)
    quartiles = pair(entry.stats_q_25, entry.stats_q_75)
    samples = _at(entry.samples, place)
    return {
        "median_seconds": seconds,
        "process_seconds": (seconds,),
        "low_seconds": interval[0],
        "high_seconds": interval[1],
        "best_seconds": scale * min(samples) if samples else None,
        "relative_iqr": (quartiles[1] - quartiles[0]) / seconds if quartiles else None,
        "samples": len(samples) if samples else _at(entry.stats_repeat, place),
    }


def _at(column: tuple[_Value | None, ...] | None, place: int) -> _Value | None:
    return column[place] if column is not None and place < len(column) else None
