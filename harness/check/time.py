"""Time: a step takes what single operators, measured alone, said it would."""

from collections.abc import Iterator

from harness import units
from harness.calibrate.validation import MODEL, REPLAY
from harness.records import Answer, Estimate, Measurement, Run, Validation, Verdict

CLAIM = "time"
# Nine of ten steps should lie in their 90 % interval. Fewer than this many steps tell nothing of that.
LEAST_CASES, LEAST_COVERAGE = 10, 0.80
# Operators that little is known of excuse a step only if they take more than this share of it.
MATTERS = 0.1
# A step outside of its interval is nothing unheard of; outside of one that is twice as wide (one in a thousand) something is wrong.
TWICE = 2


def check_time(run: Run) -> Iterator[Verdict]:
    """One verdict for each estimated and measured case, and one for each suite: is the model worth more than a roofline?"""
    measured = {result.case.id: result.measurement for result in run.measured}
    for said in run.header.estimates:
        found = measured.get(said.case)
        if found is not None:
            yield _of_case(said, found)
    for validation in run.header.validations:
        yield _of_suite(validation)


def _of_case(said: Estimate, found: Measurement) -> Verdict:
    error = said.seconds / found.typical - 1.0
    told = (
        f"{units.seconds(said.seconds)} were expected, {units.seconds(said.low)} to {units.seconds(said.high)} in nine of ten "
        f"cases; it took {units.seconds(found.typical)} (the estimate is {units.signed_percent(error)})"
    )
    if said.low <= found.typical <= said.high:
        return Verdict(CLAIM, said.case, Answer.HOLDS, told)
    reasons = []
    if _matter(said, said.uncalibrated):
        reasons.append(f"nothing calibrates {', '.join(said.uncalibrated)}")
    if _matter(said, said.extrapolated):
        reasons.append(f"larger than anything calibrated: {', '.join(said.extrapolated)}")
    if found.flags:
        reasons.append(f"the measurement is {', '.join(found.flags)}")
    if not reasons and said.low**TWICE / said.seconds <= found.typical <= said.high**TWICE / said.seconds:
        reasons.append("one in ten lies outside, and this one not far")
    if reasons:
        return Verdict(CLAIM, said.case, Answer.INCONCLUSIVE, f"{told}; {'; '.join(reasons)}")
    return Verdict(
        CLAIM, said.case, Answer.FAILS, f"{told}: the step pays for something the model does not know"
    )


def _matter(said: Estimate, kinds: tuple[str, ...]) -> bool:
    """Whether kinds take so much of a step that they may be why it is off."""
    return sum(part.seconds for part in said.parts if part.kind in kinds) > MATTERS * said.seconds


def _of_suite(validation: Validation) -> Verdict:
    ways = {one.way: one for one in validation.ways}
    model = ways.pop(MODEL)
    others = ", ".join(f"{one.way} {units.percent(one.mape)}" for one in ways.values() if one.way != REPLAY)
    told = (
        f"{model.cases} steps to {units.percent(model.mape)} on average (bias {units.signed_percent(model.bias)}, worst "
        f"{units.signed_percent(model.worst)}); {others}; {units.percent(validation.coverage)} lie in their 90 % interval"
    )
    baselines = [one.mape for name, one in ways.items() if name != REPLAY]
    if model.cases < LEAST_CASES:
        answer = Answer.INCONCLUSIVE
        told += f"; {LEAST_CASES} steps would tell"
    elif any(model.mape >= other for other in baselines):
        answer = Answer.FAILS
        told += ": a plain roofline is as good"
    else:
        covered = validation.coverage >= LEAST_COVERAGE
        answer = Answer.HOLDS if covered else Answer.INCONCLUSIVE
        told += (
            ""
            if covered
            else f", at least {units.percent(LEAST_COVERAGE)} should of so few: it claims to know more than it does"
        )
    return Verdict(CLAIM, f"all of {validation.suite}", answer, told)
