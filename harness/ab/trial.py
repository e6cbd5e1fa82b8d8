"""Measures a trial: fresh pair after fresh pair of processes, one of the base and one of the candidate, case by case in turns."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from harness import units
from harness.ab.collector import Found
from harness.ab.sides import Placed
from harness.ab.worktree import packages_in
from harness.compare.comparison import unlike
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
# The rounds of one case in one pair take about so long at most, if its calls are long.
MOST_SECONDS = 4.0
# In the first pairs each case is weighed too; the lesser reading counts, as what disturbs it only ever adds.
WEIGHINGS = 2
# A case that loses its process so often, in a row or not, is given up.
MOST_LOSSES = 3
LIMIT_SECONDS = 120.0
PEAK = "peak memory"


@dataclass
class Contest:
    """A case on its way through a trial."""

    base: Found
    candidate: Found
    pairs: list[Pair] = field(default_factory=list)
    view: str = ""
    base_work: dict[str, int] = field(default_factory=dict)
    candidate_work: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    guilty: str = ""
    losses: int = 0

    def told(self) -> CaseTrial:
        """The record of what is known so far."""
        return CaseTrial(
            case=self.candidate.case,
            pairs=tuple(self.pairs),
            view=self.view,
            base_work={**work_of(self.base.case), **self.base_work},
            candidate_work={**work_of(self.candidate.case), **self.candidate_work},
            trouble=self.trouble,
            guilty=self.guilty,
            altered=self.base.case.source != self.candidate.case.source,
        )


class Ring:
    """Where contests are held: the two sides, and how long each burst is."""

    def __init__(self, base: Placed, candidate: Placed, note: Callable[[str], None], seed: int) -> None:
        self._sides, self._note = (base, candidate), note
        self._chance = random.Random(seed)  # noqa: S311 - the order of cases, not a secret
        self._sampling: Sampling = msgspec.structs.replace(SAMPLING["quick"], limit_seconds=LIMIT_SECONDS)
        self.environments: tuple[Environment, Environment] | None = None
        self.lost_pairs = self.dropped_rounds = 0
        self.own_modules: set[str] = set()

    def pair(self, contests: Sequence[Contest], number: int) -> None:
        """Adds the reading of a fresh pair of processes to each contest, in an order of its own.

        Raises:
            StartError: a process does not come up.
            UsageError: the base measures what belongs to the candidate.
        """
        waiting = list(contests)
        self._chance.shuffle(waiting)
        while waiting:
            with self._pools() as pools:
                self._describe(pools)
                while waiting:
                    contest = waiting[0]
                    pairs = Pairs(self._sampling, BURST_SECONDS, self._card(pools))
                    try:
                        self._hold(contest, pools, pairs, number)
                    except (LostError, SpoiledError) as lost:
                        contest.losses += 1
                        self.lost_pairs += 1
                        if contest.losses >= MOST_LOSSES:
                            self._give_up(contest, pairs, pools, f"it takes its process down: {lost}")
                            waiting.pop(0)
                        break
                    waiting.pop(0)

    def describe(self) -> None:
        """Asks both sides what they are, where no pair does."""
        with self._pools() as pools:
            self._describe(pools)

    def _describe(self, pools: tuple[WorkerPool, WorkerPool]) -> None:
        if self.environments is None:
            self.environments = (describe(pools[0]), describe(pools[1]))

    @contextmanager
    def _pools(self) -> Iterator[tuple[WorkerPool, WorkerPool]]:
        """A fresh process for each side; they start beside each other, before anything is measured."""
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

    def _pool(self, side: Placed) -> WorkerPool:
        return WorkerPool(side.device, side.threads, self._note, lambda: WorkerProcess(side.launch))

    def _hold(
        self, contest: Contest, pools: tuple[WorkerPool, WorkerPool], pairs: Pairs, number: int
    ) -> None:
        """One case in one pair: rounds of bursts."""
        arms: list[Arm] = []
        try:
            for side, pool, found in zip(self._sides, pools, (contest.base, contest.candidate), strict=True):
                arms.append(pairs.prepare(Arm(_order(found, side), pool), with_memory=number < WEIGHINGS))
            longest = max(max(BURST_SECONDS, arm.seconds * arm.calls) for arm in arms)
            rounds = min(ROUNDS, max(LEAST_ROUNDS, int(MOST_SECONDS / (4 * longest))))
            for _ in range(rounds):
                if not pairs.round(arms if self._chance.random() < 0.5 else arms[::-1]):
                    self.dropped_rounds += 1
        except DeclinedError as declined:
            self._give_up(contest, pairs, pools, declined.outcome.reason)
        pairs.release(arms)
        if number == 0:
            self._check_origins(pools)
        if not contest.trouble:
            self._keep(contest, number, *arms)

    def _keep(self, contest: Contest, number: int, base: Arm, candidate: Arm) -> None:
        """Adds what a pair read, if it read anything."""
        contest.view = base.view
        if base.bursts:
            contest.pairs.append(Pair(number, tuple(base.bursts), tuple(candidate.bursts)))
        for arm, work in ((base, contest.base_work), (candidate, contest.candidate_work)):
            if arm.peak_memory_bytes is not None:
                known = work.get(PEAK, arm.peak_memory_bytes)
                work[PEAK] = min(known, arm.peak_memory_bytes)

    def _give_up(
        self, contest: Contest, pairs: Pairs, pools: tuple[WorkerPool, WorkerPool], reason: str
    ) -> None:
        """Says which side it was, and does not try again."""
        guilty = pools.index(pairs.current.pool) if pairs.current is not None else 1
        contest.trouble, contest.guilty = reason, ("base", "candidate")[guilty]

    def _card(self, pools: tuple[WorkerPool, WorkerPool]) -> Card | None:
        """The sensors of the card both sides run on; None where they run on two, or on none that tells."""
        cards = {pool.opened.uuid if pool.opened else None for pool in pools}
        return card_of(cards.pop()) if len(cards) == 1 else None

    def _check_origins(self, pools: tuple[WorkerPool, WorkerPool]) -> None:
        """Whether each side measures its own: a base that loads the candidate's modules, or the very same ones, is no base."""
        root = self._sides[1].root
        if root is None:
            return
        base, candidate = (pool.ask(0, AskModules(str(root)), Modules, LIMIT_SECONDS) for pool in pools)
        self.own_modules |= set(candidate.files)
        if base.files:
            more = f" and {len(base.files) - 1} more" if len(base.files) > 1 else ""
            raise UsageError(
                f"the base loads {base.files[0]}{more} from the candidate's checkout, where it is installed: "
                "prepare the base's own with --install, or name its interpreter with --base-python"
            )
        tracked = packages_in(root)
        for name, file in candidate.packages.items():
            if base.packages.get(name) == file and name in tracked:
                raise UsageError(
                    f"both sides load one and the same {name}, as it is installed, though this checkout holds it: "
                    "prepare the base's own with --install"
                )


