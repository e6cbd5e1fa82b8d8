"""The device under test: its clock, synchronization and memory.

A device never sees a workload. Anything that implements `Device` fits; the tests use a
simulated one, so every path of an asynchronous device is tested without one.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch

from harness.errors import Unsupported, UsageError
from harness.measure.environment.host import usable_physical_cores
from harness.measure.timer import Clock, Mark
from harness.records import MemoryLevel
from harness.workload import Call

MAIN_MEMORY = "DRAM"


class MeasuredMemory(NamedTuple):
    """A call that ran once, its output, and the peak of tensor bytes that were alive during it.

    `phases` holds the peak of each phase. `allocated_bytes` is the peak as a caching allocator rounds it, and
    `reserved_bytes` is what the allocator took from the device.
    """

    call: Call
    output: object
    peak_bytes: int | None
    phases: dict[str, int]
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None


class Device(Clock, Protocol):
    """A device under test: the timer's clock, and memory."""

    name: str
    view: str
    """The headline view, `cpu`, `gpu_hot` or `wall`."""
    torch_device: torch.device
    threads: int
    uuid: str | None
    """The card's id for NVML; never stored."""

    def measure_memory(self, prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
        """Makes the tensors, runs one call, and returns it with its output and its peak of tensor bytes."""

    def free_bytes(self) -> int:
        """Memory that can be allocated without displacing anything."""

    def cache_bytes(self) -> int | None:
        """The cache in front of main memory, which a cold view must exceed; None where unknown."""

    def captured(self, calls: Sequence[Call]) -> Callable[[], object]:
        """The calls as one graph, launched at once.

        Raises:
            Unsupported: the device has no graphs.
        """

    def spend(self, seconds: float) -> None:
        """Occupies the device for `seconds`, as one more operation: a slowdown of known size."""

    def joules(self) -> float | None:
        """A counter of the energy used so far; None where no counter is readable."""

    def give_back(self) -> None:
        """Returns unused memory to the system, for other processes."""

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """The memory hierarchy of `threads` threads, nearest first."""

    def thread_counts(self) -> tuple[int, ...]:
        """The numbers of threads to measure peaks for."""

    def use_threads(self, threads: int) -> None:
        """Sets the number of threads for the work from here on."""


class HostTimed:
    """Common base of the host's processor and of accelerators without a timeline of their own."""

    batch = 1
    asynchronous = False

    def host_seconds(self) -> float:
        """The host's clock."""
        return time.perf_counter()

    def seconds_between(self, start: float, end: float) -> float:
        """Wall time."""
        return end - start

    def delay_queue(self, seconds: float) -> None:
        """Does nothing: there is no queue, or the wait for the host is part of the measurement."""

    def reached(self, mark: Mark) -> bool:
        """Always: a mark waits for earlier work."""
        del mark
        return True

    def spend(self, seconds: float) -> None:
        """Spins on the host."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass


def named(name: str, threads: int | None = None) -> tuple[str, int]:
    """The full name of a user's device, and its threads: `auto`, `cpu`, `cuda`, `cuda:N`, `xpu` or `mps`.

    Starts nothing on it: only workers do. `threads` None: one for each
    physical core this process may use.

    Raises:
        UsageError: no such device here; the message lists the devices.
    """
    known = ["cpu", *_accelerators()]
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads: at least 1")
    aliases = {"auto": known[min(1, len(known) - 1)]}
    for full in reversed(known):
        aliases[full.partition(":")[0]] = full
    chosen = name if name in known else aliases.get(name)
    if chosen is None:
        raise UsageError(f"no device {name!r} here: auto, {', '.join(known)}")
    return chosen, threads or usable_physical_cores()


def opened(name: str, threads: int) -> Device:
    """The device of a name that `named` gave, started in this process."""
    # Each class starts its own part of torch: only the needed one is loaded.
    if name == "cpu":
        from harness.measure.devices.cpu import Cpu  # noqa: PLC0415

        return Cpu(threads)
    kind, _, index = name.partition(":")
    if kind == "cuda":
        from harness.measure.devices.cuda import Cuda  # noqa: PLC0415

        return Cuda(int(index), threads)
    from harness.measure.devices.generic import Accelerator  # noqa: PLC0415

    return Accelerator(name, threads)


def _accelerators() -> list[str]:
    if torch.cuda.is_available():
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if not torch.accelerator.is_available():
        return []
    kind = torch.accelerator.current_accelerator()
    return [f"{kind}:{index}" for index in range(torch.accelerator.device_count())]


# Texts in torch's errors that mean "not on this device" rather than "broken".
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
