"""Scaling: time grows with size as theory says (a product with n^3, a copy with n)."""

from collections.abc import Iterator

from harness import units
from harness.records import Answer, Fit, Run, Verdict

CLAIM = "scaling"
# Theory's exponent is met when the free one lies within this share of it: cache edges and kernel
# switches bend real curves by 10-30 %, which over two decades of work is this much of a slope.
TOLERANCE = 0.05
# It is missed for certain only beyond this, by the unit of the law's rate. A library that changes to a
# kernel of twice the rate in the middle of a sweep bends it by a seventh (seen: bfloat16 on AMX);
# bandwidth that neighbours move by a factor of two, by a quarter.
FAILS_BEYOND = {"FLOP/s": 0.15, "B/s": 0.25}


def check_scaling(run: Run) -> Iterator[Verdict]:
    """One verdict for each fitted sweep."""
    for fit in run.header.fits:
        yield _verdict(fit)


def _verdict(fit: Fit) -> Verdict:
    exponent, theory = fit.exponent, fit.theory_exponent
    worst = fit.worst
    facts = (
        f"{fit.law} explains {len(fit.points)} sizes to {units.percent(fit.typical_residual)} typically, "
        f"{units.percent(abs(worst.residual))} at worst ({fit.variable} = {worst.size})"
    )
    if exponent.value is None or exponent.low is None or exponent.high is None:
        return _say(fit, Answer.INCONCLUSIVE, f"the sizes do not identify an exponent; {facts}")
    found = f"{fit.variable}^{exponent.value:.2f} [{exponent.low:.2f}, {exponent.high:.2f}]"
    told = f"{found} where theory says {fit.variable}^{theory:g}; {facts}"
    answer = _answer(exponent.low / theory, exponent.high / theory, FAILS_BEYOND[fit.parameters[-1].unit])
    flagged = [str(point.size) for point in fit.points if point.flagged]
    if answer is Answer.FAILS and flagged:
        told += f"; disturbed sizes ({', '.join(flagged)}) may be why: measure again on a quiet machine"
        answer = Answer.INCONCLUSIVE
    return _say(fit, answer, told)


def _answer(low: float, high: float, fails_beyond: float) -> Answer:
    """Holds where the whole interval lies within the tolerance, fails where all of it lies beyond."""
    if low >= 1 - TOLERANCE and high <= 1 + TOLERANCE:
        return Answer.HOLDS
    return Answer.FAILS if high < 1 - fails_beyond or low > 1 + fails_beyond else Answer.INCONCLUSIVE


def _say(fit: Fit, answer: Answer, reason: str) -> Verdict:
    return Verdict(claim=CLAIM, subject=fit.series, answer=answer, reason=reason)
