"""The timeline of a device that the host's clock times: it has no queue."""

import time

from harness.measure.timer import Mark


class HostTimed:
    """Common base of the host's processor and of accelerators without a timeline of their own."""

    batch = 1
    asynchronous = False

    def host_seconds(self) -> float:
        """The host's clock."""
        return time.perf_counter()

    def seconds_between(self, start: float, end: float) -> float:
        """Wall time."""
        return end - start

    def delay_queue(self, seconds: float) -> None:
        """Does nothing: there is no queue, or the wait for the host is part of the measurement."""

    def reached(self, mark: Mark) -> bool:
        """Always: a mark waits for earlier work."""
        del mark
        return True

    def spend(self, seconds: float) -> None:
        """Spins on the host."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
