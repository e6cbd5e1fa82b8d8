"""What a trial says: base and candidate measured side by side, in pairs of fresh processes."""

from collections.abc import Iterator

from harness import units
from harness.check.decision import ALPHA, Effect, decide, effect, shift
from harness.records.comparison import Exact
from harness.records.judgement import CaseDecision, Decision, Judgement
from harness.records.noise import NoiseProfile
from harness.records.trial import CaseTrial, Trial

# Fewer readings make no comparison.
LEAST_PAIRS = 3


def judged(trial: Trial, profile: NoiseProfile | None) -> Judgement:
    """The decision on each case, all of them together. `profile` is what a self-test found on this host, if there was one.

    A change counts from the floor on: what the user said, or what pairs of one and the same thing read apart on this host, if that is more.
    """
    alpha = ALPHA / trial.looks
    effects = {
        one.case.id: effect(one.log_ratios, alpha) for one in trial.cases if len(one.pairs) >= LEAST_PAIRS
    }
    floors = {
        one.case.id: max(trial.floor, _host_floor(one, trial, profile))
        for one in trial.cases
        if one.case.id in effects
    }
    decisions = decide(effects, floors)
    lost = [one for one in trial.cases if _lost(one)]
    return Judgement(
        base=trial.base.name,
        candidate=trial.candidate.name,
        method="side by side",
        level=1.0 - alpha,
        cases=tuple(
            _decision(one, effects[one.case.id], decisions[one.case.id], floors[one.case.id])
            if one.case.id in effects
            else _untold(one, trial.floor)
            for one in trial.cases
            if one not in lost
        ),
        overall=shift([one.log_ratios for one in trial.cases if one.case.id in effects], alpha),
        missing=(*trial.missing, *((one.case.id, one.trouble) for one in lost)),
        new=trial.new,
        differences=trial.base.environment.differences(trial.candidate.environment),
        notes=tuple(_notes(trial, profile)),
        trial=trial.id,
    )


def gates(found: Effect, floor: float) -> bool:
    """Whether a case may stop a gate: changes as small as the floor are found here, or its loss is beyond what noise does here."""
    return found.detectable <= floor or found.low > 1.0 + max(floor, found.detectable)


def undecided(judgement: Judgement) -> set[str]:
    """The cases that more pairs may tell more of."""
    return {
        one.case
        for one in judgement.cases
        if one.pairs
        and (
            one.decision is Decision.INCONCLUSIVE
            or (one.decision is not Decision.EQUIVALENT and not one.gates)
        )
    }


def _decision(one: CaseTrial, found: Effect, decision: Decision, floor: float) -> CaseDecision:
    grew, shrank = _work(one)
    informs = ""
    if one.altered:
        informs = "the workload's own code differs between the sides: other work under the same name"
    elif not gates(found, floor):
        informs = (
            f"{found.pairs} pairs find changes from {units.percent(found.detectable)} on here, and the floor is "
            f"{units.percent(floor)}"
        )
    return CaseDecision(
        case=one.case.id,
        suite=one.case.suite,
        decision=decision,
        floor=floor,
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        p=found.p,
        detectable=found.detectable,
        pairs=found.pairs,
        base_seconds=one.base_seconds,
        candidate_seconds=one.candidate_seconds,
        gates=not informs,
        informs=informs,
        work_grew=grew,
        work_shrank=shrank,
    )


def _untold(one: CaseTrial, floor: float) -> CaseDecision:
    reason = one.trouble or f"{len(one.pairs)} pairs were measured: at least {LEAST_PAIRS} make a comparison"
    return CaseDecision(
        case=one.case.id,
        suite=one.case.suite,
        decision=Decision.INCONCLUSIVE,
        floor=floor,
        gates=False,
        informs="no readings",
        reason=reason,
    )


def _lost(one: CaseTrial) -> bool:
    """Whether the candidate cannot measure what the base can."""
    return one.broken and not one.trouble.startswith("base")


def _work(one: CaseTrial) -> tuple[tuple[Exact, ...], tuple[Exact, ...]]:
    """The metrics without noise that grew, and those that shrank."""
    changed = [
        Exact(one.case.id, metric, before, one.candidate_work[metric])
        for metric, before in one.base_work.items()
        if one.candidate_work.get(metric, before) != before
    ]
    grew = tuple(change for change in changed if change.other > change.base)
    return grew, tuple(change for change in changed if change.other < change.base)


def _host_floor(one: CaseTrial, trial: Trial, profile: NoiseProfile | None) -> float:
    if profile is None:
        return 0.0
    return profile.floor(max(1, len(one.pairs)), one.case.threads or trial.candidate.threads)


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
    if trial.dropped_rounds:
        yield f"{trial.dropped_rounds} rounds were dropped, as the card slowed itself down in one burst and not in another"
    yield from trial.notes
