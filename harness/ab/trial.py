"""Measures a trial: pairs of fresh processes, one of the base and one of the candidate, their cases interleaved."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from harness import units
from harness.ab.sides import CollectedCase, SideSetup
from harness.ab.worktree import packages_in
from harness.compare.comparison import different_work
from harness.errors import StartError, UsageError
from harness.measure.batch import Order
from harness.measure.pairs import Arm, Pairs
from harness.measure.pool import DeclinedError, LostError, SpoiledError, WorkerPool, WorkerProcess
from harness.measure.protocol import AskModules, Modules
from harness.measure.runner import SAMPLING, describe
from harness.measure.sensors import Card, card_of
from harness.records import Case, Environment, Sampling
from harness.records.trial import CaseTrial, Pair

ROUNDS, LEAST_ROUNDS, BURST_SECONDS = 10, 4, 0.04
# Long calls get fewer rounds, so that the rounds of one case in one pair take about this long at most.
MOST_SECONDS = 4.0
# The first pairs measure memory too; the smaller reading counts, as disturbances only add.
MEMORY_READINGS = 2
# A case that loses its process this often is given up.
MOST_LOSSES = 3
LIMIT_SECONDS = 120.0
PEAK = "peak memory"


@dataclass
class PairedCase:
    """A case of both sides, and its readings so far."""

    base: CollectedCase
    candidate: CollectedCase
    pairs: list[Pair] = field(default_factory=list)
    view: str = ""
    base_work: dict[str, int] = field(default_factory=dict)
    candidate_work: dict[str, int] = field(default_factory=dict)
    failure: str = ""
    failed_side: str = ""
    losses: int = 0

    def record(self) -> CaseTrial:
        """The readings so far as a record."""
        return CaseTrial(
            case=self.candidate.case,
            pairs=tuple(self.pairs),
            view=self.view,
            base_work={**work_of(self.base.case), **self.base_work},
            candidate_work={**work_of(self.candidate.case), **self.candidate_work},
            failure=self.failure,
            failed_side=self.failed_side,
            altered=self.base.case.source != self.candidate.case.source,
        )


class PairRunner:
    """Starts pairs of processes for two sides, and measures cases in them."""

    def __init__(self, base: SideSetup, candidate: SideSetup, note: Callable[[str], None], seed: int) -> None:
        self._sides, self._note = (base, candidate), note
        self._chance = random.Random(seed)  # noqa: S311 - the order of cases, not a secret
        self._sampling: Sampling = msgspec.structs.replace(SAMPLING["quick"], limit_seconds=LIMIT_SECONDS)
        self.environments: tuple[Environment, Environment] | None = None
        self.lost_pairs = self.dropped_rounds = 0
        self.own_modules: set[str] = set()

    def pair(self, cases: Sequence[PairedCase], number: int) -> None:
        """Adds the reading of a fresh pair of processes to each case, in random order.

        Raises:
            StartError: a process does not start.
            UsageError: the base measures code of the candidate.
        """
        waiting = list(cases)
        self._chance.shuffle(waiting)
        while waiting:
            with self._pools() as pools:
                self._describe(pools)
                while waiting:
                    case = waiting[0]
                    pairs = Pairs(self._sampling, BURST_SECONDS, self._card(pools))
                    try:
                        self._measure(case, pools, pairs, number)
                    except (LostError, SpoiledError) as lost:
                        case.losses += 1
                        self.lost_pairs += 1
                        if case.losses >= MOST_LOSSES:
                            self._give_up(case, pairs, pools, f"it ends its process: {lost}")
                            waiting.pop(0)
                        break
                    waiting.pop(0)

    def describe(self) -> None:
        """Records the environments of both sides where no pair is measured."""
        with self._pools() as pools:
            self._describe(pools)

    def _describe(self, pools: tuple[WorkerPool, WorkerPool]) -> None:
        if self.environments is None:
            self.environments = (describe(pools[0]), describe(pools[1]))

    @contextmanager
    def _pools(self) -> Iterator[tuple[WorkerPool, WorkerPool]]:
        """A fresh process for each side; both start at the same time, before anything is measured."""
        pools = tuple(self._pool(side) for side in self._sides)
        try:
            with ThreadPoolExecutor(len(pools)) as executor:
                for side, failure in zip(self._sides, executor.map(_started, pools), strict=True):
                    if failure is not None:
                        raise type(failure)(f"{side.name}: {failure}")
            yield pools[0], pools[1]
        finally:
            for pool in pools:
                pool.close()

    def _pool(self, side: SideSetup) -> WorkerPool:
        return WorkerPool(side.device, side.threads, self._note, lambda: WorkerProcess(side.launch))

    def _measure(
        self, case: PairedCase, pools: tuple[WorkerPool, WorkerPool], pairs: Pairs, number: int
    ) -> None:
        """Measures one case in one pair: rounds of bursts."""
        arms: list[Arm] = []
        try:
            for side, pool, collected in zip(self._sides, pools, (case.base, case.candidate), strict=True):
                arms.append(
                    pairs.prepare(Arm(_order(collected, side), pool), with_memory=number < MEMORY_READINGS)
                )
            longest = max(max(BURST_SECONDS, arm.seconds * arm.calls) for arm in arms)
            rounds = min(ROUNDS, max(LEAST_ROUNDS, int(MOST_SECONDS / (4 * longest))))
            for _ in range(rounds):
                if not pairs.round(arms if self._chance.random() < 0.5 else arms[::-1]):
                    self.dropped_rounds += 1
        except DeclinedError as declined:
            self._give_up(case, pairs, pools, declined.outcome.reason)
        pairs.release(arms)
        if number == 0:
            self._check_origins(pools)
        if not case.failure:
            self._keep(case, number, *arms)

    def _keep(self, case: PairedCase, number: int, base: Arm, candidate: Arm) -> None:
        """Adds the readings of a pair, if it has any."""
        case.view = base.view
        if base.bursts:
            case.pairs.append(Pair(number, tuple(base.bursts), tuple(candidate.bursts)))
        for arm, work in ((base, case.base_work), (candidate, case.candidate_work)):
            if arm.peak_memory_bytes is not None:
                known = work.get(PEAK, arm.peak_memory_bytes)
                work[PEAK] = min(known, arm.peak_memory_bytes)

    def _give_up(
        self, case: PairedCase, pairs: Pairs, pools: tuple[WorkerPool, WorkerPool], reason: str
    ) -> None:
        """Records the failure and the side that failed; the case is not measured again."""
        side = pools.index(pairs.current.pool) if pairs.current is not None else 1
        case.failure, case.failed_side = reason, ("base", "candidate")[side]

    def _card(self, pools: tuple[WorkerPool, WorkerPool]) -> Card | None:
        """The sensors of the GPU both sides run on; None where they run on two, or it has no sensors."""
        cards = {pool.opened.uuid if pool.opened else None for pool in pools}
        return card_of(cards.pop()) if len(cards) == 1 else None

    def _check_origins(self, pools: tuple[WorkerPool, WorkerPool]) -> None:
        """Refuses a base that imports modules of the candidate's checkout, or the same installed package."""
        root = self._sides[1].root
        if root is None:
            return
        base, candidate = (pool.ask(0, AskModules(str(root)), Modules, LIMIT_SECONDS) for pool in pools)
        self.own_modules |= set(candidate.files)
        if base.files:
            more = f" and {len(base.files) - 1} more" if len(base.files) > 1 else ""
            raise UsageError(
                f"the base imports {base.files[0]}{more} from the candidate's checkout, where it is installed: "
                "prepare the base with --install, or name its interpreter with --base-python"
            )
        tracked = packages_in(root)
        for name, file in candidate.packages.items():
            if base.packages.get(name) == file and name in tracked:
                raise UsageError(
                    f"both sides import the same installed {name}, although this checkout contains it: "
                    "prepare the base with --install"
                )


