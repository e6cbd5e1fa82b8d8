"""The clock of a core, and how fast machine code runs on one thread or on several at once.

A chain of instructions that each need the result of the one before takes latency x length cycles,
whatever else the core can do. Two chains with different latencies check each other.
"""

import ctypes
import functools
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from harness import stats
from harness.measure.peaks.microkernel import catalogue as x86_64
from harness.measure.peaks.microkernel import executable
from harness.measure.peaks.microkernel import executable as features
from harness.measure.peaks.microkernel.catalogue import Kernel
from harness.measure.peaks.microkernel.executable import Timed, timed

REPEATS = 10
# Between two calls a thread waits for Python's global lock, some 10 us for each other thread. Calls
# many times as long keep a core's other hardware thread busy, which shares its arithmetic units.
LEAST_CALL_SECONDS_PER_THREAD = 200e-6
# Length of the trial calls that determine the number of iterations.
TRIAL_SECONDS = 100e-6
LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Rate:
    """What `threads` threads do at once, in units of work per second: the sum of each thread's best call.

    By thread CPU time, so a thread that waits for a core loses nothing. What this system cannot see does
    count: another guest on the core's other hardware thread can halve a rate for seconds, so measure in
    several rounds.
    """

    per_second: float
    threads: int
    spread: float
    """Interquartile range over median of the calls of one thread, of the thread where it is widest."""
    repeats: int
    """Calls that counted, of the thread with the fewest."""


def peak(kernel: Kernel, threads: int, seconds: float = 0.02) -> Rate:
    """The FLOP/s the kernel gets out of `threads` cores, in about `seconds` of each (more from 10 threads on).

    More threads than this process has CPUs are worth no more than the CPUs.
    """
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    call_seconds = max(seconds / REPEATS, threads * LEAST_CALL_SECONDS_PER_THREAD)
    iterations = _iterations(kernel, call_seconds)
    return together(
        lambda: partial(kernel.run, iterations, kernel.memory()),
        iterations * kernel.flops_per_iteration,
        threads,
    )


def together(make: Callable[[], Callable[[], object]], work: float, threads: int) -> Rate:
    """The rate of calls that do `work` each, run on `threads` threads at once, each with its own."""
    start = threading.Barrier(threads, timeout=LONGEST_WAIT_SECONDS)

    def repeats(_thread: int) -> list[Timed]:
        call = make()
        start.wait()
        return [timed(call) for _ in range(REPEATS)]

    with ThreadPoolExecutor(threads, thread_name_prefix="microkernel") as pool:
        counted = simultaneous(list(pool.map(repeats, range(threads))))
    rates = [[work / repeat.cpu_seconds for repeat in thread] for thread in counted]
    return Rate(
        per_second=sum(map(max, rates)) * min(1.0, len(os.sched_getaffinity(0)) / threads),
        threads=threads,
        spread=max(map(stats.relative_iqr, rates)),
        repeats=min(map(len, rates)),
    )


def simultaneous(threads: Sequence[Sequence[Timed]]) -> list[Sequence[Timed]]:
    """Of each thread the repeats during which all threads had begun and none had ended.

    A thread that is alone has the clock and a shared core's units to itself. Where a thread has no such
    repeat, all of its repeats.
    """
    begun = max(repeats[0].start for repeats in threads)
    ended = min(repeats[-1].end for repeats in threads)
    return [[r for r in repeats if r.start >= begun and r.end <= ended] or repeats for repeats in threads]


def _iterations(kernel: Kernel, call_seconds: float) -> int:
    """The number of iterations that take `call_seconds`. The shorter of two calls counts: one may be disturbed."""
    accumulators = kernel.memory()
    iterations, taken = 128, 0.0
    while taken < TRIAL_SECONDS:
        iterations *= 2
        taken = min(timed(partial(kernel.run, iterations, accumulators)).cpu_seconds for _ in range(2))
    return max(1, round(iterations * call_seconds / taken))


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
        """Reads all of the memory `passes` times; returns the sum of its 64-bit words, modulo 2**64."""
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
    return next((reader for reader in READERS if known.issuperset(reader.flags)), None)


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
    """The number of passes that take `call_seconds`. The shorter of two calls counts: one may be disturbed."""
    memory = touched(size)
    passes, taken = 0, 0.0
    while taken < TRIAL_SECONDS:
        passes = max(1, 2 * passes)
        taken = min(timed(partial(loop.read, passes, memory)).cpu_seconds for _ in range(2))
    return max(1, round(passes * call_seconds / taken))


# Latency of a 64-bit multiplication of registers: Intel since Nehalem, AMD since Zen; of an addition:
# all (Agner Fog, Instruction tables; uops.info). The addition is of registers as Golden Cove and
# later do additions of small constants at rename, in no time.
ADD_CYCLES = 1
IMUL_CYCLES = 3
# Room for the clock to move between two readings; a wrong latency would be off by a quarter or more.
AGREEMENT = 0.03
# Half a millisecond for each reading at 4 GHz: timing one costs less than 0.1% of that.
READING_CYCLES = 2_000_000
READINGS = 10


@dataclass(frozen=True)
class Clock:
    """Cycles per second by two chains, in hertz: the best of several readings each.

    Good to about 0.2%. `hertz` is None where the two disagree by more than 3%, and `reason` explains it.
    It is the clock of light scalar work: under wide vectors or tiles many cores run slower.
    """

    add_hertz: float
    imul_hertz: float
    hertz: float | None
    reason: str | None = None


def clock_hz() -> Clock | None:
    """This core's clock now, in about 10 ms; None where `unavailable_reason()` has one.

    Timed by the thread's CPU time, so that waiting for a core does not count.
    """
    if executable.unavailable_reason() is not None:
        return None
    readings = [
        (_hertz(x86_64.ADD_CHAIN, ADD_CYCLES), _hertz(x86_64.IMUL_CHAIN, IMUL_CYCLES))
        for _ in range(READINGS)
    ]
    return agreed(max(add for add, _ in readings), max(imul for _, imul in readings))


def agreed(add_hertz: float, imul_hertz: float) -> Clock:
    """The clock two readings agree on: the higher, as a disturbance only lowers them."""
    low, high = sorted((add_hertz, imul_hertz))
    if high - low <= AGREEMENT * high:
        return Clock(add_hertz, imul_hertz, high)
    reason = (
        f"the chains disagree: {add_hertz * 1e-9:.2f} GHz by add, {imul_hertz * 1e-9:.2f} GHz by imul;"
        f" the clock moves, or this core's latencies are not {ADD_CYCLES} and {IMUL_CYCLES} cycles"
    )
    return Clock(add_hertz, imul_hertz, None, reason)


def _hertz(code: bytes, cycles_per_instruction: int) -> float:
    """One reading."""
    chain = executable.chain(code)
    cycles_per_iteration = x86_64.CHAIN_LENGTH * cycles_per_instruction
    iterations = READING_CYCLES // cycles_per_iteration
    seconds = timed(lambda: chain(iterations, 1, 3)).cpu_seconds
    return iterations * cycles_per_iteration / seconds
