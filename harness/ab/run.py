"""Runs a trial from the options to the comparison; the readings are stored after each pair."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness import store
from harness.ab.sides import Collection, SideSetup, collect_on, sides
from harness.ab.trial import Matched, PairedCase, PairRunner, match, progress
from harness.ab.worktree import head, suites_in, toplevel
from harness.compare.decision import PRACTICAL_THRESHOLD, least_pairs
from harness.compare.gating import compare_trial, open_cases
from harness.errors import UsageError
from harness.loading import BUNDLED_SUITES
from harness.measure.openmp import bound_spinning
from harness.pytest_plugin.collection import interruptible, named_suites
from harness.pytest_plugin.session import OWN_MODELS
from harness.records.comparison import Comparison
from harness.records.trial import Side, Trial

# The ranks of fewer pairs make no case significant; more take a day.
LEAST_PAIRS, MOST_PAIRS = 6, 200


# What is compared where no suite is named: products, a convolution, attention and whole steps, all bound by compute here.
_ATTENTION = {"dtype": "float32", "direction": "forward", "backend": "flash", "mask": "causal", "batch": 1}
_ATTENTION |= {"heads": 8, "kv_heads": 8, "queries": 512, "keys": 512, "depth": 64}
_CONVOLUTION = {"dtype": "float32", "direction": "forward", "layout": "contiguous", "batch": 4, "size": 56}
_CONVOLUTION |= {
    "inputs": 64,
    "outputs": 64,
    "kernel": 3,
    "padding": 1,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
}
_MLP = {
    "architecture": "mlp",
    "dtype": "float32",
    "optimizer": "adam",
    "mode": "eager",
    "loss": "cross_entropy",
}
_DECODER = {
    "dtype": "float32",
    "optimizer": "adamw",
    "mode": "eager",
    "batch": 2,
    "sequence": 128,
    "width": 256,
}
USUAL_CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("attention", _ATTENTION),
    ("conv", _CONVOLUTION),
    ("matmul", {"dtype": "float32", "m": 512, "n": 512, "k": 512}),
    ("matmul", {"dtype": "bfloat16", "m": 1024, "n": 1024, "k": 1024}),
    ("train_step", {**_MLP, "batch": 256}),
    ("train_step", {"architecture": "resnet18", "dtype": "float32"}),
    ("train_step", {**_DECODER, "architecture": "llama", "depth": 2}),
    ("train_step", {**_DECODER, "architecture": "gpt2", "depth": 2}),
)
USUAL_SUITES = tuple(dict.fromkeys(suite for suite, _ in USUAL_CASES))


@dataclass(frozen=True)
class Options:
    """The options of `plumbline ab` and `plumbline gate`.

    `threshold`: the largest change, as a fraction, that does not count. `base_name` is what the user calls the revision. `base_set` and `candidate_set` are
    settings as KEY=VALUE. `of_checkout`: a case has to use code of this checkout, or the comparison is refused.
    """

    suites: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expression: str = ""
    profile: str = "quick"
    device: str = "auto"
    threads: int | None = None
    pairs: int = 10
    once: bool = False
    threshold: float = PRACTICAL_THRESHOLD
    base_python: str | None = None
    base_rev: str | None = None
    base_name: str = ""
    install: str | None = None
    base_set: tuple[str, ...] = ()
    candidate_set: tuple[str, ...] = ()
    of_checkout: bool = False
    results: Path = store.DEFAULT_RESULTS


def collection_of(options: Options) -> Collection:
    """What each side collects: the named suites and models, else the suites of the checkout, else the usual cases."""
    suites: list[Path] = []
    named = bool(options.suites or options.models)
    if options.of_checkout and not named:
        suites = [path for path in suites_in(toplevel(Path.cwd())) if path.parent != BUNDLED_SUITES]
    usual = not named and not suites
    if options.suites or usual:
        suites = named_suites(options.suites or USUAL_SUITES)
    if options.models:
        suites.append(OWN_MODELS)
    return Collection(
        suites=tuple(map(str, suites)),
        models=options.models,
        expression=options.expression,
        profile=options.profile,
        only=USUAL_CASES if usual and not options.expression else (),
    )


def run_trial(options: Options, note: Callable[[str], None]) -> tuple[Comparison, Path]:
    """Measures both sides interleaved and compares them; the file of the trial is returned too.

    Raises:
        UsageError: a side cannot be prepared, or there is nothing to compare.
        StartError: a process does not start.
        StorageError: the trial cannot be written.
    """
    if not LEAST_PAIRS <= options.pairs <= MOST_PAIRS:
        raise UsageError(
            f"--pairs {options.pairs}: out of range; give a number from {LEAST_PAIRS} to {MOST_PAIRS}"
        )
    collection = collection_of(options)
    bound_spinning()
    from harness.measure.devices.base import named  # noqa: PLC0415 - loads torch, after the line above

    device, threads = named(options.device, options.threads)
    with (
        interruptible(signal.SIGTERM, signal.SIGHUP),
        sides(options, device, threads, note) as (base, candidate),
    ):
        note(
            f"collecting the cases of both sides: {', '.join(Path(suite).name for suite in collection.suites)}"
        )
        with ThreadPoolExecutor(2) as executor:
            collecting = executor.submit(collect_on, candidate, collection)
            before = collecting.result() if _alike(base, candidate) else collect_on(base, collection)
            after = collecting.result()
        if not before and not after:
            among = f" matches -k {options.expression!r}" if options.expression else " exists on either side"
            raise UsageError(f"no workload{among}: `plumbline list` shows all")
        matched = match(before, after)
        _check_pairs(options, len(matched[0]))
        return _Leader(options, (base, candidate), matched, note).lead()


def _check_pairs(options: Options, cases: int) -> None:
    """Refuses fewer pairs than one case needs to be significant among all."""
    least = least_pairs(cases)
    if options.pairs * (1 if options.once else 2) < least:
        needed = least if options.once else (least + 1) // 2
        raise UsageError(
            f"{options.pairs} pairs cannot single out one of {cases} cases: give --pairs {needed}, or fewer cases"
        )


def _alike(base: SideSetup, candidate: SideSetup) -> bool:
    return base.launch == candidate.launch


class _Leader:
    """Measures pair after pair, and stores the trial after each."""

    def __init__(
        self,
        options: Options,
        setups: tuple[SideSetup, SideSetup],
        matched: Matched,
        note: Callable[[str], None],
    ) -> None:
        self._options, self._setups, self._note = options, setups, note
        self._cases, self._missing, self._new = matched
        self._done = 0
        self._id, self._started = store.new_id(head(Path.cwd())), store.now()
        self._runner = PairRunner(*setups, note, seed=int(self._id.rpartition("-")[2], 16))

    def lead(self) -> tuple[Comparison, Path]:
        """Measures the pairs of the options, then as many again of undecided cases."""
        if all(case.failure for case in self._cases):
            self._runner.describe()
        else:
            self._measure(self._cases)
            undecided = open_cases(self._compare(self._trial()))
            if undecided and not self._options.once:
                self._note(
                    f"{len(undecided)} of {len(self._cases)} cases are undecided and are measured again"
                )
                self._measure([case for case in self._cases if case.candidate.case.id in undecided])
        trial = msgspec.structs.replace(self._trial(), finished_at=store.now())
        return self._compare(trial), store.put_trial(self._options.results, trial)

    def _measure(self, cases: Sequence[PairedCase]) -> None:
        began, first, pairs = time.monotonic(), self._done, self._options.pairs
        for number in range(pairs):
            self._runner.pair([case for case in cases if not case.failure], first + number)
            self._done += 1
            store.put_trial(self._options.results, self._trial())
            if self._options.of_checkout and not self._runner.own_modules:
                raise UsageError(
                    "no case uses code of this checkout: name a suite that does, as in `plumbline gate bench/suite.py --base main`"
                )
            self._note(progress(began, number + 1, pairs))

    def _compare(self, trial: Trial) -> Comparison:
        host = trial.candidate.environment.host.id
        return compare_trial(trial, store.profile(self._options.results, host, trial.candidate.device))

    def _trial(self) -> Trial:
        if self._runner.environments is None:
            raise RuntimeError("no pair was measured yet")
        base, candidate = (
            Side(setup.name, setup.device, setup.threads, environment, setup.settings)
            for setup, environment in zip(self._setups, self._runner.environments, strict=True)
        )
        return Trial(
            id=self._id,
            schema_version=store.SCHEMA_VERSION,
            started_at=self._started,
            base=base,
            candidate=candidate,
            asked_pairs=self._options.pairs,
            analyses=1 if self._options.once else 2,
            threshold=self._options.threshold,
            cases=tuple(case.record() for case in self._cases),
            missing=self._missing,
            new=self._new,
            lost_pairs=self._runner.lost_pairs,
            dropped_rounds=self._runner.dropped_rounds,
        )
