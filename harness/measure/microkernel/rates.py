"""How fast machine code runs, on one thread or on several at once."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from harness import stats
from harness.measure.microkernel.catalogue import Kernel
from harness.measure.microkernel.timing import Timed, timed

REPEATS = 10
# Between two calls a thread waits for Python's global lock, some 10 us for each other thread. Calls
# many times as long keep a core's other hardware thread busy, which shares its arithmetic units.
LEAST_CALL_SECONDS_PER_THREAD = 200e-6
# Calls that are long enough to tell how many iterations fill the wanted time.
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
    """How many iterations take so long here. The shorter of two calls counts: one may be disturbed."""
    accumulators = kernel.memory()
    iterations, taken = 128, 0.0
    while taken < TRIAL_SECONDS:
        iterations *= 2
        taken = min(timed(partial(kernel.run, iterations, accumulators)).cpu_seconds for _ in range(2))
    return max(1, round(iterations * call_seconds / taken))
