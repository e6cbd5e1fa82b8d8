"""Memory bandwidth: copy, triad and reduction over working sets from L1 to main memory.

n elements an array. Bytes are counted as STREAM counts them (McCalpin, 1995): what the program
reads and writes, without the line a plain store reads before it writes.
"""

from dataclasses import dataclass

import pytest
import torch

from harness import (
    ITEM_BYTES,
    Bench,
    Call,
    Cost,
    Series,
    Sweep,
    Workload,
    check_dtype,
    check_positive,
    powers_of_two,
)

# Random data in main memory is made by repeating this many random elements: the generator alone
# would take longer than the measurement.
PATTERN = 1 << 16


def random_vector(n: int, dtype: str, device: torch.device) -> torch.Tensor:
    """A vector of n normal elements that repeats after `PATTERN` of them."""
    pattern = torch.randn(min(n, PATTERN), device=device).to(getattr(torch, dtype))
    vector = torch.empty(n, device=device, dtype=pattern.dtype)
    whole = n - n % len(pattern)
    vector[:whole].view(-1, len(pattern)).copy_(pattern)
    vector[whole:].copy_(pattern[: n - whole])
    return vector


@dataclass(frozen=True)
class Streaming(Workload):
    """An operation that passes once over arrays of n elements."""

    dtype: str
    n: int

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_positive(self)

    @property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return ITEM_BYTES[self.dtype]

    def series(self) -> Series | None:
        """All sizes form one sweep in n; within a memory level the time grows as n."""
        return Series(name=f"{self.family}-{self.dtype}", variable="n", size=self.n, exponent=1.0)


class Copy(Streaming):
    """b = a."""

    def cost(self) -> Cost:
        """One array read, one written."""
        array = self.item_bytes * self.n
        return Cost(bytes_read=array, bytes_written=array, memory_bytes=2 * array)

    def prepare(self, device: torch.device) -> Call:
        a = random_vector(self.n, self.dtype, device)
        b = torch.zeros_like(a)
        return lambda: b.copy_(a)


class Triad(Streaming):
    """a = b + 3 c."""

    def cost(self) -> Cost:
        """Two arrays read, one written; a multiplication and an addition per element."""
        array = self.item_bytes * self.n
        return Cost(
            elementwise_flops=2 * self.n, bytes_read=2 * array, bytes_written=array, memory_bytes=3 * array
        )

    def prepare(self, device: torch.device) -> Call:
        b = random_vector(self.n, self.dtype, device)
        c = random_vector(self.n, self.dtype, device)
        a = torch.zeros_like(b)
        return lambda: torch.add(b, c, alpha=3.0, out=a)


class Reduction(Streaming):
    """s = the sum over a."""

    def cost(self) -> Cost:
        """One array read, one element written; n - 1 additions."""
        array = self.item_bytes * self.n
        return Cost(
            elementwise_flops=self.n - 1,
            bytes_read=array,
            bytes_written=self.item_bytes,
            memory_bytes=array + self.item_bytes,
        )

    def prepare(self, device: torch.device) -> Call:
        a = random_vector(self.n, self.dtype, device)
        s = torch.zeros((), device=device, dtype=a.dtype)
        return lambda: torch.sum(a, dim=0, out=s)


KINDS = (Copy, Triad, Reduction)


def over(*sizes: int, kinds: tuple[type[Streaming], ...] = KINDS) -> list[Streaming]:
    """The operations with arrays of n float32 elements each."""
    return [kind("float32", n) for kind in kinds for n in sizes]


# Arrays of 8 KiB (three fit any L1) to 512 MiB; 1 GiB in standard, 4 GiB in full.
WORKLOADS = Sweep(
    quick=[
        *over(*powers_of_two(2**13, 2**25)[::4]),
        *over(*powers_of_two(2**11, 2**23)[::4], kinds=(Triad,)),
    ],
    standard=over(*powers_of_two(2**11, 2**28)),
    full=over(*powers_of_two(2**10, 2**30)),
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_bandwidth(workload: Streaming, bench: Bench) -> None:
    bench(workload)
