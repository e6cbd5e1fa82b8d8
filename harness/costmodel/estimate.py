"""The expected time of a call: the sum over its operators, and what the framework takes beside them.

An operator's model is off by its residual, each shape in its own way and all of a kind a little in the same way; what the machine's
pace does meanwhile all of them share. That makes the interval.
"""

import math
from collections.abc import Sequence

from harness.costmodel.calibration import priced
from harness.costmodel.demand import framework_seconds
from harness.costmodel.kinds import kind_of
from harness.records import CostModel, Estimate, Operator, OperatorModel, Part, Trace

# Half of a 90 % interval in standard deviations.
NINETY = 1.645
# The framework's part is known to so much, as a standard deviation.
FRAMEWORK_KNOWN = 0.4
# A kind without a model of its own, and one that is asked for more than it was calibrated with.
UNKNOWN, BEYOND = 0.6, 0.2
# Beyond so many times the largest calibrated demand an operator is extrapolated.
MARGIN = 2.0
# A model of fewer cases cannot know how far it is off.
FEW = 3
# Calls up to so long dodge what disturbs the machine in their median sample; from so long on each has its share.
DODGES, SUFFERS = 5e-4, 2e-2
# What a step is off from the sum of its operators even where each is known: docs/pages/explanation/measured.
SUMMATION = 0.10


def _beyond(model: OperatorModel, operator: Operator) -> bool:
    flops = operator.flops + operator.recomputed_flops or operator.elementwise_flops
    round_spread = operator.bytes_read + operator.bytes_written
    return (
        bool(model.most_flops and flops > MARGIN * model.most_flops)
        or round_spread > MARGIN * model.most_bytes
    )


def _exposed(seconds: float) -> float:
    """How much of what the machine takes from calls on average a median call of such a length has: none, if it is as short as a sample."""
    if seconds <= DODGES:
        return 0.0
    return min(1.0, math.log(seconds / DODGES) / math.log(SUFFERS / DODGES))


def estimate(
    model: CostModel,
    case: str,
    trace: Trace,
    operators: Sequence[Operator],
) -> Estimate:
    """What a traced call takes, with a 90 % interval."""
    seconds: dict[str, float] = {}
    variance: dict[str, float] = {}
    together: dict[str, float] = {}
    extrapolated: list[str] = []
    uncalibrated: list[str] = []
    for operator in operators:
        if not operator.kernel:
            continue
        kind = kind_of(operator)
        each, fitted = priced(model, operator)
        total = each * operator.count
        seconds[kind] = seconds.get(kind, 0.0) + total
        off, common = UNKNOWN, UNKNOWN
        if fitted is None:
            uncalibrated.append(kind)
        else:
            off = fitted.residual if fitted.cases >= FEW else max(fitted.residual, UNKNOWN)
            common = off / math.sqrt(fitted.cases)
            if _beyond(fitted, operator):
                extrapolated.append(kind)
                common += BEYOND
        variance[kind] = variance.get(kind, 0.0) + (off * total) ** 2
        together[kind] = together.get(kind, 0.0) + common * total
    framework = framework_seconds(model.framework, trace, operators)
    kernels = sum(seconds.values())
    # On an accelerator the host works ahead: the slower of the two sets the pace.
    undisturbed = kernels + framework if model.device == "cpu" else max(kernels, framework)
    disturbed = undisturbed * (model.disturbance - 1.0) * _exposed(undisturbed)
    expected = undisturbed + disturbed
    parts = [Part(kind, seconds[kind]) for kind in seconds]
    parts += [Part("framework", framework), Part("disturbance", disturbed)]
    total_variance = (
        sum(variance.values())
        + sum(one**2 for one in together.values())
        + (FRAMEWORK_KNOWN * framework) ** 2
        + (math.hypot(SUMMATION, model.noise) * expected) ** 2
    )
    off = NINETY * math.sqrt(total_variance) / expected if expected else 0.0
    return Estimate(
        case=case,
        seconds=expected,
        low=expected * math.exp(-off),
        high=expected * math.exp(off),
        parts=tuple(sorted(parts, key=lambda part: -part.seconds)),
        extrapolated=tuple(dict.fromkeys(extrapolated)),
        uncalibrated=tuple(dict.fromkeys(uncalibrated)),
    )
