"""Checks the counts of a plan: those from a configuration against the trace and the measured peak of the same model."""

from collections.abc import Iterator

from harness import units
from harness.models.shapes import configuration
from harness.plan import work
from harness.plan.activations import Way
from harness.plan.config import described
from harness.plan.memory import fullest
from harness.plan.work import Lengths
from harness.records import Answer, Result, Run, Verdict
from harness.records.architecture import Architecture, Layout, Per, Recipe

CLAIM = "plan"
# Relative error of the planned peak that counts as agreement: no formula includes allocators and buffers of kernels.
CLOSE = 0.10


def check_plans(run: Run) -> Iterator[Verdict]:
    """Yields a verdict for each training step of a model that a configuration describes."""
    for result in run.measured:
        known = planned(result)
        if known is not None:
            yield _judged(result, *known)


def planned(result: Result) -> tuple[Architecture, Lengths] | None:
    """The model and the batch of a case that is an eager training step; None for other cases."""
    case = result.case
    checkpointed = case.parameters.get("mode") == "checkpointed"
    if case.family != "train" or case.trace is None or case.fused or checkpointed:
        return None
    fields = configuration(str(case.parameters.get("architecture", "")), case.sizes)
    if fields is None:
        return None
    if "image" in case.sizes:
        fields["image_size"] = case.sizes["image"]
    model = described(fields, case.id)
    batch, sequence = case.sizes["batch"], case.sizes.get("sequence", model.tokens or 1)
    paired = any(core.queries is Per.TARGET for core in model.cores)
    return model, Lengths(batch, sequence, sequence if paired else 0)


def _judged(result: Result, model: Architecture, lengths: Lengths) -> Verdict:
    trace, measurement = result.case.trace, result.measurement
    if trace is None or measurement is None:
        raise ValueError(result.case.id)
    # A mask that is added as a tensor is not visible to the operator: the trace then counts all pairs.
    done, traced = work.forward(model, lengths), trace.phase("forward").flops
    counts = f"{model.parameters:,} parameters and {units.work(done.flops)} forward planned from the configuration alone"
    if model.parameters != trace.parameters or not done.flops <= traced <= done.flops_dense:
        reason = f"{counts}; the model that ran has {trace.parameters:,} and {units.work(traced)}"
        return Verdict(CLAIM, result.case.id, Answer.FAILS, reason)
    peak = measurement.peak_memory_bytes
    if peak is None or "optimizer" not in measurement.phase_peak_bytes:
        return Verdict(CLAIM, result.case.id, Answer.HOLDS, f"{counts}, equal to the trace")
    precision = "autocast" if result.case.dtype == "bfloat16" else "float32"
    need = fullest(
        model,
        Recipe(precision, str(result.case.parameters["optimizer"])),
        Layout(flash=True),
        lengths,
        Way.IMPLEMENTATION,
    )
    if need.activations is None:
        return Verdict(
            CLAIM,
            result.case.id,
            Answer.HOLDS,
            f"{counts}, equal to the trace; no formula for its activations",
        )
    off = need.peak / peak - 1.0
    reason = f"{counts}, equal to the trace; peak {units.size(peak)}, planned {units.size(need.peak)} ({units.signed_percent(off)})"
    return Verdict(CLAIM, result.case.id, Answer.HOLDS if abs(off) <= CLOSE else Answer.INCONCLUSIVE, reason)
