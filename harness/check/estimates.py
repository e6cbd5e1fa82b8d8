"""Checks of whole steps: FLOPs against 6ND, the times of the passes against each other, and the cost model's estimates against measurements."""

from collections.abc import Iterator

from harness import units
from harness.check import verdict
from harness.costmodel.estimate import MODEL, REPLAY
from harness.records import Answer, Estimate, Measurement, Result, Run, Trace, Validation, Verdict

RULE, RATIO = "6ND", "backward to forward"
# What parameters and attention may leave unexplained: biases, norms, positions, a classifier's head.
UNEXPLAINED = 0.10
# The passes reach other fractions of the machine's peaks: a backward pass 14% faster than all of its ratios was measured.
FRACTION = 0.20
# No kernel explains a factor beyond this.
WRONG = 2.0


def check_steps(run: Run) -> Iterator[Verdict]:
    """One verdict for each training step with tokens, and one for each whose phases were timed."""
    for result in run.results:
        trace, measurement = result.case.trace, result.measurement
        if trace is None or not trace.phase("backward").flops:
            continue
        if result.case.items.get("tokens") and trace.parameters:
            yield _six_n_d(result, trace.parameters, result.case.items["tokens"])
        if measurement and {"forward", "backward"} <= set(measurement.phase_seconds):
            yield _backward(result.case.id, trace, measurement)


def _six_n_d(result: Result, parameters: int, tokens: int) -> Verdict:
    case = result.case
    flops = case.cost.flops if case.cost else 0
    rule = 6.0 * parameters * tokens
    attention = _attention(result, tokens) / rule
    idle = 1.0 + attention - flops / rule
    tables = case.sizes.get("vocabulary", 0) * case.sizes.get("width", 0) / parameters
    counted = (
        f"{flops / rule:.3f} of 6 x {units.count(parameters)} parameters x {tokens} tokens: attention adds {units.percent(attention)}, "
        f"parameters that multiply no token take {units.percent(max(idle, 0.0))}"
    )
    allowed = f"a table of the vocabulary may take {units.percent(tables)}; positions, biases and norms {units.percent(UNEXPLAINED)}"
    if idle < -UNEXPLAINED:
        return verdict(RULE, case.id, Answer.FAILS, counted, allowed, "more FLOPs were counted than needed")
    if idle > tables + UNEXPLAINED:
        reason = "experts that are not chosen may be the rest"
        return verdict(RULE, case.id, Answer.INCONCLUSIVE, counted, allowed, reason)
    return verdict(RULE, case.id, Answer.HOLDS, counted, allowed)


def _attention(result: Result, tokens: int) -> float:
    """FLOPs of a step's attention products: from the masked ones where there are any, else from the sizes."""
    sizes, cost = result.case.sizes, result.case.cost
    length = sizes.get("sequence", 0)
    if cost and cost.masked_flops and length > 1:
        return cost.masked_flops * (length + 1) / (length - 1)
    return 12.0 * sizes.get("depth", 0) * sizes.get("width", 0) * length * tokens


def _backward(case: str, trace: Trace, measurement: Measurement) -> Verdict:
    """Whether the ratio of the times lies between those of FLOPs, bytes and kernels, whichever binds the step."""
    forward, backward = trace.phase("forward"), trace.phase("backward")
    seconds = measurement.phase_seconds
    if seconds["forward"] <= 0.0:
        return verdict(RATIO, case, Answer.INCONCLUSIVE, "the forward pass was too short to measure")
    ratios = {
        "FLOPs": (backward.flops + backward.recomputed_flops, forward.flops),
        "bytes": (
            backward.bytes_read + backward.bytes_written,
            forward.bytes_read + forward.bytes_written,
        ),
        "kernels": (backward.kernels, forward.kernels),
    }
    known = {name: over / under for name, (over, under) in ratios.items() if over and under}
    if not known:
        return verdict(RATIO, case, Answer.INCONCLUSIVE, "one of the phases does no work")
    ratio, low, high = seconds["backward"] / seconds["forward"], min(known.values()), max(known.values())
    text = (
        f"the backward pass takes {ratio:.2f} times as long as the forward pass; "
        f"predicted {', '.join(f'{value:.2f} by {name}' for name, value in known.items())} "
        f"(tolerance {units.percent(FRACTION)} beyond the range)"
    )
    if (1.0 - FRACTION) * low <= ratio <= (1.0 + FRACTION) * high:
        return verdict(RATIO, case, Answer.HOLDS, text)
    if measurement.flags:
        return verdict(RATIO, case, Answer.INCONCLUSIVE, text, _flagged(measurement))
    wrong = ratio > WRONG * high or ratio < low / WRONG
    return verdict(RATIO, case, Answer.FAILS if wrong else Answer.INCONCLUSIVE, text)


