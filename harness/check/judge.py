"""All claims of a run."""

from collections.abc import Iterator

import msgspec

from harness import units
from harness.check.estimates import check_steps, check_time
from harness.check.findings import findings
from harness.check.plans import check_plans
from harness.check.scaling import check_crossovers, check_memory_growth, check_scaling
from harness.cost import roofline
from harness.costmodel import calibrated, estimate, optimizations, validated
from harness.fit.sweeps import fit_sweeps
from harness.records import (
    Answer,
    BandwidthPeak,
    ComputePeak,
    Cost,
    Peaks,
    Prediction,
    Result,
    Run,
    Verdict,
)

COUNTS_CLAIM = "counts"


def check_counts(run: Run) -> Iterator[Verdict]:
    """One verdict for each case whose closed form was traced too. FLOPs are integers: they are equal or wrong."""
    for result in run.results:
        if result.case.cost is not None and result.case.counted is not None:
            yield _counts_verdict(result, result.case.cost, result.case.counted)


def _counts_verdict(result: Result, said: Cost, counted: Cost) -> Verdict:
    told = f"{units.work(said.flops_dense)} in closed form, {units.work(counted.flops_dense)} by the trace"
    if said.flops_dense == counted.flops_dense:
        return Verdict(COUNTS_CLAIM, result.case.id, Answer.HOLDS, f"{told}, exactly as many")
    return Verdict(
        COUNTS_CLAIM,
        result.case.id,
        Answer.FAILS,
        f"{said.flops_dense:,} FLOPs in closed form, {counted.flops_dense:,} by the trace: one of them is wrong, and no tolerance applies",
    )


MEMORY_CLAIM = "memory"
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
        yield _memory_verdict(result, cost.memory_bytes - foreign, measurement.peak_memory_bytes, tolerance)


def _memory_verdict(result: Result, said: int, measured: int, tolerance: float) -> Verdict:
    trace, measurement = result.case.trace, result.measurement
    where = ""
    if trace is not None and measurement is not None and measurement.peak_phase is not None:
        where = f", in the {measurement.peak_phase} (said: {trace.peak_phase})"
    told = f"the peak is {units.size(measured)} of tensors{where}, {units.size(said)} were said"
    off = said / measured - 1 if measured else 0.0
    if abs(off) <= tolerance:
        return Verdict(MEMORY_CLAIM, result.case.id, Answer.HOLDS, told)
    told += f" ({units.signed_percent(off)}, {units.percent(tolerance)} are allowed)"
    if result.case.fused:
        return Verdict(MEMORY_CLAIM, result.case.id, Answer.INCONCLUSIVE, f"{told}: a compiler plans it anew")
    if trace is not None and trace.unknown:
        return Verdict(
            MEMORY_CLAIM, result.case.id, Answer.INCONCLUSIVE, f"{told}: operators without a formula"
        )
    if off > 0:
        return Verdict(MEMORY_CLAIM, result.case.id, Answer.FAILS, f"{told}: the prediction is wrong")
    # Memory that a kernel takes for itself: packed weights, a copy in another layout, a workspace. A single operator has little
    # else; in a whole step it should not matter.
    answer = Answer.INCONCLUSIVE if result.case.several else Answer.HOLDS
    return Verdict(MEMORY_CLAIM, result.case.id, answer, f"{told}: kernels take the rest for themselves")


PHYSICS_CLAIM = "physics"
# What a compute peak may be beaten by before anything is wrong: it is the best of a few kernels,
# and another may be a little better.
COMPUTE_MARGIN = 0.05
# Memory informs and does not gate: bandwidth on a shared host was seen to move by 1.5 to 2 times
# between rounds with no sign inside the guest. Beyond a factor of two nothing explains it.
MEMORY_MARGIN = 0.15
MEMORY_FACTOR = 2.0


