"""Measures pairs of processes with interleaved bursts: the time of B relative to A.

Bursts go A B B A, so that drift of the machine affects both alike. The result of a pair is the median over
the rounds. The statistical unit is the pair, because processes differ persistently.

Work of one thread stays on one logical CPU in a round and moves to another in the next: CPUs of a shared host
differ in speed, as each shares its core with a different neighbour.
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
    """One side of a pair: an order, and the worker that measures it; `bursts` holds its results."""

    order: Order
    pool: WorkerPool
    worker: int = 0
    seconds: float = math.nan
    calls: int = 0
    view: str = ""
    peak_memory_bytes: int | None = None
    bursts: list[Burst] = field(default_factory=list)


class Pairs:
    """Measures arms against each other. `current` is the arm of the last request, which causes any error."""

    def __init__(self, sampling: Sampling, burst_seconds: float, card: Card | None = None) -> None:
        self._sampling, self._burst_seconds, self._card = sampling, burst_seconds, card
        self._cpus = affinity() or (None,)
        self._rounds = 0
        self.current: Arm | None = None

    def prepare(self, arm: Arm, *, with_memory: bool = False) -> Arm:
        """Makes an arm's tensors and warms it up."""
        self.current = arm
        request = arm.order.prepare(self._sampling, with_memory=with_memory, capture=False)
        reply = arm.pool.ask(arm.worker, request, Prepared, self._sampling.limit_seconds)
        view = reply.views[0]
        arm.seconds, arm.calls, arm.view = view.seconds, view.calls, view.name
        arm.peak_memory_bytes = reply.peak_memory_bytes
        return arm

    def round(self, arms: Sequence[Arm]) -> bool:
        """A burst of each arm, and another of each in the opposite order; False where the round does not count.

        It does not count where the card throttled in one burst and not in another.
        """
        cpu = self._cpus[self._rounds % len(self._cpus)]
        self._rounds += 1
        readings: list[tuple[Arm, Burst]] = []
        slowed: set[frozenset[str]] = set()
        for arm in (*arms, *reversed(arms)):
            self.current = arm
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
        """The summary of a burst, from its samples in seconds per call."""
        return reading(seconds)

    def release(self, arms: Sequence[Arm]) -> None:
        """Frees the tensors of the arms."""
        for arm in arms:
            self.current = arm
            arm.pool.release(arm.order.case, self._sampling.limit_seconds)


# The low quantile of a burst.
LOW = 0.1


def reading(seconds: Sequence[float]) -> Burst:
    """Four estimates of a burst: fastest sample, low quantile, median, mean. The trial selects the best one."""
    return Burst(
        min(seconds), stats.quantile(seconds, LOW), stats.median(seconds), sum(seconds) / len(seconds)
    )
