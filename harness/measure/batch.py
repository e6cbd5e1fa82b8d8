"""A batch of a run: interleaved cases, each measured by several processes in blocks.

A machine has slow periods: for seconds, a neighbour or the hypervisor's scheduler makes the same
work up to twice as slow. Consecutive blocks lie all inside or all outside of such a period, and
their agreement is false. So the cases of a batch alternate in rounds, and in each round the processes
of a case: W1 W2, W2 W1, W1 W2, ... A slow period then affects one or two blocks of every case.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from harness import stats, units
from harness.measure.pool import DeclinedError, LostError, SpoiledError, WorkerPool
from harness.measure.protocol import (
    Message,
    Prepare,
    Prepared,
    PreparedView,
    Replay,
    ReplayTaken,
    Request,
    TakeBlock,
    Taken,
)
from harness.measure.sensors import Card, HostWatch, summary
from harness.records import (
    Failed,
    Measurement,
    RawSamples,
    Reading,
    Samples,
    Sampling,
    Sensors,
    SensorSeries,
    Skipped,
    StopReason,
    View,
)

# Convergence is checked after this many rounds and at each doubling: a check after every round would stop
# at the first chance agreement. LEAST_ROUNDS holds however long a round takes.
FIRST_CHECK, LEAST_ROUNDS = 4, 2
MOST_SAMPLES_IN_BLOCK = 256
# The operators of a case get at least the time of this many of its calls.
REPLAY_CALLS = 5
# Limits of a replay: a multiple of its time, and seconds to begin.
REPLAY_MARGIN, REPLAY_START_SECONDS = 5.0, 10.0
# The sensors of a card are read at 20 Hz.
SENSOR_SECONDS = 0.05

R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class Order:
    """A case to be measured, with its settings.

    `drift` is the known spread between runs, `effort` the case's fraction of the sampling time. Its operators are
    measured one by one for `replay_seconds`, or longer for long calls.
    """

    case: str
    pickled: bytes
    module: str
    path: str | None
    threads: int
    slow_seconds: float = 0.0
    drift: float | None = None
    effort: float = 1.0
    replay_seconds: float = 0.0

    def prepare(
        self, sampling: Sampling, *, with_memory: bool, set_bytes: int | None = None, capture: bool = True
    ) -> Prepare:
        """The request that makes its tensors, of `set_bytes` bytes if known."""
        return Prepare(
            case=self.case,
            pickled=self.pickled,
            module=self.module,
            path=self.path,
            sampling=sampling.reduced(self.effort),
            threads=self.threads,
            with_memory=with_memory,
            set_bytes=set_bytes,
            capture=capture,
            slow_seconds=self.slow_seconds,
        )


@dataclass
class Task:
    """The state of a case in a batch; `outcome` is None until it is done."""

    order: Order
    outcome: Measurement | Skipped | Failed | None = None
    samples: tuple[RawSamples, ...] = ()
    replies: list[Prepared] = field(default_factory=list)
    blocks: dict[tuple[str, int], list[Taken]] = field(default_factory=dict)
    readings: list[Reading] = field(default_factory=list)
    rounds: int = 0
    sampled_seconds: float = 0.0
    used_seconds: float = 0.0
    stopped: StopReason | None = None
    no_graph: str | None = None
    replay: ReplayTaken | None = None

    def begin_again(self) -> None:
        """Discards what was measured so far: another case ended the process."""
        self.replies, self.blocks, self.readings, self.used_seconds = [], {}, [], 0.0
        self.begin_rounds()

    def begin_rounds(self) -> None:
        """Starts at round zero."""
        self.rounds, self.sampled_seconds, self.stopped = 0, 0.0, None

    @property
    def running(self) -> bool:
        """Whether it needs another round."""
        return self.outcome is None and self.stopped is None

    @property
    def views(self) -> tuple[PreparedView, ...]:
        """The views that all processes have."""
        shared = set.intersection(*({view.name for view in reply.views} for reply in self.replies))
        return tuple(view for view in self.replies[0].views if view.name in shared)

    def of(self, view: str, worker: int) -> Samples:
        """All the samples a worker took of a view."""
        return Samples.joined([taken.samples for taken in self.blocks[view, worker]])

    @property
    def series(self) -> SensorSeries | None:
        """The readings of the device's sensors."""
        return SensorSeries(self.order.case, tuple(self.readings)) if self.readings else None


