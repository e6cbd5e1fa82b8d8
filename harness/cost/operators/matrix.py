"""Products. A bias is a elementwise FLOP for each element it is added to; scaling by other than one is another."""

from math import prod

from harness.cost.operators.call import FORMULAS, Operand, OperatorCall, Work


def product(m: int, n: int, k: int) -> int:
    """FLOPs of (m, k) @ (k, n): a multiply-add for each of mnk."""
    return 2 * m * n * k


def _scaled(call: OperatorCall, size: int) -> int:
    """Elementwise FLOPs of beta * self + alpha * product, over `size` results."""
    beta, alpha = call.get("beta", 1), call.get("alpha", 1)
    added = 0 if beta == 0 else 1 + (beta != 1)
    return size * (added + int(alpha != 1))


def _read(call: OperatorCall) -> int | None:
    """Bytes read: `self` is not, where beta is zero."""
    if call.get("beta", 1) != 0:
        return None
    return sum(
        one.nbytes for name, one in call.arguments.items() if isinstance(one, Operand) and name != "self"
    )


@FORMULAS.of("mm", "_int_mm")
def mm(call: OperatorCall) -> Work:
    """(m, k) @ (k, n)."""
    (m, k), n = call["self"].shape, call["mat2"].shape[1]
    return Work(product(m, n, k))


@FORMULAS.of("_scaled_mm", "_scaled_mm_v2")
def scaled_mm(call: OperatorCall) -> Work:
    """(m, k) @ (k, n) in FP8; each result is scaled once."""
    (m, k), n = call["self"].shape, call["mat2"].shape[1]
    return Work(product(m, n, k), m * n * (2 if call.get("bias") else 1))


@FORMULAS.of("addmm", "_addmm_activation")
def addmm(call: OperatorCall) -> Work:
    """Beta * self + alpha * (m, k) @ (k, n)."""
    (m, k), n = call["mat1"].shape, call["mat2"].shape[1]
    activation = m * n if call.name == "_addmm_activation" else 0
    return Work(product(m, n, k), _scaled(call, m * n) + activation, bytes_read=_read(call))


@FORMULAS.of("bmm")
def bmm(call: OperatorCall) -> Work:
    """B products of (m, k) @ (k, n)."""
    (b, m, k), n = call["self"].shape, call["mat2"].shape[2]
    return Work(b * product(m, n, k))


@FORMULAS.of("baddbmm")
def baddbmm(call: OperatorCall) -> Work:
    """B products of (m, k) @ (k, n), added to self."""
    (b, m, k), n = call["batch1"].shape, call["batch2"].shape[2]
    return Work(b * product(m, n, k), _scaled(call, b * m * n), bytes_read=_read(call))


@FORMULAS.of("addbmm")
def addbmm(call: OperatorCall) -> Work:
    """B products of (m, k) @ (k, n), summed into one and added to self."""
    (b, m, k), n = call["batch1"].shape, call["batch2"].shape[2]
    return Work(b * product(m, n, k), _scaled(call, m * n) + (b - 1) * m * n, bytes_read=_read(call))


@FORMULAS.of("mv")
def mv(call: OperatorCall) -> Work:
    """(m, k) @ (k,)."""
    m, k = call["self"].shape
    return Work(product(m, 1, k))


@FORMULAS.of("addmv")
def addmv(call: OperatorCall) -> Work:
    """Beta * self + alpha * (m, k) @ (k,)."""
    m, k = call["mat"].shape
    return Work(product(m, 1, k), _scaled(call, m), bytes_read=_read(call))


@FORMULAS.of("dot", "vdot")
def dot(call: OperatorCall) -> Work:
    """(k,) . (k,)."""
    return Work(product(1, 1, call["self"].numel))


@FORMULAS.of("ger", "outer")
def outer(call: OperatorCall) -> Work:
    """(m,) x (n,): a multiplication for each pair, nothing to add."""
    return Work(0, call.out.numel)


