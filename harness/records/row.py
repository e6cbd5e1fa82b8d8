"""One case of one run, flat: what frames and the data set hold. Base units throughout."""

import msgspec

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
    typical_seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    best_seconds: float | None = None
    process_seconds: tuple[float, ...] = ()
    relative_iqr: float | None = None
    samples: int | None = None
    flags: tuple[str, ...] = ()
    roofline_seconds: float | None = None
    flops: int | None = None
    vector_flops: int | None = None
    bytes_moved: int | None = None
    memory_bytes: int | None = None
    kernels: int | None = None
    peak_memory_bytes: int | None = None
    joules_per_call: float | None = None
