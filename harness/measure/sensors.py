"""Reads sensors while cases are measured; absent sensors stay None.

The runner reads them, as it times nothing: the host's counters before and after a batch,
and a GPU's sensors at 20 Hz through NVML, which starts no CUDA context.

A worker reads the counters of its own process around each sample, on Linux from /proc. Steal time shows nothing on a
shared virtual machine; the time that a thread was runnable but not running does (Linux,
Documentation/scheduler/sched-stats.rst: the second field of schedstat).
"""

import contextlib
import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import psutil
import pynvml

from harness.measure.environment.kernel import cgroup_throttling
from harness.records import Disturbance, Reading, Sensors, Span

# NVML API reference, "Clocks event reasons": the bits of nvmlDeviceGetCurrentClocksEventReasons.
_REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}


# The kernel counts CPU time in ticks of 10 ms: shorter periods are not resolved.
LEAST_SECONDS = 1.0


class _Counted(NamedTuple):
    """CPU seconds since some moment: of everything, of it stolen, of it busy, of it ours; and throttled."""

    at: float
    total: float
    stolen: float
    busy: float
    ours: float
    throttled: float | None


class HostWatch:
    """The host's counters over a stretch of work."""

    def __init__(self, pids: Sequence[int]) -> None:
        """`pids` are our own other processes: their CPU time is not background load."""
        self._pids = tuple(pids)
        self._before = self._count()

    def seen(self) -> Sensors:
        """What was counted since the beginning."""
        before, now = self._before, self._count()
        seconds, total = now.at - before.at, now.total - before.total
        known = seconds >= LEAST_SECONDS and total > 0.0
        others = (now.busy - before.busy) - (now.ours - before.ours)
        throttled = None
        if now.throttled is not None and before.throttled is not None:
            throttled = now.throttled - before.throttled
        return Sensors(
            seconds=seconds,
            cpus=psutil.cpu_count() or None,
            other_cpus=max(0.0, others / seconds) if known else None,
            load_average=os.getloadavg()[0],
            steal_fraction=(now.stolen - before.stolen) / total if known else None,
            quota_throttled_seconds=throttled,
        )

    def _count(self) -> _Counted:
        times = psutil.cpu_times()._asdict()
        # Linux counts guest time in user time already (proc(5)).
        total = sum(v for name, v in times.items() if not name.startswith("guest"))
        idle = times["idle"] + times.get("iowait", 0.0)
        stolen = times.get("steal", 0.0)
        throttling = cgroup_throttling()
        return _Counted(
            at=time.monotonic(),
            total=total,
            stolen=stolen,
            busy=total - idle - stolen,
            ours=_own_seconds() + sum(_cpu_seconds(pid) for pid in self._pids),
            throttled=throttling.throttled_seconds if throttling else None,
        )


def _own_seconds() -> float:
    """CPU time of this process, and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


class Card(Protocol):
    """A device whose sensors can be read."""

    def read(self, at: float) -> Reading:
        """Its sensors now; `at` is the time of the record."""


class NvidiaCard:
    """A card's sensors, each of which may be missing."""

    def __init__(self, uuid: str, nvml: Any = pynvml) -> None:
        """
        Raises:
            pynvml.NVMLError: there is no NVML, or no card of this id.
        """  # noqa: D205, D212
        self._nvml = nvml
        nvml.nvmlInit()
        self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)

    def read(self, at: float) -> Reading:
        """NVML counts in megahertz, milliwatts and degrees."""
        nvml = self._nvml
        sm, memory = (
            self._ask("nvmlDeviceGetClockInfo", clock) for clock in (nvml.NVML_CLOCK_SM, nvml.NVML_CLOCK_MEM)
        )
        power = self._power()
        temperature = self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        return Reading(
            at=at,
            clock_hertz=None if sm is None else sm * 1e6,
            memory_clock_hertz=None if memory is None else memory * 1e6,
            power_watts=None if power is None else power * 1e-3,
            temperature_celsius=None if temperature is None else float(temperature),
            throttle_reasons=self._reasons(),
        )

    def _power(self) -> int | None:
        """Milliwatts now; the mean of a second (Ampere and later) where the driver has no instant value."""
        try:
            field = self._nvml.nvmlDeviceGetFieldValues(self._handle, [self._nvml.NVML_FI_DEV_POWER_INSTANT])[
                0
            ]
        except (self._nvml.NVMLError, AttributeError):
            return self._ask("nvmlDeviceGetPowerUsage")
        return int(field.value.uiVal) if field.nvmlReturn == 0 else self._ask("nvmlDeviceGetPowerUsage")

    def _reasons(self) -> tuple[str, ...] | None:
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")  # the name before driver 535
        return None if bits is None else tuple(name for bit, name in _REASONS.items() if bits & bit)

    def _ask(self, function: str, *constants: int) -> int | None:
        try:
            answer: int = getattr(self._nvml, function)(self._handle, *constants)
        except (self._nvml.NVMLError, AttributeError):
            return None
        return answer


