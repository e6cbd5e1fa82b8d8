"""What a trial says: base and candidate measured side by side, in pairs of fresh processes."""

from collections.abc import Iterator

from harness import units
from harness.compare.decision import ALPHA, Effect, decide, effect, shift
from harness.records.comparison import CaseDecision, Decision, Exact, Judgement
from harness.records.noise import NoiseProfile
from harness.records.trial import ALL_CALLS, CaseTrial, Trial

# Fewer readings make no comparison.
LEAST_PAIRS = 3


def judged(trial: Trial, profile: NoiseProfile | None) -> Judgement:
    """The decision on each case, all of them together. `profile` is what a self-test found on this host, if there was one.

    A change counts from the floor on: what the user said, or what pairs of one and the same thing read apart on this host, if that is more.
    """
    alpha = ALPHA / trial.looks
    told = {case.case.id: case for case in trial.cases if len(case.pairs) >= LEAST_PAIRS and not case.guilty}
    floors = {name: max(trial.floor, _host_floor(one, trial, profile)) for name, one in told.items()}
    found = {name: _effect(one, floors[name], alpha) for name, one in told.items()}
    decisions = decide({name: effect for name, (_, effect) in found.items()}, floors)
    same_settings = trial.base.settings == trial.candidate.settings
    lost = [case for case in trial.cases if case.guilty == "candidate"]
    return Judgement(
        base=trial.base.name,
        candidate=trial.candidate.name,
        method="side by side",
        level=1.0 - alpha,
        cases=tuple(
            _decision(case, found[case.case.id], decisions[case.case.id], floors[case.case.id], same_settings)
            if case.case.id in told
            else _untold(case, trial.floor)
            for case in trial.cases
            if case not in lost
        ),
        overall=shift([_by_number(one) for one in told.values()], alpha),
        missing=(*trial.missing, *((one.case.id, f"candidate: {one.trouble}") for one in lost)),
        new=trial.new,
        differences=tuple(
            difference
            for difference in trial.base.environment.differences(trial.candidate.environment)
            if not difference.field.startswith("code.")
        ),
        notes=tuple(_notes(trial, profile)),
        trial=trial.id,
    )


def _effect(trial: CaseTrial, floor: float, alpha: float) -> tuple[str, Effect]:
    """What the pairs tell by the reading that repeats best; or by the mean of all samples, where that shows a loss beyond what its noise can do.

    A slow path that a call takes now and then scatters: the reading that repeats best is blind to it.
    """
    steady = trial.reading, effect(trial.log_ratios, alpha)
    whole = effect(trial.ratios_by(ALL_CALLS), alpha)
    hidden = whole.low > 1.0 + max(floor, whole.detectable) and not steady[1].beyond(floor)
    return (ALL_CALLS, whole) if hidden else steady


def _by_number(trial: CaseTrial) -> dict[int, float]:
    return dict(zip((pair.number for pair in trial.pairs), trial.log_ratios, strict=True))


def gates(found: Effect, floor: float) -> bool:
    """Whether a case may stop a gate: changes as small as the floor are found here, or its loss is beyond what noise does here."""
    return found.detectable <= floor or found.low > 1.0 + max(floor, found.detectable)


def undecided(judgement: Judgement) -> set[str]:
    """The cases that more pairs may tell more of."""
    return {
        case.case
        for case in judgement.cases
        if case.pairs
        and (
            case.decision is Decision.INCONCLUSIVE
            or (case.decision is not Decision.EQUIVALENT and not case.gates)
        )
    }


def _decision(
    trial: CaseTrial,
    told: tuple[str, Effect],
    decision: Decision,
    floor: float,
    same_settings: bool,  # noqa: FBT001 - a fact
) -> CaseDecision:
    reading, found = told
    grew, shrank = _work(trial)
    informs = ""
    if trial.altered:
        informs = "the workload's own code differs between the sides: other work under the same name"
    elif not gates(found, floor):
        informs = (
            f"{found.pairs} pairs find changes from {units.percent(found.detectable)} on here, and the floor is "
            f"{units.percent(floor)}"
        )
    return CaseDecision(
        case=trial.case.id,
        suite=trial.case.suite,
        decision=decision,
        floor=floor,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        p=found.p,
        detectable=found.detectable,
        pairs=found.pairs,
        base_seconds=trial.base_seconds,
        candidate_seconds=trial.candidate_seconds,
        gates=not informs,
        informs=informs,
        reason="some calls take longer, as the mean of all samples shows" if reading == ALL_CALLS else "",
        work_grew=grew,
        work_shrank=shrank,
        work_gates=same_settings and not trial.altered,
        reading=reading,
    )


def _untold(trial: CaseTrial, floor: float) -> CaseDecision:
    few = f"{len(trial.pairs)} pairs were measured: at least {LEAST_PAIRS} make a comparison"
    reason = f"{trial.guilty}: {trial.trouble}" if trial.guilty else trial.trouble or few
    return CaseDecision.untold(trial.case, floor, reason)


def _work(trial: CaseTrial) -> tuple[tuple[Exact, ...], tuple[Exact, ...]]:
    """The metrics without noise that grew, and those that shrank."""
    changed = [
        Exact(trial.case.id, metric, before, trial.candidate_work[metric])
        for metric, before in trial.base_work.items()
        if trial.candidate_work.get(metric, before) != before
    ]
    grew = tuple(change for change in changed if change.other > change.base)
    return grew, tuple(change for change in changed if change.other < change.base)


def _host_floor(case_trial: CaseTrial, trial: Trial, profile: NoiseProfile | None) -> float:
    if profile is None:
        return 0.0
    return profile.floor(max(1, len(case_trial.pairs)), case_trial.case.threads or trial.candidate.threads)


def _notes(trial: Trial, profile: NoiseProfile | None) -> Iterator[str]:
    if profile is None:
        yield "no self-test was run on this host, so what pairs of one and the same thing read apart here is not known: plumbline selftest"
    base, candidate = trial.base, trial.candidate
    for key in dict.fromkeys((*base.settings, *candidate.settings)):
        before, after = base.settings.get(key), candidate.settings.get(key)
        if before != after:
            yield f"{key}: {before or 'as it is'} in the base, {after or 'as it is'} in the candidate"
    if trial.lost_pairs:
        yield f"{trial.lost_pairs} times a process was lost, and its case measured again"
    for case in trial.cases:
        alone = set(case.base_work) ^ set(case.candidate_work)
        if alone and case.pairs:
            yield f"{case.case.id}: {', '.join(sorted(alone))} known of one side alone, and not compared"
    if trial.dropped_rounds:
        yield f"{trial.dropped_rounds} rounds were dropped, as the card slowed itself down in one burst and not in another"
