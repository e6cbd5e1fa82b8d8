"""Element by element: addition, activations, rows gathered by an embedding, and AdamW's step.

n elements a tensor. Bytes are each operator's operands, so what stands between two operators counts twice: written,
and read again.
"""

from abc import abstractmethod
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Pointwise(Workload):
    """An operation on tensors of n elements, into one made beforehand."""

    dtype: str
    n: int

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)

    def series(self) -> Series:
        """All sizes form one sweep; within a memory level the time grows as n."""
        return Series(f"{self.family}-{self.dtype}", "n", self.n, 1.0)

    def prepare(self, device: torch.device) -> Call:
        """Two random normal tensors, and room for the output."""
        dtype = getattr(torch, self.dtype)
        a = torch.randn(self.n, device=device, dtype=dtype)
        b = torch.randn(self.n, device=device, dtype=dtype)
        return self._call(a, b, torch.zeros_like(a))

    @abstractmethod
    def _call(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> Call:
        """The operation."""

    def _cost(self, flops: int, reads: int, writes: int, tensors: int) -> Cost:
        """`flops` for each element, and how many tensors are read, written and held."""
        tensor = ITEM_BYTES[self.dtype] * self.n
        return Cost(
            elementwise_flops=flops * self.n,
            bytes_read=reads * tensor,
            bytes_written=writes * tensor,
            memory_bytes=tensors * tensor,
        )


class Add(Pointwise):
    """c = a + b: a residual connection."""

    def cost(self) -> Cost:
        """Two tensors read, one written; an addition."""
        return self._cost(flops=1, reads=2, writes=1, tensors=3)

    def _call(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> Call:
        return lambda: torch.add(a, b, out=out)


class Gelu(Pointwise):
    """b = a/2 (1 + erf(a / sqrt 2))."""

    def cost(self) -> Cost:
        """One tensor read, one written; two multiplications, a division, an addition, the error function."""
        return self._cost(flops=5, reads=1, writes=1, tensors=2)

    def _call(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> Call:
        del b
        gelu = torch.ops.aten.gelu.out
        return lambda: gelu(a, out=out)


class Swiglu(Pointwise):
    """c = silu(a) b, by two operators: the gate of a feed-forward layer (Shazeer, arXiv 2002.05202)."""

    def cost(self) -> Cost:
        """One tensor is read and activated into another; that and b are read, c written over it.

        SiLU is a / (1 + exp(-a)): 4, and the product 1.
        """
        return self._cost(flops=5, reads=3, writes=2, tensors=3)

    def working_set_bytes(self) -> int:
        """Three tensors; one of them is passed over three times."""
        return self.cost().memory_bytes

    def _call(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> Call:
        silu = torch.ops.aten.silu.out

        def call() -> torch.Tensor:
            silu(a, out=out)
            return torch.mul(out, b, out=out)

        return call


@dataclass(frozen=True)
class Embedding(Workload):
    """The rows of random `tokens`, out of a table of `vocabulary` rows of `width` elements."""

    dtype: str
    vocabulary: int
    width: int
    tokens: int

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)

    def cost(self) -> Cost:
        """The ids (8 bytes each) and their rows are read, rows written; the table is in memory, not in the traffic."""
        row = ITEM_BYTES[self.dtype] * self.width
        ids, rows = 8 * self.tokens, row * self.tokens
        return Cost(
            bytes_read=ids + rows,
            bytes_written=rows,
            memory_bytes=row * self.vocabulary + ids + rows,
        )

    def series(self) -> Series:
        """A table's sizes form a sweep; the time grows as the tokens."""
        name = f"embedding-{self.dtype}-vocabulary{self.vocabulary}-width{self.width}"
        return Series(name, "tokens", self.tokens, 1.0)

    def prepare(self, device: torch.device) -> Call:
        """A random normal table, and ids of which each is as likely as any other."""
        table = torch.randn(self.vocabulary, self.width, device=device, dtype=getattr(torch, self.dtype))
        ids = torch.randint(self.vocabulary, (self.tokens,), device=device)
        return lambda: functional.embedding(ids, table)


@dataclass(frozen=True)
class AdamW(Workload):
    """A step of torch.optim.AdamW on `tensors` parameters of n elements; their moments exist before it.

    `kernel` is foreach (nine operators, each over all tensors) or fused (one).
    """

    capturable = False  # a step of the optimizer is counted on the host

    dtype: str
    kernel: str
    tensors: int
    n: int

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)
        check_one_of("kernel", self.kernel, ("foreach", "fused"))

    def cost(self) -> Cost:
        """14 FLOPs a parameter: 3 and 4 for the moments, 3 for the root's denominator, 3 for the step, 1 for decay.

        Fused: parameter, gradient and both moments are read, all but the gradient written. Foreach reads and
        writes them again and again: 12 and 8 tensors in sum, and holds the denominator besides. The number of steps
        is a float32 for each tensor; foreach adds a one to it that is a tensor too.
        """
        each = ITEM_BYTES[self.dtype] * self.n * self.tensors
        steps = 4 * self.tensors
        foreach = self.kernel == "foreach"
        reads, writes, held = (12, 8, 5) if foreach else (4, 3, 4)
        return Cost(
            elementwise_flops=14 * self.n * self.tensors + self.tensors,
            bytes_read=reads * each + steps + (4 if foreach else 0),
            bytes_written=writes * each + steps,
            memory_bytes=held * each + steps,
        )

    def working_set_bytes(self) -> int:
        """What is in memory, though foreach passes over it several times."""
        return self.cost().memory_bytes

    def series(self) -> Series:
        """Cases of equal `tensors` form a sweep; within a memory level the time grows as n."""
        return Series(f"adamw-{self.dtype}-{self.kernel}-tensors{self.tensors}", "n", self.n, 1.0)

    def prepare(self, device: torch.device) -> Call:
        """Random normal parameters and gradients, and one step that makes the moments."""
        dtype = getattr(torch, self.dtype)
        parameters = [torch.randn(self.n, device=device, dtype=dtype) for _ in range(self.tensors)]
        for parameter in parameters:
            parameter.requires_grad_()
            parameter.grad = torch.randn_like(parameter)
        fused = self.kernel == "fused"
        optimizer = torch.optim.AdamW(parameters, lr=1e-5, foreach=not fused, fused=fused)
        optimizer.step()
        first = parameters[0]

        def call() -> torch.Tensor:
            optimizer.step()
            return first.detach()

        return call


def pointwise(kind: type[Pointwise], dtypes: Sequence[str], *sizes: int) -> list[Pointwise]:
    """An operation in each dtype at each size."""
    return [kind(dtype, n) for dtype in dtypes for n in sizes]


def steps(dtypes: Sequence[str], kernels: Sequence[str], tensors: int, *sizes: int) -> list[AdamW]:
    """A step of each kernel in each dtype at each size."""
    return [AdamW(dtype, kernel, tensors, n) for dtype in dtypes for kernel in kernels for n in sizes]


DTYPES = ("float32", "bfloat16")
KERNELS = ("foreach", "fused")
OPERATIONS = (Add, Gelu, Swiglu)
MI, GI = 2**20, 2**30

WORKLOADS = Sweep(
    # Tensors of 256 KiB, for a cache, to 64 MiB, for main memory.
    quick=[
        *pointwise(Add, ("float32",), 2**16, 2**18, 2**21, 2**24),
        *pointwise(Gelu, ("float32",), 2**16, 2**23),
        *pointwise(Gelu, ("bfloat16",), 2**16),
        *pointwise(Swiglu, ("float32",), 2**20),
        Embedding("float32", 32768, 256, 4096),
        *steps(("float32",), KERNELS, 4, 2**15),
        *steps(("float32",), ("fused",), 4, 2**20),
    ],
    standard=[
        *(case for kind in OPERATIONS for case in pointwise(kind, DTYPES, *(4**k for k in range(7, 14)))),
        *(
            Embedding(dtype, vocabulary, width, tokens)
            for dtype in DTYPES
            for vocabulary, width in ((32768, 256), (32768, 1024))
            for tokens in (256, 1024, 4096, 16384)
        ),
        *steps(DTYPES, KERNELS, 4, *(4**k for k in range(7, 13))),
        *steps(DTYPES, KERNELS, 64, 2**14),
    ],
    # Tensors of 1 and 4 GiB; the table of an LLM; the parameters of one with 1 and 4 billion.
    full=[
        *(case for kind in OPERATIONS for case in pointwise(kind, DTYPES, GI // 4, GI)),
        *(Embedding(dtype, 131072, 4096, tokens) for dtype in DTYPES for tokens in (4096, 16384, 65536)),
        *steps(DTYPES, KERNELS, 16, 4 * MI, 64 * MI, 256 * MI),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_elementwise(workload: Workload, bench: Bench) -> None:
    bench(workload)
