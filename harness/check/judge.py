"""The verdicts on all claims: of a run, and of a self-test."""

from collections.abc import Iterator

import msgspec

from harness import units
from harness.check import verdict
from harness.check.estimates import check_steps, check_time
from harness.check.findings import findings
from harness.check.plans import check_plans
from harness.check.scaling import check_crossovers, check_memory_growth, check_scaling
from harness.cost import roofline
from harness.costmodel import calibrated, estimate, optimizations, validated
from harness.fit.sweeps import fit_sweeps
from harness.records import Answer, BandwidthPeak, ComputePeak, Peaks, Prediction, Result, Run, Verdict
from harness.records.noise import GATE, LEAST_POWER, MOST_FALSE_ALARMS, KindNoise, NoiseProfile, TimerReading


def judge(run: Run) -> Run:
    """The run with its fits, cost model, estimates, verdicts and findings computed again from the recorded facts."""
    run = _estimated(_with(run, fits=fit_sweeps(run)))
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
    run = _with(run, verdicts=verdicts, optimizations=optimizations(run))
    return _with(run, findings=findings(run))


def _with(run: Run, **fields: object) -> Run:
    """The run with these fields of its header changed."""
    return msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, **fields))


def _estimated(run: Run) -> Run:
    """The run with its cost model, and with the estimates of its steps."""
    model = calibrated(run)
    if model is None:
        return run
    estimates = tuple(
        estimate(model, r.case.id, r.case.trace, run.operators[r.case.id])
        for r in run.results
        if r.case.held_out and r.case.trace and r.case.id in run.operators
    )
    return _with(run, cost_model=model, estimates=estimates, validations=validated(run, model, estimates))


def exit_status(run: Run) -> int:
    """The exit status of a command for a run: 3 if cases failed or are missing, 1 if a claim fails, else 0.

    3 comes before 1: an incomplete run proves little.
    """
    if run.failed or run.damage or not run.measured or not run.complete:
        return 3
    return 1 if any(verdict.answer is Answer.FAILS for verdict in run.header.verdicts) else 0


COUNTS_CLAIM = "counts"


def check_counts(run: Run) -> Iterator[Verdict]:
    """One verdict for each case with a closed form and a trace. FLOPs are integers: they are equal or wrong."""
    for result in run.results:
        cost, counted = result.case.cost, result.case.counted
        if cost is None or counted is None:
            continue
        closed, traced = cost.flops_dense, counted.flops_dense
        if closed == traced:
            reason = f"{units.work(closed)} in closed form and by the trace, exactly equal"
            yield verdict(COUNTS_CLAIM, result.case.id, Answer.HOLDS, reason)
        else:
            reason = f"{closed:,} FLOPs in closed form, {traced:,} by the trace: one of them is wrong (no tolerance)"
            yield verdict(COUNTS_CLAIM, result.case.id, Answer.FAILS, reason)


MEMORY_CLAIM = "memory"
# Tolerances of a traced peak: kernels take scratch memory that no trace contains. The workspaces of a caching allocator are larger.
TOLERANCE, ON_ACCELERATOR = 0.02, 0.05


def check_memory(run: Run) -> Iterator[Verdict]:
    """One verdict for each case whose peak was predicted and measured."""
    tolerance = TOLERANCE if run.header.settings.device == "cpu" else ON_ACCELERATOR
    for result in run.measured:
        cost, measurement, trace = result.case.cost, result.measurement, result.case.trace
        if cost is None or measurement is None or measurement.peak_memory_bytes is None:
            continue
        measured = measurement.peak_memory_bytes
        predicted = cost.memory_bytes - (trace.foreign_bytes if trace else 0)
        error = predicted / measured - 1 if measured else 0.0
        phases = ("", "")
        if trace is not None and measurement.peak_phase is not None:
            phases = f" in {measurement.peak_phase}", f" in {trace.peak_phase}"
        text = (
            f"peak {units.size(measured)}{phases[0]}, predicted {units.size(predicted)}{phases[1]} "
            f"({units.signed_percent(error)}; tolerance {units.percent(tolerance)})"
        )
        yield verdict(MEMORY_CLAIM, result.case.id, *_memory_answer(result, error, tolerance, text))


def _memory_answer(result: Result, error: float, tolerance: float, text: str) -> tuple[Answer, str, str]:
    if abs(error) <= tolerance:
        return Answer.HOLDS, text, ""
    if result.case.fused:
        return Answer.INCONCLUSIVE, text, "a compiler plans the memory again"
    if result.case.trace is not None and result.case.trace.unknown:
        return Answer.INCONCLUSIVE, text, "the trace has operators without a formula"
    if error > 0:
        return Answer.FAILS, text, "the prediction is wrong"
    # Kernels take memory of their own: packed weights, a copy in another layout, a workspace. A single operator has little else;
    # in a whole step it should not matter.
    answer = Answer.INCONCLUSIVE if result.case.several else Answer.HOLDS
    return answer, text, "kernels take the rest for themselves"


