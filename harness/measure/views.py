"""The views of a call's time that a device has: which clock, on which tensors, launched how.

One kernel got 5.46 and 14.96 TFLOP/s from two functions of one library, because one left the host's
gaps inside the events and the other left the operands in the cache. So a time has a name here, and
there is no "the time".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import msgspec

from harness.errors import one_line
from harness.measure.device import Device
from harness.measure.stopwatch import Mark, Pace, Stopwatch
from harness.records import Samples
from harness.workload import Call

# Sets of tensors in rotation: so many bytes pass between two uses of one that none of it is cached.
CACHES_BETWEEN = 2
MOST_SETS = 4096
# Rotation takes at most this share of the memory that is free.
ROTATION_MEMORY = 0.25
# A captured graph holds at most so many calls, and enough of them to last so long.
MOST_CALLS_IN_GRAPH, LEAST_GRAPH_SECONDS = 1024, 1e-4


UNKNOWN_PACE = Pace(math.nan, 0.0, 0.0)


@dataclass
class MeasuredView:
    """One view of a prepared call. Running `call` once does `inside` calls of the workload."""

    name: str
    stopwatch: Stopwatch
    call: Callable[[], object]
    inside: int = 1
    rotations: int = 1
    cold: bool | None = None
    pace: Pace = UNKNOWN_PACE

    def warm_up(self, most_seconds: float, least_seconds: float = 0.0) -> Pace:
        """Brings the call to its steady pace, and remembers it."""
        self.pace = self.stopwatch.warm_up(self.call, most_seconds, least_seconds)
        return self.pace

    @property
    def seconds(self) -> float:
        """The time of one call of the workload at that pace."""
        return self.pace.seconds / self.inside

    def calls_per_sample(self, least_seconds: float) -> int:
        """Calls of the workload that make a sample long enough."""
        return self.inside * self.stopwatch.calls_per_sample(self.pace.seconds, least_seconds)

    def rewarm(self) -> None:
        """Brings back what was lost while others ran."""
        self.stopwatch.rewarm(self.call)

    def block(self, calls: int, samples: int) -> Samples:
        """A block of samples, in seconds per call of the workload."""
        runs = max(1, calls // self.inside)
        taken = self.stopwatch.block(self.call, runs, samples, self.pace.launch_seconds)
        if self.inside == 1:
            return taken
        return msgspec.structs.replace(
            taken,
            calls_per_sample=runs * self.inside,
            seconds=tuple(second / self.inside for second in taken.seconds),
        )


class HostClock:
    """The host's clock around calls on an accelerator, with a synchronisation at every mark."""

    batch = 1
    asynchronous = False

    def __init__(self, device: Device) -> None:
        self._device = device
        self.synchronize, self.host_seconds = device.synchronize, device.host_seconds

    def mark(self) -> float:
        """Now, with nothing left to do."""
        self._device.synchronize()
        return self._device.host_seconds()

    def seconds_between(self, start: float, end: float) -> float:
        """Wall time."""
        return end - start

    def counters(self) -> None:
        """Nothing: the host mostly waits."""

    def hold(self, seconds: float) -> None:
        """Nothing: the wait for the host is part of what is measured."""

    def reached(self, mark: Mark) -> bool:
        """Yes: a mark waits for it."""
        del mark
        return True


def views_of(
    device: Device, prepare: Callable[[], Call], call: Call, set_bytes: int | None
) -> tuple[tuple[MeasuredView, ...], dict[str, str]]:
    """The views of a prepared call, the headline first; and why of those that cannot be had.

    `prepare` makes a further set of tensors, of `set_bytes` bytes; `call` is on the first.
    """
    headline = MeasuredView(device.view, Stopwatch(device), call)
    if not device.asynchronous:
        return (headline,), {}
    views = [headline]
    missing: dict[str, str] = {}
    calls = [call]
    cache = device.cache_bytes()
    if not set_bytes or cache is None:
        missing["gpu_cold"] = "the size of the tensors or of the cache is not known"
    else:
        count = rotation(set_bytes, cache, device.free_bytes())
        try:
            calls += [prepare() for _ in range(count - 1)]
        except Exception as error:  # noqa: BLE001 - a view that cannot be had costs no other
            missing["gpu_cold"] = one_line(error)
        else:
            cold = is_cold(count, set_bytes, cache)
            views.append(MeasuredView("gpu_cold", Stopwatch(device), _in_turns(calls), 1, count, cold))
    try:
        inside = calls_in_graph(len(calls), headline.warm_up(0.01).seconds)
        graph = device.captured([calls[i % len(calls)] for i in range(inside)])
    except Exception as error:  # noqa: BLE001
        missing["gpu_graph"] = one_line(error)
    else:
        rotations = min(len(calls), inside)
        rotated = is_cold(rotations, set_bytes, cache) if set_bytes and cache and rotations > 1 else None
        views.append(MeasuredView("gpu_graph", Stopwatch(device), graph, inside, rotations, rotated))
    views.append(MeasuredView("wall", Stopwatch(HostClock(device)), call))
    return tuple(views), missing


def rotation(set_bytes: int, cache_bytes: int, free_bytes: int) -> int:
    """How many sets of tensors: with twice the cache between two uses of one, as far as memory goes.

    >>> rotation(set_bytes=10 * 2**20, cache_bytes=50 * 2**20, free_bytes=2**36)
    11
    """
    wanted = math.ceil(CACHES_BETWEEN * cache_bytes / set_bytes) + 1
    fitting = int(ROTATION_MEMORY * free_bytes / set_bytes)
    return max(2, min(wanted, fitting, MOST_SETS))


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
