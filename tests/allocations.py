"""Peak memory of real calls without the buffers of kernels, which differ from one CPU to the next."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from torch.profiler import ProfilerActivity, profile, record_function

# Kernels that may take buffers of their own while they run: copies in another order for the instructions at hand,
# one column for each tap of a convolution, sums or a tile of scores for each thread. No trace predicts them.
BUFFERED = frozenset(
    f"aten::{name}"
    for name in (
        "convolution",
        "convolution_backward",
        "addmm",
        "mm",
        "baddbmm",
        "bmm",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention_for_cpu_backward",
        "native_layer_norm_backward",
    )
)
WINDOW = "measured phase: "


class Peaks(NamedTuple):
    """Bytes at the peak of each phase: without the buffers that kernels take and free within one call, and with them."""

    kept: dict[str, int]
    total: dict[str, int]


class Change(NamedTuple):
    """A piece of memory that is taken (`size` above zero) or freed, during some calls of kernels with buffers."""

    time: int
    size: int
    address: int
    calls: frozenset[tuple[str, int]]


def measured_peaks(prepare: Callable[[], Mapping[str, Callable[[], Any]]]) -> Peaks:
    """Runs each phase once; what `prepare` leaves alive counts."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        phases = prepare()
        gc.collect(1)
        for name, phase in phases.items():
            with record_function(WINDOW + name):
                result = phase()
            del result
        del phases, phase
    kineto: Any = profiler.profiler
    windows: dict[str, tuple[int, int]] = {}
    changes = sorted(_changes(kineto.kineto_results.experimental_event_tree(), windows))
    buffers = _buffers(changes)
    kept = [change for position, change in enumerate(changes) if position not in buffers]
    return Peaks(
        {name: _peak(window, kept) for name, window in windows.items()},
        {name: _peak(window, changes) for name, window in windows.items()},
    )


def _changes(
    events: Iterable[Any],
    windows: dict[str, tuple[int, int]],
    calls: frozenset[tuple[str, int]] = frozenset(),
) -> Iterator[Change]:
    """The changes in a tree of events; it adds the phases in it to `windows`."""
    for event in events:
        name, start = event.name, event.start_time_ns
        if name == "[memory]":
            piece = event.extra_fields
            yield Change(start, piece.alloc_size, piece.ptr, calls)
        elif name.startswith(WINDOW):
            windows[name.removeprefix(WINDOW)] = (start, event.end_time_ns)
        yield from _changes(event.children, windows, calls | {(name, start)} if name in BUFFERED else calls)


def _buffers(changes: list[Change]) -> set[int]:
    """Positions of the changes by which a kernel takes a piece of memory, and frees it before it returns."""
    taken: dict[int, int] = {}
    found: set[int] = set()
    for position, change in enumerate(changes):
        if change.size > 0:
            taken[change.address] = position
        elif (start := taken.pop(change.address, None)) is not None and change.calls & changes[start].calls:
            found |= {start, position}
    return found


def _peak(window: tuple[int, int], changes: list[Change]) -> int:
    begin, end = window
    alive, peak = 0, 0
    for change in changes:
        if begin <= change.time <= end:
            peak = max(peak, alive, alive + change.size)
        alive += change.size
    return peak
