"""Element by element: elementwise FLOPs for each element of the result.

An addition, a multiplication, a comparison, an exponential, a root count one each; moving a value counts none.
Each table says what a plain implementation does: GELU is x/2 (1 + erf(x/sqrt 2)), so 5; SiLU is x / (1 + exp(-x)), so 4.

Optimizers are fused kernels, or elementwise operators on lists of tensors (foreach).
Adam per parameter: 3 for the first moment (m += (1 - b1)(g - m)), 4 for the second, 3 for the denominator
(root, division, epsilon), 3 for the update: 13. Decoupled decay is one multiplication more (AdamW, Loshchilov and Hutter,
arXiv 1711.05101), decay through the gradient two; Calculon counts 11.
"""

from collections.abc import Sequence

from harness.cost.operators.call import FORMULAS, Formula, Operand, OperatorCall, Work

# FLOPs for each element of the result.
COUNTS = {
    # moved, chosen, made
    "alias_copy": 0, "arange": 0, "argsort": 0, "cat": 0, "channel_shuffle": 0, "clone": 0, "complex": 0,
    "constant_pad_nd": 0, "diag_embed": 0, "expand_copy": 0, "eye": 0, "flip": 0, "full": 0, "full_like": 0,
    "linspace": 1, "new_full": 0, "new_ones": 0, "new_zeros": 0, "one_hot": 0, "ones": 0, "ones_like": 0,
    "pad": 0, "pixel_shuffle": 0, "pixel_unshuffle": 0, "reflection_pad1d": 0, "reflection_pad2d": 0, "repeat": 0,
    "replication_pad1d": 0, "replication_pad2d": 0, "roll": 0, "scalar_tensor": 0, "select_backward": 0,
    "slice_backward": 0, "split_with_sizes_copy": 0, "stack": 0, "tril": 0, "tril_indices": 0, "triu": 0,
    "triu_indices": 0, "unfold_backward": 0, "where": 0, "zero": 0, "zeros": 0, "zeros_like": 0,
    "_to_copy": 0, "_conj_physical": 0, "_pin_memory": 0, "_pack_padded_sequence": 0, "_reshape_copy": 0,
    "affine_grid_generator": 6, "as_strided_copy": 0, "as_strided_scatter": 0, "block_diag": 0,
    "diagonal_backward": 0, "diagonal_copy": 0, "diagonal_scatter": 0, "lift_fresh_copy": 0, "masked_scatter_backward": 0,
    "native_channel_shuffle": 0, "permute_copy": 0, "polar": 3, "reflection_pad3d": 0, "repeat_interleave": 0,
    "replication_pad3d": 0, "rot90": 0, "select_copy": 0, "select_scatter": 0, "slice_copy": 0, "slice_scatter": 0,
    "squeeze_copy": 0, "t_copy": 0, "transpose_copy": 0, "unfold_copy": 0, "unsqueeze_copy": 0, "view_copy": 0,
    # random numbers, one each
    "bernoulli": 1, "cauchy": 1, "exponential": 1, "geometric": 1, "log_normal": 2, "logspace": 2, "multinomial": 1, "normal": 1, "normal_functional": 1, "rand": 1, "rand_like": 1,
    "randint": 1, "randint_like": 1, "randn": 1, "randn_like": 1, "random": 1, "randperm": 1, "uniform": 1,
    # one operation
    "abs": 1, "bitwise_and": 1, "bitwise_not": 1, "bitwise_or": 1, "bitwise_xor": 1, "ceil": 1, "clamp": 2,
    "clamp_max": 1, "clamp_min": 1, "cos": 1, "div": 1, "eq": 1, "erf": 1, "exp": 1, "exp2": 1, "expm1": 1,
    "floor": 1, "floor_divide": 1, "fmod": 1, "ge": 1, "gt": 1, "isfinite": 1, "isinf": 1, "isnan": 1, "le": 1, "log": 1,
    "log1p": 1, "log2": 1, "logical_and": 1, "logical_not": 1, "logical_or": 1, "lt": 1, "maximum": 1, "minimum": 1,
    "mul": 1, "ne": 1, "neg": 1, "pow": 1, "reciprocal": 1, "remainder": 1, "round": 1, "rsqrt": 1, "sgn": 1, "sign": 1,
    "sin": 1, "sqrt": 1, "square": 1, "tan": 1, "tanh": 1, "trunc": 1,
    # activations, and their derivatives times the gradient
    "celu": 4, "elu": 3, "elu_backward": 4, "gelu": 5, "gelu_backward": 9, "glu": 4, "glu_backward": 6, "hardsigmoid": 4,
    "hardsigmoid_backward": 3, "hardswish": 5, "hardswish_backward": 5, "hardtanh": 2, "hardtanh_backward": 3,
    "leaky_relu": 2, "leaky_relu_backward": 2, "log_sigmoid_forward": 4, "log_sigmoid_backward": 5, "mish": 5,
    "mish_backward": 8, "prelu": 2, "_prelu_kernel": 2, "_prelu_kernel_backward": 3, "relu": 1, "relu6": 2, "selu": 4,
    "sigmoid": 3, "sigmoid_backward": 3, "silu": 4, "silu_backward": 7, "softplus": 3, "softplus_backward": 4,
    "tanh_backward": 3, "threshold": 1, "threshold_backward": 1,
    # several at once
    "addcdiv": 3, "addcmul": 3, "lerp": 3, "native_dropout": 3, "native_dropout_backward": 2, "_fused_dropout": 3,
    "_masked_scale": 2,
    # losses without a reduction over classes
    "mse_loss_backward": 2, "binary_cross_entropy_backward": 5, "huber_loss_backward": 3, "smooth_l1_loss_backward": 3,
}  # fmt: skip

