"""Batches on a simulated device, with workers in this process: rounds, statistics, losses, limits."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import pytest
import torch

from harness.measure import batch
from harness.measure.batch import FIRST_CHECK, Batch, Order, Task
from harness.measure.devices import base as devices
from harness.measure.pickling import pack_workload
from harness.measure.pool import LostError, WorkerPool
from harness.measure.protocol import Replay, ReplayTaken
from harness.records import Failed, Flag, Measurement, Reading, Sampling, Skipped, StopReason
from harness.workload import Call, Workload
from tests import made_up, simulated
from tests.simulated import InProcess, Simulated

SAMPLING = msgspec.structs.replace(made_up.SAMPLING, processes=3)
calls: list[str] = []
behaviour: dict[str, Callable[[], float]] = {}


@dataclass(frozen=True)
class Timed(Workload):
    """As long as the test says, by name."""

    name: str

    def prepare(self, device: torch.device) -> Call:
        seconds = behaviour[self.name]
        if self.name == "refused":
            raise MemoryError("no room")
        output = torch.ones(1)

        def call() -> torch.Tensor:
            calls.append(self.name)
            simulated.CURRENT.submit(seconds())
            return output

        return call


@pytest.fixture
def pool(machine: Simulated) -> Iterator[WorkerPool]:
    calls.clear()
    behaviour.clear()
    one = WorkerPool("cpu", 1, lambda _: None)
    one.grow(SAMPLING.processes)
    yield one
    one.close()


def task(name: str, seconds: float | Callable[[], float]) -> Task:
    behaviour[name] = seconds if callable(seconds) else lambda: seconds
    return Task(Order(name, *pack_workload(Timed(name)), threads=1))


def measured(
    pool: WorkerPool, *tasks: Task, sampling: Sampling = SAMPLING, **options: bool
) -> list[Measurement]:
    Batch(pool, sampling).measure(tasks, **options)
    return [task.outcome for task in tasks if isinstance(task.outcome, Measurement)]


def test_each_process_measures_each_case_and_the_typical_time_is_the_median_of_medians(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes, one of them twice as slow as the others for good."""
    speeds = iter((1e-3, 1e-3, 2e-3))

    def prepare(*_: object) -> Callable[[], torch.Tensor]:
        own = next(speeds)

        def call() -> torch.Tensor:
            simulated.CURRENT.submit(own)
            return torch.ones(1)

        return call

    monkeypatch.setattr(Timed, "prepare", prepare)

    (outcome,) = measured(pool, task("uneven", 1e-3))

    assert [process.median for process in outcome.view.processes] == pytest.approx(
        [1e-3, 1e-3, 2e-3], rel=1e-3
    )
    assert outcome.median == pytest.approx(1e-3, rel=1e-3)
    assert outcome.interval is not None
    assert outcome.interval[1] / outcome.median > 1.5  # the spread of processes is the interval
    assert Flag.NOISY in outcome.flags


def test_cases_and_processes_take_turns(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[str, int]] = []
    original = WorkerPool.ask

    def ask(self: WorkerPool, index: int, request: object, *rest: object) -> object:
        if type(request).__name__ == "TakeBlock":
            turns.append((request.case, index))  # type: ignore[attr-defined]
        return original(self, index, request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerPool, "ask", ask)
    measured(pool, task("a", 1e-4), task("b", 1e-4))

    forward, back = [0, 1, 2], [2, 1, 0]
    assert turns[:6] == [("a", i) for i in forward] + [("b", i) for i in forward]
    assert turns[6:12] == [("a", i) for i in back] + [("b", i) for i in back]
    assert turns[12:15] == [("a", i) for i in forward]


def test_steady_work_is_done_at_the_first_look(pool: WorkerPool) -> None:
    (outcome,) = measured(pool, task("steady", 1e-4))

    assert outcome.view.stop_reason is StopReason.CONVERGED
    assert [len(p.block_medians) for p in outcome.view.processes] == [FIRST_CHECK] * 3
    assert outcome.flags == ()
    assert outcome.interleaved
    assert outcome.regime == "burst"


def test_noisy_work_goes_on_until_its_time_is_over(pool: WorkerPool) -> None:
    noise = random.Random(7)
    (outcome,) = measured(pool, task("noisy", lambda: 1e-4 * noise.lognormvariate(0, 1)))

    assert outcome.view.stop_reason is StopReason.TIME_CAP
    assert Flag.NOISY in outcome.flags


def test_long_work_keeps_to_two_laps(pool: WorkerPool) -> None:
    (outcome,) = measured(pool, task("long", 0.5))

    assert outcome.view.stop_reason is StopReason.TIME_CAP
    assert [p.samples for p in outcome.view.processes] == [2, 2, 2]
    assert outcome.median == pytest.approx(0.5)


