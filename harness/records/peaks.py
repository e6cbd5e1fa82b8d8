"""The measured peaks of the machine: compute rates by dtype and threads, bandwidths by memory level.

A compute peak is a hierarchy: datasheet, clock-true peak, micro-kernel, best peer library, best of torch.
The difference between two peak levels is the loss between them.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec

from harness.records.base import Record


class PeakLevel(StrEnum):
    """The peak levels from the top down. All but the first two are measured by running something."""

    DATASHEET = "datasheet"
    CLOCK_TRUE = "clock-true"
    MICRO_KERNEL = "micro-kernel"
    PEER = "peer"
    TORCH = "torch"

    @property
    def achieved(self) -> bool:
        """Whether code ran at this rate, so that no case can exceed it by much."""
        return self in {PeakLevel.MICRO_KERNEL, PeakLevel.PEER, PeakLevel.TORCH}


class ComputePeak(Record, frozen=True):
    """The best rate of one dtype on a number of threads, by one method.

    `spread` is the relative interquartile range of its samples. `round_spread` is the spread between
    rounds, relative to the best; None for one round.
    """

    dtype: str
    threads: int
    peak_level: PeakLevel
    method: str
    flops_per_second: float
    spread: float = 0.0
    round_spread: float | None = None


class Step(Record, frozen=True):
    """A row of a peak hierarchy; `to_above` is its rate over that of the peak level above."""

    peak_level: str
    flops_per_second: float
    method: str
    to_above: float | None


class MemoryLevel(Record, frozen=True):
    """A level of the memory hierarchy; `capacity_bytes` is None for the last one, main memory.

    `reported_bytes` is the capacity that the system reports, where less was measured: a virtual machine
    sees the host's whole last-level cache and gets a part of it.
    """

    name: str
    capacity_bytes: int | None
    reported_bytes: int | None = None


class BandwidthPeak(Record, frozen=True):
    """The best rate at which bytes moved with a working set in `level`; `spread` and `round_spread` as above."""

    level: str
    threads: int
    peak_level: PeakLevel
    method: str
    bytes_per_second: float
    spread: float = 0.0
    round_spread: float | None = None


class Peaks(Record, frozen=True):
    """One round of peaks, or several merged into their upper envelope."""

    compute: tuple[ComputePeak, ...] = ()
    bandwidth: tuple[BandwidthPeak, ...] = ()
    levels: tuple[MemoryLevel, ...] = ()
    clock_hertz: float | None = None
    unmeasured: dict[str, str] = msgspec.field(default_factory=dict)

    def compute_hierarchy(self, dtype: str, threads: int) -> tuple[ComputePeak, ...]:
        """The peak levels of one dtype and thread count, from the top down."""
        peak_levels = [c for c in self.compute if c.dtype == dtype and c.threads == threads]
        return tuple(sorted(peak_levels, key=lambda c: list(PeakLevel).index(c.peak_level)))

    def compute_peak(self, dtype: str, threads: int) -> ComputePeak | None:
        """The highest peak level that code really reached; None where nothing was measured."""
        return _best(c for c in self.compute_hierarchy(dtype, threads) if c.peak_level.achieved)

    def torch_peak(self, dtype: str, threads: int) -> ComputePeak | None:
        """The best that torch reached; None where nothing was measured."""
        return _best(c for c in self.compute_hierarchy(dtype, threads) if c.peak_level is PeakLevel.TORCH)

    def level_of(self, working_set_bytes: int) -> MemoryLevel | None:
        """The level that can serve a working set.

        A working set of up to twice a level's capacity is counted to that level, because part of
        it is still served from there: the bandwidth peak stays a bound.
        """
        for level in self.levels:
            if level.capacity_bytes is None or working_set_bytes <= 2 * level.capacity_bytes:
                return level
        return None

    def between_levels(self, working_set_bytes: int) -> bool:
        """Whether a working set lies within a factor of two of a level's edge, where no one rate holds."""
        edges = [level.capacity_bytes for level in self.levels if level.capacity_bytes is not None]
        return any(edge / 2 < working_set_bytes <= 2 * edge for edge in edges)

    def bandwidth_peak(self, level: str, threads: int) -> BandwidthPeak | None:
        """The best bandwidth of a level or of one farther out, as a near level is never slower.

        That a far level reads faster than a near one happens where the near one is small and
        per-call overhead takes a fraction of its time.
        """
        names = [known.name for known in self.levels]
        if level not in names:
            return None
        outward = names[names.index(level) :]
        return _best(
            b for b in self.bandwidth if b.level in outward and b.threads == threads and b.peak_level.achieved
        )


def envelope(rounds: Sequence[Peaks]) -> Peaks:
    """The upper envelope of several rounds: the best of each peak level, and the spread between rounds.

    Bandwidth on a shared host moves by 1.5-2 times between rounds with no sign inside the guest,
    so a single round does not give a peak.

    >>> slow = BandwidthPeak(level="DRAM", threads=2, peak_level=PeakLevel.TORCH, method="copy", bytes_per_second=5e9)
    >>> fast = BandwidthPeak(level="DRAM", threads=2, peak_level=PeakLevel.TORCH, method="triad", bytes_per_second=1e10)
    >>> merged = envelope([Peaks(bandwidth=(slow,)), Peaks(bandwidth=(fast,))])
    >>> merged.bandwidth[0].method, merged.bandwidth[0].round_spread
    ('triad', 0.5)
    """
    if not rounds:
        return Peaks()
    clocks = [r.clock_hertz for r in rounds if r.clock_hertz is not None]
    return Peaks(
        compute=_merge([c for r in rounds for c in r.compute], lambda c: (c.dtype, c.threads, c.peak_level)),
        bandwidth=_merge(
            [b for r in rounds for b in r.bandwidth], lambda b: (b.level, b.threads, b.peak_level)
        ),
        levels=rounds[0].levels,
        clock_hertz=max(clocks, default=None),
        unmeasured=rounds[0].unmeasured,
    )


_Peak = TypeVar("_Peak", ComputePeak, BandwidthPeak)


def _merge(peaks: list[_Peak], key: Callable[[_Peak], object]) -> tuple[_Peak, ...]:
    groups: dict[object, list[_Peak]] = {}
    for peak in peaks:
        groups.setdefault(key(peak), []).append(peak)
    return tuple(_widened(max(group, key=_rate), group) for group in groups.values())


def _widened(best: _Peak, group: list[_Peak]) -> _Peak:
    round_spread = 1.0 - min(map(_rate, group)) / _rate(best) if len(group) > 1 else None
    return msgspec.structs.replace(best, round_spread=round_spread)


def _best(peaks: Iterable[_Peak]) -> _Peak | None:
    return max(peaks, key=_rate, default=None)


def _rate(peak: ComputePeak | BandwidthPeak) -> float:
    if isinstance(peak, ComputePeak):
        return peak.flops_per_second
    return peak.bytes_per_second
