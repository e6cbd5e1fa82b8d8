"""Bandwidth against working set, and the memory levels it shows.

Kernels of STREAM (McCalpin, 1995) and of BabelStream as torch has them: copy, triad, dot, and a
read alone. The best of them counts.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import torch

from harness import stats, units
from harness.measure.devices.base import Device
from harness.measure.timer import QuickTiming, Timer
from harness.records import BandwidthPeak, MemoryLevel, PeakLevel, Peaks

TIMING = QuickTiming(warmup_seconds=0.005, seconds=0.02, least_samples=3)
# Main memory gets four times the outermost cache, between these, and at most a quarter of what is free.
LEAST_MAIN_BYTES, MOST_MAIN_BYTES = 2**30, 2**32
# Elements of the random pattern that fills the buffer: generating all of it would take too long.
PATTERN = 2**16
# A level that is not this much faster than main memory has no measurable edge.
DISTINCT = 1.3


@dataclass(frozen=True)
class Stream:
    """The best bandwidth any kernel reached on a working set; `spread` is its relative IQR."""

    working_set_bytes: int
    kernel: str
    bytes_per_second: float
    spread: float


def working_sets(levels: Sequence[MemoryLevel], free_bytes: int, most_bytes: int | None = None) -> list[int]:
    """The sizes to measure: two inside each near level, doublings from the last cache's start to main memory.

    None of them is larger than `most_bytes`.
    """
    caches = [level.capacity_bytes for level in levels if level.capacity_bytes is not None]
    inner = [size for capacity in caches[:-1] for size in (capacity // 4, capacity // 2)]
    largest = max(4 * max(caches, default=0), LEAST_MAIN_BYTES)
    largest = min(largest, MOST_MAIN_BYTES, free_bytes // 4)
    start = 2 * caches[-2] if len(caches) > 1 else max(caches, default=2**20) // 8
    doublings = [largest >> step for step in range(40) if largest >> step >= start]
    return sorted(size for size in {*inner, *doublings} if most_bytes is None or size <= most_bytes)


def reach(levels: Sequence[MemoryLevel], working_set_bytes: int | None) -> int | None:
    """The capacity up to which bandwidth matters to a working set; None where main memory does too.

    It is that of the level after the one that serves the working set, as a level is never slower than the next.

    >>> levels = [MemoryLevel("L1", 2**15), MemoryLevel("L2", 2**21), MemoryLevel("DRAM", None)]
    >>> reach(levels, 4000), reach(levels, 2**20)
    (2097152, None)
    """
    if working_set_bytes is None:
        return None
    serving = Peaks(levels=tuple(levels)).level_of(working_set_bytes)
    outward = [level.capacity_bytes for level in levels[levels.index(serving) + 1 :]] if serving else []
    return outward[0] if outward else None


def stream_buffer(device: Device, sizes: Sequence[int]) -> torch.Tensor:
    """Memory for the largest working set, touched and filled with a repeating random pattern."""
    n = -(-max(sizes) // 4 // PATTERN) * PATTERN
    buffer = torch.empty(n, device=device.torch_device)
    buffer.view(-1, PATTERN).copy_(torch.randn(PATTERN, device=device.torch_device))
    return buffer


def measure_streams(timer: Timer, sizes: Sequence[int], buffer: torch.Tensor) -> list[Stream]:
    """The bandwidth curve with the device's current number of threads."""
    return [best_stream(timer, buffer[: size // 4]) for size in sizes]


def best_stream(timer: Timer, memory: torch.Tensor) -> Stream:
    """The fastest kernel on the whole of a piece of memory."""
    n = len(memory)
    halves, thirds = memory[: n // 2 * 2].view(2, -1), memory[: n // 3 * 3].view(3, -1)
    total = memory.new_zeros(())
    kernels: dict[str, tuple[int, Callable[[], object]]] = {
        "copy": (2 * halves[0].nbytes, lambda: halves[0].copy_(halves[1])),
        "triad": (3 * thirds[0].nbytes, lambda: torch.add(thirds[1], thirds[2], alpha=0.5, out=thirds[0])),
        "sum": (memory.nbytes, lambda: torch.sum(memory, dim=0, out=total)),
        "dot": (2 * halves[0].nbytes, lambda: torch.dot(halves[0], halves[1], out=total)),
    }
    streams = []
    for name, (moved, call) in kernels.items():
        seconds = timer.quick_samples(call, TIMING).seconds
        streams.append(Stream(memory.nbytes, name, moved / min(seconds), stats.relative_iqr(seconds)))
    return max(streams, key=lambda stream: stream.bytes_per_second)


def effective_levels(levels: tuple[MemoryLevel, ...], curve: Sequence[Stream]) -> tuple[MemoryLevel, ...]:
    """The levels, with the capacity of the last cache reduced to the part that this process gets.

    The edge is where the curve falls below the geometric mean of the cache's best bandwidth and
    that of main memory.
    """
    caches = [level for level in levels if level.capacity_bytes is not None]
    if len(caches) < 2:
        return levels
    last, before = caches[-1], caches[-2]
    inside = [s for s in curve if before.capacity_bytes < s.working_set_bytes <= last.capacity_bytes]  # type: ignore[operator]
    if not inside:
        return levels
    plateau, main = max(s.bytes_per_second for s in inside), curve[-1].bytes_per_second
    if plateau < DISTINCT * main:
        return levels
    served = [s.working_set_bytes for s in inside if s.bytes_per_second >= math.sqrt(plateau * main)]
    if not served or 2 * max(served) > (last.capacity_bytes or 0):
        return levels
    cut = msgspec.structs.replace(last, capacity_bytes=max(served), reported_bytes=last.capacity_bytes)
    return tuple(cut if level is last else level for level in levels)


def best_by_level(
    levels: Sequence[MemoryLevel], threads: int, curve: Sequence[Stream]
) -> Iterator[BandwidthPeak]:
    """The best of the curve inside each level."""
    inner = 0
    for level in levels:
        outer = level.capacity_bytes or math.inf
        inside = [stream for stream in curve if inner < stream.working_set_bytes <= outer]
        if level.capacity_bytes is None:
            # What is not wholly out of the caches would flatter main memory.
            inside = [stream for stream in inside if stream.working_set_bytes >= 2 * inner] or inside[-1:]
        for best in sorted(inside, key=lambda stream: -stream.bytes_per_second)[:1]:
            yield BandwidthPeak(
                level=level.name,
                threads=threads,
                peak_level=PeakLevel.TORCH,
                method=f"torch {best.kernel}, {units.size(best.working_set_bytes)}",
                bytes_per_second=best.bytes_per_second,
                spread=best.spread,
            )
        inner = level.capacity_bytes or inner
