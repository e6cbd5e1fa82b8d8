"""`bench` and `compare`: the time of a function, and how two functions compare."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import stats, units
from harness.api import Shown
from harness.api.calls import (
    Place,
    Roof,
    check_budget,
    checked,
    counted,
    name_of,
    opened_pool,
    place_of,
    roof_of,
    sampling,
    settings_kept,
)
from harness.compare.decision import PRACTICAL_FLOOR, Effect, decide, effect, least_pairs
from harness.errors import NothingMeasuredError, UsageError
from harness.measure.batch import Batch, Task
from harness.measure.openmp import bound_spinning
from harness.measure.pairs import Arm, Pairs
from harness.measure.pool import DeclinedError, LostError, SpoiledError
from harness.measure.sensors import card_of
from harness.records import Flag, Measurement, Trace
from harness.records.comparison import Decision
from harness.records.trial import CaseTrial, Pair
from harness.store import DEFAULT_RESULTS
from harness.workload import Workload

# Rounds of interleaved bursts: at least so many, as the ranks of fewer are never certain.
ROUNDS, LEAST_ROUNDS = 16, 6
# The interval of a comparison leaves out so much of the distribution.
ALPHA = 0.05
# A name, what is called, and its arguments.
Function = tuple[str, Any, tuple[Any, ...], dict[str, Any]]
ONE_PROCESS = "of this process alone; others may differ (processes=2 measures that)"


@dataclass(frozen=True, repr=False)
class Timing(Shown):
    """The time of one call of a function, and what the call does.

    `measurement` is the full record; `trace` is what one call was counted to do.
    """

    name: str
    device: str
    threads: int
    measurement: Measurement
    trace: Trace
    roof: Roof
    uncounted: dict[str, int]

    @property
    def median(self) -> float:
        """Seconds of one call: the median over processes of their medians."""
        return self.measurement.median

    @property
    def best(self) -> float:
        """Seconds of the fastest sample."""
        return self.measurement.best

    @property
    def processes(self) -> int:
        """How many processes measured it."""
        return len(self.measurement.view.processes)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the median in seconds: of an independent repeat; with one process, of that process alone."""
        if (interval := self.measurement.interval) is not None:
            return interval
        return stats.median_interval(self.measurement.view.processes[0].block_medians)

    @property
    def half_width(self) -> float:
        """Half the width of the interval, as a fraction of the median."""
        low, high = self.interval
        return (high - low) / 2 / self.median

    @property
    def relative_iqr(self) -> float:
        """The interquartile range of the samples of a process, as a fraction of the median."""
        return self.measurement.relative_iqr

    @property
    def samples(self) -> int:
        """How many samples were taken."""
        return self.measurement.view.samples

    @property
    def flops(self) -> int:
        """Matrix FLOPs of one call; a multiply-add is 2."""
        return sum(phase.flops for phase in self.trace.phases)

    @property
    def elementwise_flops(self) -> int:
        """Elementwise FLOPs of one call, reductions included."""
        return sum(phase.elementwise_flops for phase in self.trace.phases)

    @property
    def bytes_moved(self) -> int:
        """Bytes that one call reads and writes, each operand once."""
        return sum(phase.bytes_read + phase.bytes_written for phase in self.trace.phases)

    @property
    def peak_memory_bytes(self) -> int | None:
        """Bytes of tensors alive at the peak of a call, those it is given included; None where it uses no tensor."""
        peak = max((phase.peak_bytes for phase in self.trace.phases), default=0)
        return peak or None

    @property
    def flops_per_second(self) -> float | None:
        """Matrix FLOPs over the median; None where a call does none."""
        return self.flops / self.median if self.flops else None

    @property
    def bytes_per_second(self) -> float | None:
        """Bytes moved over the median; None where a call moves none."""
        return self.bytes_moved / self.median if self.bytes_moved else None

    @property
    def fraction_of_peak(self) -> float | None:
        """FLOP/s over the measured peak; of a call without matrix FLOPs, bytes/s over the measured bandwidth. None: see `roof.source`."""
        rate, peak = self.flops_per_second, self.roof.flops_per_second
        if rate is None:
            rate, peak = self.bytes_per_second, self.roof.bytes_per_second
        return rate / peak if rate and peak else None

    @property
    def flags(self) -> tuple[str, ...]:
        """What speaks against this measurement, such as `noisy` or `contended`."""
        return tuple(flag.value for flag in self.measurement.flags)

    def as_dict(self) -> dict[str, Any]:
        """All of it for programs, in base units."""
        low, high = self.interval
        names = (
            "name", "device", "threads", "processes", "median", "best", "relative_iqr", "samples", "flops",
            "elementwise_flops", "bytes_moved", "flops_per_second", "bytes_per_second", "fraction_of_peak",
            "peak_memory_bytes", "flags",
        )  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {**found, "low": low, "high": high, "peak_source": self.roof.source}

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        low, high = self.interval
        place = (
            f"{self.device}, {_counted(self.threads, 'thread')}, {_counted(self.processes, 'process', 'es')}"
        )
        median = f"{units.seconds(self.median)} ± {units.percent(self.half_width)}"
        what = "of an independent repeat" if self.processes > 1 else ONE_PROCESS
        rows = [
            ("95% interval", f"{units.seconds(low)} to {units.seconds(high)}, {what}"),
            (
                "best",
                f"{units.seconds(self.best)}; relative IQR {units.percent(self.relative_iqr)}; {self.samples} samples",
            ),
            ("rate", self._rate()),
            ("memory", units.size(self.peak_memory_bytes) if self.peak_memory_bytes else "no tensors"),
        ]
        if self.flags:
            rows.append(("flags", ", ".join(self.flags) + self._hint))
        return f"{self.name}: {median} ({place})", rows

    @property
    def _hint(self) -> str:
        """What helps against threads that spin while they wait: torch was loaded before anybody could bound that."""
        spins = self.processes == 1 and self.threads > 1 and not bound_spinning()
        if not spins or Flag.CONTENDED not in self.measurement.flags:
            return ""
        return " (threads that wait spin here; those of fresh processes sleep: processes=2)"

    def _rate(self) -> str:
        parts = []
        fraction = "" if self.fraction_of_peak is None else f"{units.percent(self.fraction_of_peak)} of "
        if self.flops_per_second is not None:
            peak = self.roof.flops_per_second
            known = f" ({fraction}{units.work_rate(peak)}, {self.roof.source})" if peak else ""
            parts.append(f"{units.work_rate(self.flops_per_second)}{known}")
            fraction = ""
        if self.bytes_per_second is not None:
            peak = self.roof.bytes_per_second
            known = f" ({fraction}{units.bandwidth(peak)}, {self.roof.source})" if fraction and peak else ""
            parts.append(f"{units.bandwidth(self.bytes_per_second)}{known}")
        if self.fraction_of_peak is None:
            parts.append(self.roof.source if parts else "no operator of torch was called")
        if self.uncounted:
            parts.append(f"not counted: {', '.join(sorted(self.uncounted))}")
        return "; ".join(parts)