@FORMULAS.of("addr")
def addr(call: OperatorCall) -> Work:
    """Self + (m,) x (n,)."""
    return Work(0, call.out.numel + _scaled(call, call.out.numel))


@FORMULAS.of("linear", "mkldnn_linear")
def linear(call: OperatorCall) -> Work:
    """X @ weight.T + bias, with weight (out, in)."""
    weight: Operand = call["weight"]
    return Work(2 * call.out.numel * weight.shape[-1], call.out.numel if call.get("bias") else 0)


@FORMULAS.of("linear_backward", "mkldnn_linear_backward")
def linear_backward(call: OperatorCall) -> Work:
    """The forward FLOPs once for the gradient of the input, and once for that of the weight, if requested."""
    to_input, to_weight, to_bias = call["output_mask"]
    gradient: Operand = call["grad_output"]
    forward = 2 * gradient.numel * call["weight"].shape[-1]
    return Work(forward * (to_input + to_weight), gradient.numel if to_bias else 0)


@FORMULAS.of("_grouped_mm", "_scaled_grouped_mm")
def grouped_mm(call: OperatorCall) -> Work:
    """A product for each group (the experts of a mixture): rows, columns or the inner dimension are split among them.

    Every row meets one group's matrix, so a group's share does not matter: only two operands with a
    dimension of groups each are a batch.
    """
    a, b = call["self"].shape, call["mat2"].shape
    batch = a[0] if len(a) == len(b) == 3 else 1
    return Work(batch * product(a[-2], b[-1], a[-1]))


@FORMULAS.of("_weight_int8pack_mm")
def weight_int8pack_mm(call: OperatorCall) -> Work:
    """(m, k) @ (n, k).T with 8-bit weights, scaled by column."""
    (m, k), n = call["self"].shape, call["mat2"].shape[0]
    return Work(product(m, n, k), m * n)


@FORMULAS.of("_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu")
def weight_int4pack_mm(call: OperatorCall) -> Work:
    """(m, k) @ (n, k).T with 4-bit weights, each multiplied by the scale of its group and moved by its zero."""
    (m, k), n = call["self"].shape, call.out.shape[-1]
    return Work(product(m, n, k), 2 * n * k)


@FORMULAS.of("_cdist_forward", "_euclidean_dist")
def distances(call: OperatorCall) -> Work:
    """Distances between all pairs of rows: subtract, square, add for each component, and a root."""
    k = call["x1"].shape[-1]
    return Work(0, call.out.numel * (3 * k + 1))


@FORMULAS.of("_cdist_backward")
def distances_backward(call: OperatorCall) -> Work:
    """The difference again, times the gradient over the distance, added up."""
    return Work(0, 3 * call["grad"].numel * call["x1"].shape[-1])


@FORMULAS.of("_trilinear")
def trilinear(call: OperatorCall) -> Work:
    """The sum over products of three, as in a bilinear layer: two products for each term, one multiply-add."""
    size = prod(
        max(shape)
        for shape in zip(
            *(_expanded(call[f"i{i}"].shape, call[f"expand{i}"]) for i in (1, 2, 3)),
            strict=True,
        )
    )
    return Work(3 * size)


def _expanded(shape: tuple[int, ...], at: list[int]) -> tuple[int, ...]:
    sizes = list(shape)
    for place in sorted(at):
        sizes.insert(place, 1)
    return tuple(sizes)


@FORMULAS.of("_transformer_encoder_layer_fwd")
def encoder_layer(call: OperatorCall) -> Work:
    """A whole encoder layer in inference: projections, attention without a mask, and the feed-forward part."""
    batch, length, width = call["src"].shape
    names = ("qkv_weight", "proj_weight", "ffn_weight_1", "ffn_weight_2")
    weights = sum(call[name].numel for name in names)
    hidden = call["ffn_weight_1"].shape[0]
    pairs = batch * call["num_heads"] * length * length
    vector = batch * length * (7 * 2 * width + 2 * width + 6 * width + 2 * hidden) + 6 * pairs
    return Work(2 * batch * length * weights + 4 * batch * length * length * width, vector)


