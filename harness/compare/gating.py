"""Comparisons for a gate: of a trial, measured interleaved, and of two stored runs.

Stored runs share no minute, so their threshold is widened by as much as the peaks of both runs differ.
"""

import math
from collections.abc import Iterator

import msgspec

from harness import units
from harness.compare.comparison import Conditions, compare, counts, not_comparable
from harness.compare.decision import ALPHA, Effect, decide, effect, shift
from harness.errors import UsageError
from harness.records import Case, Flag, PeakLevel, Result, Run
from harness.records.comparison import CaseComparison, Comparison, Decision, ExactChange, GroupComparison
from harness.records.noise import NoiseProfile
from harness.records.trial import ALL_CALLS, CaseTrial, Trial

# A comparison of a trial needs at least this many pairs.
LEAST_PAIRS = 3
# A measurement that background load disturbed is not gated.
DISTURBED = (Flag.CONTENDED, Flag.THROTTLED, Flag.OVERSUBSCRIBED)
# Metrics without noise that are gated.
EXACT = ("FLOPs", "kernels", "peak memory")
# Peaks that differ by more are reported.
LEAST_PACE_CHANGE = 0.05
# The normal deviate of the intervals of a run.
Z = 1.959964
_CHANGED_CODE = "the workload's own code differs between base and candidate, so the work can differ too"


def compare_trial(trial: Trial, profile: NoiseProfile | None) -> Comparison:
    """The decision on each case, all cases together. `profile`: the self-test of this host, if there was one.

    A change counts from the threshold of the user on, or from the largest difference between identical pairs on this host if that is more.
    """
    alpha = ALPHA / trial.analyses
    comparable = {
        case.case.id: case for case in trial.cases if len(case.pairs) >= LEAST_PAIRS and not case.failed_side
    }
    thresholds = {
        name: max(trial.threshold, _host_threshold(case, trial, profile)) for name, case in comparable.items()
    }
    effects = {name: _trial_effect(case, thresholds[name], alpha) for name, case in comparable.items()}
    decisions = decide({name: effect for name, (_, effect) in effects.items()}, thresholds)
    same_settings = trial.base.settings == trial.candidate.settings
    lost = [case for case in trial.cases if case.failed_side == "candidate"]
    cases = tuple(
        _case(case, effects[case.case.id], decisions[case.case.id], thresholds[case.case.id], same_settings)
        if case.case.id in comparable
        else CaseComparison.undecided(case.case, trial.threshold, _reason(case))
        for case in trial.cases
        if case not in lost
    )
    common = shift(
        [
            dict(zip((pair.number for pair in case.pairs), case.log_ratios, strict=True))
            for case in comparable.values()
        ],
        alpha,
    )
    base, candidate = trial.base.environment, trial.candidate.environment
    return Comparison(
        base=trial.base.name,
        candidate=trial.candidate.name,
        method="interleaved",
        level=1.0 - alpha,
        same_machine=base.fingerprint == candidate.fingerprint,
        cases=cases,
        overall=common
        and GroupComparison("all", common.ratio, common.low, common.high, len(comparable), **counts(cases)),
        missing=(*trial.missing, *((case.case.id, f"candidate: {case.failure}") for case in lost)),
        new=trial.new,
        differences=tuple(
            difference
            for difference in base.differences(candidate)
            if not difference.field.startswith("code.")
        ),
        notes=tuple(_trial_notes(trial, profile)),
        trial=trial.id,
    )


def can_gate(effect: Effect, threshold: float) -> bool:
    """Whether a case may fail a gate: changes as small as the threshold are detectable, or its loss is beyond the noise."""
    return effect.detectable <= threshold or effect.slower(max(threshold, effect.detectable))


def open_cases(comparison: Comparison) -> set[str]:
    """The ids of cases that more pairs can decide."""
    return {
        case.case
        for case in comparison.cases
        if case.pairs
        and (
            case.decision is Decision.INCONCLUSIVE
            or (case.decision is not Decision.EQUIVALENT and not case.gates)
        )
    }


def _trial_effect(trial: CaseTrial, threshold: float, alpha: float) -> tuple[str, Effect]:
    """The effect by the reading that repeats best, or by the mean of all samples where that shows a loss beyond its noise.

    A slow path that a call takes occasionally adds scatter, so the reading that repeats best does not contain it.
    """
    steady = effect(trial.log_ratios, alpha)
    mean = effect(trial.ratios_by(ALL_CALLS), alpha)
    hidden = mean.slower(max(threshold, mean.detectable)) and not steady.slower(threshold)
    return (ALL_CALLS, mean) if hidden else (trial.reading, steady)


