"""Optimizers: fused kernels, and the lists of tensors of the foreach kind.

Adam per parameter: 3 for the first moment (m += (1 - b1)(g - m)), 4 for the second, 3 for the denominator
(root, division, epsilon), 3 for the update: 13. Decoupled decay is one multiplication more (AdamW, Loshchilov and Hutter,
arXiv 1711.05101), decay through the gradient two; Calculon counts 11.
"""

from collections.abc import Sequence

from harness.cost.operators.call import FORMULAS, Operand, OperatorCall, Work
from harness.cost.operators.elementwise import COUNTS

ADAM_PER_PARAMETER = 13


def _elements(call: OperatorCall, name: str = "self") -> int:
    return sum(operand.numel for operand in call.operands(name))


@FORMULAS.of("_fused_adam", "_fused_adamw")
def adam(call: OperatorCall) -> Work:
    """One pass over parameters, gradients and both moments."""
    decay = 0 if not call.get("weight_decay") else 1 if "adamw" in call.name else 2
    each = ADAM_PER_PARAMETER + decay + bool(call.get("amsgrad")) + bool(call.get("maximize"))
    return _updating(call, each, ("exp_avgs", "exp_avg_sqs", "max_exp_avg_sqs"))


@FORMULAS.of("_fused_sgd")
def sgd(call: OperatorCall) -> Work:
    """One step p -= lr g; with momentum a multiply-add more, with Nesterov's or decay another."""
    each = 2 + 2 * sum(bool(call.get(name)) for name in ("momentum", "nesterov", "weight_decay"))
    return _updating(call, each, ("momentum_buffer_list",))


@FORMULAS.of("_fused_adagrad")
def adagrad(call: OperatorCall) -> Work:
    """Two steps: s += g g; p -= lr g / (sqrt(s) + eps)."""
    return _updating(call, 7 + 2 * bool(call.get("weight_decay")), ("state_sums",))


def _updating(call: OperatorCall, each: int, states: tuple[str, ...]) -> Work:
    """Parameters, gradients and states are read; parameters and states are written."""
    parameters = list(call.operands("self"))
    kept: list[Operand] = parameters + [operand for name in states for operand in call.operands(name)]
    changed = sum(operand.nbytes for operand in kept)
    gradients = sum(operand.nbytes for operand in call.operands("grads"))
    return Work(0, each * _elements(call), bytes_read=changed + gradients, bytes_written=changed)


def _listed(base: str, each: int) -> None:
    """`_foreach_add`: what `add` does, for each tensor of a list."""

    @FORMULAS.of(f"_foreach_{base}")
    def formula(call: OperatorCall) -> Work:
        scaled = base in {"add", "sub"} and call.get("alpha", 1) != 1
        listed = "self" if isinstance(call["self"], Sequence) else "exponent"  # a number to many powers
        return Work(0, (each + scaled) * _elements(call, listed))


for _base in [
    "abs",
    "addcdiv",
    "addcmul",
    "ceil",
    "clamp_max",
    "clamp_min",
    "div",
    "exp",
    "floor",
    "lerp",
    "log",
    "maximum",
    "minimum",
    "mul",
    "neg",
    "pow",
    "reciprocal",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sqrt",
    "tanh",
    "trunc",
]:
    _listed(_base, COUNTS[_base])
_listed("add", 1)
_listed("sub", 1)


@FORMULAS.of("_foreach_copy", "_foreach_zero")
def overwritten(call: OperatorCall) -> Work:
    """What was there is not read."""
    return Work(
        bytes_read=sum(operand.nbytes for operand in call.operands("src")) if "copy" in call.name else 0
    )


@FORMULAS.of("_amp_foreach_non_finite_check_and_unscale")
def unscale(call: OperatorCall) -> Work:
    """Each gradient is checked and multiplied."""
    return Work(0, 2 * _elements(call))


@FORMULAS.of("_amp_update_scale")
def update_scale(_: OperatorCall) -> Work:
    """A handful for one number."""
    return Work(0, 4)


@FORMULAS.of("_foreach_norm", "_foreach_max", "_foreach_powsum")
def norms(call: OperatorCall) -> Work:
    """Square and add."""
    return Work(0, _elements(call) * (1 if call.name == "_foreach_max" else 2))