# What makes a view, or memory that nobody has written yet: no element is touched.
FREE = frozenset({
    "_local_scalar_dense", "_reshape_alias", "_unsafe_view", "alias", "as_strided", "detach", "device", "empty", "empty_like",
    "empty_permuted", "empty_strided", "expand", "is_pinned", "is_same_size", "lift", "lift_fresh", "new_empty",
    "new_empty_strided", "permute", "record_stream", "reshape", "resize", "select", "set", "slice", "split",
    "split_with_sizes", "squeeze", "sym_numel", "sym_size", "sym_storage_offset", "sym_stride", "t", "transpose", "unbind",
    "unsafe_split", "unsafe_split_with_sizes", "unsqueeze", "view", "view_as_complex", "view_as_real", "_record_function_enter_new", "_record_function_exit",
    "_assert_async", "_assert_scalar", "_assert_tensor_metadata", "_functional_assert_async", "_has_compatible_shallow_copy_type", "_version",
})  # fmt: skip

# Operators that use the shape of a tensor and none of its values.
UNREAD = frozenset({
    "full_like", "new_full", "new_ones", "new_zeros", "ones_like", "rand_like", "randint_like", "randn_like", "zero",
    "zeros_like",
})  # fmt: skip
UNREAD_IN_PLACE = frozenset({
    "bernoulli", "cauchy", "exponential", "geometric", "log_normal", "normal", "random", "uniform",
})  # fmt: skip


def _counting(flops: int) -> Formula:
    def formula(call: OperatorCall) -> Work:
        return Work(0, flops * call.out.numel if call.writes else 0, bytes_read=_values_read(call))

    return formula


def _values_read(call: OperatorCall) -> int | None:
    base = call.name.rstrip("_")
    if base in UNREAD:
        return 0
    if base in UNREAD_IN_PLACE and base != call.name:
        operands = (value for name, value in call.arguments.items() if name != "self")
        return sum(other.nbytes for other in operands if isinstance(other, Operand))
    return None


for _name, _flops in COUNTS.items():
    FORMULAS.of(_name)(_counting(_flops))


@FORMULAS.of("add", "sub", "rsub", "_add_relu")
def add(call: OperatorCall) -> Work:
    """Self + alpha * other: another multiplication where alpha is not one."""
    return Work(0, call.out.numel * (1 + (call.get("alpha", 1) != 1)))


@FORMULAS.of("copy", "fill", "masked_fill")
def overwrite(call: OperatorCall) -> Work:
    """What was there is not read, where all of it is replaced."""
    if call.name.startswith("masked"):
        return Work()
    source = call.get("src") or call.get("value")
    return Work(bytes_read=source.nbytes if isinstance(source, Operand) else 0)


@FORMULAS.of(
    "mse_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "huber_loss", "smooth_l1_loss"
)
def loss(call: OperatorCall) -> Work:
    """Per element: 2 for the square of the difference, 5 with logarithms; one more where they are added up.

    Before they are, they lie in a tensor of their own.
    """
    each = 2 if call.name == "mse_loss" else 5
    added = call.get("reduction", 1) != 0
    return Work(0, call["self"].numel * (each + added), scratch_bytes=call["self"].nbytes if added else 0)


@FORMULAS.of(
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d",
)
def nearest(_: OperatorCall) -> Work:
    """Moves elements."""
    return Work()


@FORMULAS.of(
    "upsample_linear1d",
    "upsample_bilinear2d",
    "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
    "upsample_bicubic2d",
    "upsample_trilinear3d",
)
def interpolate(call: OperatorCall) -> Work:
    """A multiply-add for each neighbour."""
    return Work(0, 2 * _neighbours(call.name) * call.out.numel)


def _neighbours(name: str) -> int:
    """Elements that an interpolation reads for each result; 0 where it only picks the nearest."""
    kinds = {"bilinear2d": 4, "bicubic2d": 16, "trilinear3d": 8, "linear1d": 2}
    return next((count for kind, count in kinds.items() if kind in name.split("_")), 0)


@FORMULAS.of(
    "upsample_nearest1d_backward", "upsample_nearest2d_backward", "upsample_nearest3d_backward",
    "_upsample_nearest_exact1d_backward", "_upsample_nearest_exact2d_backward", "_upsample_nearest_exact3d_backward",
    "upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward", "upsample_trilinear3d_backward",
    "_upsample_bilinear2d_aa_backward", "_upsample_bicubic2d_aa_backward",
)  # fmt: skip
def interpolate_backward(call: OperatorCall) -> Work:
    """The same multiply-adds, scattered."""
    return Work(0, (2 * _neighbours(call.name) or 1) * call["grad_output"].numel)


@FORMULAS.of(
    "reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward", "replication_pad1d_backward",
    "replication_pad2d_backward", "replication_pad3d_backward",
)  # fmt: skip
def pad_backward(call: OperatorCall) -> Work:
    """Each gradient is added to the element it was a copy of; the values of the input do not matter."""
    return Work(0, call["grad_output"].numel, bytes_read=call["grad_output"].nbytes)


@FORMULAS.of("grid_sampler_2d", "grid_sampler_3d")
def sample(call: OperatorCall) -> Work:
    """Four (in three dimensions eight) neighbours and a multiply-add for each; 16 if bicubic, none if nearest."""
    return Work(0, 2 * _sampled(call) * call.out.numel)


@FORMULAS.of("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def sample_backward(call: OperatorCall) -> Work:
    """Multiply-adds to the neighbours, and as many for the gradient of the grid."""
    return Work(0, (4 * _sampled(call) or 1) * call["grad_output"].numel)


def _sampled(call: OperatorCall) -> int:
    linear = 4 if "2d" in call.name else 8
    return {0: linear, 1: 0, 2: 16}[call["interpolation_mode"]]


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
