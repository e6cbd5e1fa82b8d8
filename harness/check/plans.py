"""Checks of plans: counts and memory from a configuration alone, against the trace and the measured peak of the model that ran."""

from collections.abc import Iterator

from harness import units
from harness.check import verdict
from harness.models.shapes import configuration
from harness.plan import work
from harness.plan.activations import Way
from harness.plan.config import described
from harness.plan.memory import fullest
from harness.plan.work import Lengths
from harness.records import Answer, Result, Run, Verdict
from harness.records.architecture import Architecture, Layout, Per, Recipe

CLAIM = "plan"
# Tolerance of the peak: allocators and buffers of kernels are in no formula.
CLOSE = 0.10


def check_plans(run: Run) -> Iterator[Verdict]:
    """One verdict for each training step of a model that a configuration describes."""
    for result in run.measured:
        known = planned(result)
        if known is not None:
            yield _verdict(result, *known)


def planned(result: Result) -> tuple[Architecture, Lengths] | None:
    """The model and the batch of a case; None where it is not a whole eager training step of such a model."""
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


def _verdict(result: Result, model: Architecture, lengths: Lengths) -> Verdict:
    trace, measurement = result.case.trace, result.measurement
    if trace is None or measurement is None:
        raise ValueError(result.case.id)
    # An operator cannot recognise a mask that is added as a tensor: then the trace counts all pairs.
    done, traced = work.forward(model, lengths), trace.phase("forward").flops
    counts = f"{model.parameters:,} parameters and {units.work(done.flops)} forward predicted from the configuration"
    if model.parameters != trace.parameters or not done.flops <= traced <= done.flops_dense:
        actual = f"the model that ran has {trace.parameters:,} parameters and {units.work(traced)}"
        return verdict(CLAIM, result.case.id, Answer.FAILS, counts, actual)
    counts += ", equal to the model that ran"
    peak = measurement.peak_memory_bytes
    if peak is None or "optimizer" not in measurement.phase_peak_bytes:
        return verdict(CLAIM, result.case.id, Answer.HOLDS, counts)
    precision = "autocast" if result.case.dtype == "bfloat16" else "float32"
    need = fullest(
        model,
        Recipe(precision, str(result.case.parameters["optimizer"])),
        Layout(flash=True),
        lengths,
        Way.IMPLEMENTATION,
    )
    if need.activations is None:
        return verdict(CLAIM, result.case.id, Answer.HOLDS, counts, "there is no formula of its memory")
    error = need.peak / peak - 1.0
    memory = f"peak {units.size(peak)}, predicted {units.size(need.peak)} ({units.signed_percent(error)}; tolerance {units.percent(CLOSE)})"
    answer = Answer.HOLDS if abs(error) <= CLOSE else Answer.INCONCLUSIVE
    return verdict(CLAIM, result.case.id, answer, counts, memory)
