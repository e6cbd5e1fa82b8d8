"""A trial compared: base and candidate measured interleaved, in pairs of fresh processes."""

from collections.abc import Iterator

from harness import units
from harness.compare.comparison import CHANGED_CODE, counts
from harness.compare.decision import ALPHA, Effect, decide, effect, shift
from harness.records.comparison import CaseComparison, Comparison, Decision, ExactChange, GroupComparison
from harness.records.noise import NoiseProfile
from harness.records.trial import ALL_CALLS, CaseTrial, Trial

# A comparison needs at least this many pairs.
LEAST_PAIRS = 3


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
    effects = {name: _effect(case, thresholds[name], alpha) for name, case in comparable.items()}
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
        notes=tuple(_notes(trial, profile)),
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


def _effect(trial: CaseTrial, threshold: float, alpha: float) -> tuple[str, Effect]:
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
        informational = CHANGED_CODE
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


def _notes(trial: Trial, profile: NoiseProfile | None) -> Iterator[str]:
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
