"""Convolutions in one to three dimensions: stride, padding, dilation, groups, transposed.

Padded taps count as work, as every tool counts them; at the border of small maps that is more than is
needed (a 3x3 kernel on 7x7: 18% too much). An algorithm with fewer multiplications (Winograd: Lavin and Gray,
arXiv 1509.09308) can exceed a peak in these FLOPs.
"""

from harness.cost.operators.call import FORMULAS, Operand, OperatorCall, Work


def convolved(weight: Operand, grid: Operand) -> int:
    """FLOPs of a convolution: each element of a grid meets all weights of its channel.

    `weight` is (channels of the grid, other channels / groups, *kernel). The grid is the output, or the input of
    a transposed convolution: there, each input element meets all weights of its channel.
    """
    return 2 * grid.numel * (weight.numel // weight.shape[0])


def _forward(call: OperatorCall, result: Operand) -> int:
    return convolved(call["weight"], call["input"] if call.get("transposed") else result)


@FORMULAS.of(
    "convolution",
    "_convolution",
    "convolution_overrideable",
    "cudnn_convolution",
    "mkldnn_convolution",
    "miopen_convolution",
    "thnn_conv2d",
    "slow_conv3d_forward",
    "_slow_conv2d_forward",
    "slow_conv_dilated2d",
    "slow_conv_dilated3d",
    "_conv_depthwise2d",
    "conv_depthwise3d",
)
def convolution(call: OperatorCall) -> Work:
    """Forward; a bias is added to each result."""
    weight: Operand = call["weight"]
    source: Operand = call.get("input") or call["self"]
    grid = source if call.get("transposed") else call.out
    return Work(convolved(weight, grid), call.out.numel if call.get("bias") else 0)


@FORMULAS.of("cudnn_convolution_transpose", "slow_conv_transpose2d", "slow_conv_transpose3d")
def transposed(call: OperatorCall) -> Work:
    """Forward of a transposed convolution under a name of its own."""
    return Work(convolved(call["weight"], call["self"]), call.out.numel if call.get("bias") else 0)


@FORMULAS.of("convolution_backward", "convolution_backward_overrideable")
def backward(call: OperatorCall) -> Work:
    """The forward FLOPs once for the gradient of the input, and once for that of the weight, if requested.

    Neither stride nor groups change that: each multiply-add of the forward pass has one counterpart in each.
    The weight is read for the gradient of the input, the input for that of the weight.
    """
    forward = _forward(call, call["grad_output"])
    to_input, to_weight, *to_bias = call["output_mask"]
    bias = call["grad_output"].numel if any(to_bias) else 0
    needed = call["grad_output"].nbytes
    needed += call["weight"].nbytes * to_input + call["input"].nbytes * to_weight
    return Work(forward * (to_input + to_weight), bias, bytes_read=needed)


@FORMULAS.of("im2col", "col2im")
def unfold(call: OperatorCall) -> Work:
    """Moves elements; folding adds where they overlap."""
    return Work(0, call["self"].numel if call.name == "col2im" else 0)