def check_physics(run: Run) -> Iterator[Verdict]:
    """One verdict for each measured case, against the upper envelope of all rounds of peaks."""
    for result in run.measured:
        yield _physics_verdict(result, run.peaks, result.case.threads or run.header.settings.threads)


def _physics_verdict(result: Result, peaks: Peaks, threads: int) -> Verdict:
    prediction = roofline.predict(result.case, peaks, threads)
    measurement = result.measurement
    peak = _peak(result, prediction, peaks, threads)
    if prediction.seconds is None or measurement is None or peak is None:
        return _say(result, Answer.INCONCLUSIVE, "no measured peak bounds this case")
    ratio = prediction.seconds / measurement.median
    compute = prediction.bound == "compute"
    noise = 1.0 + max(COMPUTE_MARGIN if compute else MEMORY_MARGIN, peak.spread)
    explained = max(noise, 1.0 + (peak.round_spread or 0.0) if compute else MEMORY_FACTOR)
    facts = (
        f"{units.seconds(measurement.median)} a call is {ratio:.2f} of the {prediction.bound} roof "
        f"({units.seconds(prediction.seconds)} at {_name(prediction)}); up to {noise:.2f} is noise"
    )
    if ratio <= noise:
        return _say(result, Answer.HOLDS, facts)
    if ratio <= explained:
        return _say(result, Answer.INCONCLUSIVE, f"{facts}, up to {explained:.2f} a peak that moved")
    return _say(result, Answer.FAILS, f"{facts}: the cost, the clock or the peak is wrong")


def _peak(
    result: Result, prediction: Prediction, peaks: Peaks, threads: int
) -> ComputePeak | BandwidthPeak | None:
    if prediction.bound == "compute":
        return peaks.compute_peak(result.case.dtype, threads)
    return peaks.bandwidth_peak(prediction.level or "", threads)


def _name(prediction: Prediction) -> str:
    if prediction.bound == "compute":
        return units.work_rate(prediction.flops_per_second or 0.0)
    return f"{prediction.level} {units.bandwidth(prediction.bytes_per_second or 0.0)}"


def _say(result: Result, answer: Answer, reason: str) -> Verdict:
    return Verdict(claim=PHYSICS_CLAIM, subject=result.case.id, answer=answer, reason=reason)


def judge(run: Run) -> Run:
    """The run with its sweeps fitted, its claims judged and its findings drawn anew from the recorded facts."""
    header = msgspec.structs.replace(run.header, fits=fit_sweeps(run))
    run = _estimated(msgspec.structs.replace(run, header=header))
    verdicts = (
        *check_time(run),
        *check_scaling(run),
        *check_crossovers(run),
        *check_memory_growth(run),
        *check_steps(run),
        *check_physics(run),
        *check_counts(run),
        *check_memory(run),
        *check_plans(run),
    )
    header = msgspec.structs.replace(run.header, verdicts=verdicts, optimizations=optimizations(run))
    run = msgspec.structs.replace(run, header=header)
    return msgspec.structs.replace(run, header=msgspec.structs.replace(header, findings=findings(run)))


def _estimated(run: Run) -> Run:
    """The run with its cost model, and what that says of its steps."""
    model = calibrated(run)
    if model is None:
        return run
    estimates = tuple(
        estimate(model, r.case.id, r.case.trace, run.operators[r.case.id])
        for r in run.results
        if r.case.held_out and r.case.trace and r.case.id in run.operators
    )
    header = msgspec.structs.replace(
        run.header, cost_model=model, estimates=estimates, validations=validated(run, model, estimates)
    )
    return msgspec.structs.replace(run, header=header)


def exit_status(run: Run) -> int:
    """What a command returns for a run: 3 cases failed or are missing, 1 a claim fails, else 0.

    3 before 1: a run with holes proves little.
    """
    if run.failed or run.damage or not run.measured or not run.complete:
        return 3
    return 1 if any(verdict.answer is Answer.FAILS for verdict in run.header.verdicts) else 0