def bench(
    fn: Callable[..., Any] | Workload,
    /,
    *args: Any,
    seconds: float = 1.0,
    processes: int = 1,
    threads: int | None = None,
    device: str | None = None,
    results: str | Path = DEFAULT_RESULTS,
    **kwargs: Any,
) -> Timing:
    """Measures the time of `fn(*args, **kwargs)`, and counts its FLOPs, bytes and memory.

    The function is called many times. Its keyword arguments of the names below must be bound beforehand, as by
    `functools.partial`.

    Args:
        fn: What to call, or a `Workload`.
        args: Its arguments.
        seconds: How long to sample, all processes together; sampling ends sooner once the median is known to 0.5%.
        processes: 1 measures in this process: the interval then does not contain what processes differ by. 2 or more
            are fresh processes, interleaved; the function and its arguments are copied to them.
        threads: Threads of torch; None: those it uses now.
        device: A device such as `cuda:0`; None: the one whose tensors the call uses.
        results: The folder of runs, for the measured peaks of this machine. Without any, the peak of the needed dtype
            is measured at once.
        kwargs: Keyword arguments of `fn`.

    Returns:
        A `Timing`: `median`, `interval`, `best` (seconds), `relative_iqr`, `flops`, `bytes_moved`,
        `flops_per_second`, `bytes_per_second`, `fraction_of_peak`, `peak_memory_bytes`, `flags`.

    Raises:
        UsageError: an argument is not allowed, or cannot be handed to another process.
        NothingMeasuredError: the function failed after its first call. What it raises in its first call is raised here.

    >>> import torch
    >>> timing = bench(torch.mm, torch.ones(32, 32), torch.ones(32, 32), seconds=0.02)
    >>> timing.flops, timing.bytes_moved, timing.peak_memory_bytes
    (65536, 12288, 12288)
    >>> 0.0 < timing.best <= timing.median
    True
    """
    checked("bench(fn)", fn)
    return timed((_name(fn), fn, args, kwargs), seconds, processes, threads, device, Path(results))


