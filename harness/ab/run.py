"""Runs a trial from the options to the comparison; the readings are stored after each pair."""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from harness import store
from harness.ab.sides import USUAL_SUITES, Collection, Options, SideSetup, collect_on, sides
from harness.ab.trial import Matched, PairedCase, PairRunner, match, progress
from harness.ab.worktree import head, suites_in, toplevel
from harness.compare.decision import least_pairs
from harness.compare.trials import compare_trial, open_cases
from harness.errors import UsageError
from harness.loading import BUNDLED_SUITES
from harness.measure.openmp import bound_spinning
from harness.pytest_plugin.collection import interruptible, named_suites
from harness.pytest_plugin.session import OWN_MODELS
from harness.records.comparison import Comparison
from harness.records.trial import Side, Trial

# The ranks of fewer pairs make no case significant; more take a day.
LEAST_PAIRS, MOST_PAIRS = 6, 200


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
        usual=usual and not options.expression,
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