def _case(
    trial: CaseTrial,
    measured: tuple[str, Effect],
    decision: Decision,
    threshold: float,
    same_settings: bool,  # noqa: FBT001 - a fact
) -> CaseComparison:
    reading, effect = measured
    informational = ""
    if trial.altered:
        informational = _CHANGED_CODE
    elif not can_gate(effect, threshold):
        informational = (
            f"minimum detectable change with {effect.pairs} pairs: {units.percent(effect.detectable)} "
            f"(threshold {units.percent(threshold)})"
        )
    changes = [
        ExactChange(trial.case.id, metric, before, trial.candidate_work[metric])
        for metric, before in trial.base_work.items()
        if trial.candidate_work.get(metric, before) != before
    ]
    return CaseComparison(
        case=trial.case.id,
        suite=trial.case.suite,
        decision=decision,
        threshold=threshold,
        ratio=effect.ratio,
        low=effect.low,
        high=effect.high,
        p=effect.p,
        detectable=effect.detectable,
        pairs=effect.pairs,
        base_seconds=trial.base_seconds,
        candidate_seconds=trial.candidate_seconds,
        informational=informational,
        reason="some calls take longer: the mean of all samples shows it" if reading == ALL_CALLS else "",
        work_grew=tuple(change for change in changes if change.candidate > change.base),
        work_shrank=tuple(change for change in changes if change.candidate < change.base),
        work_gates=same_settings and not trial.altered,
        reading=reading,
    )


def _reason(trial: CaseTrial) -> str:
    """Why a case has too few pairs."""
    if trial.failed_side:
        return f"{trial.failed_side}: {trial.failure}"
    return (
        trial.failure or f"{len(trial.pairs)} pairs were measured: a comparison needs at least {LEAST_PAIRS}"
    )


def _host_threshold(case: CaseTrial, trial: Trial, profile: NoiseProfile | None) -> float:
    if profile is None:
        return 0.0
    return profile.noise_of_pairs(max(1, len(case.pairs)), case.case.threads or trial.candidate.threads)


def _trial_notes(trial: Trial, profile: NoiseProfile | None) -> Iterator[str]:
    if profile is None:
        yield "no self-test was run on this host, so the difference between identical pairs is unknown: run `plumbline selftest`"
    base, candidate = trial.base.settings, trial.candidate.settings
    for key in dict.fromkeys((*base, *candidate)):
        before, after = base.get(key), candidate.get(key)
        if before != after:
            yield f"{key}: {before or 'unchanged'} in the base, {after or 'unchanged'} in the candidate"
    if trial.lost_pairs:
        yield f"processes lost: {trial.lost_pairs}; their cases were measured again"
    for case in trial.cases:
        metrics = set(case.base_work) ^ set(case.candidate_work)
        if metrics and case.pairs:
            yield f"{case.case.id}: {', '.join(sorted(metrics))} known in only one side, and not compared"
    if trial.dropped_rounds:
        yield f"{trial.dropped_rounds} rounds were dropped: the GPU throttled in one burst and not in another"


def compare_stored(base: Run, candidate: Run, threshold: float) -> Comparison:
    """Compares two runs as a gate does, all cases together. `threshold`: the largest change, as a fraction, that does not count.

    Raises:
        UsageError: the runs are the same, or differ in machine, device or threads.
    """
    if base.header.id == candidate.header.id:
        raise UsageError(f"{base.header.id} is base and candidate: name two runs")
    if reasons := not_comparable(Conditions.of(base.header), Conditions.of(candidate.header)):
        more = f" and {len(reasons) - 4} more" if len(reasons) > 4 else ""
        raise UsageError(
            f"{base.header.id} and {candidate.header.id} are not comparable, they differ in {', '.join(reasons[:4])}{more}: "
            "use `plumbline report A B` for two machines"
        )
    comparison = compare(base, candidate)
    before, after = ({result.case.id: result for result in run.results} for run in (base, candidate))
    effects = {case.case: effect for case in comparison.cases if (effect := _effect(case, before, after))}
    thresholds = {name: threshold + pace_change(base, candidate, before[name]) for name in effects}
    decisions = decide(effects, thresholds)
    cases = [
        _gated(
            msgspec.structs.replace(
                case,
                decision=decisions.get(case.case, Decision.INCONCLUSIVE),
                threshold=thresholds.get(case.case, 0.0),
                p=effects[case.case].p if case.case in effects else None,
            ),
            (before[case.case].case, after[case.case].case),
            [change for change in comparison.exact if change.case == case.case and change.metric in EXACT],
        )
        for case in comparison.cases
    ]
    different = {name for name, _ in comparison.missing if name in after and after[name].measurement}
    unplanned = {name for name, _ in comparison.missing if name not in after}.difference(
        candidate.header.planned
    )
    not_asked = unplanned if _asked(base) != _asked(candidate) else set()
    cases += [
        CaseComparison.undecided(before[name].case, threshold, reason)
        for name, reason in comparison.missing
        if name in different
    ]
    overall = comparison.overall
    return msgspec.structs.replace(
        comparison,
        cases=tuple(cases),
        overall=overall if overall and overall.low is not None else None,
        missing=tuple(pair for pair in comparison.missing if pair[0] not in different | not_asked),
        notes=tuple(_notes(base, candidate, comparison, len(not_asked))),
    )