class Batch:
    """Measures tasks, interleaved, on a worker pool."""

    def __init__(self, pool: WorkerPool, sampling: Sampling, card: Card | None = None) -> None:
        self._pool, self._sampling, self._card = pool, sampling, card
        self._current: Task | None = None
        self._replaying = False
        self._began = self._next_reading = time.monotonic()

    def measure(self, tasks: Sequence[Task], *, together: bool = True) -> None:
        """Gives every task its outcome. A task that ends a worker costs no other task.

        With `together` False the memory of a case does not fit into all processes at once, so they
        measure it one after another.
        """
        everyone = range(self._sampling.processes)
        turns: list[Sequence[int]] = [everyone] if together else [[worker] for worker in everyone]
        while unfinished := [task for task in tasks if task.outcome is None]:
            try:
                self._attempt(unfinished, turns)
            except SpoiledError as spoiled:
                if self._current is not None:
                    self._current.no_graph = str(spoiled)
                self._start_over(unfinished)
            except LostError as lost:
                if self._current is not None and self._current.outcome is None and not self._replaying:
                    self._current.outcome = Failed(reason=self._reason(lost))
                self._start_over(unfinished)

    def _start_over(self, tasks: Sequence[Task]) -> None:
        """Restores a full worker pool with no case prepared."""
        self._replaying = False
        self._pool.replace_lost()
        with suppress(LostError):
            self._release(None)
        self._pool.replace_lost()
        for task in tasks:
            task.begin_again()

    def _attempt(self, tasks: Sequence[Task], turns: Sequence[Sequence[int]]) -> None:
        host = HostWatch(self._pool.pids)
        for workers in turns:
            for task in tasks:
                self._attend(task, workers, self._begin)
            while running := [task for task in tasks if task.running]:
                for task in running:
                    self._attend(task, workers, self._round)
            if workers is not turns[-1]:
                self._release(None)
        host_sensors = host.seen()
        for task in tasks:
            if task.outcome is None:
                self._conclude(task, host_sensors, interleaved=len(turns) == 1)
        self._release(None)

    def _attend(
        self, task: Task, workers: Sequence[int], action: Callable[[Task, Sequence[int]], None]
    ) -> None:
        if task.outcome is not None:
            return
        self._current = task
        try:
            action(task, workers)
        except DeclinedError as declined:
            task.outcome = declined.outcome
            self._release(task.order.case)

    def _begin(self, task: Task, workers: Sequence[int]) -> None:
        """Makes its tensors in each worker, and measures the first round at once, which spreads rounds over time."""
        for worker in workers:
            # One process measures memory, the others an undisturbed first call.
            known = task.replies[0].peak_memory_bytes if task.replies else None
            request = task.order.prepare(
                self._sampling, with_memory=worker == 0, set_bytes=known, capture=task.no_graph is None
            )
            task.replies.append(self._ask(task, worker, request, Prepared))
        task.begin_rounds()
        self._round(task, workers)

    def _round(self, task: Task, workers: Sequence[int]) -> None:
        for worker in workers if task.rounds % 2 == 0 else reversed(workers):
            for view in task.views:
                calls = max(v.calls for reply in task.replies for v in reply.views if v.name == view.name)
                block = self._sampling.reduced(task.order.effort).block_seconds
                count = round(block / (calls * view.seconds))
                request = TakeBlock(
                    case=task.order.case,
                    view=view.name,
                    calls=calls,
                    samples=min(max(1, count), MOST_SAMPLES_IN_BLOCK),
                    threads=task.order.threads,
                )
                taken = self._ask(task, worker, request, Taken)
                task.blocks.setdefault((view.name, worker), []).append(taken)
                task.sampled_seconds += taken.elapsed_seconds
        task.rounds += 1
        task.stopped = self._stop(task, workers)
        if task.stopped is not None and task.order.replay_seconds and task.replay is None:
            self._replay(task, workers[-1])

    def _replay(self, task: Task, worker: int) -> None:
        """Times the operators of a case one by one, while the machine is in the same state."""
        median = stats.median(task.of(task.views[0].name, worker).trusted_seconds)
        seconds = max(task.order.replay_seconds, REPLAY_CALLS * median)
        request = Replay(task.order.case, seconds, task.order.threads)
        limit = REPLAY_MARGIN * seconds + REPLAY_START_SECONDS
        task.replay = ReplayTaken()  # it is not tried again, even if it fails
        self._replaying = True
        task.replay = self._pool.ask(worker, request, ReplayTaken, limit)
        self._replaying = False

    def _stop(self, task: Task, workers: Sequence[int]) -> StopReason | None:
        due = task.rounds >= FIRST_CHECK and (task.rounds & (task.rounds - 1)) == 0
        view = task.views[0].name
        if due and all(self._converged(task.of(view, worker)) for worker in workers):
            return StopReason.CONVERGED
        limit = self._sampling.max_seconds * task.order.effort * len(workers) / self._sampling.processes
        # All views share one clock on the wall; the limit is for each of them.
        limit *= len(task.views)
        return StopReason.TIME_CAP if task.rounds >= LEAST_ROUNDS and task.sampled_seconds >= limit else None

    def _converged(self, samples: Samples) -> bool:
        trusted = samples.trusted_seconds
        low, high = stats.median_interval(trusted)
        return (high - low) / 2 <= self._sampling.target_half_width * stats.median(trusted)

    def _ask(self, task: Task, worker: int, request: Request, kind: type[R]) -> R:
        began = time.monotonic()
        if self._card is not None:
            self._pool.meanwhile = lambda: self._read_card(task)
        try:
            return self._pool.ask(worker, request, kind, self._sampling.limit_seconds - task.used_seconds)
        finally:
            self._pool.meanwhile = None
            task.used_seconds += time.monotonic() - began

    def _read_card(self, task: Task) -> None:
        """Reads the card if its period has passed; the period continues over blocks, which are shorter."""
        now = time.monotonic()
        if self._card is not None and now >= self._next_reading:
            self._next_reading = now + SENSOR_SECONDS
            task.readings.append(self._card.read(now - self._began))

    def _release(self, case: str | None) -> None:
        self._pool.release(case, self._sampling.limit_seconds)

    def _reason(self, lost: LostError) -> str:
        limit = units.seconds(self._sampling.limit_seconds)
        return f"took longer than its limit of {limit}: {lost}" if lost.timed_out else str(lost)

    def _conclude(self, task: Task, host: Sensors, *, interleaved: bool) -> None:
        """The record of what was measured."""
        reply = task.replies[0]
        task.samples = tuple(RawSamples(view, worker, task.of(view, worker)) for view, worker in task.blocks)
        views = tuple(
            View(
                name=view.name,
                calls_per_sample=task.of(view.name, 0).calls_per_sample,
                processes=tuple(raw.samples.statistics() for raw in task.samples if raw.view == view.name),
                stop_reason=task.stopped or StopReason.TIME_CAP,
                rotations=view.rotations,
                cold=view.cold,
                drift_between_runs=task.order.drift,
            )
            for view in task.views
        )
        first_calls = [r.first_call_seconds for r in task.replies if r.first_call_seconds is not None]
        opened = self._pool.opened
        task.outcome = Measurement(
            view=views[0],
            others=views[1:],
            missing_views=_missing(task),
            timer_cost_seconds=max(r.timer_cost_seconds for r in task.replies),
            sample_cost_seconds=_sample_cost(task, views[0].name),
            first_call_seconds=stats.median(first_calls) if first_calls else None,
            preheat_seconds=sum(r.preheat_seconds for r in task.replies),
            interleaved=interleaved,
            threads=task.order.threads,
            usable_cores=opened.usable_cores if opened else None,
            joules_per_call=reply.joules_per_call,
            sensors=summary(host, task.readings),
            peak_memory_bytes=reply.peak_memory_bytes,
            phase_peak_bytes=reply.phase_bytes,
            phase_seconds=reply.phase_seconds,
            allocated_peak_bytes=reply.allocated_bytes,
            reserved_peak_bytes=reply.reserved_bytes,
        )


def _sample_cost(task: Task, view: str) -> float:
    """Seconds that a sample costs outside of its marks: the median of the blocks."""
    blocks = [taken for (name, _), several in task.blocks.items() if name == view for taken in several]
    costs = []
    for taken in blocks:
        in_marks = sum(taken.samples.seconds) * taken.samples.calls_per_sample
        costs.append(max(0.0, taken.block_seconds - in_marks) / len(taken.samples.seconds))
    return stats.median(costs)


def _missing(task: Task) -> dict[str, str]:
    """The views that some process lacks, with the reasons."""
    missing = {name: why for reply in task.replies for name, why in reply.missing.items()}
    return missing if task.no_graph is None else {**missing, "gpu_graph": task.no_graph}
