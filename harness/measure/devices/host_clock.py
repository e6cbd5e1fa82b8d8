"""The timeline of a device that is timed by the host's clock: no queue, so nothing to hold or to ask."""

import time

from harness.measure.timer import Mark


class HostTimed:
    """What the host's processor, and every accelerator without a timeline of its own, have in common."""

    batch = 1
    asynchronous = False

    def host_seconds(self) -> float:
        """The host's clock."""
        return time.perf_counter()

    def seconds_between(self, start: float, end: float) -> float:
        """Wall time."""
        return end - start

    def delay_queue(self, seconds: float) -> None:
        """Nothing: there is no queue, or the wait for the host is part of what is measured."""

    def reached(self, mark: Mark) -> bool:
        """Yes: a mark waits for what came before it."""
        del mark
        return True

    def spend(self, seconds: float) -> None:
        """Waits, busily."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