def _started(pool: WorkerPool) -> StartError | UsageError | None:
    try:
        pool.grow(1)
    except (StartError, UsageError) as error:
        return error
    return None


def _order(collected: CollectedCase, side: SideSetup) -> Order:
    threads = collected.case.threads or side.threads
    return Order(collected.case.id, collected.pickled, collected.module, collected.path, threads)


def work_of(case: Case) -> dict[str, int]:
    """The metrics of a call without noise, as far as they are known: FLOPs, bytes, kernels."""
    work: dict[str, int] = {}
    if case.cost is not None:
        work |= {"FLOPs": case.cost.flops, "recomputed FLOPs": case.cost.recomputed_flops}
    if case.trace is not None:
        work["kernels"] = case.trace.kernels
    return work


# The cases of both sides; the cases of the base alone, each with a reason; the cases of the candidate alone.
Matched = tuple[list[PairedCase], tuple[tuple[str, str], ...], tuple[str, ...]]


def match(base: Mapping[str, CollectedCase], candidate: Mapping[str, CollectedCase]) -> Matched:
    """Pairs the cases of both sides by id; a pair of different work is not measured."""
    shared = [
        PairedCase(base[name], case, failure=different_work(base[name].case, case.case) or "")
        for name, case in candidate.items()
        if name in base
    ]
    missing = tuple((name, "the candidate has no such case") for name in base if name not in candidate)
    return shared, missing, tuple(name for name in candidate if name not in base)


def progress(began: float, done: int, pairs: int) -> str:
    """How many pairs are measured, and an estimate of the time left."""
    left = (time.monotonic() - began) / done * (pairs - done)
    return f"pair {done} of {pairs}" + (f"; about {units.lasting(left)} left" if done < pairs else "")