def test_few_samples_are_flagged(pool: WorkerPool) -> None:
    two = msgspec.structs.replace(SAMPLING, processes=2)
    (outcome,) = measured(pool, task("long", 0.5), sampling=two)

    assert Flag.FEW_SAMPLES in outcome.flags


def test_drift_within_a_process_is_flagged(pool: WorkerPool) -> None:
    steps = itertools.count()
    (outcome,) = measured(pool, task("drifting", lambda: 1e-4 * (1 + 0.0005 * next(steps))))

    assert Flag.DRIFTING in outcome.flags


def test_waiting_for_a_core_is_flagged_and_does_not_set_the_typical_time(
    pool: WorkerPool, machine: Simulated
) -> None:
    turns = itertools.count()

    def contended() -> float:
        if next(turns) % 2:
            machine.host += 5e-4
            machine.run_delay += 5e-4
        return 1e-3

    (outcome,) = measured(pool, task("contended", contended))

    assert Flag.CONTENDED in outcome.flags
    assert outcome.median == pytest.approx(1e-3, rel=1e-3)
    assert outcome.view.clean_fraction < 0.9


def test_more_threads_than_cores_are_flagged(pool: WorkerPool) -> None:
    task("steady", 1e-4)
    crowded = Task(Order("crowded", *pack_workload(Timed("steady")), threads=10_000))
    (outcome,) = measured(pool, crowded)

    assert Flag.OVERSUBSCRIBED in outcome.flags


def test_what_does_not_fit_together_is_measured_by_one_process_after_the_other(pool: WorkerPool) -> None:
    (outcome,) = measured(pool, task("large", 1e-4), together=False)

    assert not outcome.interleaved
    assert len(outcome.view.processes) == 3
    assert outcome.median == pytest.approx(1e-4, rel=2e-3)


def test_a_case_that_is_refused_costs_no_other(pool: WorkerPool) -> None:
    refused, steady = task("refused", 1e-4), task("steady", 1e-4)
    measured(pool, refused, steady)

    assert refused.outcome == Skipped("out of memory: no room")
    assert isinstance(steady.outcome, Measurement)


def test_a_case_that_breaks_in_a_later_block_has_failed(pool: WorkerPool) -> None:
    count = itertools.count()

    def breaks() -> float:
        if next(count) > 100:
            raise RuntimeError("it broke after a while")
        return 1e-4

    broken, steady = task("broken", breaks), task("steady", 1e-4)
    measured(pool, broken, steady)

    assert broken.outcome == Failed("RuntimeError: it broke after a while")
    assert isinstance(steady.outcome, Measurement)


def test_a_worker_that_is_lost_costs_its_case_alone_and_is_replaced(machine: Simulated) -> None:
    behaviour.clear()
    InProcess.started = 0
    pool = WorkerPool("cpu", 1, lambda _: None, _start=lambda: InProcess(lose="fatal"))
    pool.grow(3)
    tasks = [task("before", 1e-4), task("fatal", 1e-4), task("after", 2e-4)]

    outcomes = measured(pool, *tasks)

    assert tasks[1].outcome == Failed("the worker process was killed by SIGSEGV")
    assert [outcome.median for outcome in outcomes] == pytest.approx([1e-4, 2e-4], rel=2e-3)
    assert len(pool) == 3
    assert InProcess.started == 4


