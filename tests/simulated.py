"""A device whose time is a number: every path of a real one, exact and in no time."""

import os
import signal
from collections.abc import Callable, Sequence

import torch

from harness.measure.devices.base import MeasuredMemory
from harness.measure.handler import Handler
from harness.measure.pool import LostError
from harness.measure.protocol import Note, Reply, Request
from harness.measure.sensors import Counters
from harness.records import MemoryLevel
from harness.workload import Call


class Simulated:
    """Runs work at once, or (asynchronous) in a queue that the host does not wait for."""

    name = "simulated"
    torch_device = torch.device("cpu")
    uuid: str | None = None

    def __init__(
        self, *, asynchronous: bool = False, mark_cost: float = 1e-7, launch_cost: float = 1e-6
    ) -> None:
        self.asynchronous = asynchronous
        self.view, self.batch = ("gpu_hot", 16) if asynchronous else ("cpu", 1)
        self.mark_cost, self.launch_cost = mark_cost, launch_cost
        self.threads = 1
        self.host = self.queue_end = self.run_delay = self.energy = 0.0
        self.watts: float | None = None
        self.cache: int | None = None
        self.set_bytes = 0
        self.submitted = self.synchronised = self.held = 0
        self.memory = 2**40
        self.recording: list[float] | None = None

    def submit(self, seconds: float) -> None:
        if self.recording is not None:
            self.recording.append(seconds)
            return
        self.submitted += 1
        self.host += self.launch_cost if self.asynchronous else seconds
        self.queue_end = max(self.host, self.queue_end) + (seconds if self.asynchronous else 0.0)
        self.energy += (self.watts or 0.0) * seconds

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

    def delay_queue(self, seconds: float) -> None:
        self.held += 1
        self.queue_end = max(self.host, self.queue_end) + seconds
        self.energy += (self.watts or 0.0) * seconds

    def reached(self, mark: float) -> bool:
        return mark <= self.host

    def measure_memory(self, prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
        call = prepare(self.torch_device)
        return MeasuredMemory(call, call(), self.set_bytes, {})

    def free_bytes(self) -> int:
        return self.memory

    def cache_bytes(self) -> int | None:
        return self.cache

    def captured(self, calls: Sequence[Call]) -> Callable[[], object]:
        self.recording = []
        for call in calls:
            call()
        recorded, self.recording = self.recording, None
        return lambda: self.submit(sum(recorded))

    def spend(self, seconds: float) -> None:
        self.submit(seconds)

    def joules(self) -> float | None:
        return None if self.watts is None else self.energy

    def give_back(self) -> None:
        pass

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


class InProcess:
    """A worker that is no process: its handler stands in this one. `lose` names a case that takes it down."""

    pids: tuple[int, ...] = ()
    printed = b""
    started = 0

    def __init__(self, lose: str | None = None) -> None:
        InProcess.started += 1
        self._lose = lose
        self._replies: list[Reply] = []
        self._living = True
        self._handler = Handler(self._say)

    def _say(self, note: Note) -> None:
        self._replies.append(note)

    def send(self, request: Request) -> None:
        if self._lose is not None and getattr(request, "case", None) == self._lose:
            self._living = False
            return
        self._replies.append(self._handler.answer(request))

    def receive(self, limit_seconds: float, meanwhile: Callable[[], object] | None) -> Reply:
        if meanwhile:
            meanwhile()
        if not self._living:
            raise LostError("the worker process was killed by SIGSEGV")
        return self._replies.pop(0)

    def alive(self) -> bool:
        return self._living

    def close(self) -> None:
        self._living = False
