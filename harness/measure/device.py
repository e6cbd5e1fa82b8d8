"""The machine under test, and the one seam to it: its clock, its synchronisation, its memory.

A device never sees a workload. Whatever implements `Device` can stand here; the tests use a
simulated one, so every path of an asynchronous device is proven where there is none.
"""

import time
from collections.abc import Callable
from typing import Protocol

import psutil
import torch

from harness.errors import Unsupported, UsageError
from harness.measure.cgroup import cgroup_memory_left
from harness.measure.disturbance import Counters, ProcessCounters
from harness.measure.host import cache_levels, usable_physical_cores
from harness.measure.memory import Weighed, weigh_on_cpu, weigh_on_cuda
from harness.measure.stopwatch import Clock
from harness.records import MemoryLevel
from harness.workload import Call

MAIN_MEMORY = "DRAM"


class Device(Clock, Protocol):
    """A device under test: the stopwatch's clock, and memory."""

    name: str
    torch_device: torch.device
    threads: int

    def weigh(self, prepare: Callable[[torch.device], Call]) -> Weighed:
        """Makes the tensors, runs one call, and returns it with its output and its peak of tensor bytes."""

    def free_bytes(self) -> int:
        """Memory that can still be taken without pushing anything out."""

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """The memory hierarchy that `threads` threads see, nearest first."""

    def thread_counts(self) -> tuple[int, ...]:
        """The numbers of threads to measure ceilings for."""

    def use_threads(self, threads: int) -> None:
        """Runs the work from here on with so many threads."""


class Cpu:
    """The host's processor: calls run at once, the clock is the host's."""

    name = "cpu"
    view = "cpu"
    block = 1
    torch_device = torch.device("cpu")

    def __init__(self, threads: int | None = None) -> None:
        """`threads` None: one for each physical core this process may use."""
        self.threads = threads or usable_physical_cores()
        self.use_threads(self.threads)
        self._counters = ProcessCounters()

    def mark(self) -> float:
        """The host's clock, in seconds."""
        return time.perf_counter()

    def seconds_between(self, start: float, end: float) -> float:
        """Wall time."""
        return end - start

    def synchronize(self) -> None:
        """Nothing to wait for: a CPU call returns when it is done."""

    def host_seconds(self) -> float:
        """The same clock."""
        return time.perf_counter()

    def counters(self) -> Counters:
        """All threads of this process."""
        return self._counters.read()

    def weigh(self, prepare: Callable[[torch.device], Call]) -> Weighed:
        """Exact, from the allocator's events."""
        return weigh_on_cpu(prepare)

    def free_bytes(self) -> int:
        """What the system calls available, or what the control group leaves of it."""
        available = int(psutil.virtual_memory().available)
        left = cgroup_memory_left()
        return available if left is None else min(available, left)

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """Private caches counted once a thread, shared ones as often as this process sees them."""
        levels = []
        for cache in cache_levels():
            instances = min(cache.instances, self.threads)
            levels.append(MemoryLevel(name=f"L{cache.level}", capacity_bytes=cache.bytes * instances))
        return (*levels, MemoryLevel(name=MAIN_MEMORY, capacity_bytes=None))

    def thread_counts(self) -> tuple[int, ...]:
        """One thread, and all of them."""
        return tuple(sorted({1, self.threads}))

    def use_threads(self, threads: int) -> None:
        """Sets torch's intra-op threads."""
        torch.set_num_threads(threads)


class Cuda:
    """An NVIDIA GPU: calls return before they are done, the timeline is that of events."""

    view = "gpu_hot"
    # Event pairs that may wait in the queue before one synchronisation.
    block = 16

    def __init__(self, index: int, threads: int | None = None) -> None:
        self.torch_device = torch.device("cuda", index)
        self.name = f"cuda:{index}"
        self.threads = threads or usable_physical_cores()
        self.use_threads(self.threads)
        torch.cuda.set_device(self.torch_device)

    def mark(self) -> torch.cuda.Event:
        """An event on the current stream."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds_between(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """The device's own time between two events; resolution about 0.5 µs (CUDA documentation)."""
        return float(start.elapsed_time(end)) * 1e-3

    def synchronize(self) -> None:
        """Waits for the device."""
        torch.cuda.synchronize(self.torch_device)

    def host_seconds(self) -> float:
        """The host's clock."""
        return time.perf_counter()

    def counters(self) -> Counters | None:
        """The host's scheduler says nothing about samples timed on the device."""
        return None

    def weigh(self, prepare: Callable[[torch.device], Call]) -> Weighed:
        """The caching allocator's peak of bytes asked for."""
        return weigh_on_cuda(prepare, self.torch_device)

    def free_bytes(self) -> int:
        """What the driver calls free, and what the allocator holds unused."""
        free, _ = torch.cuda.mem_get_info(self.torch_device)
        held = torch.cuda.memory_reserved(self.torch_device) - torch.cuda.memory_allocated(self.torch_device)
        return free + held

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """L2 and the device's main memory."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        return (
            MemoryLevel(name="L2", capacity_bytes=int(properties.L2_cache_size)),
            MemoryLevel(name=MAIN_MEMORY, capacity_bytes=None),
        )

    def thread_counts(self) -> tuple[int, ...]:
        """The host's threads do not change what the device can do."""
        return (self.threads,)

    def use_threads(self, threads: int) -> None:
        """Sets torch's intra-op threads on the host."""
        torch.set_num_threads(threads)


def resolve(name: str, threads: int | None = None) -> Device:
    """The device a user named: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        UsageError: no such device here, with those that are.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(f"cuda:{index}" for index in range(count))]
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads: at least 1")
    if name == "cpu" or (name == "auto" and not count):
        return Cpu(threads)
    if name in {"auto", "cuda"} and count:
        return Cuda(torch.cuda.current_device(), threads)
    if name in known:
        return Cuda(int(name.removeprefix("cuda:")), threads)
    raise UsageError(f"no device {name!r} here: auto, {', '.join(known)}")


# Words in torch's errors that mean "not on this device", not "broken".
_IMPOSSIBLE = ("not implemented for", "is only supported on", "requires compute capability")


def impossible(error: Exception) -> str | None:
    """Why an error means "impossible here", in one line; None where it means "broken"."""
    line = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, Unsupported):
        return line
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in line:
        return f"out of memory: {line}"
    if isinstance(error, NotImplementedError):
        return line or "not implemented on this device"
    if isinstance(error, RuntimeError) and any(words in line.lower() for words in _IMPOSSIBLE):
        return line
    return None
