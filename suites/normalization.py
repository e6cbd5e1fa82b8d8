"""Normalizations, softmax and cross entropy: operators that reduce rows.

Forward or backward; a backward call gives all gradients of a forward pass done beforehand. Bytes are the operands of
one fused kernel, each once. Elementwise FLOPs are those of a plain implementation, counted beside each formula.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional

from harness import (
    ITEM_BYTES,
    Bench,
    Call,
    Cost,
    Series,
    Sweep,
    Workload,
    check_dtype,
    check_one_of,
    check_positive,
)

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Differentiable(Workload):
    """An operation, or the gradients of all its inputs."""

    dtype: str
    direction: str

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)
        check_one_of("direction", self.direction, DIRECTIONS)

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return ITEM_BYTES[self.dtype]

    @property
    def backward(self) -> bool:
        """Whether the gradients are measured."""
        return self.direction == "backward"

    def _random(self, *shape: int, device: torch.device) -> torch.Tensor:
        """Random normal; a backward call asks for its gradient."""
        dtype = getattr(torch, self.dtype)
        return torch.randn(*shape, device=device, dtype=dtype, requires_grad=self.backward)

    def _call(self, forward: Call, inputs: Sequence[torch.Tensor]) -> Call:
        """The forward pass, or the gradients of what it gave once."""
        if not self.backward:
            return forward
        output = forward()
        gradient = torch.randn_like(output)
        return lambda: torch.autograd.grad(output, inputs, gradient, retain_graph=True)[0]

    def _cost(self, flops: int, read: int, written: int, held: int) -> Cost:
        """Bytes from counts of elements; `held` are those in memory before the call, beside what it writes."""
        item = self.item_bytes
        return Cost(
            elementwise_flops=flops,
            bytes_read=item * read,
            bytes_written=item * written,
            memory_bytes=item * (held + written),
        )


@dataclass(frozen=True)
class Rows(Differentiable):
    """Over each of `rows` rows of `width` elements."""

    rows: int
    width: int

    @property
    def size(self) -> int:
        """Elements."""
        return self.rows * self.width

    def series(self) -> Series:
        """Rows of a width form a sweep; within a memory level the time grows with them."""
        return Series(
            f"{self.family}-{self.dtype}-{self.direction}-width{self.width}", "rows", self.rows, 1.0
        )

    @abstractmethod
    def prepare(self, device: torch.device) -> Call: ...


class Softmax(Rows):
    """Forward into an output made beforehand."""

    def cost(self) -> Cost:
        """Maximum, subtract, exponential, sum, divide: 5. Backward, of output and gradient: a product, a sum, 2 more."""
        n = self.size
        if self.backward:
            return self._cost(4 * n, read=2 * n, written=n, held=3 * n)
        return self._cost(5 * n, read=n, written=n, held=n)

    def prepare(self, device: torch.device) -> Call:
        x = self._random(self.rows, self.width, device=device)
        if self.backward:
            return self._call(lambda: torch.softmax(x, 1), [x])
        out = torch.zeros_like(x)
        softmax = torch.ops.aten._softmax.out  # noqa: SLF001 - the operator's name
        return lambda: softmax(x, 1, False, out=out)  # noqa: FBT003


class LayerNorm(Rows):
    """With weight and bias; mean and deviation of each row are kept."""

    def cost(self) -> Cost:
        """Mean, centre, square, add, scale, weight and bias: 7.

        Backward: the normalised input again (2), times weight (1), two sums with a product and three to combine
        them (7), and the gradients of weight and bias (3).
        """
        n, width, stats = self.size, self.width, 2 * self.rows
        if self.backward:
            return self._cost(
                13 * n,
                read=2 * n + stats + 2 * width,
                written=n + 2 * width,
                held=3 * n + stats + 2 * width,
            )
        return self._cost(7 * n, read=n + 2 * width, written=n + stats, held=n + 2 * width)

    def prepare(self, device: torch.device) -> Call:
        x = self._random(self.rows, self.width, device=device)
        weight, bias = (self._random(self.width, device=device) for _ in range(2))
        return self._call(lambda: functional.layer_norm(x, (self.width,), weight, bias), [x, weight, bias])


class RMSNorm(Rows):
    """With weight (Zhang and Sennrich, arXiv 1910.07467).

    Counted as one fused kernel, which a GPU has. A CPU composes it of six operators, its backward pass of fourteen, and
    takes more memory and traffic: three and nine tensors of the input's size, in float32 whatever the dtype.
    """

    def cost(self) -> Cost:
        """Square, add, scale, weight: 4. Backward: the normalised input (1), times weight and 5, weight's gradient (2)."""
        n, width, rows = self.size, self.width, self.rows
        if self.backward:
            return self._cost(9 * n, read=2 * n + rows + width, written=n + width, held=3 * n + rows + width)
        return self._cost(4 * n, read=n + width, written=n + rows, held=n + width)

    def prepare(self, device: torch.device) -> Call:
        x = self._random(self.rows, self.width, device=device)
        weight = self._random(self.width, device=device)
        return self._call(lambda: functional.rms_norm(x, (self.width,), weight, 1e-6), [x, weight])