def card_of(uuid: str | None) -> Card | None:
    """The sensors of a card; None where the device has none that can be read."""
    if uuid is None:
        return None
    try:
        return NvidiaCard(uuid)
    except pynvml.NVMLError:
        return None


def summary(host: Sensors, readings: Sequence[Reading]) -> Sensors:
    """What was counted on the host, and the device's readings summed up."""
    reasons = [reading.throttle_reasons for reading in readings if reading.throttle_reasons is not None]
    return msgspec.structs.replace(
        host,
        readings=len(readings),
        clock_hertz=Span.over([r.clock_hertz for r in readings]),
        memory_clock_hertz=Span.over([r.memory_clock_hertz for r in readings]),
        power_watts=Span.over([r.power_watts for r in readings]),
        temperature_celsius=Span.over([r.temperature_celsius for r in readings]),
        throttle_reasons=tuple(sorted({name for names in reasons for name in names})) if reasons else None,
    )


@dataclass(frozen=True)
class Counters:
    """Totals of this process over all threads; the run delays by thread."""

    cpu_seconds: float
    involuntary_switches: int
    page_faults: int
    run_delay_seconds: Mapping[str, float] | None


class ProcessCounters:
    """Reads `Counters` in microseconds: the files of known threads stay open."""

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        self._tasks = tasks
        self._files: dict[str, int] = {}
        self._known = any(tasks.glob("*/schedstat"))

    def read(self) -> Counters:
        """The totals now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Counters(
            cpu_seconds=time.process_time(),
            involuntary_switches=usage.ru_nivcsw,
            page_faults=usage.ru_minflt + usage.ru_majflt,
            run_delay_seconds=self._run_delays() if self._known else None,
        )

    def close(self) -> None:
        """Closes the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _run_delays(self) -> dict[str, float]:
        threads = os.listdir(self._tasks)  # noqa: PTH208 - names alone, in the hot path
        for gone in self._files.keys() - set(threads):
            self._forget(gone)
        delays = {}
        for thread in threads:
            try:
                if thread not in self._files:
                    self._files[thread] = os.open(self._tasks / thread / "schedstat", os.O_RDONLY)
                delays[thread] = int(os.pread(self._files[thread], 64, 0).split()[1]) * 1e-9
            except (FileNotFoundError, ProcessLookupError):  # the thread ended just now
                self._forget(thread)
        return delays

    def _forget(self, thread: str) -> None:
        descriptor = self._files.pop(thread, None)
        if descriptor is not None:
            os.close(descriptor)


def disturbance_between(pairs: Sequence[tuple[Counters, Counters]]) -> Disturbance:
    """The difference of each pair of counters, as columns in the order of the samples.

    The run delay of a sample is that of the thread that waited longest: the others wait for it. A
    sum would grow with the number of threads.
    """
    delays = [_longest_wait(before, after) for before, after in pairs]
    known = [delay for delay in delays if delay is not None]
    return Disturbance(
        cpu_seconds=tuple(after.cpu_seconds - before.cpu_seconds for before, after in pairs),
        involuntary_switches=tuple(a.involuntary_switches - b.involuntary_switches for b, a in pairs),
        page_faults=tuple(after.page_faults - before.page_faults for before, after in pairs),
        run_delay_seconds=tuple(known) if len(known) == len(pairs) else None,
    )


def _longest_wait(before: Counters, after: Counters) -> float | None:
    if before.run_delay_seconds is None or after.run_delay_seconds is None:
        return None
    known = before.run_delay_seconds
    waits = (delay - known[thread] for thread, delay in after.run_delay_seconds.items() if thread in known)
    return max(waits, default=0.0)
