"""Results as rows, a row per case: what frames, histories and the data set are made of. Base units throughout."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from harness.errors import RecordError
from harness.records import Environment, Header, Result, Settings
from harness.records.base import Record, digest


def series_key(case: str, source: str | None, machine: str, threads: int) -> str:
    """16 hex digits that name a series of times on one host: the case, the code that asks for it, the device model, the threads.

    >>> series_key("matmul", None, "EPYC", 1) == series_key("matmul", None, "EPYC", 2)
    False
    """
    return digest([case, source, machine, threads])


class Row(Record, frozen=True, gc=False):  # tens of thousands of them, and no cycles
    """One case of one run.

    `series` names what may be compared on one `host`; `stack` stands for the software and settings under it (`Environment.stack`), of which
    `torch`, `cuda` and `driver` are told. `machine` is the model of the processor or of the accelerators the run was for. `process_seconds` are the
    medians of the processes. What was not measured, or is not known of an imported result, is None. `outcome` is measurement, skipped or failed.
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
    source: str | None = None
    reason: str | None = None
    view: str | None = None
    median_seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    best_seconds: float | None = None
    process_seconds: tuple[float, ...] = ()
    relative_iqr: float | None = None
    samples: int | None = None
    flags: tuple[str, ...] = ()
    roofline_seconds: float | None = None
    flops: int | None = None
    elementwise_flops: int | None = None
    bytes_moved: int | None = None
    memory_bytes: int | None = None
    kernels: int | None = None
    peak_memory_bytes: int | None = None
    joules_per_call: float | None = None


class Told(Record, frozen=True):
    """As much of a header as its rows need: many are read sooner than in full."""

    id: str
    schema_version: int
    started_at: str
    settings: Settings
    environment: Environment
    planned: tuple[str, ...]
    finished_at: str | None = None


def flat(header: Header | Told, results: Iterable[Result]) -> Iterator[Row]:
    """The rows of a run, in the order of its results.

    Raises:
        RecordError: the run's time is none.
    """
    environment, settings = header.environment, header.settings
    machine, code = machine_of(environment), environment.code
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
            source=case.source,
            roofline_seconds=result.prediction.seconds if result.prediction else None,
            kernels=case.trace.kernels if case.trace else None,
            **of_run,  # type: ignore[arg-type]
            **_cost(result),  # type: ignore[arg-type]
            **_outcome(result),  # type: ignore[arg-type]
        )


def machine_of(environment: Environment) -> str:
    """The model of what the run was for: the accelerators, each kind once with its count, or the processor."""
    found = Counter(
        f"{device.name or 'accelerator'}{' MIG' if device.mig_enabled else ''}"
        for device in environment.devices
    )
    names = [f"{count} x {name}" if count > 1 else name for name, count in found.items()]
    return ", ".join(names) or environment.processor.model_name or environment.processor.architecture


def utc(time: str, run: str) -> str:
    """A time of day, ISO 8601, as UTC; one without an offset is taken for UTC.

    Raises:
        RecordError: it is none.

    >>> utc("2026-01-02T03:04:05+02:00", "a")
    '2026-01-02T01:04:05+00:00'
    """
    try:
        moment = datetime.fromisoformat(time)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise RecordError(f"run {run} was started at {time!r}, which is no time") from error


# The same cases come again and again, run after run.
_series = lru_cache(maxsize=65536)(series_key)


_STACKS: dict[bytes, str] = {}


def _stack(environment: Environment) -> str:
    """The hash of the stack, made once for all environments alike in whatever can be in it."""
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


def _cost(result: Result) -> dict[str, int]:
    cost = result.case.cost
    if cost is None:
        return {}
    return {
        "flops": cost.flops,
        "elementwise_flops": cost.elementwise_flops,
        "bytes_moved": cost.bytes_moved,
        "memory_bytes": cost.memory_bytes,
    }


def _outcome(result: Result) -> dict[str, object]:
    measurement = result.measurement
    if measurement is None:
        kind = type(result.outcome).__name__.lower()
        return {"outcome": kind, "reason": getattr(result.outcome, "reason", None)}
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
        "samples": view.samples,
        "flags": tuple(map(str, measurement.flags)),
        "peak_memory_bytes": measurement.peak_memory_bytes,
        "joules_per_call": measurement.joules_per_call,
    }
