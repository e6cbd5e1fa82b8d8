"""The time of one call, by the calling thread's own CPU time."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    """One call: when it began and ended on the wall clock, and what it took of the CPU, in seconds."""

    start: float
    end: float
    cpu_seconds: float


def timed(call: Callable[[], object]) -> Timed:
    """One call timed; the clocks themselves add about a microsecond.

    CPU time leaves out what the thread waits for a core. The hypervisor's waits it cannot leave out.
    """
    start, cpu_start = time.perf_counter(), time.thread_time()
    call()
    cpu_end, end = time.thread_time(), time.perf_counter()
    # Some sandboxes count CPU time in ticks: it may stand still, or run ahead of the wall clock.
    cpu_seconds = min(cpu_end - cpu_start or end - start, end - start)
    return Timed(start, end, cpu_seconds)
