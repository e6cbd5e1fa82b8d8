"""Dense matrix multiplication: C[m, n] = A[m, k] @ B[k, n].

m rows of A and C (tokens), k the contracted dimension (inputs), n columns of B and C (outputs).
The product is written into a C made beforehand: on a CPU a fresh output of more than 32 MiB costs
page faults that have nothing to do with the product.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import ScalingType, scaled_mm

from harness import (
    ITEM_BYTES,
    Bench,
    Call,
    Cost,
    Series,
    Sweep,
    Unsupported,
    Workload,
    check_dtype,
    check_positive,
    precision_of,
    require_tf32,
)


@dataclass(frozen=True)
class Matmul(Workload):
    """One product. `dtype` is that of A and B.

    An FP8 product is scaled by the tensor and writes bfloat16, with fast accumulation where there is
    one (the usual choice for forward passes).
    """

    dtype: str
    m: int
    n: int
    k: int

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)

    def cost(self) -> Cost:
        """2mnk FLOPs; A and B read once, C written once."""
        inputs = ITEM_BYTES[self.dtype] * (self.m * self.k + self.k * self.n)
        output = ITEM_BYTES[self._output_dtype] * self.m * self.n
        return Cost(
            flops=2 * self.m * self.n * self.k,
            bytes_read=inputs,
            bytes_written=output,
            memory_bytes=inputs + output,
        )

    def series(self) -> Series | None:
        """Square products form a sweep in n; the work grows as n^3."""
        if not self.m == self.n == self.k:
            return None
        return Series(name=f"matmul-{self.dtype}-square", variable="n", size=self.n, exponent=3.0)

    def context(self) -> AbstractContextManager[object]:
        """TF32 is a switch, not a storage type."""
        return precision_of(self.dtype)

    def prepare(self, device: torch.device) -> Call:
        """Random normal A and B. Rounding to a narrow dtype happens once, here."""
        if self.dtype == "tf32":
            require_tf32(device)
        if self.dtype == "float8_e4m3fn":
            return self._prepare_fp8(device)
        dtype = getattr(torch, "float32" if self.dtype == "tf32" else self.dtype)
        a = torch.randn(self.m, self.k, device=device).to(dtype)
        b = torch.randn(self.k, self.n, device=device).to(dtype)
        c = torch.empty(self.m, self.n, device=device, dtype=dtype)
        return lambda: torch.mm(a, b, out=c)

    def _prepare_fp8(self, device: torch.device) -> Call:
        if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
            raise Unsupported("FP8 needs an NVIDIA GPU of compute capability 8.9 or later")
        a = torch.randn(self.m, self.k, device=device).to(torch.float8_e4m3fn)
        b = torch.randn(self.n, self.k, device=device).to(torch.float8_e4m3fn).t()
        one = torch.ones((), device=device)
        tensorwise = ScalingType.TensorWise
        return lambda: scaled_mm(
            a, b, one, tensorwise, one, tensorwise, output_dtype=torch.bfloat16, use_fast_accum=True
        )

    @property
    def _output_dtype(self) -> str:
        return "bfloat16" if self.dtype == "float8_e4m3fn" else self.dtype


def square(dtypes: tuple[str, ...], *sizes: int) -> list[Matmul]:
    """Square products."""
    return [Matmul(dtype, n, n, n) for dtype in dtypes for n in sizes]


def rectangular(dtypes: tuple[str, ...], *shapes: tuple[int, int, int]) -> list[Matmul]:
    """Products by (m, n, k)."""
    return [Matmul(dtype, *shape) for dtype in dtypes for shape in shapes]


# Everywhere; where the device has them (a dtype that runs but crawls is skipped by its rate).
MAIN = ("float32", "bfloat16")
NARROW = ("float16", "tf32", "float8_e4m3fn")

TALL, WIDE = (16384, 128, 512), (128, 16384, 512)
# An LLM's projection, tokens x hidden -> 4 hidden and back, and one token of it: a vector.
UP, DOWN = (512, 4096, 1024), (512, 1024, 4096)
VECTOR_UP, VECTOR_DOWN = (1, 4096, 1024), (1, 1024, 4096)
LLM_7B = ((2048, 11008, 4096), (2048, 4096, 11008), (1, 11008, 4096), (1, 4096, 11008))

WORKLOADS = Sweep(
    # Not powers of two alone: a leading dimension of 1000 or 1023 is another kernel path than 1024.
    quick=[
        *square(MAIN, 64, 128, 256, 384, 512, 1000, 1023, 1024, 1536, 2048),
        *rectangular(MAIN, TALL, UP, DOWN, VECTOR_UP, VECTOR_DOWN),
        *square(NARROW, 512, 1024),
    ],
    standard=[
        *square(MAIN, 96, 192, 768, 3072, 4096),
        *rectangular(MAIN, WIDE, *LLM_7B),
        *square(NARROW, 64, 128, 256, 2048, 4096),
        *rectangular(NARROW, UP, DOWN, VECTOR_UP, VECTOR_DOWN),
    ],
    full=[
        *square(MAIN, 320, 640, 1280, 2560, 5120, 6144, 8192),
        *square(NARROW, 8192),
        *rectangular(NARROW, TALL, WIDE, *LLM_7B),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_matmul(workload: Matmul, bench: Bench) -> None:
    bench(workload)
