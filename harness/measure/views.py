"""The views of a call's time that a device has: which clock, on which tensors, launched how.

One kernel got 5.46 and 14.96 TFLOP/s from two functions of one library, because one left the host's
gaps inside the events and the other left the operands in the cache (triton, issue 10149). So a time has a name here, and
there is no "the time".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import msgspec

from harness import stats
from harness.errors import Unsupported, one_line
from harness.measure.devices.base import Device
from harness.measure.devices.host_clock import HostTimed
from harness.measure.timer import CallTime, Timer
from harness.records import Samples
from harness.workload import Call, phases_of

# Sets of tensors in rotation: so many bytes pass between two uses of one that none of it is cached.
CACHES_BETWEEN = 2
MOST_SETS = 4096
# Rotation takes at most this fraction of the memory that is free.
ROTATION_MEMORY = 0.25
# A captured graph holds at most so many calls, and enough of them to last so long.
MOST_CALLS_IN_GRAPH, LEAST_GRAPH_SECONDS = 1024, 1e-4


UNKNOWN_CALL_TIME = CallTime(math.nan, 0.0, 0.0)


@dataclass
class MeasuredView:
    """One view of a prepared call. Running `call` once does `inside` calls of the workload."""

    name: str
    timer: Timer
    call: Callable[[], object]
    inside: int = 1
    rotations: int = 1
    cold: bool | None = None
    call_time: CallTime = UNKNOWN_CALL_TIME

    def warm_up(self, most_seconds: float, least_seconds: float = 0.0) -> CallTime:
        """Brings the call to its steady pace, and remembers it."""
        self.call_time = self.timer.warm_up(self.call, most_seconds, least_seconds)
        return self.call_time

    @property
    def seconds(self) -> float:
        """The time of one call of the workload at that pace."""
        return self.call_time.seconds / self.inside

    def calls_per_sample(self, least_seconds: float) -> int:
        """Calls of the workload that make a sample long enough."""
        return self.inside * self.timer.calls_per_sample(self.call_time, least_seconds)

    def rewarm(self) -> None:
        """Brings back what was lost while others ran."""
        self.timer.rewarm(self.call)

    def block(self, calls: int, samples: int) -> Samples:
        """A block of samples, in seconds per call of the workload."""
        runs = max(1, calls // self.inside)
        taken = self.timer.block(self.call, runs, samples, self.call_time.launch_seconds)
        if self.inside == 1:
            return taken
        return msgspec.structs.replace(
            taken,
            calls_per_sample=runs * self.inside,
            seconds=tuple(second / self.inside for second in taken.seconds),
        )


class CaptureError(Exception):
    """Calls could not be captured. CUDA has no clean way back: allocator and generators stay in between."""


class HostClock(HostTimed):
    """The host's clock around calls on an accelerator, with a synchronisation at every mark."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.synchronize = device.synchronize

    def host_seconds(self) -> float:
        """The device's own word for it: a simulated one has another."""
        return self._device.host_seconds()

    def mark(self) -> float:
        """Now, with nothing left to do."""
        self._device.synchronize()
        return self._device.host_seconds()

    def counters(self) -> None:
        """Nothing: the host mostly waits."""


def views_of(
    device: Device,
    prepare: Callable[[], Call],
    call: Call,
    set_bytes: int | None,
    *,
    capture: bool = True,
    stateful: bool = False,
) -> tuple[tuple[MeasuredView, ...], dict[str, str]]:
    """The views of a prepared call, the headline first; and why of those that cannot be had.

    `prepare` makes a further set of tensors, of `set_bytes` bytes; `call` is on the first. `capture` False: no
    graph, because one failed before. `stateful`: neither further sets nor a graph.

    Raises:
        CaptureError: the calls cannot be captured. The process is good for nothing from here on.
    """
    headline = MeasuredView(device.view, Timer(device), call)
    if not device.asynchronous:
        return (headline,), {}
    views = [headline]
    missing: dict[str, str] = {}
    cache = device.cache_bytes()
    calls = [call]
    if stateful:
        missing = dict.fromkeys(("gpu_cold", "gpu_graph"), "a call depends on the one before")
        return (headline, MeasuredView("wall", Timer(HostClock(device)), call)), missing
    try:
        calls += _further_sets(device, prepare, set_bytes, cache)
    except Exception as error:  # noqa: BLE001 - a view that cannot be had costs no other
        missing["gpu_cold"] = str(error) if isinstance(error, Unsupported) else one_line(error)
    else:
        cold = is_cold(len(calls), set_bytes or 0, cache or 0)
        views.append(MeasuredView("gpu_cold", Timer(device), _in_turns(calls), 1, len(calls), cold))
    if capture:
        try:
            views.append(_graph(device, calls, headline.warm_up(0.01).seconds, set_bytes))
        except Unsupported as error:
            missing["gpu_graph"] = str(error)
    views.append(MeasuredView("wall", Timer(HostClock(device)), call))
    return tuple(views), missing


