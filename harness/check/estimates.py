"""Time: a step takes what single operators, measured alone, said it would."""

from collections.abc import Iterator

from harness import units
from harness.costmodel.validation import MODEL, REPLAY
from harness.records import Answer, Estimate, Measurement, Result, Run, Trace, Validation, Verdict

RULE, RATIO = "6ND", "backward to forward"
# What parameters and attention may leave unexplained: biases, norms, positions, a classifier's head.
UNEXPLAINED = 0.10
# The forward and backward passes reach other shares of the machine: seen, a backward pass 14 % faster than all of its ratios.
FRACTION = 0.20
# Beyond this factor no kernel explains it.
WRONG = 2.0


def check_steps(run: Run) -> Iterator[Verdict]:
    """One verdict for each training step with tokens, and one for each whose phases were timed."""
    for result in run.results:
        trace = result.case.trace
        if trace is None or not trace.phase("backward").flops:
            continue
        if result.case.items.get("tokens") and trace.parameters:
            yield _six(result, trace.parameters, result.case.items["tokens"])
        measurement = result.measurement
        if measurement and {"forward", "backward"} <= set(measurement.phase_seconds):
            yield _backward(result, trace, measurement)


def _six(result: Result, parameters: int, tokens: int) -> Verdict:
    case = result.case
    flops = case.cost.flops if case.cost else 0
    rule = 6.0 * parameters * tokens
    attention = _attention(result, tokens) / rule
    idle = 1.0 + attention - flops / rule
    tables = case.sizes.get("vocabulary", 0) * case.sizes.get("width", 0) / parameters
    told = (
        f"{flops / rule:.3f} of 6 x {units.count(parameters)} parameters x {tokens} tokens: attention adds {units.percent(attention)}, "
        f"parameters that multiply no token take {units.percent(max(idle, 0.0))} (a table of the vocabulary up to "
        f"{units.percent(tables)}; positions, biases and norms are allowed {units.percent(UNEXPLAINED)})"
    )
    if idle < -UNEXPLAINED:
        return Verdict(RULE, case.id, Answer.FAILS, f"{told}: more was counted than there is to do")
    if idle > tables + UNEXPLAINED:
        return Verdict(
            RULE, case.id, Answer.INCONCLUSIVE, f"{told}; what is left may be experts that are not chosen"
        )
    return Verdict(RULE, case.id, Answer.HOLDS, told)


def _attention(result: Result, tokens: int) -> float:
    """FLOPs of a step's attention products: from the masked ones where there are any, else from the sizes."""
    sizes, cost = result.case.sizes, result.case.cost
    length = sizes.get("sequence", 0)
    if cost and cost.masked_flops and length > 1:
        return cost.masked_flops * (length + 1) / (length - 1)
    return 12.0 * sizes.get("depth", 0) * sizes.get("width", 0) * length * tokens


def _backward(result: Result, trace: Trace, measurement: Measurement) -> Verdict:
    """The ratio of times lies between those of FLOPs, bytes and kernels, whichever binds the step."""
    case, ahead, back = result.case, trace.phase("forward"), trace.phase("backward")
    forward, backward = (measurement.phase_seconds[name] for name in ("forward", "backward"))
    if forward <= 0.0:
        return Verdict(
            RATIO, case.id, Answer.INCONCLUSIVE, "the forward pass took no time that could be told"
        )
    seconds = backward / forward
    ratios = {
        "FLOPs": (back.flops + back.recomputed_flops, ahead.flops),
        "bytes": (back.bytes_read + back.bytes_written, ahead.bytes_read + ahead.bytes_written),
        "kernels": (back.kernels, ahead.kernels),
    }
    known = {name: over / under for name, (over, under) in ratios.items() if over and under}
    if not known:
        return Verdict(RATIO, case.id, Answer.INCONCLUSIVE, "a phase that does nothing has no ratio")
    low, high = min(known.values()), max(known.values())
    told = (
        f"the backward pass takes {seconds:.2f} times the forward pass; "
        f"{', '.join(f'{name} {value:.2f}' for name, value in known.items())} "
        f"({units.percent(FRACTION)} beyond either is allowed: the two passes reach other shares of the machine)"
    )
    if (1.0 - FRACTION) * low <= seconds <= (1.0 + FRACTION) * high:
        return Verdict(RATIO, case.id, Answer.HOLDS, told)
    if measurement.flags:
        told += f"; the measurement is {', '.join(measurement.flags)}"
        return Verdict(RATIO, case.id, Answer.INCONCLUSIVE, told)
    wrong = seconds > WRONG * high or seconds < low / WRONG
    return Verdict(RATIO, case.id, Answer.FAILS if wrong else Answer.INCONCLUSIVE, told)


CLAIM = "time"
# Nine of ten steps should lie in their 90 % interval. Fewer than this many steps tell nothing of that.
LEAST_CASES, LEAST_COVERAGE = 10, 0.80
# Operators that little is known of excuse a step only if they take more than this fraction of it.
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
    error = said.seconds / found.median - 1.0
    told = (
        f"{units.seconds(said.seconds)} were expected, {units.seconds(said.low)} to {units.seconds(said.high)} in nine of ten "
        f"cases; it took {units.seconds(found.median)} (the estimate is {units.signed_percent(error)})"
    )
    if said.low <= found.median <= said.high:
        return Verdict(CLAIM, said.case, Answer.HOLDS, told)
    reasons = []
    if _matter(said, said.uncalibrated):
        reasons.append(f"nothing calibrates {', '.join(said.uncalibrated)}")
    if _matter(said, said.extrapolated):
        reasons.append(f"larger than anything calibrated: {', '.join(said.extrapolated)}")
    if found.flags:
        reasons.append(f"the measurement is {', '.join(found.flags)}")
    if not reasons and said.low**TWICE / said.seconds <= found.median <= said.high**TWICE / said.seconds:
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
    ways = {way.way: way for way in validation.ways}
    model = ways.pop(MODEL)
    others = ", ".join(f"{way.way} {units.percent(way.mape)}" for way in ways.values() if way.way != REPLAY)
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
