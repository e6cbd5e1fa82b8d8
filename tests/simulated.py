"""A device whose time is a number: every path of a real one, exact and in no time."""

import os
import signal
from collections.abc import Callable

import torch

from harness.measure.disturbance import Counters
from harness.measure.memory import Weighed
from harness.records import MemoryLevel
from harness.workload import Call


class Simulated:
    """Runs work at once, or (asynchronous) in a queue that the host does not wait for."""

    name = "simulated"
    torch_device = torch.device("cpu")
    threads = 1

    def __init__(
        self, *, asynchronous: bool = False, mark_cost: float = 1e-7, launch_cost: float = 1e-6
    ) -> None:
        self.asynchronous = asynchronous
        self.view, self.block = ("gpu_hot", 16) if asynchronous else ("cpu", 1)
        self.mark_cost, self.launch_cost = mark_cost, launch_cost
        self.host = self.queue_end = self.run_delay = 0.0
        self.submitted = self.synchronised = 0

    def submit(self, seconds: float) -> None:
        self.submitted += 1
        self.host += self.launch_cost if self.asynchronous else seconds
        self.queue_end = max(self.host, self.queue_end) + (seconds if self.asynchronous else 0.0)

    def mark(self) -> float:
        self.host += self.mark_cost
        return max(self.host, self.queue_end) if self.asynchronous else self.host

    def seconds_between(self, start: float, end: float) -> float:
        assert end <= self.host, "the mark was read before the device reached it"
        return end - start

    def synchronize(self) -> None:
        self.synchronised += 1
        self.host = max(self.host, self.queue_end)

    def host_seconds(self) -> float:
        return self.host

    def counters(self) -> Counters | None:
        if self.asynchronous:
            return None
        return Counters(self.host, 0, 0, run_delay_seconds={"1": self.run_delay})

    def weigh(self, prepare: Callable[[torch.device], Call]) -> Weighed:
        call = prepare(self.torch_device)
        return Weighed(call, call(), 0)

    def free_bytes(self) -> int:
        return 2**40

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        return (MemoryLevel(name="L1", capacity_bytes=2**15), MemoryLevel(name="DRAM", capacity_bytes=None))

    def thread_counts(self) -> tuple[int, ...]:
        return (1,)

    def use_threads(self, threads: int) -> None:
        self.threads = threads


CURRENT = Simulated()


def work(kind: str, n: int, output: torch.Tensor) -> torch.Tensor:
    """What the simulated suites call: n microseconds of work, or the trouble they are named for."""
    if kind == "fragile" and (trouble := os.environ.get("SIMULATED_TROUBLE")):
        os.kill(os.getpid(), getattr(signal, trouble))
    CURRENT.submit(n * 1e-6 if kind != "impossible" else n * 1e-15)
    return output
