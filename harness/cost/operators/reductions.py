"""Reductions: an addition (or comparison) for each element but one of each result. Pooling: for each tap."""

from math import log2, prod

from harness.cost.operators.call import FORMULAS, Formula, OperatorCall, Work


def _reducing(before: int, *, after: int = 0) -> Formula:
    """`before` FLOPs for each element and one to combine it, `after` for each result."""

    def formula(call: OperatorCall) -> Work:
        size, results = call.reads[0].numel, call.out.numel
        return Work(0, size * before + max(0, size - results) + after * results)

    return formula


FORMULAS.of(
    "sum",
    "prod",
    "max",
    "min",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "any",
    "all",
    "nansum",
    "aminmax",
    "count_nonzero",
)(_reducing(0))
FORMULAS.of("mean")(_reducing(0, after=1))
FORMULAS.of("norm", "linalg_vector_norm")(_reducing(1, after=1))
# Two passes: the mean, then subtract, square, add.
FORMULAS.of("var", "std", "var_mean", "std_mean")(_reducing(3, after=2))


@FORMULAS.of("equal")
def equal(call: OperatorCall) -> Work:
    """A comparison for each element, and one answer."""
    return Work(0, 2 * call["self"].numel - 1)


@FORMULAS.of("dist")
def distance(call: OperatorCall) -> Work:
    """Subtract, square, add, and a root."""
    return Work(0, 3 * call["self"].numel)


@FORMULAS.of("trace")
def diagonal(call: OperatorCall) -> Work:
    """The sum of a diagonal."""
    size = min(call["self"].shape)
    return Work(0, size, bytes_read=size * call["self"].item_bytes)


@FORMULAS.of("cumsum", "cumprod", "cummax", "cummin")
def scan(call: OperatorCall) -> Work:
    """One operation for each element."""
    return Work(0, call.out.numel)


@FORMULAS.of(
    "topk",
    "sort",
    "kthvalue",
    "median",
    "mode",
    "_unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "searchsorted",
    "bucketize",
    "bincount",
    "histc",
)
def order(_: OperatorCall) -> Work:
    """Comparisons whose number depends on the data; none are counted, only the bytes."""
    return Work()


@FORMULAS.of(
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "mkldnn_max_pool2d",
    "avg_pool2d",
    "avg_pool3d",
    "avg_pool1d",
)
def pool(call: OperatorCall) -> Work:
    """A tap for each element of the window."""
    return Work(0, _window(call) * call.out.numel)


def _window(call: OperatorCall) -> int:
    """Elements of a pooling window; one number stands for all its sides."""
    kernel = call["kernel_size"]
    sides = next(n for n in (1, 2, 3) if f"pool{n}d" in call.name)
    return prod(kernel) if len(kernel) > 1 else int(kernel[0]) ** sides


@FORMULAS.of(
    "max_pool2d_with_indices_backward",
    "max_pool3d_with_indices_backward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d_backward",
)
def max_pool_backward(call: OperatorCall) -> Work:
    """Each gradient is added where its maximum was; the rest is filled with zeros."""
    return Work(
        0,
        call["grad_output"].numel,
        bytes_read=call["grad_output"].nbytes + call["indices"].nbytes,
    )


@FORMULAS.of("avg_pool2d_backward", "avg_pool3d_backward")
def avg_pool_backward(call: OperatorCall) -> Work:
    """Each gradient is added to each element of its window; the values of the input do not matter."""
    gradient = call["grad_output"]
    return Work(0, _window(call) * gradient.numel, bytes_read=gradient.nbytes)


@FORMULAS.of(
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
)
def adaptive_pool(call: OperatorCall) -> Work:
    """Each element goes into one window (where the windows do not overlap)."""
    return Work(0, call["self"].numel)


@FORMULAS.of("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward")
def adaptive_pool_backward(call: OperatorCall) -> Work:
    """A fraction of a gradient for each element."""
    return Work(0, call.out.numel, bytes_read=call["grad_output"].nbytes)


@FORMULAS.of("_fft_r2c", "_fft_c2r", "_fft_c2c")
def fourier(call: OperatorCall) -> Work:
    """5 n log2 n for a complex transform of length n (the convention of FFTW's benchmarks), half of it for a real one."""
    source = call["self"]
    lengths = [max(source.shape[d], call.out.shape[d]) for d in call["dim"]]
    whole = max(source.numel, call.out.numel)
    real = 1 if call.name == "_fft_c2c" else 2
    return Work(0, int(5 * whole * sum(log2(max(2, n)) for n in lengths)) // real)


def _affine(call: OperatorCall) -> int:
    """The number of affine parameters: weight, bias."""
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
    """The backward of layer norm."""
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

    In training the running statistics are written too, which not every schema shows.
    """
    size = call["input"].numel
    if not call.get("training", call.name == "_batch_norm_with_update"):
        return Work(0, 2 * size)
    written = list(call.writes)
    if "legit" not in call.name and call.get("running_mean") is not None:
        written += [call["running_mean"], call["running_var"]]
    return Work(0, size * (5 + _affine(call)), bytes_written=sum(operand.nbytes for operand in written))


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
