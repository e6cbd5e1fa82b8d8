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
    """One side: an order, and the worker that carries it out. `bursts` are the fastest samples of each."""

    order: Order
    worker: int
    seconds: float = math.nan
    calls: int = 0
    view: str = ""
    bursts: list[float] = field(default_factory=list)


class Pairs:
    """Measures arms against each other on a crew."""

    def __init__(self, crew: Crew, sampling: Sampling, burst_seconds: float) -> None:
        self._crew, self._sampling, self._burst_seconds = crew, sampling, burst_seconds
        self._cpus = affinity() or (None,)

    def prepare(self, arm: Arm) -> Arm:
        """Makes an arm's tensors and warms it up."""
        request = arm.order.prepare(self._sampling, weigh=False, capture=False)
        view = self._crew.ask(arm.worker, request, Prepared, self._sampling.limit_seconds).views[0]
        arm.seconds, arm.calls, arm.view = view.seconds, view.calls, view.name
        return arm

    def round(self, arms: Sequence[Arm]) -> None:
        """A burst of each arm, and another of each in the opposite order."""
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
            taken = self._crew.ask(arm.worker, request, Taken, self._sampling.limit_seconds)
            arm.bursts.append(min(taken.samples.seconds))

    def release(self) -> None:
        """Lets go of all arms."""
        self._crew.release(None, self._sampling.limit_seconds)


def log_ratio(base: Arm, other: Arm) -> float:
    """The logarithm of `other` over `base`: per round the difference of the mean logarithms, then the median."""
    rounds = zip(_by_round(base.bursts), _by_round(other.bursts), strict=True)
    return stats.median([b - a for a, b in rounds])


def _by_round(bursts: Sequence[float]) -> list[float]:
    pairs = zip(bursts[::2], bursts[1::2], strict=True)
    return [(math.log(first) + math.log(second)) / 2 for first, second in pairs]
