"""Training steps against their rules of thumb: 6 N D FLOPs, and a backward pass of twice the forward one.

N parameters multiply each of D tokens once forward (2 FLOPs) and twice backward (Kaplan et al., "Scaling laws for neural language
models", 2020). The rule parts from the operators' sum by attention between tokens, which has no parameters (12 x layers x width x length
FLOPs a token, half of it where causal), and by parameters that multiply no token: tables that are looked up, positions, biases, norms,
experts that are not chosen.
"""

from collections.abc import Iterator

from harness import units
from harness.records import Answer, Measurement, Result, Run, Trace, Verdict

RULE, RATIO = "6ND", "backward to forward"
# What parameters and attention may leave unexplained: biases, norms, positions, a classifier's head.
UNEXPLAINED = 0.10
# The forward and backward passes reach other shares of the machine: seen, a backward pass 14 % faster than all of its ratios.
SHARE = 0.20
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
        f"({units.percent(SHARE)} beyond either is allowed: the two passes reach other shares of the machine)"
    )
    if (1.0 - SHARE) * low <= seconds <= (1.0 + SHARE) * high:
        return Verdict(RATIO, case.id, Answer.HOLDS, told)
    if measurement.flags:
        told += f"; the measurement is {', '.join(measurement.flags)}"
        return Verdict(RATIO, case.id, Answer.INCONCLUSIVE, told)
    wrong = seconds > WRONG * high or seconds < low / WRONG
    return Verdict(RATIO, case.id, Answer.FAILS if wrong else Answer.INCONCLUSIVE, told)
