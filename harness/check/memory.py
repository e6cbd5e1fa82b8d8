"""Memory: a call takes what was said before it ran: a single operator at least that, a whole step that and no more."""

from collections.abc import Iterator

from harness import units
from harness.records import Answer, Result, Run, Verdict

CLAIM = "memory"
# What a traced call may differ by: kernels take scratch memory of their own that no trace sees. A caching allocator's
# workspaces are larger.
TOLERANCE, ON_ACCELERATOR = 0.02, 0.05


def check_memory(run: Run) -> Iterator[Verdict]:
    """One verdict for each case whose peak was predicted and measured."""
    tolerance = TOLERANCE if run.header.settings.device == "cpu" else ON_ACCELERATOR
    for result in run.measured:
        cost, measurement = result.case.cost, result.measurement
        if cost is None or measurement is None or measurement.peak_memory_bytes is None:
            continue
        foreign = result.case.trace.foreign_bytes if result.case.trace else 0
        yield _verdict(result, cost.memory_bytes - foreign, measurement.peak_memory_bytes, tolerance)


def _verdict(result: Result, said: int, measured: int, tolerance: float) -> Verdict:
    trace, measurement = result.case.trace, result.measurement
    where = ""
    if trace is not None and measurement is not None and measurement.peak_phase is not None:
        where = f", in the {measurement.peak_phase} (said: {trace.peak_phase})"
    told = f"the peak is {units.size(measured)} of tensors{where}, {units.size(said)} were said"
    off = said / measured - 1 if measured else 0.0
    if abs(off) <= tolerance:
        return Verdict(CLAIM, result.case.id, Answer.HOLDS, told)
    told += f" ({units.signed_percent(off)}, {units.percent(tolerance)} are allowed)"
    if result.case.fused:
        return Verdict(CLAIM, result.case.id, Answer.INCONCLUSIVE, f"{told}: a compiler plans it anew")
    if trace is not None and trace.unknown:
        return Verdict(CLAIM, result.case.id, Answer.INCONCLUSIVE, f"{told}: operators without a formula")
    if off > 0:
        return Verdict(CLAIM, result.case.id, Answer.FAILS, f"{told}: the prediction is wrong")
    # Memory that a kernel takes for itself: packed weights, a copy in another layout, a workspace. A single operator has little
    # else; in a whole step it should not matter.
    answer = Answer.INCONCLUSIVE if result.case.several else Answer.HOLDS
    return Verdict(CLAIM, result.case.id, answer, f"{told}: kernels take the rest for themselves")
