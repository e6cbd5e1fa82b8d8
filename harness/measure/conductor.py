"""Leads a run: ceilings, then chapters of cases, each case recorded when its chapter is done.

The conductor times nothing. Fresh worker processes measure, one active at a time; what a workload
does to its process (a segmentation fault, the kernel's out-of-memory killer, a loop without end)
costs that case alone.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from harness import store, units
from harness.errors import UsageError
from harness.measure.chapter import Chapter, Order, Task
from harness.measure.crew import Crew, LostError
from harness.measure.device import MAIN_MEMORY
from harness.measure.imports import pack_workload
from harness.measure.messages import AskFree, Describe, Described, Free, MeasureCeilings, Measured
from harness.measure.sensors import card_of
from harness.predict import roofline
from harness.records import (
    Case,
    CaseSamples,
    Ceilings,
    Environment,
    Failed,
    Header,
    Measurement,
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
        limit_seconds=600.0,
    ),
}
# A case whose single call must take longer than this, at the best rate torch reached in its dtype,
# is skipped: float16 on a CPU without the instructions is 30-150 times slower than float32.
LONGEST_CALL_SECONDS = {"quick": 0.25, "standard": 2.0, "full": 15.0}
# A chapter lasts about so long: its cases' blocks are spread over it, and a run that is killed loses no more.
CHAPTER_SECONDS = 30.0
# Of the memory that is free, what one case may take in one process, and all of a chapter in all of them.
MEMORY_SHARE, CHAPTER_MEMORY_SHARE = 0.8, 0.4
# A case that does not say what it needs counts as this share of a chapter's memory.
UNKNOWN_SHARE = 1 / 8
# A run of fewer cases is over before the machine has changed: no round of ceilings in its middle.
LEAST_FOR_MIDDLE = 16
ROUND_LIMIT_SECONDS = 900.0
# Shorter calls than this are mostly threads meeting each other.
FINE_SECONDS = 2e-4
# What else must be as it was before a run may go on: half a record of one torch and half of another is none.
SAME_ON_RESUMING = ("software.torch.", "software.environment_variables.", "numerics.")


def not_worth_it(
    case: Case, free_bytes: int, ceilings: Ceilings, threads: int, longest_call_seconds: float
) -> str | None:
    """Why a case is not even tried: no memory for it, or a single call too long; None where it is."""
    if case.cost is None:
        return None
    if case.cost.memory_bytes > MEMORY_SHARE * free_bytes:
        return (
            f"needs {units.size(case.cost.memory_bytes)} of memory; {units.size(free_bytes)} are free, and a fifth "
            "of that is left to the rest"
        )
    torch_best = ceilings.torch_ceiling(case.dtype, threads)
    if torch_best is None or not case.cost.flops:
        return None
    seconds = case.cost.flops / torch_best.flops_per_second
    if seconds <= longest_call_seconds:
        return None
    return (
        f"one call would take {units.seconds(seconds)} or more, the limit is "
        f"{units.seconds(longest_call_seconds)}: {case.dtype} products reach "
        f"{units.work_rate(torch_best.flops_per_second)} here"
    )


class Conductor:
    """One run, from its first ceiling to its last case."""

    def __init__(
        self, crew: Crew, writer: store.Writer, done: dict[str, Result], note: Callable[[str], None]
    ) -> None:
        self._crew = crew
        self._writer = writer
        self._done = done
        self._note = note
        self._samples: dict[str, tuple[RawSamples, ...]] = {}
        self._profile = _profile(writer.folder.parent, writer.header.environment, writer.header.settings)

    @classmethod
    def start(
        cls,
        results: Path,
        settings: Settings,
        planned: tuple[str, ...],
        crew: Crew,
        note: Callable[[str], None],
    ) -> "Conductor":
        """Begins a new run: its folder and its header exist when this returns."""
        environment = describe(crew)
        header = Header(
            id=store.new_id(environment.code.commit),
            schema_version=store.SCHEMA_VERSION,
            started_at=store.now(),
            settings=settings,
            environment=environment,
            planned=planned,
        )
        profile = _profile(results, environment, settings)
        if profile is not None:
            header = msgspec.structs.replace(header, selftest_at=profile.taken_at)
        return cls(crew, store.Writer.create(results, header), {}, note)

    @classmethod
    def resume(cls, folder: Path, crew: Crew, note: Callable[[str], None]) -> "Conductor":
        """Goes on with a run; cases that failed are measured again.

        Raises:
            UsageError: the run was measured on another machine, or with another torch or settings.
        """
        run = store.load(folder)
        then, now = run.header.environment, describe(crew)
        differing = [d.field for d in then.differences(now)]
        if (then.host.id, then.fingerprint) != (now.host.id, now.fingerprint):
            words = ", ".join(differing[:4])
            raise UsageError(f"{run.header.id} was measured on another machine (it differs in {words})")
        changed = [field for field in differing if field.startswith(SAME_ON_RESUMING)]
        if changed:
            raise UsageError(f"{run.header.id} was measured with another {', '.join(changed[:4])}")
        done = {r.case.id: r for r in run.results if not isinstance(r.outcome, Failed)}
        return cls(crew, store.Writer.reopen(folder), done, note)

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

    def measure(self, cases: Sequence[tuple[Workload, Case]], told: Callable[[Result], None]) -> None:
        """One chapter: the first of the cases that are not on record, as many as go together.

        `told` hears of each result when it is on disk.
        """
        if self._middle_is_due() or not self.header.ceilings:
            self.measure_ceilings()
        self._crew.heal()
        settings, ceilings = self.header.settings, envelope(self.header.ceilings)
        free = self._crew.ask(0, AskFree(), Free, ROUND_LIMIT_SECONDS).free_bytes
        tasks: dict[str, Task] = {}
        members: list[Case] = []
        room = self._room
        budget = _Budget(settings.sampling, free)
        self._samples = {}
        for workload, case in cases:
            if case.id in self._done:
                continue
            if len(members) == room:
                break
            reason = not_worth_it(
                case, free, ceilings, settings.threads, LONGEST_CALL_SECONDS[settings.profile]
            )
            if reason is None and not budget.admits(case):
                break
            members.append(case)
            if reason is not None:
                self.record(_result(case, ceilings, settings, Skipped(reason=reason)), told=told)
                continue
            try:
                packed = pack_workload(workload)
                drift = self._drift(roofline.predict(case, ceilings, settings.threads))
                tasks[case.id] = Task(Order(case.id, *packed, settings.threads, drift=drift))
            except UsageError as error:
                self.record(_result(case, ceilings, settings, Failed(reason=str(error))), told=told)
        self._note(f"{len(tasks)} cases side by side")
        opened = self._crew.opened
        chapter = Chapter(self._crew, settings.sampling, card_of(opened.uuid if opened else None))
        chapter.measure(tuple(tasks.values()), together=budget.together)
        for case in members:
            task = tasks.get(case.id)
            if task is not None and task.outcome is not None:
                self.record(_result(case, ceilings, settings, task.outcome), task, told)

    def record(
        self, result: Result, task: Task | None = None, told: Callable[[Result], None] = lambda _: None
    ) -> None:
        """Puts a result on disk; one recorded before under the same id no longer counts."""
        if task is not None:
            self._writer.append_samples(CaseSamples(result.case.id, task.samples), task.series)
            self._samples[result.case.id] = task.samples
        self._writer.append(result)
        self._done[result.case.id] = result
        told(result)

    def measure_ceilings(self) -> None:
        """Adds a round of ceilings, measured by another process each time.

        After the first, of the run's own thread count alone.
        """
        rounds = self.header.ceilings
        request = MeasureCeilings(every_thread_count=not rounds, levels=rounds[0].levels if rounds else ())
        self._crew.heal()
        try:
            worker = len(rounds) % len(self._crew)
            found = self._crew.ask(worker, request, Measured, ROUND_LIMIT_SECONDS).ceilings
        except LostError as lost:
            self._crew.heal()
            found = Ceilings(unmeasured={"ceilings": str(lost)})
        self._writer.put(msgspec.structs.replace(self.header, ceilings=(*rounds, found)))

    def close(self) -> None:
        """Ends the workers, and writing."""
        self._crew.close()
        if self._crew.output:
            self._writer.keep_output(self._crew.output)
        self._writer.close()

    def finish(self) -> None:
        """Closes the run if every planned case is on record; a last round of ceilings shows drift."""
        if not set(self.header.planned) <= self._done.keys():
            return
        if self.header.ceilings:
            self.measure_ceilings()
        self._writer.put(msgspec.structs.replace(self.header, finished_at=store.now()))

    def _middle_is_due(self) -> bool:
        return len(self.header.ceilings) == 1 and self._has_middle and self._room <= 0

    def _drift(self, prediction: Prediction) -> float | None:
        """What runs of such work are known to differ by on this host."""
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
        """How many cases are left before the middle of the run; all of them after it."""
        planned = len(self.header.planned)
        before_middle = len(self.header.ceilings) <= 1 and self._has_middle
        return (planned + 1) // 2 - self.done if before_middle else planned


class _Budget:
    """What still goes into a chapter: time, and memory in all processes at once."""

    def __init__(self, sampling: Sampling, free_bytes: int) -> None:
        self._seconds = CHAPTER_SECONDS
        self._case_seconds = sampling.processes * sampling.warmup_seconds + sampling.max_seconds
        self._bytes = int(CHAPTER_MEMORY_SHARE * free_bytes / sampling.processes)
        self._unknown = int(UNKNOWN_SHARE * self._bytes)
        self._processes, self._free = sampling.processes, free_bytes
        self._empty = True
        self.together = True

    def admits(self, case: Case) -> bool:
        """Whether the case goes in too; the first always does, alone if it must."""
        needed = case.cost.memory_bytes if case.cost else self._unknown
        self._bytes -= needed
        self._seconds -= self._case_seconds
        if self._empty:
            self._empty = False
            self.together = needed * self._processes <= MEMORY_SHARE * self._free
            return True
        return self._bytes >= 0 and self._seconds >= 0 and self.together


def describe(crew: Crew) -> Environment:
    """What the machine is, as a worker sees it; the command is that of this process."""
    return crew.ask(0, Describe(tuple(sys.argv)), Described, ROUND_LIMIT_SECONDS).environment


def _profile(results: Path, environment: Environment, settings: Settings) -> NoiseProfile | None:
    return store.profile(results, environment.host.id, settings.device)


def _result(
    case: Case, ceilings: Ceilings, settings: Settings, outcome: Measurement | Skipped | Failed
) -> Result:
    prediction = roofline.predict(case, ceilings, settings.threads)
    return Result(case=case, prediction=prediction, outcome=outcome)
