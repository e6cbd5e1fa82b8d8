"""The one table of results, a row per case, in base units: data frames, Parquet, report.json and history read it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

import msgspec

from harness.errors import RecordError
from harness.records import Environment, Header, Measurement, Peaks, Result, Scalar, Settings
from harness.records.base import Record, digest
from harness.records.peaks import envelope


def series_key(case: str, source: str | None, machine: str, threads: int) -> str:
    """Name (16 hex digits) of a series of times on one host: a hash of the case, its code, the device model and the threads.

    >>> series_key("matmul", None, "EPYC", 1) == series_key("matmul", None, "EPYC", 2)
    False
    """
    return digest([case, source, machine, threads])


class Row(Record, frozen=True, gc=False):  # tens of thousands of them, and no cycles
    """One case of one run.

    `outcome` is measurement, skipped or failed. Values that were not measured, or are unknown in an imported result, are
    None. Times of one `series` may be compared on one `host`. `stack` is the hash of software and settings
    (`Environment.stack_hash`); `torch`, `cuda` and `driver` are parts of it. `machine` is the model of the accelerators
    or of the processor. `process_seconds` are the medians of the processes. `rates` are items per second by unit.
    `efficiency` is roofline over measured time; `mfu` and `hfu` are fractions of the measured peak.

    `cells` flattens the nested columns: `size.m`, `parameter.optimizer`, `forward_seconds`, `samples_per_second`.
    """

    run: str
    started_at: str
    case: str
    series: str
    outcome: str
    host: str | None = None
    label: str | None = None
    machine: str | None = None
    device: str | None = None
    threads: int | None = None
    fingerprint: str | None = None
    stack: str | None = None
    torch: str | None = None
    cuda: str | None = None
    driver: str | None = None
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    plumbline: str | None = None
    suite: str | None = None
    family: str | None = None
    dtype: str | None = None
    sizes: dict[str, int] = msgspec.field(default_factory=dict)
    parameters: dict[str, Scalar] = msgspec.field(default_factory=dict)
    source: str | None = None
    reason: str | None = None
    view: str | None = None
    median_seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    best_seconds: float | None = None
    process_seconds: tuple[float, ...] = ()
    relative_iqr: float | None = None
    processes: int | None = None
    samples: int | None = None
    clean_fraction: float | None = None
    stop_reason: str | None = None
    regime: str | None = None
    phase_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    roofline_seconds: float | None = None
    bound: str | None = None
    efficiency: float | None = None
    flops: int | None = None
    flops_dense: int | None = None
    hardware_flops: int | None = None
    elementwise_flops: int | None = None
    bytes_moved: int | None = None
    memory_bytes: int | None = None
    flops_per_second: float | None = None
    bytes_per_second: float | None = None
    rates: dict[str, float] = msgspec.field(default_factory=dict)
    mfu: float | None = None
    hfu: float | None = None
    model_parameters: int | None = None
    kernels: int | None = None
    saved_bytes: int | None = None
    unknown_operators: tuple[str, ...] = ()
    peak_memory_bytes: int | None = None
    peak_phase: str | None = None
    joules_per_call: float | None = None


NAMES = Row.__struct_fields__


def kinds() -> dict[str, Any]:
    """The columns of a row by name, with the type of a known value."""
    hints = {field.name: field.type for field in msgspec.structs.fields(Row)}
    plain = (bool, int, float, str)
    return {name: next((kind for kind in plain if hint == kind | None), hint) for name, hint in hints.items()}


# How the values of a nested column are named. A name that another column has gets the prefix of its column in any case.
_CELLS: dict[str, Callable[[str], str]] = {
    "sizes": "size.{}".format,
    "parameters": "parameter.{}".format,
    "phase_seconds": lambda phase: _free(f"{phase}_seconds", "phase"),
    "rates": lambda unit: _free(f"{unit}_per_second", "item"),
}


def _free(name: str, prefix: str) -> str:
    return f"{prefix}.{name}" if name in NAMES else name


def cells(row: Row) -> dict[str, Any]:
    """A row by column, with a column for each value of the nested ones, so that no size overwrites another column.

    >>> row = Row("a", "2026-01-01T00:00:00+00:00", "case", "series", "failed", sizes={"run": 1})
    >>> cells(row)["run"], cells(row)["size.run"]
    ('a', 1)
    """
    flat_row: dict[str, Any] = {}
    for name, value in zip(NAMES, msgspec.structs.astuple(row), strict=True):
        if name in _CELLS:
            flat_row |= {_CELLS[name](key): inner for key, inner in value.items()}
        else:
            flat_row[name] = value
    return flat_row


class RowHeader(Record, frozen=True):
    """The part of a header that rows need; it is decoded faster than the whole."""

    id: str
    schema_version: int
    started_at: str
    settings: Settings
    environment: Environment
    planned: tuple[str, ...]
    finished_at: str | None = None
    peaks: tuple[Peaks, ...] = ()


def flat(header: Header | RowHeader, results: Iterable[Result]) -> Iterator[Row]:
    """The rows of a run, in the order of its results.

    Raises:
        RecordError: the time of the run is not valid.
    """
    environment, settings = header.environment, header.settings
    machine, code = machine_of(environment), environment.code
    utilization = _utilization_of(header)
    drivers = [device.driver_version for device in environment.devices if device.driver_version]
    of_run = {
        "run": header.id,
        "started_at": utc(header.started_at, header.id),
        "host": environment.host.id,
        "label": settings.label or None,
        "machine": machine,
        "device": settings.device,
        "fingerprint": environment.fingerprint,
        "stack": _stack(environment),
        "torch": environment.software.torch.version,
        "cuda": environment.software.torch.cuda_runtime,
        "driver": drivers[0] if drivers else None,
        "commit": code.commit,
        "branch": code.branch,
        "dirty": code.dirty,
        "plumbline": code.plumbline_version,
    }
    for result in results:
        case, threads = result.case, result.case.threads or settings.threads
        yield Row(
            case=case.id,
            series=_series(case.id, case.source, machine, threads),
            threads=threads,
            suite=case.suite,
            family=case.family,
            dtype=case.dtype,
            sizes=case.sizes,
            parameters=case.parameters,
            source=case.source,
            **of_run,  # type: ignore[arg-type]
            **_predicted(result),
            **_outcome(result, utilization),
        )


def machine_of(environment: Environment) -> str:
    """The model of the accelerators of a run, each kind once with its count; else that of the processor."""
    models = Counter(
        f"{device.name or 'accelerator'}{' MIG' if device.mig_enabled else ''}"
        for device in environment.devices
    )
    names = [f"{count} x {name}" if count > 1 else name for name, count in models.items()]
    return ", ".join(names) or environment.processor.model_name or environment.processor.architecture


def utc(time: str, run: str) -> str:
    """A time (ISO 8601) as UTC; a time without an offset is read as UTC.

    Raises:
        RecordError: the text is not a time.

    >>> utc("2026-01-02T03:04:05+02:00", "a")
    '2026-01-02T01:04:05+00:00'
    """
    try:
        return in_utc(datetime.fromisoformat(time)).isoformat()
    except (ValueError, OverflowError) as error:
        raise RecordError(f"run {run}: started_at is {time!r}, not an ISO 8601 time") from error


def in_utc(moment: datetime) -> datetime:
    """A moment in UTC; a moment without a zone is read as UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