def _further_sets(
    device: Device, prepare: Callable[[], Call], set_bytes: int | None, cache_bytes: int | None
) -> list[Call]:
    """Calls on further sets of tensors, each called once: what happens at a first call belongs into no sample."""
    if not set_bytes or cache_bytes is None:
        raise Unsupported("the size of the tensors or of the cache is not known")
    count = rotation(set_bytes, cache_bytes, device.free_bytes())
    if count < 2:
        raise Unsupported("no room for a second set of tensors")
    further = [prepare() for _ in range(count - 1)]
    for call in further:
        call()
    device.synchronize()
    return further


def _graph(device: Device, calls: Sequence[Call], seconds: float, set_bytes: int | None) -> MeasuredView:
    """The calls, in turns, as one graph."""
    inside = calls_in_graph(len(calls), seconds)
    try:
        graph = device.captured([calls[i % len(calls)] for i in range(inside)])
    except Unsupported:
        raise
    except Exception as error:
        raise CaptureError(one_line(error)) from error
    turns, cache = min(len(calls), inside), device.cache_bytes()
    cold = is_cold(turns, set_bytes, cache) if set_bytes and cache and turns > 1 else None
    return MeasuredView("gpu_graph", Timer(device), graph, inside, turns, cold)


def rotation(set_bytes: int, cache_bytes: int, free_bytes: int) -> int:
    """How many sets of tensors: with twice the cache between two uses of one, as far as memory goes.

    >>> rotation(set_bytes=10 * 2**20, cache_bytes=50 * 2**20, free_bytes=2**36)
    11
    """
    wanted = math.ceil(CACHES_BETWEEN * cache_bytes / set_bytes) + 1
    fitting = int(ROTATION_MEMORY * free_bytes / set_bytes)  # beside the first, which is there already
    return max(1, min(max(2, wanted), 1 + fitting, MOST_SETS))


def is_cold(sets: int, set_bytes: int, cache_bytes: int) -> bool:
    """Whether so many sets in turn leave nothing of one in the cache when its turn comes again."""
    return (sets - 1) * set_bytes >= CACHES_BETWEEN * cache_bytes


def calls_in_graph(sets: int, seconds: float) -> int:
    """Calls in a captured graph: each set once, and enough to last a while, as far as a graph goes.

    >>> calls_in_graph(sets=11, seconds=5e-6)
    22
    """
    long_enough = math.ceil(LEAST_GRAPH_SECONDS / seconds)
    return min(MOST_CALLS_IN_GRAPH, sets * math.ceil(max(long_enough, sets) / sets))


def _in_turns(calls: Sequence[Call]) -> Callable[[], object]:
    turns = cycle(calls)

    def call() -> object:
        return next(turns)()

    return call


ENERGY_SECONDS = 0.5
# The phases of a step are timed over so long, and so many steps.
PHASES_SECONDS, LEAST_PHASES, MOST_PHASES = 0.1, 3, 100


def joules_per_call(device: Device, view: MeasuredView) -> float | None:
    """Joules of a call, over calls in a row that take half a second; None where nothing counts them.

    The counters tick in tens of milliseconds, too coarse for a block.
    """
    before = device.joules()
    if before is None:
        return None
    calls = max(1, math.ceil(ENERGY_SECONDS / view.call_time.seconds))
    for _ in range(calls):
        view.call()
    device.synchronize()
    after = device.joules()
    return None if after is None else (after - before) / (calls * view.inside)


def phase_seconds(device: Device, call: Call, view: MeasuredView) -> dict[str, float]:
    """The median time of each phase of a call that has several; the device is waited for after each."""
    phases = phases_of(call)
    if len(phases) == 1:
        return {}
    seconds: dict[str, list[float]] = {name: [] for name in phases}
    calls = math.ceil(PHASES_SECONDS / view.call_time.seconds)
    for _ in range(min(max(calls, LEAST_PHASES), MOST_PHASES)):
        for name, phase in phases.items():
            began = device.host_seconds()
            phase()
            device.synchronize()
            seconds[name].append(device.host_seconds() - began)
    return {name: stats.median(several) for name, several in seconds.items()}
