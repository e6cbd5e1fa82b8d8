"""Results of airspeed velocity, as rows: what it measured in time or memory of each commit in each environment.

    results/
        benchmarks.json              what each benchmark is: its type and unit, the names of its parameters
        <machine>/machine.json       what the machine is
        <machine>/<commit>-<environment>.json   versions 1 (a value or a table for each benchmark) and 2 (columns)

The format is that of asv's developer documentation: a result of null failed, one of NaN was skipped, results of a grid of
parameters stand in the order of their Cartesian product. `started_at` of a row is the date of the commit, by which asv orders
its history: a commit may have been measured years later. An environment has series of its own, as it has in asv.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from harness.errors import RecordError
from harness.exchange.foreign import LARGEST, Imported, converted, host_of, is_time, read_json, run_id, utc
from harness.records.base import Record, digest
from harness.store.table import Row, series_key

TOOL = "asv"
BENCHMARKS, MACHINE = "benchmarks.json", "machine.json"
_SECONDS = {
    **dict.fromkeys(("seconds", "second", "sec", "s"), 1.0),
    **dict.fromkeys(("milliseconds", "millisecond", "ms"), 1e-3),
    **dict.fromkeys(("microseconds", "microsecond", "us", "µs"), 1e-6),
    **dict.fromkeys(("nanoseconds", "nanosecond", "ns"), 1e-9),
}
# What a name says where benchmarks.json does not: asv tells the type by the beginning of the last part.
_PREFIXES = {"time_": "seconds", "timeraw_": "seconds", "mem_": "bytes", "peakmem_": "bytes"}

_Value = TypeVar("_Value")


class _Benchmark(Record, frozen=True):
    unit: str = ""
    param_names: tuple[str, ...] = ()


class _Machine(Record, frozen=True):
    machine: str | None = None
    cpu: str | None = None


class _Entry(Record, frozen=True):
    """A benchmark of one file, in the form of version 2; each list has an item for each point of the grid."""

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
    """Whether the content of a file looks like results of one commit."""
    return isinstance(content, dict) and "results" in content and "commit_hash" in content


def is_folder(path: Path) -> bool:
    """Whether it is a folder of results, or that of one machine."""
    names = (BENCHMARKS, MACHINE, f"*/{MACHINE}")
    return path.is_dir() and any(next(path.glob(name), None) for name in names)


def read(path: Path) -> Imported:
    """The rows of a folder of results, of the folder of one machine, or of one file.

    Raises:
        RecordError: the one file cannot be read, or is of another version; of a folder such files are named.
    """
    folder = path if path.is_dir() else path.parent
    known = _benchmarks(folder)
    files = sorted(folder.rglob("*.json")) if path.is_dir() else [path]
    rows: list[Row] = []
    left_out: dict[str, None] = {}
    unreadable: list[str] = []
    for file in files:
        if file.name in {BENCHMARKS, MACHINE}:
            continue
        try:
            rows += _of_file(file, known, left_out)
        except RecordError as error:
            if file == path:
                raise
            unreadable.append(str(error))
    return Imported(tuple(rows), tuple(left_out), tuple(unreadable))


def _of_file(file: Path, known: dict[str, _Benchmark], left_out: dict[str, None]) -> list[Row]:
    """The rows of one file. Each benchmark is a run of its own: asv adds those that are new to the file of their commit."""
    saved = _saved(read_json(file), file)
    rows: list[Row] = []
    for name, told in saved.results.items():
        kind = known.get(name) or _Benchmark(unit=_unit_by_name(name))
        if kind.unit in _SECONDS or kind.unit == "bytes":
            run = run_id(TOOL, [saved.params.machine, saved.commit_hash, file.stem, name])
            rows += _rows(_Found(run, saved, file, name, kind, _entry(saved, name, told, file)))
        else:
            left_out[name] = None
    return rows


def _benchmarks(folder: Path) -> dict[str, _Benchmark]:
    """What benchmarks.json says, which stands in the folder of results; nothing where it is not."""
    for place in (folder, folder.parent):
        if (place / BENCHMARKS).is_file():
            content = read_json(place / BENCHMARKS)
            told = content.items() if isinstance(content, dict) else ()
            described = {name: one for name, one in told if isinstance(one, dict)}
            return converted(described, dict[str, _Benchmark], place / BENCHMARKS)
    return {}


def _unit_by_name(name: str) -> str:
    last = name.rpartition(".")[2]
    return next((unit for prefix, unit in _PREFIXES.items() if last.startswith(prefix)), "")


def _saved(content: Any, path: Path) -> _File:
    if not is_result(content):
        raise RecordError(f"{path} holds no results of asv: it has no commit_hash and results")
    saved = converted(content, _File, path)
    if saved.version not in {1, 2}:
        raise RecordError(
            f"{path} holds results of asv in version {saved.version}: versions 1 and 2 are read"
        )
    return saved


def _entry(saved: _File, name: str, told: Any, path: Path) -> _Entry:
    if saved.version == 1:
        try:
            fields = _of_version_1(told) | {"version": saved.benchmark_version.get(name)}
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise RecordError(f"{path} cannot be imported: {name} has statistics in no known form") from error
    else:
        fields = dict(zip(saved.result_columns, told if isinstance(told, list) else (), strict=False))
    return converted({field: value for field, value in fields.items() if value is not None}, _Entry, path)


def _of_version_1(told: Any) -> dict[str, Any]:
    """A bare value, or a table in which a value or a list of them stands with its statistics."""
    table = told if isinstance(told, dict) else {"result": told}
    fields = {name: table.get(name) for name in ("params", "samples")}
    result, stats = table.get("result"), table.get("stats")
    fields["result"] = (
        result if isinstance(result, list) or (result is None and fields["params"]) else [result]
    )
    if stats is not None:
        each = [stat or {} for stat in (stats if isinstance(stats, list) else [stats])]
        for field in ("q_25", "q_75", "repeat"):
            fields[f"stats_{field}"] = [one.get(field) for one in each]
        for place, field in enumerate(("ci_99_a", "ci_99_b")):
            fields[f"stats_{field}"] = [(one.get("ci_99") or (None, None))[place] for one in each]
    return fields


class _Found(NamedTuple):
    """A benchmark of a file, with the run it becomes a part of."""

    run: str
    saved: _File
    path: Path
    name: str
    kind: _Benchmark
    entry: _Entry


def _rows(found: _Found) -> Iterator[Row]:
    name, entry, saved = found.name, found.entry, found.saved
    grid = [tuple(map(str, point)) for point in product(*entry.params)]
    values = entry.result if entry.result is not None else (None,) * len(grid)
    if len(values) != len(grid):
        raise RecordError(f"{found.path} cannot be imported: {name} has {len(values)} results of {len(grid)}")
    common = _common(found)
    cases = ["-".join([name, *map(_plain, point)]) for point in grid]
    seen = Counter(cases)
    machine = f"{saved.params.cpu or ''} {saved.env_name or common.stack}"
    for place, (plain, point, value) in enumerate(zip(cases, grid, values, strict=True)):
        case = plain if seen[plain] == 1 else f"{plain}-{place + 1}"
        yield msgspec.structs.replace(
            common,
            case=case,
            series=series_key(case, common.source, machine, 0),
            sizes={n: int(p) for n, p in zip(found.kind.param_names, point, strict=False) if _is_whole(p)},
            **_came_out(value, entry, place, found.kind.unit),
        )


def _common(found: _Found) -> Row:
    saved, version = found.saved, found.entry.version
    environment = [saved.env_name, saved.python, saved.requirements, saved.env_vars]
    try:
        date = utc(datetime.fromtimestamp(saved.date / 1000, UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise RecordError(f"{found.path} cannot be imported: {saved.date} is no date of a commit") from error
    return Row(
        run=found.run,
        started_at=date,
        case=found.name,
        series="",
        outcome="measurement",
        host=host_of(saved.params.machine),
        label=saved.env_name,
        machine=saved.params.cpu,
        stack=digest(environment),
        commit=saved.commit_hash,
        suite=found.name.partition(".")[0],
        family=found.name,
        source=None if version is None else str(version),
    )


def _plain(parameter: str) -> str:
    """A parameter as part of an id: what Python shows of it, without what would need quoting."""
    return re.sub(r"[^\w.+-]+", "_", parameter).strip("_")


def _is_whole(parameter: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,18}", parameter) is not None


def _came_out(value: float | None, entry: _Entry, place: int, unit: str) -> dict[str, Any]:
    if value is None:
        return {"outcome": "failed", "reason": "asv says that it failed"}
    if math.isnan(value):
        return {"outcome": "skipped", "reason": "asv says that it was skipped"}
    if unit == "bytes":
        return {"peak_memory_bytes": round(value)} if 0.0 <= value < LARGEST else _no(value, unit)
    scale = _SECONDS[unit]
    seconds = scale * value
    if not is_time(seconds):
        return _no(value, unit)
    low, high = (_scaled(column, place, scale) for column in (entry.stats_ci_99_a, entry.stats_ci_99_b))
    lower, upper = (_scaled(column, place, scale) for column in (entry.stats_q_25, entry.stats_q_75))
    held = is_time(low) and is_time(high)
    samples = _at(entry.samples, place)
    return {
        "median_seconds": seconds,
        "process_seconds": (seconds,),
        "low_seconds": low if held else None,
        "high_seconds": high if held else None,
        "best_seconds": scale * min(samples) if samples else None,
        "relative_iqr": (upper - lower) / seconds
        if lower is not None and upper is not None and is_time(lower) and is_time(upper)
        else None,
        "samples": len(samples) if samples else _at(entry.stats_repeat, place),
    }


def _at(column: tuple[_Value | None, ...] | None, place: int) -> _Value | None:
    return column[place] if column is not None and place < len(column) else None


def _scaled(column: tuple[float | None, ...] | None, place: int, scale: float) -> float | None:
    value = _at(column, place)
    return None if value is None else scale * value


def _no(value: float, unit: str) -> dict[str, Any]:
    return {"outcome": "failed", "reason": f"asv says {value:g} {unit}"}
