"""The memory of whole steps at their peak, by what it holds: as predicted, against the peak that was measured."""

from harness import units
from harness.records import Result, Run

# The categories of a footprint, from what stays to what goes.
CATEGORIES = ("parameters", "buffers", "gradients", "optimizer", "activations", "inputs", "temporaries")
MEMORY_COLUMNS = ("step", "measured", "predicted", "off by", "peak in", *CATEGORIES)


def weighed(run: Run) -> list[Result]:
    """The measured cases whose memory was predicted from a trace and measured too."""
    return [
        result
        for result in run.measured
        if result.case.held_out
        and result.case.trace
        and result.measurement
        and result.measurement.peak_memory_bytes
    ]


def memory_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `MEMORY_COLUMNS` for each of them."""
    return [_row(result) for result in weighed(run)]


def _row(result: Result) -> tuple[str, ...]:
    trace, measurement = result.case.trace, result.measurement
    if trace is None or measurement is None or not measurement.peak_memory_bytes:
        return ()
    parts = (getattr(trace.footprint, category) for category in CATEGORIES)
    return (
        result.case.id,
        units.size(measurement.peak_memory_bytes),
        units.size(trace.footprint.total),
        units.signed_percent(trace.footprint.total / measurement.peak_memory_bytes - 1.0),
        trace.peak_phase,
        *(units.size(part) if part else "" for part in parts),
    )
