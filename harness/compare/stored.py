"""What a stored run says beside another: measured at another time, on the same machine.

Two runs share no minute, so more must differ before anything is said than where both are measured side by side: the
floor is widened by as much as the machine's own pace moved between them, which the peaks of both runs tell.
"""

import math
from collections.abc import Iterator

from harness import units
from harness.compare.comparison import compare
from harness.compare.decision import Effect, decide
from harness.errors import UsageError
from harness.records import Comparison, Exact, Flag, PeakLevel, Result, Run
from harness.records.comparison import CaseDecision, Decision, Judgement, Overall
from harness.records.measurement import speedup_interval

# A measurement that others disturbed is told of, and stops nobody.
DISTURBED = (Flag.CONTENDED, Flag.THROTTLED, Flag.OVERSUBSCRIBED)
# Metrics that no noise touches.
EXACT = ("FLOPs", "kernels", "peak memory")
# What must be the same of what was asked for.
SAME_SETTINGS = ("device", "threads")
# How `compare` begins to say why a case has no counterpart: it is other work, or it was not asked for.
UNLIKE, NOT_ASKED = ("other work", "timed as"), "not part"
# A peak that moved by more is told of.
WORTH_TELLING = 0.05
# Of the intervals of a run, and the normal deviate that belongs to it.
LEVEL, Z = 0.95, 1.959964


def judged(base: Run, candidate: Run, floor: float) -> Judgement:
    """The decision on each case that both runs measured, all of them together. `floor`: a change up to this share is none.

    Raises:
        UsageError: the runs are of two machines, or of other threads or another device: no time of one says anything of the other's code.
    """
    side_by_side = compare(base, candidate)
    _check_same(base, candidate, side_by_side)
    ours, theirs = ({result.case.id: result for result in run.results} for run in (base, candidate))
    pairs = {case.case: (ours[case.case], theirs[case.case]) for case in side_by_side.cases}
    effects = {name: found for name, (mine, other) in pairs.items() if (found := _effect(mine, other))}
    floors = {
        name: floor + round_spread(base, candidate, mine)
        for name, (mine, _) in pairs.items()
        if name in effects
    }
    decisions = decide(effects, floors)
    work = _work(side_by_side)
    unlike = tuple(pair for pair in side_by_side.missing if pair[1].startswith(UNLIKE))
    aside = () if _asked_alike(base, candidate) else _aside(side_by_side)
    return Judgement(
        base=base.header.id,
        candidate=candidate.header.id,
        method="stored",
        level=LEVEL,
        cases=(
            *(
                _decision(*pairs[case.case], effects.get(case.case), decisions, floors, work)
                for case in side_by_side.cases
            ),
            *(CaseDecision.untold(ours[case].case, floor, reason) for case, reason in unlike),
        ),
        overall=_overall(side_by_side),
        missing=tuple(pair for pair in side_by_side.missing if pair not in (*unlike, *aside)),
        new=side_by_side.added,
        differences=side_by_side.differences,
        notes=tuple(_notes(base, candidate, side_by_side, len(aside))),
    )


def round_spread(base: Run, candidate: Run, result: Result) -> float:
    """How far the machine's own pace moved between two runs, as a share: the peak that a case stands under; 0 where none was measured.

    Where torch differs, its own products and copies say nothing of the machine: a torch that lost a third would hide what it lost.
    """
    versions = [run.header.environment.software.torch.version for run in (base, candidate)]
    aside = {PeakLevel.TORCH} if versions[0] != versions[1] else set()
    threads = result.case.threads or base.header.settings.threads
    best = [
        max(
            (
                one.flops_per_second
                for one in run.peaks.compute_hierarchy(result.case.dtype, threads)
                if one.peak_level.achieved and one.peak_level not in aside
            ),
            default=None,
        )
        for run in (base, candidate)
    ]
    rates = [(best[0], best[1])]
    level = result.prediction.level if result.prediction else None
    if level and result.prediction and result.prediction.bound == "memory":
        found = [run.peaks.bandwidth_peak(level, threads) for run in (base, candidate)]
        known = [one.bytes_per_second if one and one.peak_level not in aside else None for one in found]
        rates.append((known[0], known[1]))
    return max((math.expm1(abs(math.log(one / other))) for one, other in rates if one and other), default=0.0)


