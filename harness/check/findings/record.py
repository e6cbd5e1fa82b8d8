"""What is wrong: claims that fail, times that were missed, and records with holes."""

import math
from collections import Counter
from collections.abc import Iterator

from harness import stats, units
from harness.check.findings.seen import Ranked, fraction, ids, number
from harness.records import Answer, Failed, Finding, FindingKind, Judged, Run

# One in ten steps may lie outside of its 90 % interval. So many outside that chance does it less than once in a hundred runs are no chance.
OUTSIDE, BY_CHANCE = 0.10, 0.01

# The claim of harness/check/estimates.py, which has a finding of its own. To import its name would load scipy into every report.
TIME = "time"

# Why a claim can fail, and what to do: in the words of the claims themselves.
CLAIMS = {
    "physics": (
        "Nothing is faster than what code really reached here: the cost is counted wrong, the clock is wrong, or the peak was measured on a slower machine than the case",
        "Measure the case and its peaks again, alone",
    ),
    "memory": (
        "The prediction is wrong, or the kernels take memory of their own that no trace sees",
        "Use the measured peak, and report the case: a formula is missing something",
    ),
    "memory growth": (
        "The formula of the memory, or that of the bytes moved, is of another order of growth than what was measured",
        "Do not extrapolate the memory of this sweep, and report it",
    ),
    "counts": (
        "The closed form of the suite and the sum over the traced operators differ: one of them is wrong",
        "Correct the cost of the workload; every rate and fraction of a peak of these cases is off by as much",
    ),
    "scaling": (
        "The work that is counted is of another order than theory says, or the machine takes another kernel from some size on",
        "Measure more sizes around those with the largest residual: `--profile full`",
    ),
    "crossover": (
        "The fitted model does not hold where overhead and work meet, or a roof is not the one that binds",
        "Measure more small sizes of this sweep: `--profile full`",
    ),
    "6ND": (
        "More FLOPs were counted than a step of so many parameters and tokens has to do",
        "Check the FLOPs of the model's operators with `plumbline list --trace`",
    ),
    "backward to forward": (
        "The backward pass does something that is in neither its FLOPs, its bytes nor its kernels",
        "Profile the backward pass of the step with torch.profiler",
    ),
}


def _nothing(run: Run) -> Iterator[Ranked]:
    if run.measured:
        return
    told = (
        f"{number(len(run.skipped), 'case')} skipped, {len(run.failed)} failed, {len(run.missing)} not tried"
    )
    reasons = Counter(
        r.outcome.reason for r in run.results if not r.measurement and hasattr(r.outcome, "reason")
    )
    cause = (
        f"Most often: {reasons.most_common(1)[0][0]}" if reasons else "The run ended before its first case"
    )
    yield Ranked(
        2.0,
        Finding(
            "nothing measured",
            FindingKind.WRONG,
            f"Nothing was measured: {told}.",
            f"{cause}.",
            "Choose suites that this device can do: `plumbline list` shows them.",
        ),
    )


def _failed(run: Run) -> Iterator[Ranked]:
    if not run.failed:
        return
    reasons = Counter(r.outcome.reason for r in run.failed if isinstance(r.outcome, Failed))
    reason, count = reasons.most_common(1)[0]
    others = f"; {number(len(reasons) - 1, 'other reason')} beside it" if len(reasons) > 1 else ""
    first = run.failed[0].case
    yield Ranked(
        1.0 + fraction(len(run.failed), len(run.results)),
        Finding(
            "failed cases",
            FindingKind.WRONG,
            f"{len(run.failed)} of {number(len(run.results), 'case')} failed.",
            f"{count} of them: {reason}{others}.",
            f'Run one alone and read what it says: `plumbline bench {first.suite} -k "{first.id}"`.',
            ids(run.failed),
        ),
    )


def _incomplete(run: Run) -> Iterator[Ranked]:
    if run.complete:
        return
    planned = len(run.header.planned)
    told = (
        f"{len(run.missing)} of {number(planned, 'planned case')} are not on record."
        if run.missing
        else f"All of {number(planned, 'planned case')} are on record, but the run did not come to its end."
    )
    yield Ranked(
        1.0 + fraction(len(run.missing), planned),
        Finding(
            "incomplete",
            FindingKind.WRONG,
            told,
            "The run was interrupted, or it is still going on.",
            f"Go on with it: `plumbline bench --resume {run.header.id}` measures what is missing.",
            run.missing,
        ),
    )


