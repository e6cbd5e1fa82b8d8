"""The host's processor as the device under test."""

import gc
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import psutil
import torch
from torch.autograd.profiler import profile, record_function

from harness.errors import Unsupported
from harness.measure.devices.base import MAIN_MEMORY, HostTimed, MeasuredMemory
from harness.measure.environment.host import cache_levels, usable_physical_cores
from harness.measure.environment.kernel import cgroup_memory_left, read, read_integer
from harness.measure.sensors import Counters, ProcessCounters
from harness.records import MemoryLevel
from harness.workload import Call, phases_of

_ZONES = "sys/class/powercap"


class Rapl:
    """The energy counters of the CPU packages (RAPL)."""

    def __init__(self, root: Path = Path("/")) -> None:
        zones = sorted((root / _ZONES).glob("intel-rapl:*"))
        self._zones = [
            zone
            for zone in zones
            if (read(zone / "name") or "").startswith("package")
            and read_integer(zone / "energy_uj") is not None
        ]
        self._last: dict[Path, int] = {}
        self._wrapped: dict[Path, int] = {}

    def joules(self) -> float | None:
        """Energy since an arbitrary moment, in joules; never decreases. None where no counter is readable."""
        total = 0
        for zone in self._zones:
            now = read_integer(zone / "energy_uj")
            if now is None:
                return None
            if now < self._last.get(zone, 0):
                span = read_integer(zone / "max_energy_range_uj") or 0
                self._wrapped[zone] = self._wrapped.get(zone, 0) + span
            self._last[zone] = now
            total += now + self._wrapped.get(zone, 0)
        return total * 1e-6 if self._zones else None


class Cpu(HostTimed):
    """Calls run at once, the clock is the host's."""

    name = "cpu"
    view = "cpu"
    uuid: str | None = None
    torch_device = torch.device("cpu")

    def __init__(self, threads: int | None = None) -> None:
        """`threads` None: one for each physical core this process may use."""
        self.threads = threads or usable_physical_cores()
        self.use_threads(self.threads)
        self._counters = ProcessCounters()
        self._package = Rapl()

    def mark(self) -> float:
        """The host's clock, in seconds."""
        return time.perf_counter()

    def synchronize(self) -> None:
        """Does nothing: a CPU call returns when it is done."""

    def counters(self) -> Counters:
        """The counters of all threads of this process."""
        return self._counters.read()

    def measure_memory(self, prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
        """Measures from the allocator's events, which are exact."""
        return measure_memory_on_cpu(prepare)

    def free_bytes(self) -> int:
        """The system's available memory, or the rest of the control group's limit if that is less."""
        available = int(psutil.virtual_memory().available)
        left = cgroup_memory_left()
        return available if left is None else min(available, left)

    def cache_bytes(self) -> int | None:
        """The last cache level that this process sees."""
        return max((level.bytes * level.instances for level in cache_levels()), default=None)

    def captured(self, calls: Sequence[Call]) -> Callable[[], object]:
        """Unsupported."""
        del calls
        raise Unsupported("a CPU has no graphs")

    def joules(self) -> float | None:
        """The energy counter of the packages; None where it is not readable."""
        return self._package.joules()

    def give_back(self) -> None:
        """Does nothing: the C library returns memory itself."""

    def memory_levels(self) -> tuple[MemoryLevel, ...]:
        """The memory levels: private caches count once a thread, shared ones once an instance."""
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
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


# CPU: the profiler's allocation events give the peak of tensor bytes exactly. They agree with a malloc-level tracer
# within 0.04% on whole training steps; resident-set methods were off by up to 32%.
_WINDOW = "plumbline: a phase whose memory is measured: "


def measure_memory_on_cpu(prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
    """Runs a call once under the profiler; its inputs count, tensors made before `prepare` do not."""
    # The profiler's library reports its start and stop on standard error otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    gc.collect()  # memory that is freed in the window must have been allocated in it
    # Not `torch.profiler.profile`: it loads torch's compiler, which takes seconds.
    with profile(use_kineto=True, profile_memory=True) as profiler:
        call = prepare(torch.device("cpu"))
        gc.collect(1)
        output = None
        for name, phase in phases_of(call).items():
            with record_function(_WINDOW + name):
                result = phase()
            output = output if result is None else result
            del result
    events = profiler.kineto_results.events() if profiler.kineto_results else []
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    times = [at for at, _ in changes]
    alive = list(accumulate((size for _, size in changes), initial=0))
    phases = {
        event.name().removeprefix(_WINDOW): max(
            alive[bisect_left(times, event.start_ns()) : bisect_right(times, event.end_ns()) + 1]
        )
        for event in events
        if event.name().startswith(_WINDOW)
    }
    return MeasuredMemory(
        call, output, max(phases.values()), {name: phases[name] for name in phases_of(call)}
    )