def test_a_sensor_is_read_meanwhile_and_summed_up(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Card:
        def __init__(self) -> None:
            self.clocks = itertools.cycle((1.0e9, 1.8e9))

        def read(self, at: float) -> Reading:
            return Reading(at, next(self.clocks), None, 300.0, 60.0, ("sw_power_cap", "gpu_idle"))

    monkeypatch.setattr(batch, "SENSOR_SECONDS", 0.0)
    one = task("hot", 1e-4)
    Batch(pool, SAMPLING, Card()).measure([one])

    assert isinstance(one.outcome, Measurement)
    observed = one.outcome.sensors
    assert observed.clock_hertz is not None
    assert (observed.clock_hertz.low, observed.clock_hertz.high) == (1.0e9, 1.8e9)
    assert observed.memory_clock_hertz is None  # absent, not zero
    assert observed.throttle_reasons == ("gpu_idle", "sw_power_cap")
    assert Flag.THROTTLED in one.outcome.flags
    assert one.series is not None
    assert len(one.series.readings) == observed.readings > 0


def test_energy_per_call_where_the_device_counts_it(pool: WorkerPool, machine: Simulated) -> None:
    machine.watts = 100.0
    (outcome,) = measured(pool, task("steady", 1e-3))
    machine.watts = None
    (without,) = measured(pool, task("again", 1e-3))

    assert outcome.joules_per_call == pytest.approx(0.1, rel=1e-3)
    assert without.joules_per_call is None


def test_the_views_of_an_accelerator_are_all_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Simulated(asynchronous=True, launch_cost=20e-6)
    device.cache, device.set_bytes = 2**20, 2**18
    monkeypatch.setattr(simulated, "CURRENT", device)
    monkeypatch.setattr(devices, "opened", lambda *_: device)
    behaviour.clear()
    pool = WorkerPool("cuda:0", 1, lambda _: None, _start=InProcess)
    pool.grow(2)
    sampling = msgspec.structs.replace(SAMPLING, processes=2, preheat_seconds=2.0)

    (outcome,) = measured(pool, task("kernel", 5e-6), sampling=sampling)

    assert [view.name for view in outcome.views] == ["gpu_hot", "gpu_cold", "gpu_graph", "wall"]
    assert [view.median for view in outcome.views] == pytest.approx([5e-6, 5e-6, 5e-6, 25e-6], rel=0.05)
    assert outcome.view.host_bound_fraction == 0.0
    assert outcome.views[1].cold
    assert Flag.CACHE_WARM not in outcome.flags
    assert Flag.HOST_BOUND not in outcome.flags


def test_launches_too_slow_to_hold_are_flagged_host_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Simulated(asynchronous=True, launch_cost=20e-3)
    device.cache, device.set_bytes = 2**20, 2**18
    device.memory = 2**20
    monkeypatch.setattr(simulated, "CURRENT", device)
    monkeypatch.setattr(devices, "opened", lambda *_: device)
    behaviour.clear()
    pool = WorkerPool("cuda:0", 1, lambda _: None, _start=InProcess)
    pool.grow(2)

    (outcome,) = measured(pool, task("step", 1e-3), sampling=msgspec.structs.replace(SAMPLING, processes=2))

    assert Flag.HOST_BOUND in outcome.flags
    assert Flag.CACHE_WARM in outcome.flags  # memory for two sets alone


def test_a_process_whose_graph_could_not_be_captured_is_replaced_and_the_case_measured_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Simulated(asynchronous=True)
    device.cache, device.set_bytes = 2**20, 2**18

    def broken(_: object) -> None:
        raise RuntimeError("the call synchronises")

    monkeypatch.setattr(device, "captured", broken)
    monkeypatch.setattr(simulated, "CURRENT", device)
    monkeypatch.setattr(devices, "opened", lambda *_: device)
    behaviour.clear()
    InProcess.started = 0
    pool = WorkerPool("cuda:0", 1, lambda _: None, _start=InProcess)
    pool.grow(2)

    (outcome,) = measured(pool, task("step", 1e-4), sampling=msgspec.structs.replace(SAMPLING, processes=2))

    assert [view.name for view in outcome.views] == ["gpu_hot", "gpu_cold", "wall"]
    assert outcome.missing_views == {"gpu_graph": "RuntimeError: the call synchronises"}
    assert InProcess.started == 3


def test_a_worker_lost_when_all_is_measured_costs_nothing(machine: Simulated) -> None:
    class DiesAtTheEnd(InProcess):
        def send(self, request: object) -> None:
            if type(request).__name__ == "Release":
                self._living = False
            else:
                super().send(request)  # type: ignore[arg-type]

    behaviour.clear()
    pool = WorkerPool("cpu", 1, lambda _: None, _start=DiesAtTheEnd)
    pool.grow(3)

    assert len(measured(pool, task("a", 1e-4), task("b", 1e-4))) == 2


def replayed(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, *answers: object) -> tuple[Task, Task]:
    """Two cases of several operators; what comes of each request to replay them, in turn."""
    replies = iter(answers)
    ask = pool.ask

    def asked(index: int, request: object, kind: type, limit: float) -> object:
        if not isinstance(request, Replay):
            return ask(index, request, kind, limit)  # type: ignore[arg-type]
        assert limit < SAMPLING.limit_seconds
        answer = next(replies)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(pool, "ask", asked)
    tasks = task("one", 1e-3), task("two", 2e-3)
    for each in tasks:
        each.order = replace(each.order, replay_seconds=0.4)
    Batch(pool, SAMPLING).measure(tasks)
    return tasks


def test_a_case_is_replayed_once_when_it_is_measured(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = replayed(pool, monkeypatch, ReplayTaken(untimed=1), ReplayTaken(untimed=2))

    assert {each.replay.untimed for each in (one, two) if each.replay} == {1, 2}
    assert all(isinstance(each.outcome, Measurement) for each in (one, two))


def test_a_replay_that_takes_a_process_down_costs_no_case(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is extra: the case is measured again, and not replayed again."""
    lost = LostError("the worker process was killed by SIGSEGV")
    one, two = replayed(pool, monkeypatch, lost, ReplayTaken(untimed=2))

    assert all(isinstance(each.outcome, Measurement) for each in (one, two))
    assert sorted(each.replay.untimed for each in (one, two) if each.replay) == [0, 2]
