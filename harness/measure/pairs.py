"""Two processes side by side: what B takes over what A takes, their bursts interleaved.

Bursts go A B B A, so that a drift of the machine hits both alike; the reading of a pair is the median over
the rounds, and the unit of everything that follows is the pair, as processes differ for good.

Work of one thread is kept on one logical CPU during a round, another in the next: two CPUs of a shared host are
not equally fast, as each has a neighbour of its own on the other thread of its core.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness import stats
from harness.measure.chapter import Order
from harness.measure.crew import Crew
from harness.measure.host import affinity
from harness.measure.messages import Prepared, TakeBlock, Taken
from harness.records import Sampling


@dataclass
class Arm:
    """One side: an order, and the worker of a crew that carries it out. `bursts` are the readings of each, in seconds per call."""

    order: Order
    crew: Crew
    worker: int = 0
    seconds: float = math.nan
    calls: int = 0
    view: str = ""
    peak_memory_bytes: int | None = None
    bursts: list[float] = field(default_factory=list)


class Pairs:
    """Measures arms against each other."""

    def __init__(self, sampling: Sampling, burst_seconds: float) -> None:
        self._sampling, self._burst_seconds = sampling, burst_seconds
        self._cpus = affinity() or (None,)

    def prepare(self, arm: Arm, *, weigh: bool = False) -> Arm:
        """Makes an arm's tensors and warms it up."""
        request = arm.order.prepare(self._sampling, weigh=weigh, capture=False)
        reply = arm.crew.ask(arm.worker, request, Prepared, self._sampling.limit_seconds)
        view = reply.views[0]
        arm.seconds, arm.calls, arm.view = view.seconds, view.calls, view.name
        arm.peak_memory_bytes = reply.peak_memory_bytes
        return arm

    def round(self, arms: Sequence[Arm]) -> None:
        """A burst of each arm, and another of each in the opposite order.

        A burst reads as what a tenth of its samples are below on a CPU, as what disturbs one there only ever adds; on a device, where the clock
        wanders both ways, as their median.
        """
        cpu = self._cpus[(len(arms[0].bursts) // 2) % len(self._cpus)]
        for arm in (*arms, *reversed(arms)):
            request = TakeBlock(
                case=arm.order.case,
                view=arm.view,
                calls=arm.calls,
                samples=max(1, round(self._burst_seconds / (arm.calls * arm.seconds))),
                threads=arm.order.threads,
                cpu=cpu if arm.order.threads == 1 else None,
            )
            taken = arm.crew.ask(arm.worker, request, Taken, self._sampling.limit_seconds)
            arm.bursts.append(self.read(arm, taken.samples.seconds))

    def read(self, arm: Arm, seconds: Sequence[float]) -> float:
        """What a burst reads, of its samples."""
        return reading(arm.view, seconds)

    def release(self, arms: Sequence[Arm]) -> None:
        """Lets go of them."""
        for arm in arms:
            arm.crew.release(arm.order.case, self._sampling.limit_seconds)


# The fastest sample of all is less certain than those a tenth lie below, where samples spread both ways too.
LOW = 0.1


def reading(view: str, seconds: Sequence[float]) -> float:
    """What a burst reads, in seconds per call."""
    return stats.quantile(seconds, LOW) if view == "cpu" else stats.median(seconds)
