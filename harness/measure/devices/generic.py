"""Any other accelerator torch knows (xpu, mps), through `torch.accelerator` alone.

Missing facts stay unknown: there is no device timeline (`wall` is the only view), no peak
memory where torch does not count it, no cache size, no sensors and no datasheet.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil
import torch

from harness.errors import Unsupported
from harness.measure.devices.base import MAIN_MEMORY, HostTimed, MeasuredMemory
from harness.measure.sensors import Counters
from harness.records import MemoryLevel
from harness.workload import Call


class Accelerator(HostTimed):
    """Timed by the host's clock, with a synchronisation at every mark."""

    view = "wall"
    uuid: str | None = None

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self.torch_device = torch.device(name)
        self.threads = threads
        self.use_threads(threads)

    def mark(self) -> float:
        """Now, with nothing left to do."""
        self.synchronize()
        return time.perf_counter()

    def synchronize(self) -> None:
        """Waits for the device."""
        torch.accelerator.synchronize(self.torch_device)

    def counters(self) -> Counters | None:
        """None: the host's scheduler does not see the device."""
        return None

    def measure_memory(self, prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
        """The allocator's peak, where torch counts it for this device; else None."""
        memory: Any = torch.accelerator
        try:
            before = memory.memory_allocated(self.torch_device)
        except (AttributeError, RuntimeError):
            before = None
        call = prepare(self.torch_device)
        self.synchronize()
        if before is None:
            return MeasuredMemory(call, call(), None, {})
        memory.reset_peak_memory_stats(self.torch_device)
        output = call()
        self.synchronize()
        return MeasuredMemory(
            call, output, int(memory.max_memory_allocated(self.torch_device)) - int(before), {}
        )

    def free_bytes(self) -> int:
        """The driver's free memory; the host's where it reports none (unified memory)."""
        memory: Any = torch.accelerator
        try:
            return int(memory.get_memory_info(self.torch_device)[0])
        except (AttributeError, RuntimeError):
            return int(psutil.virtual_memory().available)

    def cache_bytes(self) -> int | None:
        """None: unknown."""
        return None

    def captured(self, calls: Sequence[Call]) -> Callable[[], object]:
        """Unsupported."""
        del calls
        raise Unsupported(f"no graphs on {self.name}")

    def joules(self) -> float | None:
        """None: unknown."""
        return None

    def give_back(self) -> None:
        """Empties the caching allocator."""
        with contextlib.suppress(AttributeError, RuntimeError):  # not on every accelerator
            torch.accelerator.empty_cache()

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """Main memory alone."""
        return (MemoryLevel(name=MAIN_MEMORY, capacity_bytes=None),)

    def thread_counts(self) -> tuple[int, ...]:
        """The host's threads do not change what the device can do."""
        return (self.threads,)

    def use_threads(self, threads: int) -> None:
        """Sets torch's intra-op threads on the host."""
        torch.set_num_threads(threads)
