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
from harness.measure.batch import Order
from harness.measure.environment.host import affinity
from harness.measure.pool import WorkerPool
from harness.measure.protocol import Prepared, TakeBlock, Taken
from harness.measure.sensors import Card
from harness.records import Sampling
from harness.records.measurement import HARMLESS
from harness.records.trial import Burst


@dataclass
class Arm:
    """One side: an order, and the worker of a worker pool that carries it out. `bursts` are what each reads."""

    order: Order
    pool: WorkerPool
    worker: int = 0
    seconds: float = math.nan
    calls: int = 0
    view: str = ""
    peak_memory_bytes: int | None = None
    bursts: list[Burst] = field(default_factory=list)


class Pairs:
    """Measures arms against each other. `asked` is the arm that was asked last: whatever goes wrong is its doing."""

    def __init__(self, sampling: Sampling, burst_seconds: float, card: Card | None = None) -> None:
        self._sampling, self._burst_seconds, self._card = sampling, burst_seconds, card
        self._cpus = affinity() or (None,)
        self._rounds = 0
        self.asked: Arm | None = None

    def prepare(self, arm: Arm, *, with_memory: bool = False) -> Arm:
        """Makes an arm's tensors and warms it up."""
        self.asked = arm
        request = arm.order.prepare(self._sampling, with_memory=with_memory, capture=False)
        reply = arm.pool.ask(arm.worker, request, Prepared, self._sampling.limit_seconds)
        view = reply.views[0]
        arm.seconds, arm.calls, arm.view = view.seconds, view.calls, view.name
        arm.peak_memory_bytes = reply.peak_memory_bytes
        return arm

    def round(self, arms: Sequence[Arm]) -> bool:
        """A burst of each arm, and another of each in the opposite order; False where the round does not count.

        It does not where the card slowed itself down in one burst and not in another: their difference is not the arms'.
        """
        cpu = self._cpus[self._rounds % len(self._cpus)]
        self._rounds += 1
        readings: list[tuple[Arm, Burst]] = []
        slowed: set[frozenset[str]] = set()
        for arm in (*arms, *reversed(arms)):
            self.asked = arm
            request = TakeBlock(
                case=arm.order.case,
                view=arm.view,
                calls=arm.calls,
                samples=max(1, round(self._burst_seconds / (arm.calls * arm.seconds))),
                threads=arm.order.threads,
                cpu=cpu if arm.order.threads == 1 else None,
            )
            taken = arm.pool.ask(arm.worker, request, Taken, self._sampling.limit_seconds)
            readings.append((arm, self.read(arm, taken.samples.seconds)))
            if self._card is not None:
                slowed.add(frozenset(self._card.read(0.0).throttle_reasons or ()) - HARMLESS)
        if len(slowed) > 1:
            return False
        for arm, burst in readings:
            arm.bursts.append(burst)
        return True

    def read(self, arm: Arm, seconds: Sequence[float]) -> Burst:  # noqa: ARG002 - who keeps all samples overrides it
        """What a burst reads, of its samples in seconds per call."""
        return reading(seconds)

    def release(self, arms: Sequence[Arm]) -> None:
        """Lets go of them."""
        for arm in arms:
            self.asked = arm
            arm.pool.release(arm.order.case, self._sampling.limit_seconds)


# What a tenth of the samples are below.
LOW = 0.1


def reading(seconds: Sequence[float]) -> Burst:
    """The fastest sample of a burst, a low one, the middle one and the mean: which of them tells most is seen when all are there."""
    return Burst(
        min(seconds), stats.quantile(seconds, LOW), stats.median(seconds), sum(seconds) / len(seconds)
    )
