"""The kinds of operators that share a model of time."""

import math

from harness.records import Operator

GEMM, GEMV, BATCHED_GEMM = "gemm", "gemv", "batched gemm"
CONVOLUTION, SINGLE_TAP, DEPTHWISE = "convolution", "1x1 convolution", "depthwise convolution"
CONVOLUTIONS = frozenset({CONVOLUTION, SINGLE_TAP, DEPTHWISE})
ATTENTION, RECURRENT = "attention", "recurrent"
NORMALIZATION, SOFTMAX, REDUCTION, POOLING = "normalization", "softmax", "reduction", "pooling"
ELEMENTWISE, TRANSCENDENTAL = "elementwise", "transcendental"
GATHER, SCATTER, COPY = "gather", "scatter", "copy"
OPTIMIZER, VIEW = "fused optimizer", "view"
BACKWARD = " backward"

# The kinds that do matrix FLOPs; the others do elementwise FLOPs.
MATRIX = frozenset({GEMM, GEMV, BATCHED_GEMM, ATTENTION, RECURRENT}) | CONVOLUTIONS

_NAMES = {
    GEMM: "mm addmm mv addmv dot vdot outer ger _int_mm _scaled_mm",
    BATCHED_GEMM: "bmm baddbmm addbmm _grouped_mm _scaled_grouped_mm",
    SOFTMAX: "_softmax _log_softmax _safe_softmax _softmax_backward_data _log_softmax_backward_data",
    REDUCTION: (
        "sum mean prod amax amin max min argmax argmin any all var var_mean std norm linalg_vector_norm nansum "
        "logsumexp cumsum cumprod nll_loss_forward nll_loss_backward mse_loss topk sort histc"
    ),
    TRANSCENDENTAL: (
        "exp exp2 expm1 log log2 log1p sin cos tan tanh sigmoid erf erfc gelu silu mish softplus elu pow sqrt rsqrt "
        "reciprocal div gelu_backward silu_backward tanh_backward sigmoid_backward mish_backward"
    ),
    GATHER: "embedding index gather index_select take _embedding_bag",
    SCATTER: (
        "embedding_dense_backward index_put scatter scatter_add scatter_reduce index_add index_copy slice_backward "
        "select_backward slice_scatter select_scatter masked_scatter"
    ),
    COPY: (
        "_to_copy clone copy cat stack constant_pad_nd reflection_pad2d repeat fill zero zeros ones full zeros_like "
        "ones_like full_like new_zeros new_ones new_full arange roll flip tril triu"
    ),
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
# Kinds by a part of the name; the first match counts.
_PARTS = (
    ("_foreach", OPTIMIZER),
    ("_fused_ad", OPTIMIZER),
    ("_fused_sgd", OPTIMIZER),
    ("convolution", CONVOLUTION),
    ("scaled_dot_product", ATTENTION),
    ("flash_attention", ATTENTION),
    ("efficient_attention", ATTENTION),
    ("_norm", NORMALIZATION),
    ("pool", POOLING),
    ("rnn", RECURRENT),
    ("lstm", RECURRENT),
    ("gru", RECURRENT),
)
_WITH_BACKWARD = frozenset({ATTENTION, NORMALIZATION, POOLING, RECURRENT}) | CONVOLUTIONS


def kind_of(operator: Operator) -> str:
    """The kind of an operator; elementwise where its name is in no table."""
    if not operator.kernel:
        return VIEW
    name = operator.name
    kind = _KINDS.get(name) or _KINDS.get(name.rstrip("_"))
    if kind is None:
        kind = next((kind for part, kind in _PARTS if part in name), ELEMENTWISE)
    if kind == GEMM and _thin(operator):
        return GEMV
    if kind == CONVOLUTION:
        kind = _convolution(operator)
    return kind + BACKWARD if kind in _WITH_BACKWARD and "backward" in name else kind


def base_of(kind: str) -> str:
    """A kind without its direction."""
    return kind.removesuffix(BACKWARD)


def shape_of(operand: str) -> tuple[int, ...]:
    """The shape in `float32[8,128]`."""
    inside = operand[operand.index("[") + 1 : -1]
    return tuple(int(size) for size in inside.split(",") if size)


def _thin(operator: Operator) -> bool:
    """Whether a product has a vector: it then does one multiply-add for each element that it moves."""
    matrices = [shape for operand in operator.inputs if len(shape := shape_of(operand)) == 2]
    if not matrices:
        return True
    first, second = (matrices * 2)[-2:]  # an operand that is both is listed once
    return min(*first, second[1]) == 1


def _convolution(operator: Operator) -> str:
    """The kind of a convolution: depthwise where the weight has one input channel and the input several; a single tap is a product."""
    operands = operator.inputs[-2:] if "backward" in operator.name else operator.inputs[:2]
    channels, taps = shape_of(operands[0])[1:2], shape_of(operands[-1])  # as above
    if taps[1:2] == (1,) and channels not in {(), (1,)}:
        return DEPTHWISE
    return SINGLE_TAP if math.prod(taps[2:]) == 1 else CONVOLUTION