def timed(
    function: Function,
    seconds: float,
    processes: int,
    threads: int | None,
    device: str | None,
    results: Path = DEFAULT_RESULTS,
) -> Timing:
    """The same of a function with its name and its arguments."""
    check_budget(seconds, processes, threads)
    with settings_kept():
        workload, count = counted(*function, device)
        place = place_of([count], device, threads)
        with opened_pool(place, [workload], here=processes == 1) as (pool, orders):
            pool.grow(processes)
            task = Task(orders[0])
            opened = pool.opened
            batch = Batch(pool, sampling(seconds, processes), card_of(opened.uuid if opened else None))
            batch.measure([task])
        if not isinstance(task.outcome, Measurement):
            reason = task.outcome.reason if task.outcome else "no outcome"
            raise NothingMeasuredError(f"{workload}: {reason}")
        roof = roof_of(count, place, results)
    return Timing(
        str(workload),
        *place,
        measurement=task.outcome,
        trace=count.trace,
        roof=roof,
        uncounted=count.uncounted,
    )


@dataclass(frozen=True, repr=False)
class Contrast(Shown):
    """How the time of a candidate compares with that of a base.

    `ratio` is candidate / base, above 1 where the candidate is slower; from `low` to `high` is its 95% interval. A
    change up to `threshold` (a fraction) is taken for none. `detectable` is the smallest change that as many
    readings find in 80 of 100 cases. `readings` are rounds in one process, or pairs of fresh processes.
    """

    base: str
    candidate: str
    ratio: float
    low: float
    high: float
    p: float
    decision: Decision
    threshold: float
    detectable: float
    base_seconds: float
    candidate_seconds: float
    readings: int
    processes: int

    def as_dict(self) -> dict[str, Any]:
        """All of it for programs, in base units."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        change = f"{self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}]"
        readings = (
            f"{self.readings} rounds; of this process alone (processes=6 or more compares fresh ones)"
            if self.processes == 1
            else f"{self.readings} pairs of fresh processes"
        )
        rows = [
            ("ratio", f"{change} of {self.base}, with its 95% interval"),
            ("base", f"{units.seconds(self.base_seconds)}, {self.base}"),
            ("candidate", f"{units.seconds(self.candidate_seconds)}, {self.candidate}"),
            (
                "readings",
                f"{readings}; they detect changes from {units.percent(self.detectable)} on, the threshold is {units.percent(self.threshold)}",
            ),
        ]
        return f"{self.candidate}: {self.decision.value}", rows


def compare(  # noqa: PLR0913 - the options of a comparison, each once
    f: Callable[..., Any] | Workload,
    g: Callable[..., Any] | Workload,
    /,
    *args: Any,
    seconds: float = 2.0,
    processes: int = 1,
    threads: int | None = None,
    device: str | None = None,
    threshold: float = PRACTICAL_FLOOR,
    **kwargs: Any,
) -> Contrast:
    """Compares two functions on the same arguments, in interleaved rounds.

    Args:
        f: The base.
        g: The candidate.
        args: The arguments of both.
        seconds: How long to sample, both and all rounds together.
        processes: 1 compares in this process; 6 or more compare as many pairs of fresh processes, whose differences
            are then in the interval.
        threads: Threads of torch; None: those it uses now.
        device: A device such as `cuda:0`; None: the one whose tensors the calls use.
        threshold: The smallest change that matters, as a fraction: 0.02 is 2%.
        kwargs: Keyword arguments of both.

    Returns:
        A `Contrast`: `ratio` (time of g over time of f), `low` and `high` (its 95% interval), and `decision`, one
        of `regressed`, `improved`, `equivalent`, `inconclusive`.

    Raises:
        UsageError: an argument is not allowed, or cannot be handed to another process.
        NothingMeasuredError: a function failed after its first call.
    """
    for what, function in (("compare(f, ...)", f), ("compare(..., g)", g)):
        checked(what, function)
    if not 0.0 < threshold < 1.0:
        raise UsageError(f"threshold={threshold}: write a fraction above 0 and below 1; 0.02 is 2%")
    names = [_name(f), _name(g)]
    names = names if names[0] != names[1] else ["f", "g"]
    functions: list[Function] = [(names[0], f, args, kwargs), (names[1], g, args, kwargs)]
    return interleaved(functions, seconds, processes, threads, device, threshold)[0]


def interleaved(
    functions: Sequence[Function],
    seconds: float,
    processes: int,
    threads: int | None,
    device: str | None,
    threshold: float,
) -> list[Contrast]:
    """Each of some functions after the first, against the first; all of them in the same rounds."""
    check_budget(seconds, processes, threads)
    least = least_pairs(1)
    if 1 < processes < least:
        raise UsageError(f"processes={processes}: write 1 (this process), or {least} or more fresh pairs")
    with settings_kept():
        found = [counted(*function, device) for function in functions]
        place = place_of([count for _, count in found], device, threads)
        workloads = [workload for workload, _ in found]
        try:
            pairs = _pairs(workloads, place, seconds, processes)
        except (DeclinedError, LostError, SpoiledError) as error:
            raise NothingMeasuredError(f"{' or '.join(map(str, workloads))}: {error}") from error
    base = str(workloads[0])
    return [
        _contrast((base, str(workload)), _trial(workload, several), processes, threshold)
        for workload, several in zip(workloads[1:], pairs, strict=True)
    ]


def _pairs(workloads: Sequence[Workload], place: Place, seconds: float, processes: int) -> list[list[Pair]]:
    """For each candidate, what each process or pair of processes read."""
    here, count, each = processes == 1, len(workloads), seconds / processes
    most = ROUNDS if here else LEAST_ROUNDS
    burst = each / (2 * count * most)
    found: list[list[Pair]] = [[] for _ in workloads[1:]]
    for number in range(processes):
        with opened_pool(place, workloads, here=here) as (pool, orders):
            pool.grow(1 if here else count)
            opened = pool.opened
            pairs = Pairs(sampling(each, 1), burst, card_of(opened.uuid if opened else None))
            arms = [Arm(order, pool, 0 if here else worker) for worker, order in enumerate(orders)]
            for arm in arms:
                pairs.prepare(arm)
            # A burst is a call that brings back what the others displaced, and a sample at least.
            long = sum(max(burst, arm.seconds * arm.calls) + arm.seconds for arm in arms)
            rounds, taken = max(LEAST_ROUNDS, min(most, int(each / (2 * long)))), 0
            for attempt in range(3 * rounds):  # a round in which a card slowed itself down does not count
                taken += pairs.round(arms if attempt % 2 == 0 else arms[::-1])
                if taken == rounds:
                    break
            base, *candidates = arms
            for several, arm in zip(found, candidates, strict=True):
                if base.bursts:
                    several.append(Pair(number, tuple(base.bursts), tuple(arm.bursts)))
    return found


def _trial(workload: Workload, pairs: Sequence[Pair]) -> CaseTrial:
    if not pairs:
        raise NothingMeasuredError(f"{workload}: every round was disturbed by the card slowing itself down")
    return CaseTrial(workload.describe("api"), tuple(pairs))


def _contrast(names: tuple[str, str], trial: CaseTrial, processes: int, threshold: float) -> Contrast:
    ratios = trial.pairs[0].rounds(trial.reading) if processes == 1 else trial.log_ratios
    found = effect(ratios, ALPHA)
    return Contrast(
        base=names[0],
        candidate=names[1],
        ratio=found.ratio,
        low=found.low,
        high=found.high,
        p=found.p,
        decision=_decided(found, threshold),
        threshold=threshold,
        detectable=found.detectable,
        base_seconds=trial.base_seconds or math.nan,
        candidate_seconds=trial.candidate_seconds or math.nan,
        readings=len(ratios),
        processes=processes,
    )


def _decided(found: Effect, threshold: float) -> Decision:
    """The decision; where so few or so noisy readings detect no change of the threshold, only one beyond what they detect counts."""
    decision = decide({"": found}, {"": threshold})[""]
    if found.detectable <= threshold or decision is Decision.EQUIVALENT:
        return decision
    sure = decide({"": found}, {"": found.detectable})[""]
    return decision if sure is decision else Decision.INCONCLUSIVE


def _name(function: Any) -> str:
    return str(function) if isinstance(function, Workload) else name_of(function)


def _counted(number: int, thing: str, plural: str = "s") -> str:
    return f"{number} {thing}{'' if number == 1 else plural}"