def _damaged(run: Run) -> Iterator[Ranked]:
    if run.damage:
        more = f" and {number(len(run.damage) - 1, 'other place')}" if len(run.damage) > 1 else ""
        yield Ranked(
            1.0,
            Finding(
                "damaged record",
                FindingKind.WRONG,
                f"The files of the run are damaged: {run.damage[0]}{more}.",
                "A process or the machine may have died while it wrote, or somebody changed the files.",
                f"Measure what is lost: `plumbline bench --resume {run.header.id}`, or the whole run again.",
            ),
        )


def _claims(run: Run) -> Iterator[Ranked]:
    """One finding for each claim that fails anywhere; that of times has a rule of its own."""
    known = {result.case.id for result in run.results}
    for claim in dict.fromkeys(verdict.claim for verdict in run.header.verdicts):
        every = [verdict for verdict in run.header.verdicts if verdict.claim == claim]
        fails = [verdict for verdict in every if verdict.answer is Answer.FAILS]
        if not fails or claim == TIME:
            continue
        cause, fix = CLAIMS.get(
            claim, ("Theory and machine part here", f"`plumbline check {run.header.id}` tells of each")
        )
        yield Ranked(
            fraction(len(fails), len(every)),
            Finding(
                f"{claim} fails",
                FindingKind.WRONG,
                f"{claim}: {len(fails)} of {number(len(every), 'claim')} {'fails' if len(fails) == 1 else 'fail'}, first "
                f"{fails[0].subject}: {fails[0].reason}.",
                f"{cause}.",
                f"{fix}.",
                tuple(verdict.subject for verdict in fails if verdict.subject in known),
            ),
        )


def _expected_times(run: Run) -> Iterator[Ranked]:
    steps = [one for validation in run.header.validations for one in validation.cases]
    outside = [step for step in steps if not step.inside]
    fails = [v for v in run.header.verdicts if v.claim == TIME and v.answer is Answer.FAILS]
    if not fails and _chance(len(steps), len(outside)) >= BY_CHANCE:
        return
    known = {step.case for step in steps}
    cases = dict.fromkeys([*(one.case for one in outside), *(v.subject for v in fails if v.subject in known)])
    if not outside:
        told = f"Expected times fail: {fails[0].subject}: {fails[0].reason}."
    else:
        worst = max(outside, key=lambda one: abs(math.log(one.measured / one.estimated)))
        told = (
            f"{len(outside)} of {number(len(steps), 'step')} lie outside of the 90 % interval of their expected time, where one in ten should; "
            f"the farthest took {units.seconds(worst.measured)} where {units.seconds(worst.estimated)} were expected ({worst.case})."
        )
    yield Ranked(
        fraction(len(cases), len(steps)),
        Finding(
            "expected times missed",
            FindingKind.WRONG,
            told,
            _why_missed(run, outside),
            _what_then(run),
            tuple(cases),
        ),
    )


def _chance(steps: int, outside: int) -> float:
    """How likely so many or more lie outside, if each does in one of ten cases."""
    return sum(
        math.comb(steps, k) * OUTSIDE**k * (1.0 - OUTSIDE) ** (steps - k) for k in range(outside, steps + 1)
    )


def _why_missed(run: Run, outside: list[Judged]) -> str:
    if not outside:
        return (
            "The steps pay for something that the cost model does not know, or its intervals are too narrow."
        )
    longer = sum(one.measured > one.estimated for one in outside)
    median = stats.median([one.measured / one.estimated for one in outside])
    names = {one.case for one in outside}
    flags = sum(bool(r.measurement and r.measurement.flags) for r in run.measured if r.case.id in names)
    told = f"{longer} of the {len(outside)} took longer than expected (all: {median:.2f} times in the median) and {flags} carry a flag"
    if 2 * flags > len(outside):
        return (
            f"{told}: the machine's pace may have changed between the operators that calibrate and the steps, "
            "or the steps pay for something that the cost model does not know."
        )
    return f"{told}: the steps probably pay for something that the cost model does not know."


def _what_then(run: Run) -> str:
    return (
        "Measure longer on a quiet machine: `plumbline bench --profile standard`."
        if run.header.settings.profile == "quick"
        else "Measure again on a quiet machine, and take these expected times for what they were off by until then."
    )


RULES = (_nothing, _failed, _incomplete, _damaged, _claims, _expected_times)
