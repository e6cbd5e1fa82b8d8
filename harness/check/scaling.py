"""Scaling: time grows with size as theory says (a product with n^3, a copy with n).

Whole laws are compared, not the interval of an exponent: the best law whose exponent of size is theory's, against the best whose
exponent is another (`harness.fit.exponents`). The measure is AICc: a difference of 2 is nothing, over 4 the worse has
considerably less support, over 10 none (Burnham and Anderson, 2002).
"""

from collections.abc import Iterator

from harness import units
from harness.fit.fitted import CROOKED
from harness.fit.selection import DECISIVE, EQUAL, PLAUSIBLE
from harness.fit.sweep import CERTAIN, TOLERANCE
from harness.records import Answer, Fit, Rival, Run, Verdict

CLAIM = "scaling"
# Of so few sizes a wrong law fits one set in thirty to the last digit, by luck: they may hold, and never fail.
LEAST = 6
# Threads bring their own caches, and may be faster together by this factor than their number.
SUPER = 1.5


def check_scaling(run: Run) -> Iterator[Verdict]:
    """One verdict for each fitted sweep."""
    for fit in run.header.fits:
        yield _threads(fit) if fit.work_in == "threads" else _verdict(fit)


def _threads(fit: Fit) -> Verdict:
    """Threads make it faster as Amdahl's law or the universal one says, and by no more than there are of them."""
    first, *more = fit.points
    fastest = min(more, key=lambda point: point.measured)
    boldest = min(more, key=lambda point: point.measured * point.size)
    beaten = first.measured * first.size > SUPER * boldest.measured * boldest.size
    shown = boldest if beaten else fastest
    gain, ideal = first.measured / shown.measured, shown.size / first.size
    told = (
        f"{shown.size} threads are {gain:.2f} times as fast as {first.size} ({ideal:g} at best; {units.percent(SUPER - 1.0)} more "
        f"may be caches that add up); {_facts(fit)}"
    )
    if gain < 1.0:
        told = f"more threads make it slower at every count: {told}"
        return Verdict(CLAIM, fit.series, Answer.INCONCLUSIVE, told)
    if beaten:
        answer = Answer.INCONCLUSIVE if any(point.flagged for point in fit.points) else Answer.FAILS
        return Verdict(CLAIM, fit.series, answer, f"{told}: threads are not what they are said to be")
    answer = Answer.HOLDS if fit.typical_residual <= CROOKED else Answer.INCONCLUSIVE
    return Verdict(CLAIM, fit.series, answer, told)


def _verdict(fit: Fit) -> Verdict:
    theory = _power(fit, fit.theory_exponent)
    if fit.growth is not None and _off(fit, fit.growth) > TOLERANCE:
        told = f"the work that is counted grows as {_power(fit, fit.growth)} where theory says {theory}: one is wrong"
        return Verdict(CLAIM, fit.series, Answer.FAILS, told)
    certain = CERTAIN[fit.work_in]
    inside = _best([one for one in fit.rivals if _off(fit, one.exponent) <= TOLERANCE])
    outside = _best([one for one in fit.rivals if _off(fit, one.exponent) > certain])
    best = _best(fit.rivals)
    if inside is None or outside is None or best is None:
        return Verdict(CLAIM, fit.series, Answer.INCONCLUSIVE, f"no other law to compare with; {_facts(fit)}")
    gap = outside.worse - inside.worse
    allowed = f"up to {units.percent(TOLERANCE)} off is met, over {units.percent(certain)} is missed, as kernels that switch bend a curve"
    straight = fit.typical_residual <= CROOKED
    if straight and inside.worse - best.worse <= EQUAL and gap > PLAUSIBLE:
        told = f"grows as {theory}, as theory says: {_power(fit, outside.exponent)} is worse by {gap:.0f} in AICc (over {PLAUSIBLE:g} counts; {allowed})"
        return Verdict(CLAIM, fit.series, Answer.HOLDS, f"{told}; {_facts(fit)}")
    other = outside if gap <= PLAUSIBLE else best
    by = inside.worse - other.worse
    told = (
        f"{_power(fit, other.exponent)} explains the sizes better by {by:.0f} in AICc than {theory}, which theory says"
        if by > EQUAL
        else f"the sizes do not tell {theory}, which theory says, from {_power(fit, other.exponent)}"
    )
    if not straight:
        told = f"no law is within {units.percent(CROOKED)} of the sizes, so none says that {theory}, as theory has it, holds"
    told += f" ({DECISIVE:g} in AICc decides; {allowed}); {_facts(fit)}"
    flagged = [str(point.size) for point in fit.points if point.flagged]
    if not straight or -gap <= DECISIVE or len(fit.points) < LEAST:
        return Verdict(CLAIM, fit.series, Answer.INCONCLUSIVE, told)
    if flagged:
        told += f"; disturbed sizes ({', '.join(flagged)}) may be why: measure again on a quiet machine"
        return Verdict(CLAIM, fit.series, Answer.INCONCLUSIVE, told)
    return Verdict(CLAIM, fit.series, Answer.FAILS, told)


def _best(rivals: list[Rival] | tuple[Rival, ...]) -> Rival | None:
    return min(rivals, key=lambda one: one.worse, default=None)


def _off(fit: Fit, exponent: float) -> float:
    return abs(exponent / fit.theory_exponent - 1.0)


def _power(fit: Fit, exponent: float) -> str:
    name = fit.variable if fit.variable.isidentifier() else f"({fit.variable})"
    power = round(exponent, 2)
    return fit.variable if power == 1.0 else f"{name}^{power:g}"


def _facts(fit: Fit) -> str:
    """The law, its residuals, and the free exponent as a diagnostic."""
    free = fit.exponent
    told = (
        f"{fit.law} explains {len(fit.points)} sizes to {units.percent(fit.typical_residual)} typically, "
        f"{units.percent(abs(fit.worst.residual))} at worst ({fit.variable} = {fit.worst.size})"
    )
    if free.value is None or free.low is None or free.high is None:
        return told
    return f"{told}; left free, the exponent comes out at {free.value:.2f} [{free.low:.2f}, {free.high:.2f}]"
