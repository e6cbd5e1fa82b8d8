"""What is wrong: failed claims, missed estimates, and incomplete records."""

import math
from collections import Counter
from collections.abc import Iterator

from harness import stats, units
from harness.check.findings.common import Ranked, fraction, ids, wrong
from harness.records import Answer, CaseAccuracy, Failed, Run
from harness.text import counted

# One step in ten lies outside its 90% interval by chance. A number outside that chance reaches in less than one of a hundred runs is a finding.
OUTSIDE, BY_CHANCE = 0.10, 0.01

# The claim of harness/check/estimates.py, which has a finding of its own. To import its name would load scipy into every report.
TIME = "time"

# The cause and the fix of each claim that can fail.
CLAIMS = {
    "physics": (
        "Nothing is faster than the measured peaks. The cost or the clock is wrong, or the machine was slower while its peak was measured",
        "Measure the case and its peaks again, without other programs",
    ),
    "memory": (
        "The prediction is wrong, or kernels take memory that no trace contains",
        "Use the measured peak, and report the case: its formula lacks something",
    ),
    "memory growth": (
        "The formula of the memory, or that of the bytes moved, has another order of growth than the measurement",
        "Do not extrapolate the memory of this sweep, and report it",
    ),
    "counts": (
        "The closed form of the suite and the sum over the traced operators differ: one of them is wrong",
        "Correct the cost of the workload. Rates and fractions of peaks of these cases are wrong by the same factor",
    ),
    "scaling": (
        "The counted work has another order than predicted, or the machine takes another kernel from some size on",
        "Measure more sizes around the one with the largest residual: `--profile full`",
    ),
    "crossover": (
        "The fitted model does not hold where overhead and work meet, or another roof binds",
        "Measure more small sizes of this sweep: `--profile full`",
    ),
    "6ND": (
        "More FLOPs were counted than a step with this number of parameters and tokens needs",
        "Check the FLOPs of the model's operators with `plumbline list --trace`",
    ),
    "backward to forward": (
        "The FLOPs, bytes and kernels of the backward pass do not explain its time",
        "Profile the backward pass of the step with torch.profiler",
    ),
}


def _nothing(run: Run) -> Iterator[Ranked]:
    if run.measured:
        return
    reasons = Counter(
        r.outcome.reason for r in run.results if not r.measurement and hasattr(r.outcome, "reason")
    )
    yield wrong(
        2.0,
        "nothing measured",
        f"nothing was measured: {counted(len(run.skipped), 'case')} skipped, {len(run.failed)} failed, {len(run.missing)} not started",
        cause=f"most frequent reason: {reasons.most_common(1)[0][0]}"
        if reasons
        else "the run ended before its first case",
        fix="choose suites that this device supports: `plumbline list` shows them",
    )


def _failed(run: Run) -> Iterator[Ranked]:
    if not run.failed:
        return
    reasons = Counter(r.outcome.reason for r in run.failed if isinstance(r.outcome, Failed))
    reason, count = reasons.most_common(1)[0]
    others = f"; {counted(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
    first = run.failed[0].case
    yield wrong(
        1.0 + fraction(len(run.failed), len(run.results)),
        "failed cases",
        f"{len(run.failed)} of {counted(len(run.results), 'case')} failed",
        cause=f"{count} of them: {reason}{others}",
        fix=f'run one of them alone and read its output: `plumbline bench {first.suite} -k "{first.id}"`',
        cases=ids(run.failed),
    )


def _incomplete(run: Run) -> Iterator[Ranked]:
    if run.complete:
        return
    planned = counted(len(run.header.planned), "planned case")
    yield wrong(
        1.0 + fraction(len(run.missing), len(run.header.planned)),
        "incomplete",
        f"{len(run.missing)} of {planned} have no result"
        if run.missing
        else f"the results of all {planned} exist, but the run did not end properly",
        cause="the run was interrupted, or it has not ended yet",
        fix=f"continue it: `plumbline bench --resume {run.header.id}` measures the missing cases",
        cases=run.missing,
    )