# The same cases occur in run after run.
_series = lru_cache(maxsize=65536)(series_key)


_STACKS: dict[bytes, str] = {}


def _stack(environment: Environment) -> str:
    """The hash of the stack, computed once for equal environments."""
    key = msgspec.json.encode(
        (
            environment.software,
            environment.numerics,
            environment.processor,
            environment.memory.transparent_huge_pages,
            environment.limits,
            environment.accelerators,
            environment.device_name,
        )
    )
    if key not in _STACKS:
        if len(_STACKS) == 1024:
            _STACKS.clear()
        _STACKS[key] = environment.stack_hash
    return _STACKS[key]


def _predicted(result: Result) -> dict[str, Any]:
    cost, trace, prediction = result.case.cost, result.case.trace, result.prediction
    columns: dict[str, Any] = {}
    if cost is not None:
        columns |= {
            "flops": cost.flops,
            "flops_dense": cost.flops_dense,
            "hardware_flops": cost.hardware_flops,
            "elementwise_flops": cost.elementwise_flops,
            "bytes_moved": cost.bytes_moved,
            "memory_bytes": cost.memory_bytes,
        }
    if trace is not None:
        columns |= {
            "model_parameters": trace.parameters,
            "kernels": trace.kernels,
            "saved_bytes": trace.saved_bytes,
            "unknown_operators": tuple(trace.unknown),
        }
    if prediction is not None:
        columns |= {"roofline_seconds": prediction.seconds, "bound": prediction.bound}
    return columns


def _outcome(result: Result, utilization: "_Utilization") -> dict[str, Any]:
    measurement = result.outcome
    if not isinstance(measurement, Measurement):
        return {"outcome": type(measurement).__name__.lower(), "reason": measurement.reason}
    view = measurement.view
    low, high = view.interval or (None, None)
    return {
        "outcome": "measurement",
        "view": view.name,
        "median_seconds": view.median,
        "low_seconds": low,
        "high_seconds": high,
        "best_seconds": view.best,
        "process_seconds": tuple(process.median for process in view.processes),
        "relative_iqr": view.relative_iqr,
        "processes": len(view.processes),
        "samples": view.samples,
        "clean_fraction": view.clean_fraction,
        "stop_reason": view.stop_reason.value,
        "regime": measurement.regime,
        "phase_seconds": measurement.phase_seconds,
        "flags": tuple(map(str, measurement.flags)),
        "efficiency": result.efficiency,
        "flops_per_second": result.flops_per_second,
        "bytes_per_second": result.bytes_per_second,
        "rates": result.rates,
        "mfu": utilization(result, result.flops_per_second),
        "hfu": utilization(result, result.hardware_flops_per_second),
        "peak_memory_bytes": measurement.peak_memory_bytes,
        "peak_phase": measurement.peak_phase,
        "joules_per_call": measurement.joules_per_call,
    }


_Utilization = Callable[[Result, float | None], float | None]


def _utilization_of(header: Header | RowHeader) -> _Utilization:
    """The fraction of the measured peak that a rate is, as `Run.mfu` has it."""
    peak = cache(envelope(header.peaks).compute_peak)

    def utilization(result: Result, rate: float | None) -> float | None:
        if rate is None:
            return None
        best = peak(result.case.dtype, result.case.threads or header.settings.threads)
        return rate / best.flops_per_second if best else None

    return utilization