PHYSICS_CLAIM = "physics"
# A compute peak is the best of a few kernels: another one may be a little better.
COMPUTE_MARGIN = 0.05
# The bandwidth of a shared host was measured to change by 1.5 to 2 times between rounds, with no sign inside the guest.
# Nothing explains more than a factor of two.
MEMORY_MARGIN = 0.15
MEMORY_FACTOR = 2.0


def check_physics(run: Run) -> Iterator[Verdict]:
    """One verdict for each measured case: it is not faster than the best peaks of all rounds allow."""
    for result in run.measured:
        threads = result.case.threads or run.header.settings.threads
        yield verdict(PHYSICS_CLAIM, result.case.id, *_physics(result, run.peaks, threads))


def _physics(result: Result, peaks: Peaks, threads: int) -> tuple[Answer, str]:
    prediction, measurement = roofline.predict(result.case, peaks, threads), result.measurement
    peak, rate = _peak(result, prediction, peaks, threads)
    if prediction.seconds is None or measurement is None or peak is None:
        return Answer.INCONCLUSIVE, "no measured peak bounds this case"
    ratio = prediction.seconds / measurement.median
    compute = prediction.bound == "compute"
    noise = 1.0 + max(COMPUTE_MARGIN if compute else MEMORY_MARGIN, peak.spread)
    explained = max(noise, 1.0 + (peak.round_spread or 0.0) if compute else MEMORY_FACTOR)
    text = (
        f"{units.seconds(measurement.median)} a call is {ratio:.2f} of the {prediction.bound} roof "
        f"({units.seconds(prediction.seconds)} at {rate}); up to {noise:.2f} is noise"
    )
    if ratio <= noise:
        return Answer.HOLDS, text
    if ratio <= explained:
        return Answer.INCONCLUSIVE, f"{text}, up to {explained:.2f} the spread of the peak between rounds"
    return Answer.FAILS, f"{text}: the cost, the clock or the peak is wrong"


def _peak(
    result: Result, prediction: Prediction, peaks: Peaks, threads: int
) -> tuple[ComputePeak | BandwidthPeak | None, str]:
    """The peak that bounds a case, and its rate as text."""
    if prediction.bound == "compute":
        rate = units.work_rate(prediction.flops_per_second or 0.0)
        return peaks.compute_peak(result.case.dtype, threads), rate
    rate = f"{prediction.level} {units.bandwidth(prediction.bytes_per_second or 0.0)}"
    return peaks.bandwidth_peak(prediction.level or "", threads), rate


# The fraction of repeats that a 95% interval should cover: a machine whose speed changes for minutes at a time costs some of them;
# below four of five the intervals are useless.
COVERS_WELL, COVERS_BADLY = 0.90, 0.80
# Tolerance of the timer against a spin of known length: a fraction, and the time to wake up from the spin.
TIMER_FRACTION, TIMER_SECONDS = 0.01, 0.5e-6
# On an accelerator a kernel's start and the resolution of events take more.
TIMER_SECONDS_ON_ACCELERATOR = 2e-6


def check_trust(profile: NoiseProfile) -> Iterator[Verdict]:
    """The claims of a self-test: a verdict for each timer reading, and two for each kind of work."""
    slack = TIMER_SECONDS if profile.device == "cpu" else TIMER_SECONDS_ON_ACCELERATOR
    for reading in profile.timer:
        yield _timer(reading, slack)
    for kind in profile.kinds:
        yield _gate(kind)
        if kind.coverage is not None:
            yield _coverage(kind, kind.coverage)


def _timer(reading: TimerReading, slack: float) -> Verdict:
    tolerance = TIMER_FRACTION * reading.known + slack
    holds = abs(reading.read - reading.known) <= tolerance
    reason = f"read {units.seconds(reading.read)} ({units.signed_percent(reading.error)}; tolerance {units.seconds(tolerance)})"
    subject = f"a spin of {units.seconds(reading.known)}"
    return verdict("timer", subject, Answer.HOLDS if holds else Answer.FAILS, reason)


def _gate(kind: KindNoise) -> Verdict:
    """A kind of work that cannot gate does not fail: it stays informational."""
    reason = (
        f"with a threshold of {units.percent(GATE)}: {units.percent(kind.false_alarms)} false alarms "
        f"(at most {units.percent(MOST_FALSE_ALARMS)}), {units.percent(kind.power)} of "
        f"{units.percent(kind.injected)} slowdowns found (at least {units.percent(LEAST_POWER)})"
    )
    return verdict("gate", kind.title, Answer.HOLDS if kind.may_gate else Answer.INCONCLUSIVE, reason)


def _coverage(kind: KindNoise, coverage: float) -> Verdict:
    reason = (
        f"the 95% intervals (median ± {units.percent(kind.half_width)}) cover {units.percent(coverage)} of the other repeats; "
        f"{units.percent(kind.flagged)} of the repeats were flagged"
    )
    if coverage >= COVERS_WELL:
        answer = Answer.HOLDS
    else:
        answer = Answer.INCONCLUSIVE if coverage >= COVERS_BADLY else Answer.FAILS
    return verdict("coverage", kind.title, answer, reason)