def _damaged(run: Run) -> Iterator[Ranked]:
    if run.damage:
        more = f" and {counted(len(run.damage) - 1, 'other place')}" if len(run.damage) > 1 else ""
        yield wrong(
            1.0,
            "damaged record",
            f"the files of the run are damaged: {run.damage[0]}{more}",
            cause="a process or the machine may have stopped during a write, or the files were edited",
            fix=f"measure what is lost: `plumbline bench --resume {run.header.id}`, or the whole run again",
        )


def _claims(run: Run) -> Iterator[Ranked]:
    """One finding for each claim that fails anywhere, apart from that of times."""
    known = {result.case.id for result in run.results}
    for claim in dict.fromkeys(verdict.claim for verdict in run.header.verdicts):
        verdicts = [verdict for verdict in run.header.verdicts if verdict.claim == claim]
        fails = [verdict for verdict in verdicts if verdict.answer is Answer.FAILS]
        if not fails or claim == TIME:
            continue
        cause, fix = CLAIMS.get(
            claim, ("Prediction and measurement differ", f"`plumbline check {run.header.id}` lists them")
        )
        yield wrong(
            fraction(len(fails), len(verdicts)),
            f"{claim} fails",
            f"{claim}: {len(fails)} of {counted(len(verdicts), 'claim')} {'fails' if len(fails) == 1 else 'fail'}, first "
            f"{fails[0].subject}: {fails[0].reason}",
            cause=cause,
            fix=fix,
            cases=(verdict.subject for verdict in fails if verdict.subject in known),
        )


def _estimates(run: Run) -> Iterator[Ranked]:
    steps = [case for validation in run.header.validations for case in validation.cases]
    outside = [step for step in steps if not step.inside]
    fails = [v for v in run.header.verdicts if v.claim == TIME and v.answer is Answer.FAILS]
    if not fails and _chance(len(steps), len(outside)) >= BY_CHANCE:
        return
    known = {step.case for step in steps}
    cases = dict.fromkeys(
        [*(step.case for step in outside), *(v.subject for v in fails if v.subject in known)]
    )
    if outside:
        worst = max(outside, key=lambda step: abs(math.log(step.measured / step.estimated)))
        text = (
            f"{len(outside)} of {counted(len(steps), 'step')} lie outside the 90% interval of their estimate, where one in ten should; "
            f"the farthest took {units.seconds(worst.measured)}, estimated {units.seconds(worst.estimated)} ({worst.case})"
        )
    else:
        text = f"estimates fail: {fails[0].subject}: {fails[0].reason}"
    yield wrong(
        fraction(len(cases), len(steps)),
        "estimates missed",
        text,
        cause=_why_missed(run, outside),
        fix="measure longer on a quiet machine: `plumbline bench --profile standard`"
        if run.header.settings.profile == "quick"
        else "measure again on a quiet machine; until then assume errors of this size",
        cases=cases,
    )


def _chance(steps: int, outside: int) -> float:
    """The probability that this many steps or more lie outside, if each does with a probability of one in ten."""
    return sum(
        math.comb(steps, k) * OUTSIDE**k * (1.0 - OUTSIDE) ** (steps - k) for k in range(outside, steps + 1)
    )


def _why_missed(run: Run, outside: list[CaseAccuracy]) -> str:
    if not outside:
        return "the steps have costs that the cost model does not contain, or its intervals are too narrow"
    longer = sum(step.measured > step.estimated for step in outside)
    ratio = stats.median([step.measured / step.estimated for step in outside])
    names = {step.case for step in outside}
    flags = sum(bool(r.measurement and r.measurement.flags) for r in run.measured if r.case.id in names)
    text = f"{longer} of the {len(outside)} took longer than estimated (median ratio {ratio:.2f}), and {flags} carry a flag. "
    if 2 * flags > len(outside):
        text += "The machine may have changed its speed between calibration and steps, or the "
    else:
        text += "The "
    return f"{text}steps have costs that the cost model does not contain"


RULES = (_nothing, _failed, _incomplete, _damaged, _claims, _estimates)