class CrossEntropy(Rows):
    """The mean over `rows` tokens, with a vocabulary of `width`; the logarithms of softmax are kept."""

    def cost(self) -> Cost:
        """Of log softmax 5 an element; a value of each row is picked, negated and added.

        Backward: the gradient of the picked values is a tensor of zeros but for one in each row; then as softmax.
        """
        n, rows, item = self.size, self.rows, self.item_bytes
        targets = 8 * rows
        if self.backward:
            return Cost(
                elementwise_flops=4 * n + rows,
                bytes_read=item * (2 * n + 1) + targets,
                bytes_written=item * 2 * n,
                memory_bytes=item * (4 * n + 3) + targets,
            )
        return Cost(
            elementwise_flops=5 * n + 2 * rows,
            bytes_read=item * (n + rows) + targets,
            bytes_written=item * (n + 2),
            memory_bytes=item * (2 * n + 2) + targets,
        )

    def prepare(self, device: torch.device) -> Call:
        x = self._random(self.rows, self.width, device=device)
        targets = torch.randint(self.width, (self.rows,), device=device)
        return self._call(lambda: functional.cross_entropy(x, targets), [x])


@dataclass(frozen=True)
class BatchNorm(Differentiable):
    """In training: over a batch of images, for each channel; running mean and variance follow."""

    batch: int
    channels: int
    size: int

    def cost(self) -> Cost:
        """As layer norm, by channel. Weight, bias and running statistics are read; those and the batch's are written."""
        n, channels, item = self.batch * self.channels * self.size**2, self.channels, self.item_bytes
        if self.backward:
            return self._cost(
                13 * n,
                read=2 * n + 5 * channels,
                written=n + 2 * channels,
                held=3 * n + 6 * channels,
            )
        return Cost(
            elementwise_flops=7 * n,
            bytes_read=item * (n + 4 * channels),
            bytes_written=item * (n + 4 * channels),
            memory_bytes=item * (2 * n + 6 * channels),
        )

    def series(self) -> Series:
        """Images alike form a sweep in their number."""
        name = f"batchnorm-{self.dtype}-{self.direction}-channels{self.channels}-size{self.size}"
        return Series(name, "batch", self.batch, 1.0)

    def prepare(self, device: torch.device) -> Call:
        x = self._random(self.batch, self.channels, self.size, self.size, device=device)
        weight, bias = (self._random(self.channels, device=device) for _ in range(2))
        mean = torch.zeros(self.channels, device=device, dtype=x.dtype)
        variance = torch.ones_like(mean)
        return self._call(
            lambda: functional.batch_norm(x, mean, variance, weight, bias, training=True), [x, weight, bias]
        )


def over(
    kind: type[Rows], dtypes: Sequence[str], directions: Sequence[str], width: int, *rows: int
) -> Iterator[Rows]:
    """An operation in each dtype and direction, with rows of a width."""
    return (kind(dtype, direction, n, width) for dtype in dtypes for direction in directions for n in rows)


DTYPES = ("float32", "bfloat16")
ROWS = (Softmax, LayerNorm, RMSNorm)
ONE = ("float32",)

WORKLOADS = Sweep(
    # Tensors of 1 MiB, for a cache, to 64 MiB, for main memory.
    quick=[
        *over(Softmax, ONE, ("forward",), 1024, 256, 1024, 8192),
        *over(LayerNorm, ONE, ("forward",), 1024, 1024, 4096),
        *over(LayerNorm, ("bfloat16",), ("forward",), 1024, 1024),
        *over(RMSNorm, ONE, ("forward",), 1024, 1024),
        *(case for kind in ROWS for case in over(kind, ONE, ("backward",), 1024, 1024)),
        BatchNorm("float32", "forward", 4, 64, 56),
        *over(CrossEntropy, ONE, DIRECTIONS, 32000, 128),
    ],
    standard=[
        *(case for kind in ROWS for case in over(kind, DTYPES, DIRECTIONS, 1024, 64, 256, 1024, 4096, 16384)),
        *(case for kind in ROWS for case in over(kind, DTYPES, DIRECTIONS, 4096, 2048)),
        *over(CrossEntropy, DTYPES, DIRECTIONS, 32000, 32, 128, 512, 2048),
        *(
            BatchNorm(dtype, direction, batch, 64, 56)
            for dtype in DTYPES
            for direction in DIRECTIONS
            for batch in (1, 4, 16, 64)
        ),
    ],
    # Rows of an LLM's width up to 4 GiB a tensor, and its logits.
    full=[
        *(case for kind in ROWS for case in over(kind, DTYPES, DIRECTIONS, 8192, 8192, 32768, 131072)),
        *over(CrossEntropy, DTYPES, DIRECTIONS, 131072, 1024, 4096, 8192),
        *(
            BatchNorm(dtype, direction, batch, 64, 112)
            for dtype in DTYPES
            for direction in DIRECTIONS
            for batch in (64, 256, 1024)
        ),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_normalization(workload: Workload, bench: Bench) -> None:
    bench(workload)
