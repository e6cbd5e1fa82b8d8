"""Calibration of the cost model: single operators of every kind that models use, in shapes that no model has.

Shapes are spread evenly in the logarithm of each size (Halton's sequence), up to what the steps of the profile ask for. Outputs are made
again in each call, as in a step. `hot` operands are those of the call before; others take turns, over more memory the colder they are:
`cold` over more than any cache holds. `Chain` is a step of layers too small to compute anything: what is left is the framework.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from types import FunctionType
from typing import Any, cast

import pytest
import torch
from torch.nn import functional

from harness import Bench, Call, Sweep, Workload, check_dtype, check_one_of, check_positive, precision_of

aten: Any = torch.ops.aten
YES, NO = True, False  # for operators that take them by place
Tensors = tuple[torch.Tensor, ...]

# Operands take turns over so many bytes; more sets than this are not made.
TEMPERATURES = {"hot": 0, "warm": 16 << 20, "cool": 40 << 20, "cold": 128 << 20}
MOST_SETS = 64


@dataclass(frozen=True)
class Calibration(Workload):
    """One call of one operator. `how` names the operator, or its layout."""

    calibrates = True
    effort = 0.25

    dtype: str
    how: str
    temperature: str

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)
        check_one_of("temperature", self.temperature, TEMPERATURES)

    @property
    def family(self) -> str:
        return f"calibrate-{super().family}"

    def context(self) -> AbstractContextManager[object]:
        """Float32 means IEEE, on a GPU too; no gradients are recorded."""
        return precision_of(self.dtype)

    def prepare(self, device: torch.device) -> Call:
        """One set of random operands, or as many sets as exceed every cache."""
        first = self.operands(device)
        size = sum(operand.nbytes for operand in first)
        count = min(MOST_SETS, 1 + TEMPERATURES[self.temperature] // max(1, size))
        turns = cycle([first, *(tuple(operand.clone() for operand in first) for _ in range(count - 1))])
        run = self.operator()

        def call() -> torch.Tensor:
            return run(*next(turns))

        return call

    @abstractmethod
    def operands(self, device: torch.device) -> Tensors:
        """A set of operands."""

    @abstractmethod
    def operator(self) -> Callable[..., torch.Tensor]:
        """The operator, as a function of a set."""

    def random(self, device: torch.device, *shape: int) -> torch.Tensor:
        """Normal, in the dtype of the workload."""
        return torch.randn(shape, device=device).to(getattr(torch, self.dtype))


@dataclass(frozen=True)
class Gemm(Calibration):
    """(m, k) x (k, n). `how`: nn as it lies, nt with the second transposed (a layer forward), tn with the first (its weight's gradient)."""

    m: int
    n: int
    k: int

    def operands(self, device: torch.device) -> Tensors:
        a = (self.k, self.m) if self.how == "tn" else (self.m, self.k)
        b = (self.n, self.k) if self.how == "nt" else (self.k, self.n)
        return self.random(device, *a), self.random(device, *b)

    def operator(self) -> Callable[..., torch.Tensor]:
        match self.how:
            case "tn":
                return lambda a, b: torch.mm(a.t(), b)
            case "nt":
                return lambda a, b: torch.mm(a, b.t())
        return torch.mm


@dataclass(frozen=True)
class Bmm(Calibration):
    """`batch` products, of (m, k) and (k, n); `how` as for one."""

    batch: int
    m: int
    n: int
    k: int

    def operands(self, device: torch.device) -> Tensors:
        b = (self.n, self.k) if self.how == "nt" else (self.k, self.n)
        return self.random(device, self.batch, self.m, self.k), self.random(device, self.batch, *b)

    def operator(self) -> Callable[..., torch.Tensor]:
        return (lambda a, b: torch.bmm(a, b.transpose(1, 2))) if self.how == "nt" else torch.bmm


@dataclass(frozen=True)
class Conv(Calibration):
    """An image of `size` x `size`, padded so that it keeps its size at stride 1. `how`: forward or backward, with -depthwise for one group a channel."""

    batch: int
    inputs: int
    outputs: int
    size: int
    kernel: int
    stride: int

    @property
    def _groups(self) -> int:
        return self.inputs if "depthwise" in self.how else 1

    def operands(self, device: torch.device) -> Tensors:
        x = self.random(device, self.batch, self.inputs, self.size, self.size)
        weight = self.random(device, self.outputs, self.inputs // self._groups, self.kernel, self.kernel)
        if "forward" in self.how:
            return x, weight
        return self.random(device, *self._convolve(x, weight).shape), x, weight

    def _convolve(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, weight, None, self.stride, self.kernel // 2, 1, self._groups)

    def operator(self) -> Callable[..., torch.Tensor]:
        if "forward" in self.how:
            return self._convolve
        plain = ([self.stride] * 2, [self.kernel // 2] * 2, [1, 1], False, [0, 0], self._groups)

        def backward(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            made = aten.convolution_backward(gradient, x, weight, None, *plain, [True, True, False])
            return cast("torch.Tensor", made[0])

        return backward


@dataclass(frozen=True)
class Attention(Calibration):
    """Fused attention of `heads` heads of 64, each position attending to those before it (`causal`) or to all (`full`), forward or backward.

    As many `queries` as keys, or one, as in decoding.
    """

    batch: int
    heads: int
    sequence: int
    queries: int

    def operands(self, device: torch.device) -> Tensors:
        lengths = (self.queries, self.sequence, self.sequence, self.queries)
        return tuple(self.random(device, self.batch, self.heads, length, 64) for length in lengths)

    def operator(self) -> Callable[..., torch.Tensor]:
        attend, causal = functional.scaled_dot_product_attention, "causal" in self.how
        if "forward" in self.how:
            return lambda q, k, v, _: attend(q, k, v, is_causal=causal)
        graphs: dict[int, Tensors] = {}

        def backward(
            q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, gradient: torch.Tensor
        ) -> torch.Tensor:
            if id(q) not in graphs:
                leaves = [one.detach().requires_grad_() for one in (q, k, v)]
                graphs[id(q)] = (*leaves, attend(leaves[0], leaves[1], leaves[2], is_causal=causal))
            *inputs, output = graphs[id(q)]
            return torch.autograd.grad(output, inputs, gradient, retain_graph=True)[0]

        return backward


@dataclass(frozen=True)
class Rows(Calibration):
    """Operators over rows of `width`: normalizations of layers, softmax, sums; forward and backward."""

    rows: int
    width: int

    def operands(self, device: torch.device) -> Tensors:
        x = self.random(device, self.rows, self.width)
        match self.how:
            case "layer_norm" | "layer_norm_backward":
                weight, bias = self.random(device, self.width), self.random(device, self.width)
                mean, deviation = x.float().mean(1, keepdim=True), torch.ones(self.rows, 1, device=device)
                return x, x.clone(), weight, bias, mean, deviation
        return x, x.clone()

    def operator(self) -> Callable[..., torch.Tensor]:
        width, dtype = self.width, getattr(torch, self.dtype)
        operators: dict[str, Callable[..., Any]] = {
            "layer_norm": lambda x, _, weight, bias, *__: aten.native_layer_norm(
                x, [width], weight, bias, 1e-5
            )[0],
            "layer_norm_backward": lambda x, g, weight, bias, mean, deviation: (
                aten.native_layer_norm_backward(
                    g, x, [width], mean, deviation, weight, bias, [True, True, True]
                )[0]
            ),
            "softmax": lambda x, _: aten._softmax(x, 1, NO),  # noqa: SLF001 - an operator's name
            "log_softmax": lambda x, _: aten._log_softmax(x, 1, NO),  # noqa: SLF001
            "log_softmax_backward": lambda x, g: aten._log_softmax_backward_data(g, x, 1, dtype),  # noqa: SLF001
            "sum_rows": lambda x, _: x.sum(0),
            "sum": lambda x, _: x.sum(1),
            "mean": lambda x, _: x.mean(1, keepdim=True),
        }
        return operators[self.how]


@dataclass(frozen=True)
class Image(Calibration):
    """Operators over images: normalization of batches, pooling; forward and backward."""

    batch: int
    channels: int
    size: int

    def operands(self, device: torch.device) -> Tensors:
        x = self.random(device, self.batch, self.channels, self.size, self.size)
        per_channel = tuple(torch.ones(self.channels, device=device) for _ in range(5))
        if "pool_backward" in self.how:
            y, chosen = aten.max_pool2d_with_indices(x, [2, 2], [2, 2])
            return x, torch.ones_like(y), chosen
        return x, x.clone(), *per_channel

    def operator(self) -> Callable[..., torch.Tensor]:
        operators: dict[str, Callable[..., Any]] = {
            "batch_norm": lambda x, _, a, b, mean, variance, __: aten.native_batch_norm(
                x, a, b, mean, variance, YES, 0.1, 1e-5
            )[0],
            "batch_norm_inference": lambda x, _, a, b, mean, variance, __: aten.native_batch_norm(
                x, a, b, mean, variance, NO, 0.1, 1e-5
            )[0],
            "batch_norm_backward": lambda x, g, a, *s: aten.native_batch_norm_backward(
                g, x, a, s[1], s[2], s[1], s[3], YES, 1e-5, [True, True, True]
            )[0],
            "max_pool": lambda x, *_: aten.max_pool2d_with_indices(x, [2, 2], [2, 2])[0],
            "avg_pool": lambda x, *_: aten.avg_pool2d(x, [3, 3], [1, 1], [1, 1]),
            "max_pool_backward": lambda x, g, chosen: aten.max_pool2d_with_indices_backward(
                g, x, [2, 2], [2, 2], [0, 0], [1, 1], NO, chosen
            ),
        }
        return operators[self.how]


@dataclass(frozen=True)
class Pointwise(Calibration):
    """Operators that work element by element, on n elements; those that copy them too."""

    n: int

    def operands(self, device: torch.device) -> Tensors:
        # Positive, and not much below one: roots are real, and no chain of updates leaves the normal numbers.
        return tuple(0.5 + torch.rand(self.n, device=device).to(getattr(torch, self.dtype)) for _ in range(3))

    def operator(self) -> Callable[..., torch.Tensor]:
        other = torch.bfloat16 if self.dtype == "float32" else torch.float32
        operators: dict[str, Callable[..., Any]] = {
            "add": lambda a, b, _: a + b,
            "add_": lambda a, b, _: a.add_(b, alpha=1e-9),
            "mul": lambda a, b, _: a * b,
            "mul_": lambda a, *_: a.mul_(1.0),
            "lerp_": lambda a, b, _: a.lerp_(b, 0.1),
            "addcmul_": lambda a, b, c: a.addcmul_(b, c, value=1e-9),
            "addcdiv_": lambda a, b, c: a.addcdiv_(b, c, value=1e-9),
            "pow": lambda a, *_: a.pow(3.0),
            "relu": lambda a, *_: a.relu(),
            "threshold_backward": lambda a, b, _: aten.threshold_backward(a, b, 0),
            "gelu": lambda a, *_: functional.gelu(a),
            "gelu_backward": lambda a, b, _: aten.gelu_backward(a, b),
            "tanh": lambda a, *_: a.tanh(),
            "silu": lambda a, *_: functional.silu(a),
            "sqrt": lambda a, *_: a.sqrt(),
            "div": lambda a, *_: a / 3.0,
            "clone": lambda a, *_: a.clone(),
            "cast": lambda a, *_: a.to(other),
            "cat": lambda a, b, _: torch.cat((a, b)),
        }
        return operators[self.how]


@dataclass(frozen=True)
class Lookup(Calibration):
    """The rows of random `tokens` out of a table, and their gradients into one of zeros."""

    vocabulary: int
    width: int
    tokens: int

    def operands(self, device: torch.device) -> Tensors:
        ids = torch.randint(self.vocabulary, (self.tokens,), device=device)
        if self.how == "embedding_backward":
            return self.random(device, self.tokens, self.width), ids
        return self.random(device, self.vocabulary, self.width), ids

    def operator(self) -> Callable[..., torch.Tensor]:
        operators: dict[str, Callable[..., Any]] = {
            "embedding": aten.embedding,
            "index": lambda table, ids: table[ids],
            "embedding_backward": lambda g, ids: aten.embedding_dense_backward(
                g, ids, self.vocabulary, -1, NO
            ),
        }
        return operators[self.how]


class _Block(torch.nn.Module):
    """A bit of everything that models are made of, `width` units wide."""

    def __init__(self, width: int, device: torch.device) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width, device=device)
        self.into = torch.nn.Linear(width, 3 * width, device=device)
        self.out = torch.nn.Linear(width, width, device=device)
        self.gate = torch.nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalizes, attends by hand, and adds."""
        q, k, v = self.into(self.norm(x)).view(1, 4, 3, 2, -1).permute(2, 0, 3, 1, 4).unbind()
        mixed = torch.softmax(0.5 * q @ k.transpose(-1, -2), -1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        gated: torch.Tensor = self.gate(x).mean(-1, keepdim=True)
        return x + gated


@dataclass(frozen=True)
class Chain(Calibration):
    """`depth` blocks of `width` units on 4 rows. `how`: inference, training without an update, or a step with an optimizer.

    `calls` more functions of Python are called by each block, as the layers of some libraries do.
    """

    stateful = True

    depth: int
    width: int
    calls: int

    def operands(self, device: torch.device) -> Tensors:
        return (torch.randn(1, 4, self.width, device=device),)

    def operator(self) -> Callable[..., torch.Tensor]:
        raise NotImplementedError

    def prepare(self, device: torch.device) -> Call:
        """A model that computes next to nothing."""
        model = torch.nn.Sequential(*(_Block(self.width, device) for _ in range(self.depth)))
        (x,) = self.operands(device)
        for block in model:
            block.register_forward_pre_hook(lambda *_: _library(self.calls))
        if self.how == "inference":
            model.eval()
            return torch.inference_mode()(lambda: cast("torch.Tensor", model(x)))
        parameters = list(model.parameters())
        if self.how == "training":
            return lambda: torch.autograd.grad(model(x).sum(), parameters)[0]
        update: torch.optim.Optimizer = (
            torch.optim.AdamW(parameters)
            if self.how == "adamw"
            else torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)
        )

        def step() -> torch.Tensor:
            update.zero_grad()
            model(x).sum().backward()
            update.step()
            return parameters[0].detach()

        step()
        return step


def _routine(options: dict[str, int], width: int) -> int:
    """What layers of libraries do all day: they look up an option, check it, and choose."""
    chosen = options.get("width", width)
    if not isinstance(chosen, int):
        raise TypeError(chosen)
    return max(chosen, width)


# Copies with code of their own, as the functions of a library have: no two share a place in the cache.
ROUTINES = tuple(
    FunctionType(_routine.__code__.replace(co_name=f"routine{i}"), globals()) for i in range(100)
)


def _library(calls: int) -> None:
    """Calls so many of them."""
    options = {"width": 8}
    for routine in ROUTINES[:calls]:
        routine(options, calls)


def halton(index: int, base: int) -> float:
    """The number `index` of the sequence that fills [0, 1) evenly (Halton, Numerische Mathematik 2, 1960).

    >>> [halton(i, 2) for i in (1, 2, 3)]
    [0.5, 0.25, 0.75]
    """
    fraction, scale = 0.0, 1.0
    while index:
        scale /= base
        fraction += scale * (index % base)
        index //= base
    return fraction


def spread(count: int, *ranges: tuple[int, int], start: int = 1) -> Iterator[tuple[int, ...]]:
    """So many points, evenly spread in the logarithms of all sizes at once, rounded to an eighth of a power of two.

    >>> list(spread(2, (1, 256), (16, 4096)))
    [(16, 104), (4, 640)]
    """
    bases = (2, 3, 5, 7, 11)
    for index in range(start, start + count):
        sizes = []
        for base, (low, high) in zip(bases, ranges, strict=False):
            size = round(low * (high / low) ** halton(index, base))
            grain = max(1, (1 << size.bit_length()) // 16)
            sizes.append(max(low, round(size / grain) * grain))
        yield tuple(sizes)


def gemms(
    dtype: str, count: int, most_flops: float, *, start: int = 1, temperature: str = "hot"
) -> Iterator[Gemm]:
    """Products from vectors to squares, in all three layouts in turn."""
    layouts = cycle(("nt", "nn", "tn"))
    ranges = ((1, 4096), (16, 4096), (16, 4096))
    for m, n, k in spread(4 * count, *ranges, start=start):
        if count and 2 * m * n * k <= most_flops:
            yield Gemm(dtype, next(layouts), temperature, m, n, k)
            count -= 1


def convolutions(dtype: str, count: int, most_flops: float, *, start: int = 1) -> Iterator[Conv]:
    """Images of 7 to 112 pixels, 1 x 1 to 7 x 7 kernels, forward and backward."""
    kernels = cycle((3, 1, 3, 3, 1, 5, 3, 1, 7))
    strides = cycle((1, 1, 2, 1))
    ranges = ((1, 16), (16, 512), (32, 512), (7, 112))
    for batch, inputs, outputs, size in spread(8 * count, *ranges, start=start):
        kernel = next(kernels)
        if count and 2 * batch * inputs * outputs * (size * kernel) ** 2 <= most_flops:
            stride = next(strides)
            for how in ("forward", "backward"):
                yield Conv(dtype, how, "hot", batch, inputs, outputs, size, kernel, stride)
            count -= 1


def depthwise(dtype: str, *sizes: tuple[int, int, int]) -> Iterator[Conv]:
    """Batch, channels and size; forward and backward."""
    for batch, channels, size in sizes:
        for how in ("forward-depthwise", "backward-depthwise"):
            yield Conv(dtype, how, "hot", batch, channels, channels, size, 3, 1)


def attentions(dtype: str, *sizes: tuple[int, int, int]) -> Iterator[Attention]:
    """Batch, heads and sequence, forward and backward, full and causal in turn."""
    masks = cycle(("full", "causal"))
    for size in sizes:
        mask = next(masks)
        for how in (f"forward_{mask}", f"backward_{mask}"):
            yield Attention(dtype, how, "hot", *size, size[2])


def pointwise(dtype: str, hows: Iterable[str], *sizes: int, temperature: str = "hot") -> Iterator[Pointwise]:
    """Operators in turn over the sizes."""
    for how in hows:
        for n in sizes:
            yield Pointwise(dtype, how, temperature, n)


def over(
    kind: type[Any], hows: Iterable[str], *sizes: tuple[int, ...], dtype: str = "float32"
) -> Iterator[Workload]:
    """Every operator in every size."""
    for how in hows:
        for size in sizes:
            yield kind(dtype, how, "hot", *size)


SIMPLE = ("add", "mul_", "lerp_", "addcmul_", "addcdiv_", "relu", "threshold_backward")
COSTLY = ("gelu", "tanh", "sqrt", "div", "gelu_backward", "pow")
COPIES = ("clone", "cast", "cat")
NORMS = ("layer_norm", "layer_norm_backward")
SOFTMAXES = ("softmax", "log_softmax", "log_softmax_backward")
SUMS = ("sum_rows", "mean")
BATCH_NORMS = ("batch_norm", "batch_norm_backward", "batch_norm_inference")
POOLS = ("max_pool", "max_pool_backward", "avg_pool")
LOOKUPS = ("embedding", "embedding_backward", "index")
# Batch, inputs, outputs, size, kernel, stride of the last layers of networks: few pixels, many weights.
SMALL_IMAGES = (
    *((3, 384, 1536, 2, 1, 1), (2, 1536, 384, 2, 1, 1), (4, 640, 320, 3, 1, 1), (1, 768, 192, 4, 1, 1)),
    *((2, 384, 384, 3, 3, 1), (1, 192, 384, 4, 3, 2), (1, 448, 448, 2, 3, 1), (5, 384, 448, 2, 3, 1)),
    *((12, 320, 320, 2, 3, 1), (3, 224, 224, 4, 3, 1), (2, 160, 320, 8, 3, 2), (6, 768, 160, 5, 1, 1)),
)
CHAINS = ("inference", "training", "adamw", "momentum")


def calibration(
    dtype: str, flops: float, *, gemm: int, conv: int, start: int, elements: tuple[int, ...]
) -> Iterator[Workload]:
    """The matrix operators of a dtype up to so many FLOPs, and what works on elements of it."""
    yield from gemms(dtype, gemm, flops, start=start)
    yield from convolutions(dtype, conv, flops, start=start)
    for batch, m, n, k in spread(max(4, gemm // 4), (2, 64), (1, 512), (32, 512), (32, 512), start=start):
        yield Bmm(dtype, "nt" if m % 2 else "nn", "hot", batch, m, n, k)
    yield from pointwise(dtype, ("add", "gelu", "clone", "cast"), *elements)


WORKLOADS = Sweep(
    quick=[
        *gemms("float32", 30, 2e9),
        *gemms("float32", 5, 2e9, start=200, temperature="cold"),
        *(
            Gemm("float32", how, "cold", m, 3072, 6144)
            for how, m in (("nt", 1), ("nn", 1), ("nt", 3), ("nn", 5))
        ),
        *(Gemm("float32", "nt", "hot", 1, n, k) for n, k in ((192, 96), (768, 320), (3072, 1536))),
        *(
            Gemm("float32", "tn", "hot", m, n, k)
            for m, n, k in ((96, 768, 1), (1536, 3072, 1), (3072, 6144, 2))
        ),
        *gemms("bfloat16", 12, 2e9, start=100),
        *(
            Bmm("float32", how, "hot", b, m, n, k)
            for how, b, m, n, k in (
                ("nn", 8, 128, 64, 96),
                ("nt", 16, 96, 96, 64),
                ("nn", 32, 256, 64, 256),
                ("nn", 4, 16, 64, 32),
                ("nt", 2, 1, 512, 256),
                ("nn", 12, 192, 384, 512),
            )
        ),
        *convolutions("float32", 13, 8e8),
        *(Conv("float32", how, "hot", *shape) for how in ("forward", "backward") for shape in SMALL_IMAGES),
        *depthwise("float32", (2, 48, 28), (4, 96, 14), (1, 192, 56)),
        *attentions("float32", (1, 2, 96), (2, 3, 192), (4, 6, 96), (3, 4, 320), (8, 3, 48)),
        *(
            Attention("float32", "forward_full", "hot", batch, 4, keys, 1)
            for batch, keys in ((1, 192), (6, 768), (1, 3072))
        ),
        *attentions("bfloat16", (1, 3, 192), (2, 4, 320), (4, 4, 96)),
        *over(Rows, NORMS, (96, 192), (768, 320), (3072, 384)),
        *over(Rows, SOFTMAXES, (64, 12), (3072, 12), (192, 1536), (768, 6144)),
        *over(Rows, SUMS, (64, 12), (6144, 96), (384, 768), (1536, 3072)),
        *over(Image, BATCH_NORMS, (2, 48, 14), (4, 96, 28), (2, 384, 28)),
        *over(Image, POOLS, (2, 96, 6), (2, 96, 14), (4, 48, 56)),
        *pointwise("float32", SIMPLE, 300, 20_000, 700_000),
        *pointwise("float32", ("add", "mul_"), 5_000_000),
        *pointwise("float32", COSTLY, 300, 20_000, 700_000),
        *pointwise("float32", COPIES, 300, 20_000, 700_000),
        *pointwise("float32", ("add", "mul_", "clone"), 300_000, temperature="warm"),
        *pointwise("float32", ("add", "mul_"), 300_000, temperature="cool"),
        *pointwise("float32", ("add", "mul_", "sqrt", "clone"), 300_000, 3_000_000, temperature="cold"),
        Pointwise("float32", "add", "hot", 12_000_000),
        *pointwise("bfloat16", ("add", "silu", "cast"), 20_000, 700_000),
        *over(Lookup, LOOKUPS, (3072, 192, 96), (6144, 384, 768)),
        *over(Chain, CHAINS, (6, 8, 1), (6, 8, 100), (8, 256, 1)),
        *over(Chain, ("inference", "training"), (8, 256, 100)),
    ],
    standard=[
        *calibration("float32", 2e10, gemm=24, conv=10, start=400, elements=(3_000_000, 30_000_000)),
        *calibration("bfloat16", 2e10, gemm=24, conv=6, start=500, elements=(300, 3_000_000)),
        *attentions("float32", (4, 8, 384), (2, 8, 768), (1, 8, 1536)),
        *attentions("bfloat16", (4, 8, 384), (2, 8, 768), (1, 8, 1536)),
        *over(Rows, (*NORMS, *SOFTMAXES), (1536, 768), (1536, 24576)),
        *over(Image, (*BATCH_NORMS, *POOLS), (8, 96, 56)),
        *over(Lookup, LOOKUPS, (24576, 768, 3072)),
    ],
    full=[
        *calibration("float32", 2e12, gemm=24, conv=10, start=600, elements=(100_000_000,)),
        *calibration("bfloat16", 2e13, gemm=48, conv=16, start=700, elements=(30_000_000, 200_000_000)),
        *attentions("bfloat16", (8, 12, 1024), (4, 12, 3072), (16, 16, 768)),
        *over(Rows, (*NORMS, *SOFTMAXES), (12288, 768), (12288, 24576), dtype="bfloat16"),
        *over(Image, (*BATCH_NORMS, *POOLS), (64, 96, 112), dtype="bfloat16"),
        *over(Lookup, LOOKUPS, (49152, 1536, 12288)),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_calibration(workload: Workload, bench: Bench) -> None:
    bench(workload)