def _started(pool: WorkerPool) -> StartError | UsageError | None:
    try:
        pool.grow(1)
    except (StartError, UsageError) as error:
        return error
    return None


def _order(found: Found, side: Placed) -> Order:
    threads = found.case.threads or side.threads
    return Order(found.case.id, found.pickled, found.module, found.path, threads)


def work_of(case: Case) -> dict[str, int]:
    """What a call comes to without any noise, as far as it is known: FLOPs, bytes, kernels."""
    told: dict[str, int] = {}
    if case.cost is not None:
        told |= {"FLOPs": case.cost.flops, "recomputed FLOPs": case.cost.recomputed_flops}
    if case.trace is not None:
        told["kernels"] = case.trace.kernels
    return told


# Contests; cases of the base alone, each with a reason; cases of the candidate alone.
Matched = tuple[list[Contest], tuple[tuple[str, str], ...], tuple[str, ...]]


def contests(base: Mapping[str, Found], candidate: Mapping[str, Found]) -> Matched:
    """The cases both sides have; those that the candidate has no more; those it alone has."""
    shared = [Contest(base[name], found) for name, found in candidate.items() if name in base]
    for one in shared:
        one.trouble = unlike(one.base.case, one.candidate.case) or ""
    missing = tuple((name, "the candidate has no such case") for name in base if name not in candidate)
    return shared, missing, tuple(name for name in candidate if name not in base)


def lasting(began: float, done: int, pairs: int) -> str:
    """How far a trial is, and how long the rest takes if it goes on like this."""
    left = (time.monotonic() - began) / done * (pairs - done)
    return f"pair {done} of {pairs}" + (f"; about {units.lasting(left)} to go" if done < pairs else "")
