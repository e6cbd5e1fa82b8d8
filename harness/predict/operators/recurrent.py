"""Recurrent layers: each weight matrix meets each step of the sequence; the gates are vector work.

An LSTM step per hidden unit: four gates of three additions and an activation (3 to 4), then 5 for the cell and its output;
a GRU's three gates are less by a quarter. The backward pass has twice the products.
"""

from harness.predict.operators.call import FORMULAS, Operand, OperatorCall, Work

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
    return Work(2 * forward.flops, 2 * forward.vector_flops)


@FORMULAS.of("_cudnn_rnn", "miopen_rnn")
def cudnn(call: OperatorCall) -> Work:
    """All layers and directions at once."""
    units = call["hidden_size"] * call["num_layers"] * (2 if call["bidirectional"] else 1)
    return _layer(list(call.operands("weight")), _steps(call["input"]), units, call["mode"])


@FORMULAS.of("_cudnn_rnn_backward", "miopen_rnn_backward")
def cudnn_backward(call: OperatorCall) -> Work:
    """Its backward; the weights' gradients are the last that can be asked for."""
    forward, to_weights = cudnn(call), call["output_mask"][-1]
    return Work((1 + to_weights) * forward.flops, 2 * forward.vector_flops)


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