def _check_same(base: Run, candidate: Run, found: Comparison) -> None:
    if base.header.id == candidate.header.id:
        raise UsageError(f"{base.header.id} is base and candidate: name two runs")
    told = [f"{d.field} ({d.this} / {d.other})" for d in found.settings if d.field in SAME_SETTINGS]
    if not found.same_machine:
        told += [f"{d.field} ({d.this} / {d.other})" for d in found.differences if _of_machine(d.field)]
    if told or not found.same_machine:
        more = f" and {len(told) - 4} more" if len(told) > 4 else ""
        differing = ", ".join(told[:4]) or "their fingerprints"
        raise UsageError(
            f"these runs cannot be held against each other: they differ in {differing}{more}; "
            "plumbline report A B sets machines side by side"
        )


def _of_machine(field: str) -> bool:
    return field.startswith(("processor.", "accelerators.", "memory.total", "limits.usable", "device_name"))


def _effect(mine: Result, theirs: Result) -> Effect | None:
    """The candidate's time over the base's; None where a run states no interval."""
    if mine.measurement is None or theirs.measurement is None:
        return None
    interval = speedup_interval(mine.measurement.view, theirs.measurement.view)
    if interval is None:
        return None
    low, high = 1.0 / interval[1], 1.0 / interval[0]
    ratio = theirs.measurement.median / mine.measurement.median
    half = max(math.log(high / low) / 2, 1e-9)
    p = math.erfc(abs(math.log(ratio)) / (half / Z) / math.sqrt(2.0))
    pairs = min(len(one.measurement.view.processes) for one in (mine, theirs) if one.measurement)
    return Effect(ratio, low, high, p, max(pairs, 2))


def _decision(
    mine: Result,
    theirs: Result,
    found: Effect | None,
    decisions: dict[str, Decision],
    floors: dict[str, float],
    work: dict[str, tuple[Exact, ...]],
) -> CaseDecision:
    here, there = mine.measurement, theirs.measurement
    if here is None or there is None:
        raise ValueError("only what both runs measured is compared")
    case, changed = mine.case.id, work.get(mine.case.id, ())
    flags = [flag for flag in DISTURBED if flag in here.flags or flag in there.flags]
    informs = f"a measurement is flagged {', '.join(flags)}" if flags else ""
    if mine.case.source and theirs.case.source and mine.case.source != theirs.case.source:
        informs = "the workload's own code differs between the runs: other work under the same name"
    reason = "" if found else "a run of one process states no interval"
    return CaseDecision(
        case=case,
        suite=mine.case.suite,
        decision=decisions.get(case, Decision.INCONCLUSIVE),
        floor=floors.get(case, 0.0),
        ratio=there.median / here.median,
        low=found.low if found else None,
        high=found.high if found else None,
        p=found.p if found else None,
        base_seconds=here.median,
        candidate_seconds=there.median,
        gates=not informs and found is not None,
        informs=informs or reason,
        reason=reason,
        work_grew=tuple(one for one in changed if one.other > one.base),
        work_shrank=tuple(one for one in changed if one.other < one.base),
    )


def _work(found: Comparison) -> dict[str, tuple[Exact, ...]]:
    work: dict[str, tuple[Exact, ...]] = {}
    for one in found.exact:
        if one.metric in EXACT:
            work[one.case] = (*work.get(one.case, ()), one)
    return work


def _overall(found: Comparison) -> Overall | None:
    overall = found.overall
    if overall is None or overall.interval is None:
        return None
    low, high = overall.interval
    return Overall(1.0 / overall.speedup, 1.0 / high, 1.0 / low, len(overall.cases))


def _asked_alike(base: Run, candidate: Run) -> bool:
    """Whether both runs were asked for the same cases: what is not among the candidate's then is gone."""
    one, other = base.header.settings, candidate.header.settings
    return (one.suites, one.expression, one.profile) == (other.suites, other.expression, other.profile)


def _aside(found: Comparison) -> tuple[tuple[str, str], ...]:
    """The cases of the base that the candidate was not asked for."""
    return tuple(pair for pair in found.missing if pair[1].startswith(NOT_ASKED))


def _notes(base: Run, candidate: Run, found: Comparison, aside: int) -> Iterator[str]:
    yield "the runs were measured at other times: plumbline ab measures both sides in turns, and tells smaller changes"
    if base.header.environment.host.id != candidate.header.environment.host.id:
        yield "they come from two copies of the same machine"
    if not (base.header.selftest_at and candidate.header.selftest_at):
        yield "no self-test was run before both of them, so how far this host drifts from run to run is not known: plumbline selftest"
    for peak in found.peaks:
        if peak.ratio is not None and abs(math.log(peak.ratio)) > math.log1p(WORTH_TELLING):
            yield f"the machine itself: {peak.kind} {peak.name} {units.signed_percent(peak.ratio - 1)} between the runs"
    if aside:
        yield f"{aside} cases of the base were not asked for in the candidate"
