"""How fast a core reads memory: the bandwidth of each cache, with nothing else in the way.

The loop adds up what it reads, so that a test can tell it read everything: two loads and two additions
start each cycle on current cores, so the additions cost nothing.
"""

import ctypes
import functools
import mmap
from dataclasses import dataclass, field
from functools import partial

from harness.measure.microkernel import executable, features, x86_64
from harness.measure.microkernel.rates import (
    LEAST_CALL_SECONDS_PER_THREAD,
    REPEATS,
    TRIAL_SECONDS,
    Rate,
    together,
)
from harness.measure.microkernel.timing import timed

# Memory is read in whole blocks of sixteen registers.
BLOCK_BYTES = 16 * 64


@dataclass(frozen=True)
class Reader:
    """A loop that reads memory; `code` is its machine code."""

    name: str
    flags: tuple[str, ...]
    """The flags of /proc/cpuinfo it needs."""
    code: bytes = field(repr=False)

    def read(self, passes: int, memory: mmap.mmap) -> int:
        """Reads all of the memory so many times; the sum of its 64-bit words, modulo 2**64."""
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return executable.read_function(self.code)(passes, address, len(memory) // BLOCK_BYTES * BLOCK_BYTES)


READERS = (
    Reader("read-avx512", ("avx512f",), x86_64.READ_AVX512),
    Reader("read-avx2", ("avx", "avx2"), x86_64.READ_AVX2),
)


@functools.cache
def reader() -> Reader | None:
    """The widest loop this CPU runs; None where it runs none."""
    if executable.unavailable_reason() is not None:
        return None
    known = features.flags_here()
    return next((one for one in READERS if known.issuperset(one.flags)), None)


def bandwidth(loop: Reader, bytes_per_thread: int, threads: int, seconds: float = 0.02) -> Rate:
    """Bytes per second that `threads` threads read at once, each from memory of its own.

    Raises:
        ValueError: less than one block a thread.
    """
    size = bytes_per_thread // BLOCK_BYTES * BLOCK_BYTES
    if size < BLOCK_BYTES:
        raise ValueError(f"bytes_per_thread must be at least {BLOCK_BYTES}, not {bytes_per_thread}")
    passes = _passes(loop, size, max(seconds / REPEATS, threads * LEAST_CALL_SECONDS_PER_THREAD))
    return together(lambda: partial(loop.read, passes, touched(size)), passes * size, threads)


def touched(size: int) -> mmap.mmap:
    """Memory on whole pages of its own, all of it there."""
    memory = mmap.mmap(-1, size)
    pattern = bytes(range(256)) * 16
    for start in range(0, size, len(pattern)):
        memory[start : start + len(pattern)] = pattern[: size - start]
    return memory


def _passes(loop: Reader, size: int, call_seconds: float) -> int:
    """How many passes take so long here. The shorter of two calls counts: one may be disturbed."""
    memory = touched(size)
    passes, taken = 0, 0.0
    while taken < TRIAL_SECONDS:
        passes = max(1, 2 * passes)
        taken = min(timed(partial(loop.read, passes, memory)).cpu_seconds for _ in range(2))
    return max(1, round(passes * call_seconds / taken))
