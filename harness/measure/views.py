"""The views of a call's time that a device has: which clock, on which tensors, launched how.

One kernel reached 5.46 and 14.96 TFLOP/s by two functions of one library: the first included the host's
gaps in the events, the second left the operands in the cache (triton, issue 10149). So each kind of time has a name.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import msgspec

from harness import stats
from harness.errors import Unsupported, one_line
from harness.measure.devices.base import Device, HostTimed
from harness.measure.timer import CallTime, Timer
from harness.records import Samples
from harness.workload import Call, phases_of

# Sets of tensors in rotation: the caches are filled this many times between two uses of a set.
CACHES_BETWEEN = 2
MOST_SETS = 4096
# Rotation takes at most this fraction of the memory that is free.
ROTATION_MEMORY = 0.25
# The most calls in a captured graph, and its shortest time.
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
        """Warms the call up to a steady time, and stores it."""
        self.call_time = self.timer.warm_up(self.call, most_seconds, least_seconds)
        return self.call_time

    @property
    def seconds(self) -> float:
        """The time of one call of the workload after warm-up."""
        return self.call_time.seconds / self.inside

    def calls_per_sample(self, least_seconds: float) -> int:
        """Calls of the workload that make a sample long enough."""
        return self.inside * self.timer.calls_per_sample(self.call_time, least_seconds)

    def rewarm(self) -> None:
        """Warms the caches up again after other cases ran."""
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
    """Calls could not be captured. CUDA cannot recover: allocator and generators stay in an intermediate state."""


class HostClock(HostTimed):
    """The host's clock around calls on an accelerator, with a synchronisation at every mark."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.synchronize = device.synchronize

    def host_seconds(self) -> float:
        """The device's clock of the host: that of a simulated device differs."""
        return self._device.host_seconds()

    def mark(self) -> float:
        """Now, with nothing left to do."""
        self._device.synchronize()
        return self._device.host_seconds()

    def counters(self) -> None:
        """None: the host mostly waits."""


def views_of(
    device: Device,
    prepare: Callable[[], Call],
    call: Call,
    set_bytes: int | None,
    *,
    capture: bool = True,
    stateful: bool = False,
) -> tuple[tuple[MeasuredView, ...], dict[str, str]]:
    """The views of a prepared call, the headline first; and the reasons for missing ones.

    `prepare` makes a further set of tensors, of `set_bytes` bytes; `call` is on the first. With `capture` False no
    graph is tried, as one failed before. With `stateful` there are neither further sets nor a graph.

    Raises:
        CaptureError: the calls cannot be captured. The process is unusable from here on.
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
        views.append(MeasuredView("gpu_cold", Timer(device), _alternating(calls), 1, len(calls), cold))
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
    """Calls on further sets of tensors, each called once, as first calls belong in no sample."""
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
    """The calls, alternating, as one graph."""
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
    fitting = int(ROTATION_MEMORY * free_bytes / set_bytes)  # in addition to the first, which exists
    return max(1, min(max(2, wanted), 1 + fitting, MOST_SETS))


def is_cold(sets: int, set_bytes: int, cache_bytes: int) -> bool:
    """Whether a rotation over the sets removes each of them from the cache before its next use."""
    return (sets - 1) * set_bytes >= CACHES_BETWEEN * cache_bytes


def calls_in_graph(sets: int, seconds: float) -> int:
    """Calls in a captured graph: each set once, and enough to last a while, as far as a graph goes.

    >>> calls_in_graph(sets=11, seconds=5e-6)
    22
    """
    long_enough = math.ceil(LEAST_GRAPH_SECONDS / seconds)
    return min(MOST_CALLS_IN_GRAPH, sets * math.ceil(max(long_enough, sets) / sets))


def _alternating(calls: Sequence[Call]) -> Callable[[], object]:
    turns = cycle(calls)

    def call() -> object:
        return next(turns)()

    return call


ENERGY_SECONDS = 0.5
# Seconds and numbers of steps for the times of phases.
PHASES_SECONDS, LEAST_PHASES, MOST_PHASES = 0.1, 3, 100


def joules_per_call(device: Device, view: MeasuredView) -> float | None:
    """Joules of a call, over half a second of consecutive calls; None where nothing counts energy.

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
    """The median time of each phase of a call that has several; with a synchronization after each."""
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
