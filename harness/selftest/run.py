"""Runs a self-test: each kind of work in each of many pairs of fresh processes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import msgspec

from harness import stats, store
from harness.errors import StartError, UsageError
from harness.measure.batch import Batch, Order, Task
from harness.measure.pairs import Arm, Pairs
from harness.measure.pickling import pack_workload
from harness.measure.pool import DeclinedError, LostError, SpoiledError, WorkerPool
from harness.measure.runner import SAMPLING, describe
from harness.measure.sensors import HostWatch
from harness.records import Environment, Measurement
from harness.records.noise import INJECTED, PAIRS, KindNoise, NoiseProfile, Repeat, TimerReading
from harness.records.trial import column, round_log_ratios
from harness.selftest.work import SPINS, Kind, kinds

ROUNDS, BURST_SECONDS = 8, 0.03
# The reading of a burst that is compared.
READING = "fastest"
REPEATED = msgspec.structs.replace(SAMPLING["quick"], limit_seconds=120.0)


@dataclass
class _Readings:
    """The readings of one kind of work so far."""

    kind: Kind
    call_seconds: list[float] = field(default_factory=list)
    same: list[float] = field(default_factory=list)
    slower: list[float] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)

    def record(self) -> KindNoise:
        """The readings as a record."""
        return KindNoise(
            name=self.kind.name,
            workload=str(self.kind.workload),
            threads=self.kind.threads,
            call_seconds=stats.median(self.call_seconds),
            injected=INJECTED,
            same=tuple(self.same),
            slower=tuple(self.slower),
            repeats=tuple(self.repeats),
        )


def selftest(device: str, threads: int, pairs: int, note: Callable[[str], None]) -> NoiseProfile:
    """Measures with `pairs` pairs of fresh processes.

    Raises:
        UsageError: there are too few pairs.
        StartError: a worker does not start.
    """
    if pairs < PAIRS:
        raise UsageError(f"--pairs {pairs}: too few pairs; give at least {PAIRS}, the size of one comparison")
    began = time.monotonic()
    readings = [_Readings(kind) for kind in kinds(device, threads)]
    environment: Environment | None = None
    timer: tuple[TimerReading, ...] = ()
    costs = (0.0, 0.0)
    watch = HostWatch(())
    for number in range(pairs):
        note(f"pair {number + 1} of {pairs}")
        pool = WorkerPool(device, threads, note)
        try:
            pool.grow(2)
            if environment is None:
                environment = describe(pool)
                timer, costs = _read_spins(pool)
            _measure(pool, readings)
        except (LostError, SpoiledError, DeclinedError) as lost:
            note(f"pair {number + 1} is lost: {lost}")
        finally:
            pool.close()
    if environment is None or min(len(kind.same) for kind in readings) < PAIRS:
        raise StartError(f"too many pairs were lost: fewer than {PAIRS} are left")
    return NoiseProfile(
        schema_version=store.SCHEMA_VERSION,
        host=environment.host.id,
        device=device,
        threads=threads,
        machine=environment.processor.model_name or environment.processor.architecture,
        torch=environment.software.torch.version,
        taken_at=store.now(),
        seconds=time.monotonic() - began,
        kinds=tuple(kind.record() for kind in readings),
        timer=timer,
        mark_seconds=costs[0],
        sample_seconds=costs[1],
        other_cpus=watch.seen().other_cpus,
    )


def _order(kind: Kind, name: str, slow_seconds: float = 0.0) -> Order:
    case = f"{name}-{kind.workload}-{kind.threads}"
    return Order(case, *pack_workload(kind.workload), kind.threads, slow_seconds)


def _measure(pool: WorkerPool, readings: Sequence[_Readings]) -> None:
    """Adds the readings of one pair to each kind; kinds with the same number of threads are interleaved."""
    for _, group in groupby(readings, key=lambda kind: kind.kind.threads):
        members = list(group)
        tasks = [Task(_order(member.kind, "repeat")) for member in members]
        Batch(pool, REPEATED).measure(tasks)
        arms = _compare(pool, members)
        for kind, task, (base, same, slower) in zip(members, tasks, arms, strict=True):
            if isinstance(task.outcome, Measurement) and task.outcome.interval is not None:
                low, high = task.outcome.interval
                kind.repeats.append(Repeat(task.outcome.median, low, high, task.outcome.flags))
            kind.call_seconds.append(min(column(base.bursts, READING)))
            kind.same.append(_log_ratio(base, same))
            kind.slower.append(_log_ratio(base, slower))


def _log_ratio(base: Arm, candidate: Arm) -> float:
    """The logarithm of candidate over base: the median over rounds."""
    return stats.median(round_log_ratios(column(base.bursts, READING), column(candidate.bursts, READING)))


def _compare(pool: WorkerPool, members: Sequence[_Readings]) -> list[tuple[Arm, Arm, Arm]]:
    """The arms base, same and slower (the same slowed down); the last two share a process."""
    pairs = Pairs(REPEATED, BURST_SECONDS)
    arms = []
    for member in members:
        base = pairs.prepare(Arm(_order(member.kind, "base"), pool, 0))
        same = pairs.prepare(Arm(_order(member.kind, "same"), pool, 1))
        slow_seconds = INJECTED * min(base.seconds, same.seconds)
        arms.append((base, same, pairs.prepare(Arm(_order(member.kind, "slower", slow_seconds), pool, 1))))
    for _ in range(ROUNDS):
        for three in arms:
            pairs.round(three)
    pool.release(None, REPEATED.limit_seconds)
    return arms


def _read_spins(pool: WorkerPool) -> tuple[tuple[TimerReading, ...], tuple[float, float]]:
    """Timer readings of spins of known length, and the overhead of a sample inside and around its time."""
    tasks = [Task(_order(Kind("spin", spin, 1), "spin")) for spin in SPINS]
    Batch(pool, REPEATED).measure(tasks)
    readings = []
    marks, around = [], []
    for spin, task in zip(SPINS, tasks, strict=True):
        if isinstance(task.outcome, Measurement):
            readings.append(TimerReading(spin.microseconds * 1e-6, task.outcome.median))
            marks.append(task.outcome.timer_cost_seconds)
            around.append(task.outcome.sample_cost_seconds or 0.0)
    if not readings:
        raise LostError("the spins could not be timed")
    return tuple(readings), (stats.median(marks), stats.median(around))
