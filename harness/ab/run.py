"""Leads a trial from the wish to the judgement; what was measured is kept after each pair."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness import store
from harness.ab.collector import Question, collect_on
from harness.ab.sides import Placed, Wanted, sides
from harness.ab.trial import Contest, Matched, Ring, contests, lasting
from harness.ab.worktree import head, suites_in, toplevel
from harness.compare.decision import PRACTICAL_FLOOR, least_pairs
from harness.compare.trials import judged, undecided
from harness.errors import UsageError
from harness.loading import BUNDLED_SUITES
from harness.measure.openmp import bound_spinning
from harness.pytest_plugin.collection import interruptible, suite_paths
from harness.pytest_plugin.session import OWN_MODELS
from harness.records.comparison import Judgement
from harness.records.trial import Side, Trial

# The ranks of fewer pairs cannot be certain of anything; more take a day.
LEAST_PAIRS, MOST_PAIRS = 6, 200
# What is compared where nothing is named: products, a convolution, attention and whole steps, all bound by compute here.
USUAL_SUITES = ("attention", "conv", "matmul", "train_step")
USUAL_CASES = (
    "matmul-float32-m512-n512-k512 or matmul-bfloat16-m1024-n1024-k1024"
    " or conv2d-float32-forward-contiguous-batch4-inputs64-outputs64-size56-kernel3-padding1"
    " or attention-float32-forward-flash-causal-batch1-heads8-kv_heads8-queries512-keys512-depth64"
    " or train-mlp-float32-adam-eager-cross_entropy-batch256 or train-resnet18-float32 or train-llama-float32"
    " or train-gpt2-float32-adamw-eager-batch2-sequence128-width256-depth2"
)


@dataclass(frozen=True)
class Ask:
    """What the user wants compared, and how surely. `floor`: a change up to this share is none.

    `of_checkout`: something of this checkout must be measured, or nothing is said of it.
    """

    wanted: Wanted
    suites: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expression: str = ""
    profile: str = "quick"
    device: str = "auto"
    threads: int | None = None
    pairs: int = 10
    doubling: bool = True
    floor: float = PRACTICAL_FLOOR
    of_checkout: bool = False
    results: Path = field(default_factory=lambda: store.DEFAULT_RESULTS)

    @property
    def question(self) -> Question:
        """What each side collects."""
        own = self._own_suites
        usual = not (self.suites or self.models or own)
        suites = own or (suite_paths(self.suites or USUAL_SUITES) if self.suites or usual else [])
        if self.models:
            suites.append(OWN_MODELS)
        expression = self.expression or (USUAL_CASES if usual else "")
        return Question(tuple(map(str, suites)), self.models, expression, self.profile)

    @property
    def _own_suites(self) -> list[Path]:
        """The suites of this checkout, where something of it must be measured and nothing is named; not those that come with the harness."""
        if not self.of_checkout or self.suites or self.models:
            return []
        return [one for one in suites_in(toplevel(Path.cwd())) if one.parent != BUNDLED_SUITES]


def compare(ask: Ask, note: Callable[[str], None]) -> tuple[Trial, Judgement, Path]:
    """Measures both sides and judges; the trial's file comes with it.

    Raises:
        UsageError: a side cannot be had, or there is nothing to compare.
        StartError: a process does not come up.
        StorageError: it cannot be recorded.
    """
    if not LEAST_PAIRS <= ask.pairs <= MOST_PAIRS:
        raise UsageError(f"{ask.pairs} pairs: from {LEAST_PAIRS} to {MOST_PAIRS}")
    question = ask.question
    bound_spinning()
    from harness.measure.devices.base import named  # noqa: PLC0415 - loads torch, after the line above

    wanted, device = ask.wanted, named(ask.device, ask.threads)
    with interruptible(signal.SIGTERM, signal.SIGHUP), sides(wanted, *device, note) as (base, candidate):
        names = ", ".join(Path(suite).name for suite in question.suites)
        note(f"collecting what both sides measure: {names}")
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(collect_on, candidate, question)
            here = asked.result() if _alike(base, candidate) else collect_on(base, question)
            there = asked.result()
        if not here and not there:
            among = f" matches -k {ask.expression!r}" if ask.expression else " is there on either side"
            raise UsageError(f"no workload{among}: `plumbline list` shows all")
        found = contests(here, there)
        least = least_pairs(len(found[0]))
        if ask.pairs * (1 + ask.doubling) < least:
            raise UsageError(
                f"{ask.pairs} pairs cannot single out one of {len(found[0])} cases: give --pairs "
                f"{least if not ask.doubling else (least + 1) // 2}, or fewer cases"
            )
        return _Leader(ask, (base, candidate), found, note).lead()


def _alike(base: Placed, candidate: Placed) -> bool:
    return base.launch == candidate.launch


class _Leader:
    """Goes from pair to pair, and keeps what there is after each."""

    def __init__(
        self, ask: Ask, sides: tuple[Placed, Placed], found: Matched, note: Callable[[str], None]
    ) -> None:
        self._ask, self._sides, self._note = ask, sides, note
        self._held, self._missing, self._new = found
        self._done = 0
        self._id, self._started = store.new_id(head(Path.cwd())), store.now()
        self._ring = Ring(*sides, note, seed=int(self._id.rpartition("-")[2], 16))

    def lead(self) -> tuple[Trial, Judgement, Path]:
        """Measures the pairs that were asked for, then as many again of what is undecided."""
        if all(one.trouble for one in self._held):
            return self._nothing_shared()
        self._measure(self._held)
        _, judgement = self._judge()
        if self._ask.doubling and (names := undecided(judgement)):
            self._note(f"{len(names)} of {len(self._held)} cases are open: as many pairs of these again")
            self._measure([one for one in self._held if one.candidate.case.id in names])
        trial, judgement = self._judge(finished_at=store.now())
        return trial, judgement, store.put_trial(self._ask.results, trial)

    def _measure(self, these: Sequence[Contest]) -> None:
        began, first = time.monotonic(), self._done
        for number in range(self._ask.pairs):
            self._ring.pair([one for one in these if not one.trouble], first + number)
            self._done += 1
            store.put_trial(self._ask.results, self._trial())
            if self._ask.of_checkout and not self._ring.own_modules:
                raise UsageError(
                    "nothing of this checkout is measured: name a suite that uses it, as in `plumbline gate bench/suite.py --base main`"
                )
            self._note(lasting(began, number + 1, self._ask.pairs))

    def _nothing_shared(self) -> tuple[Trial, Judgement, Path]:
        """What there is to say where no case can be compared: some are gone, or all are new, or other work."""
        self._ring.describe()
        trial = msgspec.structs.replace(self._trial(), finished_at=store.now())
        return trial, judged(trial, None), store.put_trial(self._ask.results, trial)

    def _judge(self, finished_at: str | None = None) -> tuple[Trial, Judgement]:
        trial = msgspec.structs.replace(self._trial(), finished_at=finished_at)
        host = trial.candidate.environment.host.id
        return trial, judged(trial, store.profile(self._ask.results, host, trial.candidate.device))

    def _trial(self) -> Trial:
        if self._ring.environments is None:
            raise RuntimeError("no pair was measured yet")
        base, candidate = (
            Side(side.name, side.device, side.threads, environment, side.settings)
            for side, environment in zip(self._sides, self._ring.environments, strict=True)
        )
        return Trial(
            id=self._id,
            schema_version=store.SCHEMA_VERSION,
            started_at=self._started,
            base=base,
            candidate=candidate,
            asked_pairs=self._ask.pairs,
            looks=1 + self._ask.doubling,
            floor=self._ask.floor,
            cases=tuple(one.told() for one in self._held),
            missing=self._missing,
            new=self._new,
            lost_pairs=self._ring.lost_pairs,
            dropped_rounds=self._ring.dropped_rounds,
        )
