"""`bench`: the time of a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import stats, units
from harness.api import Shown
from harness.api.calls import (
    Function,
    Roof,
    check_budget,
    checked,
    label_of,
    opened_pool,
    place_of,
    roof_of,
    sampling,
    settings_kept,
)
from harness.api.calls import (
    counted as counted_workload,
)
from harness.errors import NothingMeasuredError
from harness.measure.batch import Batch, Task
from harness.measure.openmp import bound_spinning
from harness.measure.sensors import card_of
from harness.records import Flag, Measurement, Trace
from harness.store import DEFAULT_RESULTS
from harness.text import counted
from harness.workload import Workload

ONE_PROCESS = "of this process alone; others may differ (processes=2 measures that)"


@dataclass(frozen=True, repr=False)
class Timing(Shown):
    """The time of one call of a function, and what the call does.

    `measurement` is the full record; `trace` is what one call was counted to do.
    """

    name: str
    device: str
    threads: int
    measurement: Measurement
    trace: Trace
    roof: Roof
    uncounted: dict[str, int]

    @property
    def median(self) -> float:
        """Seconds of one call: the median over processes of their medians."""
        return self.measurement.median

    @property
    def best(self) -> float:
        """Seconds of the fastest sample."""
        return self.measurement.best

    @property
    def processes(self) -> int:
        """How many processes measured it."""
        return len(self.measurement.view.processes)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the median in seconds: of an independent repeat; with one process, of that process alone."""
        if (interval := self.measurement.interval) is not None:
            return interval
        return stats.median_interval(self.measurement.view.processes[0].block_medians)

    @property
    def half_width(self) -> float:
        """Half the width of the interval, as a fraction of the median."""
        low, high = self.interval
        return (high - low) / 2 / self.median

    @property
    def relative_iqr(self) -> float:
        """The interquartile range of the samples of a process, as a fraction of the median."""
        return self.measurement.relative_iqr

    @property
    def samples(self) -> int:
        """How many samples were taken."""
        return self.measurement.view.samples

    @property
    def flops(self) -> int:
        """Matrix FLOPs of one call; a multiply-add is 2."""
        return sum(phase.flops for phase in self.trace.phases)

    @property
    def elementwise_flops(self) -> int:
        """Elementwise FLOPs of one call, reductions included."""
        return sum(phase.elementwise_flops for phase in self.trace.phases)

    @property
    def bytes_moved(self) -> int:
        """Bytes that one call reads and writes, each operand once."""
        return sum(phase.bytes_read + phase.bytes_written for phase in self.trace.phases)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Bytes of tensors alive at the peak of a call, those it is given included; None where it uses no tensor."""
        peak = max((phase.peak_bytes for phase in self.trace.phases), default=0)
        return peak or None

    @property
    def flops_per_second(self) -> float | None:
        """Matrix FLOPs over the median; None where a call does none."""
        return self.flops / self.median if self.flops else None

    @property
    def bytes_per_second(self) -> float | None:
        """Bytes moved over the median; None where a call moves none."""
        return self.bytes_moved / self.median if self.bytes_moved else None

    @property
    def fraction_of_peak(self) -> float | None:
        """FLOP/s over the measured peak; of a call without matrix FLOPs, bytes/s over the measured bandwidth. None: see `roof.source`."""
        rate, peak = self.flops_per_second, self.roof.flops_per_second
        if rate is None:
            rate, peak = self.bytes_per_second, self.roof.bytes_per_second
        return rate / peak if rate and peak else None

    @property
    def flags(self) -> tuple[str, ...]:
        """What speaks against this measurement, such as `noisy` or `contended`."""
        return tuple(flag.value for flag in self.measurement.flags)

    def as_dict(self) -> dict[str, Any]:
        """Returns every figure for programs, in base units."""
        low, high = self.interval
        names = (
            "name", "device", "threads", "processes", "median", "best", "relative_iqr", "samples", "flops",
            "elementwise_flops", "bytes_moved", "flops_per_second", "bytes_per_second", "fraction_of_peak",
            "peak_memory_bytes", "flags",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {**found, "low": low, "high": high, "peak_source": self.roof.source}

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        low, high = self.interval
        place = f"{self.device}, {counted(self.threads, 'thread')}, {counted(self.processes, 'process')}"
        median = f"{units.seconds(self.median)} ± {units.percent(self.half_width)}"
        what = "of an independent repeat" if self.processes > 1 else ONE_PROCESS
        rows = [
            ("95% interval", f"{units.seconds(low)} to {units.seconds(high)}, {what}"),
            (
                "best",
                f"{units.seconds(self.best)}; relative IQR {units.percent(self.relative_iqr)}; {self.samples} samples",
            ),
            ("rate", self._rate()),
            ("memory", units.size(self.peak_memory_bytes) if self.peak_memory_bytes else "no tensors"),
        ]
        if self.flags:
            rows.append(("flags", ", ".join(self.flags) + self._hint))
        return f"{self.name}: {median} ({place})", rows

    @property
    def _hint(self) -> str:
        """What helps against threads that spin while they wait: torch was loaded before anybody could bound that."""
        spins = self.processes == 1 and self.threads > 1 and not bound_spinning()
        if not spins or Flag.CONTENDED not in self.measurement.flags:
            return ""
        return " (threads that wait spin here; those of fresh processes sleep: processes=2)"

    def _rate(self) -> str:
        parts = []
        fraction = "" if self.fraction_of_peak is None else f"{units.percent(self.fraction_of_peak)} of "
        if self.flops_per_second is not None:
            peak = self.roof.flops_per_second
            known = f" ({fraction}{units.work_rate(peak)}, {self.roof.source})" if peak else ""
            parts.append(f"{units.work_rate(self.flops_per_second)}{known}")
            fraction = ""
        if self.bytes_per_second is not None:
            peak = self.roof.bytes_per_second
            known = f" ({fraction}{units.bandwidth(peak)}, {self.roof.source})" if fraction and peak else ""
            parts.append(f"{units.bandwidth(self.bytes_per_second)}{known}")
        if self.fraction_of_peak is None:
            parts.append(self.roof.source if parts else "no operator of torch was called")
        if self.uncounted:
            parts.append(f"not counted: {', '.join(sorted(self.uncounted))}")
        return "; ".join(parts)


def bench(
    fn: Callable[..., Any] | Workload,
    /,
    *args: Any,
    seconds: float = 1.0,
    processes: int = 1,
    threads: int | None = None,
    device: str | None = None,
    results: str | Path = DEFAULT_RESULTS,
    **kwargs: Any,
) -> Timing:
    """Measures the time of `fn(*args, **kwargs)`, and counts its FLOPs, bytes and memory.

    The function is called many times. Its keyword arguments of the names below must be bound beforehand, as by
    `functools.partial`.

    Args:
        fn: What to call, or a `Workload`.
        args: Its arguments.
        seconds: How long to sample, all processes together; sampling ends sooner once the median is known to 0.5%.
        processes: 1 measures in this process: the interval then does not contain what processes differ by. 2 or more
            are fresh processes, interleaved; the function and its arguments are copied to them.
        threads: Threads of torch; None: those it uses now.
        device: A device such as `cuda:0`; None: the one whose tensors the call uses.
        results: The folder of runs, for the measured peaks of this machine. Without any, the peak of the needed dtype
            is measured at once.
        kwargs: Keyword arguments of `fn`.

    Returns:
        A `Timing`: `median`, `interval`, `best` (seconds), `relative_iqr`, `flops`, `bytes_moved`,
        `flops_per_second`, `bytes_per_second`, `fraction_of_peak`, `peak_memory_bytes`, `flags`.

    Raises:
        UsageError: an argument is not allowed, or cannot be handed to another process.
        NothingMeasuredError: the function failed after its first call. What it raises in its first call is raised here.

    >>> import torch
    >>> timing = bench(torch.mm, torch.ones(32, 32), torch.ones(32, 32), seconds=0.02)
    >>> timing.flops, timing.bytes_moved, timing.peak_memory_bytes
    (65536, 12288, 12288)
    >>> 0.0 < timing.best <= timing.median
    True
    """
    checked("bench(fn)", fn)
    return timed((label_of(fn), fn, args, kwargs), seconds, processes, threads, device, Path(results))


def timed(
    function: Function,
    seconds: float,
    processes: int,
    threads: int | None,
    device: str | None,
    results: Path = DEFAULT_RESULTS,
) -> Timing:
    """Measures a named function with its arguments; see `bench`."""
    check_budget(seconds, processes, threads)
    with settings_kept():
        workload, count = counted_workload(*function, device)
        place = place_of([count], device, threads)
        with opened_pool(place, [workload], here=processes == 1) as (pool, orders):
            pool.grow(processes)
            task = Task(orders[0])
            opened = pool.opened
            batch = Batch(pool, sampling(seconds, processes), card_of(opened.uuid if opened else None))
            batch.measure([task])
        if not isinstance(task.outcome, Measurement):
            reason = task.outcome.reason if task.outcome else "no outcome"
            raise NothingMeasuredError(f"{workload}: {reason}")
        roof = roof_of(count, place, results)
    return Timing(
        str(workload),
        *place,
        measurement=task.outcome,
        trace=count.trace,
        roof=roof,
        uncounted=count.uncounted,
    )
