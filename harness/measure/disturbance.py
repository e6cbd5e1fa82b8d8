"""Disturbances of a sample as the scheduler counts them, read on Linux from /proc.

Steal time shows nothing on a shared virtual machine; the time a thread was runnable but not
running does (Linux, Documentation/scheduler/sched-stats.rst: the second field of schedstat).
"""

import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records import Disturbance


@dataclass(frozen=True)
class Counters:
    """Totals of this process over all threads; the run delays by thread."""

    cpu_seconds: float
    involuntary_switches: int
    page_faults: int
    run_delay_seconds: Mapping[str, float] | None


class ProcessCounters:
    """Reads `Counters` in microseconds: the files of known threads stay open."""

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        self._tasks = tasks
        self._files: dict[str, int] = {}
        self._known = any(tasks.glob("*/schedstat"))

    def read(self) -> Counters:
        """The totals now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Counters(
            cpu_seconds=time.process_time(),
            involuntary_switches=usage.ru_nivcsw,
            page_faults=usage.ru_minflt + usage.ru_majflt,
            run_delay_seconds=self._run_delays() if self._known else None,
        )

    def close(self) -> None:
        """Closes the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _run_delays(self) -> dict[str, float]:
        threads = os.listdir(self._tasks)  # noqa: PTH208 - names alone, in the hot path
        for gone in self._files.keys() - set(threads):
            self._forget(gone)
        delays = {}
        for thread in threads:
            try:
                if thread not in self._files:
                    self._files[thread] = os.open(self._tasks / thread / "schedstat", os.O_RDONLY)
                delays[thread] = int(os.pread(self._files[thread], 64, 0).split()[1]) * 1e-9
            except (FileNotFoundError, ProcessLookupError):  # the thread ended just now
                self._forget(thread)
        return delays

    def _forget(self, thread: str) -> None:
        descriptor = self._files.pop(thread, None)
        if descriptor is not None:
            os.close(descriptor)


def disturbance_between(pairs: Sequence[tuple[Counters, Counters]]) -> Disturbance:
    """The difference of each pair of counters, as columns in the order of the samples.

    The run delay of a sample is that of the thread that waited longest: the others wait for it. A
    sum would grow with the number of threads.
    """
    delays = [_longest_wait(before, after) for before, after in pairs]
    known = [delay for delay in delays if delay is not None]
    return Disturbance(
        cpu_seconds=tuple(after.cpu_seconds - before.cpu_seconds for before, after in pairs),
        involuntary_switches=tuple(a.involuntary_switches - b.involuntary_switches for b, a in pairs),
        page_faults=tuple(after.page_faults - before.page_faults for before, after in pairs),
        run_delay_seconds=tuple(known) if len(known) == len(pairs) else None,
    )


def _longest_wait(before: Counters, after: Counters) -> float | None:
    if before.run_delay_seconds is None or after.run_delay_seconds is None:
        return None
    known = before.run_delay_seconds
    waits = (delay - known[thread] for thread, delay in after.run_delay_seconds.items() if thread in known)
    return max(waits, default=0.0)