def _flagged(measurement: Measurement) -> str:
    return f"the measurement is {', '.join(measurement.flags)}"


CLAIM = "time"
# Nine of ten steps should lie in their 90% interval. Fewer steps than this do not show the coverage.
LEAST_CASES, LEAST_COVERAGE = 10, 0.80
# Operators with a poor model excuse a step only if they take more than this fraction of it.
MATTERS = 0.1
# One step in ten lies outside its interval by chance; one in a thousand outside an interval that is twice as wide.
TWICE = 2


def check_time(run: Run) -> Iterator[Verdict]:
    """One verdict for each case with an estimate and a measurement, and one for each suite: is the model better than a roofline?"""
    measured = {result.case.id: result.measurement for result in run.measured}
    for estimate in run.header.estimates:
        measurement = measured.get(estimate.case)
        if measurement is not None:
            yield _case_time(estimate, measurement)
    for validation in run.header.validations:
        yield _suite_time(validation)


def _case_time(estimate: Estimate, measurement: Measurement) -> Verdict:
    median, error = measurement.median, estimate.seconds / measurement.median - 1.0
    text = (
        f"{units.seconds(estimate.seconds)} estimated (90% interval {units.seconds(estimate.low)} to {units.seconds(estimate.high)}), "
        f"{units.seconds(median)} measured (error of the estimate {units.signed_percent(error)})"
    )
    if estimate.low <= median <= estimate.high:
        return verdict(CLAIM, estimate.case, Answer.HOLDS, text)
    reasons = []
    if _matter(estimate, estimate.uncalibrated):
        reasons.append(f"no case calibrates {', '.join(estimate.uncalibrated)}")
    if _matter(estimate, estimate.extrapolated):
        reasons.append(f"larger than any calibrated case: {', '.join(estimate.extrapolated)}")
    if measurement.flags:
        reasons.append(_flagged(measurement))
    near = estimate.low**TWICE <= median * estimate.seconds <= estimate.high**TWICE
    if near and not reasons:
        reasons.append("one step in ten lies outside by chance, and this one not far")
    if reasons:
        return verdict(CLAIM, estimate.case, Answer.INCONCLUSIVE, text, *reasons)
    return verdict(
        CLAIM, estimate.case, Answer.FAILS, text, "the step has costs that the model does not contain"
    )


def _matter(estimate: Estimate, kinds: tuple[str, ...]) -> bool:
    """Whether kinds of operators take enough of a step to explain its error."""
    return sum(part.seconds for part in estimate.parts if part.kind in kinds) > MATTERS * estimate.seconds


def _suite_time(validation: Validation) -> Verdict:
    errors = {accuracy.way: accuracy for accuracy in validation.ways}
    model = errors.pop(MODEL)
    baselines = [accuracy for way, accuracy in errors.items() if way != REPLAY]
    text = (
        f"mean error of the estimate {units.percent(model.mape)} over {model.cases} steps "
        f"(bias {units.signed_percent(model.bias)}, worst {units.signed_percent(model.worst)}"
        f"{''.join(f'; {baseline.way} {units.percent(baseline.mape)}' for baseline in baselines)})"
    )
    covers = validation.coverage >= LEAST_COVERAGE
    coverage = f"the 90% intervals cover {'' if covers else 'only '}{units.percent(validation.coverage)} of the steps"
    if model.cases < LEAST_CASES:
        answer, reason = Answer.INCONCLUSIVE, f"at least {LEAST_CASES} steps are needed"
    elif any(model.mape >= baseline.mape for baseline in baselines):
        answer, reason = Answer.FAILS, "a roofline is as good"
    elif covers:
        answer, reason = Answer.HOLDS, ""
    else:
        answer, reason = Answer.INCONCLUSIVE, f"at least {units.percent(LEAST_COVERAGE)} required"
    return verdict(CLAIM, f"all of {validation.suite}", answer, text, coverage, reason)
