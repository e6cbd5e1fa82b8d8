"""Runs a benchmark: peaks, then batches of cases, each case recorded when its batch is done.

The runner times nothing. Fresh worker processes measure, one active at a time; what a workload
does to its process (a segmentation fault, the kernel's out-of-memory killer, a loop without end)
costs that case alone.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from harness import store
from harness.compare.comparison import Conditions, not_comparable
from harness.cost import roofline
from harness.errors import UsageError
from harness.measure.batch import Batch, Order, Task
from harness.measure.devices.base import MAIN_MEMORY
from harness.measure.pickling import pack_workload
from harness.measure.pool import LostError, WorkerPool
from harness.measure.privacy import Redactor
from harness.measure.protocol import AskFree, Describe, Described, Free, Measured, MeasurePeaks, PeakScope
from harness.measure.selection import (
    LONGEST_CALL_SECONDS,
    Budget,
    CaseTracer,
    Progress,
    not_worth_it,
    peak_scope,
    replay_seconds,
)
from harness.measure.sensors import card_of
from harness.records import (
    Case,
    CaseReplay,
    CaseSamples,
    Environment,
    Failed,
    Header,
    Measurement,
    Peaks,
    Prediction,
    RawSamples,
    Result,
    Sampling,
    Settings,
    Skipped,
    envelope,
)
from harness.records.noise import NoiseProfile
from harness.workload import Workload

SAMPLING = {
    "quick": Sampling(
        processes=2,
        preheat_seconds=0.0,
        warmup_seconds=0.05,
        block_seconds=0.02,
        max_seconds=0.4,
        min_sample_seconds=2e-4,
        target_half_width=0.01,
        limit_seconds=60.0,
    ),
    "standard": Sampling(
        processes=3,
        preheat_seconds=0.0,
        warmup_seconds=0.2,
        block_seconds=0.05,
        max_seconds=3.0,
        min_sample_seconds=2e-4,
        target_half_width=0.005,
        limit_seconds=180.0,
    ),
    "full": Sampling(
        processes=5,
        # Three seconds in all: the sustained regime.
        preheat_seconds=0.6,
        warmup_seconds=1.0,
        block_seconds=0.1,
        max_seconds=10.0,
        min_sample_seconds=2e-4,
        target_half_width=0.0025,
        limit_seconds=1200.0,
    ),
}
# A run of fewer cases ends before the machine changes: it has no round of peaks in its middle. It measures
# only the peaks that its cases can use.
LEAST_FOR_MIDDLE = 16
ROUND_LIMIT_SECONDS = 900.0
# Calls shorter than this mostly wait for threads to synchronize.
FINE_SECONDS = 2e-4
# A run resumes only where these are unchanged: a record holds measurements of one version of torch.
SAME_ON_RESUMING = ("software.torch.", "software.environment_variables.", "numerics.")


class Runner:
    """One run, from its first peak to its last case."""

    def __init__(
        self, pool: WorkerPool, writer: store.Writer, done: dict[str, Result], note: Callable[[str], None]
    ) -> None:
        self._pool = pool
        self._writer = writer
        self._done = done
        self._note = note
        self._samples: dict[str, tuple[RawSamples, ...]] = {}
        self._tracer = CaseTracer(pool, writer.header.settings.sampling.limit_seconds)
        self._scope = PeakScope()
        self._progress = Progress(writer.header.settings)
        self._profile = _profile(writer.folder.parent, writer.header.environment, writer.header.settings)

    @classmethod
    def start(
        cls,
        results: Path,
        settings: Settings,
        planned: tuple[str, ...],
        pool: WorkerPool,
        note: Callable[[str], None],
    ) -> "Runner":
        """Starts a new run: its folder and its header exist on return."""
        environment = describe(pool)
        header = Header(
            id=store.new_id(environment.code.commit),
            schema_version=store.SCHEMA_VERSION,
            started_at=store.now(),
            settings=settings,
            environment=environment,
            planned=planned,
        )
        profile = _profile(results, environment, settings)
        known = store.latest(
            results, lambda earlier: earlier.cost_model is not None and _same(header, earlier)
        )
        header = msgspec.structs.replace(
            header,
            selftest_at=profile.taken_at if profile else None,
            cost_model=known.cost_model if known else None,
        )
        return cls(pool, store.Writer.create(results, header), {}, note)

    @classmethod
    def resume(cls, folder: Path, pool: WorkerPool, note: Callable[[str], None]) -> "Runner":
        """Continues a run; cases that failed are measured again.

        Raises:
            UsageError: the run was measured on another machine, or with another torch or settings.
        """
        run = store.read(folder)
        before = Conditions.of(run.header)
        now = before._replace(environment=describe(pool))
        if reasons := not_comparable(before, now, same_host=True, same=SAME_ON_RESUMING):
            raise UsageError(
                f"{run.header.id} cannot be resumed under other conditions: {', '.join(reasons[:4])}"
            )
        done = {r.case.id: r for r in run.results if not isinstance(r.outcome, Failed)}
        return cls(pool, store.Writer.reopen(folder), done, note)

    @property
    def folder(self) -> Path:
        """Where the run is recorded."""
        return self._writer.folder

    @property
    def header(self) -> Header:
        """The run's header as it is on disk."""
        return self._writer.header

    @property
    def done(self) -> int:
        """How many cases are on record."""
        return len(self._done)

    def recorded(self, case_id: str) -> Result | None:
        """The result on record."""
        return self._done.get(case_id)

    def samples(self, case_id: str) -> tuple[RawSamples, ...]:
        """The raw samples of a case on record."""
        if case_id not in self._samples:
            self._samples = store.samples(self.folder)  # of a run that is resumed
        return self._samples.get(case_id, ())

    def seconds_left(self) -> float | None:
        """Estimated seconds until the last case is on record; None before the first batch began."""
        rounds = 2 + self._has_middle - len(self.header.peaks)
        return self._progress.seconds_left(max(0, rounds))

    def measure(self, cases: Sequence[tuple[Workload, Case]], on_result: Callable[[Result], None]) -> None:
        """Measures one batch: the first of the cases that are not on record, as many as fit.

        `on_result` receives each result when it is on disk.
        """
        self._progress.plan([(workload, case) for workload, case in cases if case.id not in self._done])
        if not self.header.peaks and len(self.header.planned) < LEAST_FOR_MIDDLE:
            pending = [(w, case) for w, case in cases if case.id not in self._done]
            self._scope = peak_scope(
                [self._tracer.of(w, case) for w, case in pending], self.header.settings.threads
            )
        if self._middle_is_due() or not self.header.peaks:
            self.measure_peaks()
        settings, peaks = self.header.settings, envelope(self.header.peaks)
        self._samples = {}
        began = time.monotonic()
        tasks, budget = self._select(cases, peaks, on_result)
        if not tasks:
            return
        self._note("1 case" if len(tasks) == 1 else f"{len(tasks)} cases, interleaved")
        opened = self._pool.opened
        batch = Batch(self._pool, settings.sampling, card_of(opened.uuid if opened else None))
        try:
            batch.measure([task for task, _ in tasks], together=budget.together)
        finally:  # finished cases are kept, whatever ends the others
            self._progress.batch_done([case.id for _, case in tasks], time.monotonic() - began)
            for task, case in tasks:
                if task.outcome is not None:
                    self.record(_result(case, peaks, settings, task.outcome), task, on_result)

    def _select(
        self, cases: Sequence[tuple[Workload, Case]], peaks: Peaks, on_result: Callable[[Result], None]
    ) -> tuple[list[tuple[Task, Case]], Budget]:
        """The tasks of a batch; records the cases that are not tried."""
        settings = self.header.settings
        free = self._pool.inquire(AskFree(), Free, ROUND_LIMIT_SECONDS).free_bytes
        budget, room = Budget(settings.sampling, free, views=1 if settings.device == "cpu" else 4), self._room
        longest = LONGEST_CALL_SECONDS[settings.profile]
        tasks: list[tuple[Task, Case]] = []
        for workload, case in cases:
            if case.id in self._done:
                continue
            case = self._tracer.of(workload, case)  # noqa: PLW2901 - the same case, now with its cost
            threads = case.threads or settings.threads
            reason = not_worth_it(case, free, peaks, threads, longest) or self._too_many(case)
            untried = self._tracer.failure(case.id) or (Skipped(reason=reason) if reason else None)
            if len(tasks) == room or (untried is None and not budget.admits(case, workload.effort)):
                break
            if untried is None:
                tasks.append((self._task(workload, case, peaks), case))
            else:
                self._progress.batch_done([case.id], 0.0)
                self.record(_result(case, peaks, settings, untried), on_result=on_result)
                room -= 1
        return tasks, budget

    def _too_many(self, case: Case) -> str | None:
        cores = self._pool.opened.usable_cores if self._pool.opened else None
        if case.threads is None or cores is None or case.threads <= cores:
            return None
        return f"{case.threads} threads: this process may use {cores} physical cores"

    def _task(self, workload: Workload, case: Case, peaks: Peaks) -> Task:
        settings = self.header.settings
        threads = case.threads or settings.threads
        try:
            packed = pack_workload(workload)
        except UsageError as error:
            return Task(Order(case.id, b"", "", None, threads), outcome=Failed(reason=str(error)))
        drift = self._drift(roofline.predict(case, peaks, threads))
        return Task(
            Order(
                case.id,
                *packed,
                threads,
                drift=drift,
                effort=workload.effort,
                replay_seconds=replay_seconds(case, settings.sampling),
            )
        )

    def record(
        self, result: Result, task: Task | None = None, on_result: Callable[[Result], None] = lambda _: None
    ) -> None:
        """Writes a result to disk; it replaces an earlier one of the same id."""
        operators = self._tracer.take(result.case.id)
        if operators is not None:
            self._writer.append_operators(operators)
        if task is not None:
            self._writer.append_samples(CaseSamples(result.case.id, task.samples), task.series)
            self._samples[result.case.id] = task.samples
            if task.replay is not None and task.replay.operators:
                self._writer.append_replay(
                    CaseReplay(result.case.id, task.replay.operators, task.replay.untimed)
                )
        self._writer.append(result)
        self._done[result.case.id] = result
        on_result(result)

    def measure_peaks(self) -> None:
        """Adds a round of peaks, measured by a different process each time.

        Rounds after the first measure the run's own thread count alone.
        """
        rounds, scope = self.header.peaks, self._scope
        if rounds:
            scope = msgspec.structs.replace(scope, threads=frozenset({self.header.settings.threads}))
        request = MeasurePeaks(rounds[0].levels if rounds else (), scope)
        self._pool.replace_lost()
        began = time.monotonic()
        try:
            worker = len(rounds) % len(self._pool)
            peaks = self._pool.ask(worker, request, Measured, ROUND_LIMIT_SECONDS).peaks
        except LostError as lost:
            self._pool.replace_lost()
            peaks = Peaks(unmeasured={"peaks": str(lost)})
        self._progress.round_seconds = time.monotonic() - began
        self._writer.put(msgspec.structs.replace(self.header, peaks=(*rounds, peaks)))

    def close(self) -> None:
        """Ends the workers, and writing."""
        self._pool.close()
        output = self._pool.output + self._tracer.close()
        if output:
            printed = output.decode(errors="replace")
            self._writer.keep_output(Redactor.of_this_machine().text(printed).encode())
        self._writer.close()

    def finish(self) -> None:
        """Closes the run if every planned case is on record; a last round of peaks shows drift of the machine."""
        if not set(self.header.planned) <= self._done.keys():
            return
        if self.header.peaks:
            self.measure_peaks()
        self._writer.put(msgspec.structs.replace(self.header, finished_at=store.now()))

    def _middle_is_due(self) -> bool:
        return len(self.header.peaks) == 1 and self._has_middle and self._room <= 0

    def _drift(self, prediction: Prediction) -> float | None:
        """The known spread between runs of such work on this host."""
        if self._profile is None:
            return None
        from_memory = prediction.bound == "memory" and prediction.level == MAIN_MEMORY
        fine = prediction.seconds is None or prediction.seconds < FINE_SECONDS
        return self._profile.drift(self.header.settings.threads, from_memory=from_memory, fine=fine)

    @property
    def _has_middle(self) -> bool:
        return len(self.header.planned) >= LEAST_FOR_MIDDLE

    @property
    def _room(self) -> int:
        """The number of cases before the middle of the run; after it, that of all cases."""
        planned = len(self.header.planned)
        before_middle = len(self.header.peaks) <= 1 and self._has_middle
        return (planned + 1) // 2 - self.done if before_middle else planned


def describe(pool: WorkerPool) -> Environment:
    """The environment as a worker sees it; the command is that of this process."""
    return pool.inquire(Describe(tuple(sys.argv)), Described, ROUND_LIMIT_SECONDS).environment


def _same(header: Header, earlier: Header) -> bool:
    """Whether what was calibrated in one run holds in another."""
    conditions = Conditions.of(header), Conditions.of(earlier)
    return not not_comparable(*conditions, same_host=True, same=("software.torch.version",))


def _profile(results: Path, environment: Environment, settings: Settings) -> NoiseProfile | None:
    return store.profile(results, environment.host.id, settings.device)


def _result(case: Case, peaks: Peaks, settings: Settings, outcome: Measurement | Skipped | Failed) -> Result:
    prediction = roofline.predict(case, peaks, case.threads or settings.threads)
    return Result(case=case, prediction=prediction, outcome=outcome)