def pace_change(base: Run, candidate: Run, result: Result) -> float:
    """How much the machine's own speed differs between two runs, as a fraction, by the peaks that bound a case; 0 where none was measured.

    Where torch differs its own peaks do not count: a torch that lost a third would hide its own loss.
    """
    same_torch = len({run.header.environment.software.torch.version for run in (base, candidate)}) == 1
    threads = result.case.threads or base.header.settings.threads
    prediction = result.prediction
    rates = []
    for run in (base, candidate):
        reached = [
            peak.flops_per_second
            for peak in run.peaks.compute_hierarchy(result.case.dtype, threads)
            if peak.peak_level.achieved and (same_torch or peak.peak_level is not PeakLevel.TORCH)
        ]
        memory = None
        if prediction and prediction.level and prediction.bound == "memory":
            memory = run.peaks.bandwidth_peak(prediction.level, threads)
        known = memory if memory and (same_torch or memory.peak_level is not PeakLevel.TORCH) else None
        rates.append((max(reached, default=None), known.bytes_per_second if known else None))
    return max(
        (math.expm1(abs(math.log(a / b))) for a, b in zip(*rates, strict=True) if a and b), default=0.0
    )


def _effect(case: CaseComparison, before: dict[str, Result], after: dict[str, Result]) -> Effect | None:
    """The effect on a case's time; None where a run gives no interval."""
    if case.ratio is None or case.low is None or case.high is None:
        return None
    half = max(math.log(case.high / case.low) / 2, 1e-9)
    p = math.erfc(abs(math.log(case.ratio)) / (half / Z) / math.sqrt(2.0))
    measured = [results[case.case].measurement for results in (before, after)]
    pairs = min(len(measurement.view.processes) for measurement in measured if measurement)
    return Effect(case.ratio, case.low, case.high, p, max(pairs, 2))


def _gated(case: CaseComparison, declared: tuple[Case, Case], work: list[ExactChange]) -> CaseComparison:
    """The case with its changes of work, and whether its time is gated."""
    flags = [flag for flag in DISTURBED if flag in case.base_flags or flag in case.candidate_flags]
    informational = f"a measurement is flagged {', '.join(flags)}" if flags else case.reason
    before, after = (side.source for side in declared)
    if before and after and before != after:
        informational = _CHANGED_CODE
    return msgspec.structs.replace(
        case,
        informational=informational,
        work_grew=tuple(change for change in work if change.candidate > change.base),
        work_shrank=tuple(change for change in work if change.candidate < change.base),
    )


def _asked(run: Run) -> tuple[object, ...]:
    """Which cases were asked for."""
    settings = run.header.settings
    return settings.suites, settings.expression, settings.profile


def _notes(base: Run, candidate: Run, comparison: Comparison, not_asked: int) -> Iterator[str]:
    yield "the runs were measured at different times: `plumbline ab` measures interleaved and detects smaller changes"
    if base.header.environment.host.id != candidate.header.environment.host.id:
        yield "the runs come from two machines of the same kind"
    if not (base.header.selftest_at and candidate.header.selftest_at):
        yield "no self-test preceded both runs, so the drift of this host from run to run is unknown: run `plumbline selftest`"
    for peak in comparison.peaks:
        if peak.ratio is not None and abs(math.log(peak.ratio)) > math.log1p(LEAST_PACE_CHANGE):
            yield f"the machine itself changed: {peak.kind} {peak.name} {units.signed_percent(peak.ratio - 1)} between the runs"
    if not_asked:
        yield f"the candidate was not asked for {not_asked} {'case' if not_asked == 1 else 'cases'} of the base"
