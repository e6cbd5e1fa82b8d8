"""What else went on during a sample: the scheduler's own word, read on Linux from /proc.

Steal time shows nothing on a shared virtual machine; the time a thread was runnable but not
running does (Linux, Documentation/scheduler/sched-stats.rst: the second field of schedstat).
"""

import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records import Disturbance


@dataclass(frozen=True)
class Counters:
    """What this process, all threads together, has used and suffered so far."""

    cpu_seconds: float
    involuntary_switches: int
    page_faults: int
    run_delay_seconds: float | None


class ProcessCounters:
    """Reads `Counters` in microseconds: the files of known threads stay open."""

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        self._tasks = tasks
        self._files: dict[str, int] = {}
        # The delay of threads that ended since, so that the total never falls.
        self._known = (tasks / str(os.getpid()) / "schedstat").exists() or any(tasks.glob("*/schedstat"))
        self._ended = 0
        self._last: dict[str, int] = {}

    def read(self) -> Counters:
        """The totals now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Counters(
            cpu_seconds=time.process_time(),
            involuntary_switches=usage.ru_nivcsw,
            page_faults=usage.ru_minflt + usage.ru_majflt,
            run_delay_seconds=self._run_delay_nanoseconds() * 1e-9 if self._known else None,
        )

    def close(self) -> None:
        """Closes the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def _run_delay_nanoseconds(self) -> int:
        threads = os.listdir(self._tasks)  # noqa: PTH208 - names alone, in the hot path
        for gone in self._files.keys() - set(threads):
            self._forget(gone)
        for thread in threads:
            try:
                if thread not in self._files:
                    self._files[thread] = os.open(self._tasks / thread / "schedstat", os.O_RDONLY)
                self._last[thread] = int(os.pread(self._files[thread], 64, 0).split()[1])
            except (FileNotFoundError, ProcessLookupError):  # the thread ended just now
                self._forget(thread)
        return self._ended + sum(self._last.values())

    def _forget(self, thread: str) -> None:
        descriptor = self._files.pop(thread, None)
        if descriptor is not None:
            os.close(descriptor)
        self._ended += self._last.pop(thread, 0)


def disturbance_between(pairs: Sequence[tuple[Counters, Counters]]) -> Disturbance:
    """The difference of each pair of counters, as columns in the order of the samples."""
    delays = [
        after.run_delay_seconds - before.run_delay_seconds
        for before, after in pairs
        if before.run_delay_seconds is not None and after.run_delay_seconds is not None
    ]
    return Disturbance(
        cpu_seconds=tuple(after.cpu_seconds - before.cpu_seconds for before, after in pairs),
        involuntary_switches=tuple(a.involuntary_switches - b.involuntary_switches for b, a in pairs),
        page_faults=tuple(after.page_faults - before.page_faults for before, after in pairs),
        run_delay_seconds=tuple(delays) if len(delays) == len(pairs) else None,
    )
