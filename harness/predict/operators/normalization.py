"""Normalisations and softmax, forward and backward.

Per element, of a plain implementation. Layer norm forward: add to the mean, centre, square, add to the variance,
scale by the deviation, and weight and bias: 7 (LLM-Viewer counts the same; fvcore 5, Calculon 9). Its backward: the
normalised input again (2), times weight, two sums with a product (4), and three more to combine them; weight and
bias gradients three more. Softmax: maximum, subtract, exponential, sum, divide: 5 (LLM-Viewer, Calculon).
"""

from harness.predict.operators.call import FORMULAS, OperatorCall, Work


def _affine(call: OperatorCall) -> int:
    """How many of weight and bias there are."""
    return sum(call.get(name) is not None for name in ("weight", "bias"))


def _backward(call: OperatorCall, size: int) -> Work:
    mask = call.get("output_mask") or (True, True, True)
    to_input, to_weight, to_bias = mask[0], mask[1], mask[2] if len(mask) > 2 else False
    weighted = call.get("weight") is not None
    per_element = 2 + to_input * (weighted + 7) + 2 * to_weight + to_bias
    return Work(0, size * per_element)


@FORMULAS.of("native_layer_norm", "native_group_norm")
def layer_norm(call: OperatorCall) -> Work:
    """Over the last dimensions, or over groups of channels."""
    size = call["input"].numel
    return Work(0, size * (5 + _affine(call)))


@FORMULAS.of("native_layer_norm_backward", "native_group_norm_backward")
def layer_norm_backward(call: OperatorCall) -> Work:
    """Its backward."""
    return _backward(call, call["input"].numel)


@FORMULAS.of(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_functional",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "_batch_norm_with_update",
    "_batch_norm_no_update",
)
def batch_norm(call: OperatorCall) -> Work:
    """In training as layer norm, over the batch; in evaluation a multiply-add with what was learnt.

    In training the running statistics are written too, which not every schema tells.
    """
    size = call["input"].numel
    if not call.get("training", call.name == "_batch_norm_with_update"):
        return Work(0, 2 * size)
    written = list(call.writes)
    if "legit" not in call.name and call.get("running_mean") is not None:
        written += [call["running_mean"], call["running_var"]]
    return Work(0, size * (5 + _affine(call)), bytes_written=sum(one.nbytes for one in written))


@FORMULAS.of(
    "native_batch_norm_backward",
    "cudnn_batch_norm_backward",
    "miopen_batch_norm_backward",
    "batch_norm_backward",
)
def batch_norm_backward(call: OperatorCall) -> Work:
    """Its backward; in evaluation the statistics are constants."""
    if call.get("train", call.get("update", True)):
        return _backward(call, call["input"].numel)
    return Work(0, 5 * call["input"].numel)


@FORMULAS.of("_fused_rms_norm")
def rms_norm(call: OperatorCall) -> Work:
    """Square, sum, scale by the root, and weight: Zhang and Sennrich, arXiv 1910.07467."""
    return Work(0, call["input"].numel * (3 + (call.get("weight") is not None)))


@FORMULAS.of("_fused_rms_norm_backward")
def rms_norm_backward(call: OperatorCall) -> Work:
    """Its backward: as layer norm without the mean."""
    to_input, to_weight = call["output_mask"][:2]
    weighted = call.get("weight") is not None
    return Work(0, call["input"].numel * (1 + to_input * (weighted + 5) + 2 * to_weight))


@FORMULAS.of("_softmax", "_log_softmax", "_safe_softmax", "_masked_softmax")
def softmax(call: OperatorCall) -> Work:
    """Maximum, subtract, exponential, sum, and divide (or subtract the logarithm).

    The safe one looks for rows without a key, in a byte for each score and each row.
    """
    size = call.out.numel
    safe = call.name == "_safe_softmax"
    return Work(0, 5 * size, scratch_bytes=size + size // call.out.shape[-1] if safe and size else 0)


@FORMULAS.of("_softmax_backward_data", "_log_softmax_backward_data", "_masked_softmax_backward")
def softmax_backward(call: OperatorCall) -> Work:
    """A product with the output (or its exponential), a sum, subtract, multiply."""
    return Work(0, 4 * call.out.numel)


@FORMULAS.of("logsumexp", "_logcumsumexp", "logcumsumexp")
def logsumexp(call: OperatorCall) -> Work:
    """Maximum, subtract, exponential, sum."""
    return Work(0, 4 * call["self"].numel)


@FORMULAS.of("_weight_norm_interface")
def weight_norm(call: OperatorCall) -> Work:
    """Square, sum, scale."""
    return Work(0, 3 * call["v"].numel)


@FORMULAS.of("_weight_norm_interface_backward")
def weight_norm_backward(call: OperatorCall) -> Work:
    """A sum of products, and two multiply-adds."""
    return Work(0, 6 * call["saved_v"].numel)