@FORMULAS.of("_native_multi_head_attention")
def multi_head_attention(call: OperatorCall) -> Work:
    """Projections and attention without a mask, in inference."""
    (batch, rows, width), columns = call["query"].shape, call["key"].shape[1]
    # A third of the first projection's weights each for query, key and value.
    third = call["qkv_weight"].numel // 3
    projections = 2 * batch * (third * (rows + 2 * columns) + call["proj_weight"].numel * rows)
    pairs = batch * call["num_head"] * rows * columns
    return Work(projections + 4 * batch * rows * columns * width, 6 * pairs + 4 * batch * rows * width)


LSTM_PER_UNIT, GRU_PER_UNIT, RNN_PER_UNIT = 30, 22, 5
# As cuDNN and oneDNN number the kinds of a cell.
PER_UNIT = {0: RNN_PER_UNIT, 1: RNN_PER_UNIT, 2: LSTM_PER_UNIT, 3: GRU_PER_UNIT}


def _layer(weights: list[Operand], steps: int, units: int, mode: int) -> Work:
    """Matrices meet each step: `steps` is sequence length times batch, `units` counts layers and directions."""
    matrices = sum(weight.numel for weight in weights if len(weight.shape) == 2)
    return Work(2 * steps * matrices, steps * units * PER_UNIT[mode])


def _steps(source: Operand) -> int:
    return source.numel // source.shape[-1]


@FORMULAS.of("mkldnn_rnn_layer")
def mkldnn_layer(call: OperatorCall) -> Work:
    """One layer in one direction."""
    weights = [call["weight0"], call["weight1"]]
    return _layer(weights, _steps(call["input"]), call["hidden_size"], call["mode"])


@FORMULAS.of("mkldnn_rnn_layer_backward")
def mkldnn_layer_backward(call: OperatorCall) -> Work:
    """Its backward: gradients of input and weights."""
    weights = [call["weight1"], call["weight2"]]
    forward = _layer(weights, _steps(call["input"]), call["hidden_size"], call["mode"])
    return Work(2 * forward.flops, 2 * forward.elementwise_flops)


@FORMULAS.of("_cudnn_rnn", "miopen_rnn")
def cudnn(call: OperatorCall) -> Work:
    """All layers and directions at once."""
    units = call["hidden_size"] * call["num_layers"] * (2 if call["bidirectional"] else 1)
    return _layer(list(call.operands("weight")), _steps(call["input"]), units, call["mode"])


@FORMULAS.of("_cudnn_rnn_backward", "miopen_rnn_backward")
def cudnn_backward(call: OperatorCall) -> Work:
    """Its backward; the weights' gradients are the last in the output mask."""
    forward, to_weights = cudnn(call), call["output_mask"][-1]
    return Work((1 + to_weights) * forward.flops, 2 * forward.elementwise_flops)


@FORMULAS.of("_thnn_fused_lstm_cell", "_thnn_fused_gru_cell")
def cell(call: OperatorCall) -> Work:
    """The gates of one step, their products done before."""
    lstm = "lstm" in call.name
    return Work(0, call.out.numel * (LSTM_PER_UNIT if lstm else GRU_PER_UNIT))


@FORMULAS.of(
    "_thnn_fused_lstm_cell_backward", "_thnn_fused_lstm_cell_backward_impl", "_thnn_fused_gru_cell_backward"
)
def cell_backward(call: OperatorCall) -> Work:
    """Its backward."""
    lstm = "lstm" in call.name
    gates = call.out.numel // (4 if lstm else 3)
    return Work(0, 2 * gates * (LSTM_PER_UNIT if lstm else GRU_PER_UNIT))
