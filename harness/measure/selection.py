"""Selects the cases that are tried, those that share a batch, and the peaks they need; estimates the time left."""

from collections.abc import Iterable

from harness import units
from harness.errors import UsageError
from harness.measure.pickling import pack_workload
from harness.measure.pool import LostError, WorkerPool
from harness.measure.protocol import PeakScope, TraceCase, TracedCase
from harness.records import Case, CaseOperators, Failed, Peaks, Sampling, Settings
from harness.workload import Workload

# A case whose single call must take longer than this, at the best rate torch reached in its dtype,
# is skipped: float16 on a CPU without the instructions is 30-150 times slower than float32.
LONGEST_CALL_SECONDS = {"quick": 0.25, "standard": 2.0, "full": 5.0}
# Approximate length of a batch: the blocks of its cases are spread over it, and a killed run loses one batch.
BATCH_SECONDS = 30.0
# Fractions of the free memory: one case in one process, and a whole batch in all processes.
MEMORY_FRACTION, BATCH_MEMORY_FRACTION = 0.8, 0.4
# Time for the operators of a case one by one, relative to the time for its own samples.
REPLAY_FRACTION = 2.0
# A case of unknown memory counts as this fraction of a batch's memory.
UNKNOWN_FRACTION = 1 / 8


def not_worth_it(
    case: Case, free_bytes: int, peaks: Peaks, threads: int, longest_call_seconds: float
) -> str | None:
    """The reason why a case is not tried (too little memory, or too long a call); None if it is tried."""
    if case.cost is None:
        return None
    if case.cost.memory_bytes > MEMORY_FRACTION * free_bytes:
        return (
            f"needs {units.size(case.cost.memory_bytes)} of memory; {units.size(free_bytes)} are free, and a fifth "
            "of that is left to the rest"
        )
    torch_best = peaks.torch_peak(case.dtype, threads)
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


def replay_seconds(case: Case, sampling: Sampling) -> float:
    """The time for the operators of a case one by one; zero for a single operator."""
    return REPLAY_FRACTION * sampling.max_seconds if case.several else 0.0


def peak_scope(cases: Iterable[Case], threads: int) -> PeakScope:
    """The peaks that the cases can use: those of their dtypes, wider ones, thread counts and memory levels.

    A dtype without instructions of its own may run in float32, so float32 bounds every narrower dtype.
    """
    dtypes: set[str] = set()
    counts: set[int] = set()
    largest = 0
    for case in cases:
        counts.add(case.threads or threads)
        if case.trace is not None:
            dtypes |= {stratum.dtype for stratum in case.trace.strata if stratum.flops}
            largest = max([largest, *(2 * stratum.operand_bytes for stratum in case.trace.strata)])
        elif case.cost is not None:
            dtypes |= {case.dtype} if case.cost.flops else set()
            largest = max(largest, case.working_set_bytes or case.cost.bytes_moved)
    dtypes |= {"float32"} if dtypes else set()
    return PeakScope(frozenset(dtypes), frozenset(counts), largest)


# Seconds that a case costs in addition to its samples: preparation, memory pass, and for several operators
# their trace. The first batch corrects both for the machine.
CASE_SECONDS, TRACED_CASE_SECONDS = 0.5, 2.0


class Progress:
    """Estimates the time left from the sampling settings, scaled by how long the batches so far really took."""

    def __init__(self, settings: Settings) -> None:
        self._sampling = settings.sampling
        self._views = 1 if settings.device == "cpu" else 4
        self._expected: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._batches = self._estimates = 0.0
        self.round_seconds = 0.0

    def plan(self, cases: Iterable[tuple[Workload, Case]]) -> None:
        """Takes in the cases that are not on record; those it has already are skipped."""
        sampling = self._sampling
        for workload, case in cases:
            if case.id in self._expected:
                continue
            seconds = sampling.processes * sampling.warmup_seconds + sampling.max_seconds
            seconds = self._views * workload.effort * seconds + CASE_SECONDS
            if case.cost is None:  # a model, which is traced and replayed too
                seconds += REPLAY_FRACTION * sampling.max_seconds + TRACED_CASE_SECONDS
            self._expected[case.id] = self._left[case.id] = seconds

    def batch_done(self, cases: Iterable[str], seconds: float) -> None:
        """Counts the cases of a batch as done; it took `seconds`."""
        expected = sum(self._left.pop(case, 0.0) for case in cases)
        if seconds:
            self._batches, self._estimates = self._batches + seconds, self._estimates + expected

    def seconds_left(self, rounds: int) -> float | None:
        """The estimate, with so many rounds of peaks to come; None before `plan`."""
        if not self._expected:
            return None
        scale = self._batches / self._estimates if self._estimates else 1.0
        return scale * sum(self._left.values()) + rounds * self.round_seconds


class Budget:
    """The time and memory that are left in a batch; memory counts in all processes at once."""

    def __init__(self, sampling: Sampling, free_bytes: int, *, views: int = 1) -> None:
        """With more than one of `views` per case, half of the memory is reserved for tensors in rotation."""
        self._seconds = BATCH_SECONDS
        self._case_seconds = views * (sampling.processes * sampling.warmup_seconds + sampling.max_seconds)
        free_bytes //= min(views, 2)
        self._bytes = int(BATCH_MEMORY_FRACTION * free_bytes / sampling.processes)
        self._unknown = int(UNKNOWN_FRACTION * self._bytes)
        self._processes, self._free, self._sampling = sampling.processes, free_bytes, sampling
        self._empty = True
        self.together = True

    def admits(self, case: Case, effort: float = 1.0) -> bool:
        """Whether the case fits; the first always does, alone if necessary."""
        needed = case.cost.memory_bytes if case.cost else self._unknown
        self._bytes -= needed
        self._seconds -= effort * self._case_seconds + replay_seconds(case, self._sampling)
        if self._empty:
            self._empty = False
            self.together = needed * self._processes <= MEMORY_FRACTION * self._free
            return True
        return self._bytes >= 0 and self._seconds >= 0 and self.together


# Limit for the trace that checks a cost given in closed form.
CHECK_SECONDS = 10.0


class CaseTracer:
    """Traces each case once, in a process of its own, and keeps its operators until they are recorded."""

    def __init__(self, pool: WorkerPool, limit_seconds: float) -> None:
        self._pool = pool.sibling()
        self._limit = limit_seconds
        self._traced: dict[str, TracedCase] = {}
        self._failed: dict[str, Failed] = {}

    def of(self, workload: Workload, case: Case) -> Case:
        """The case with its traced cost, or the reason why there is none; a closed form is kept and checked."""
        if case.id not in self._traced:
            self._traced[case.id] = self._trace(workload, case)
        traced = self._traced[case.id]
        return traced.applied(case) if case.cost is None else traced.checking(case)

    def failure(self, case: str) -> Failed | None:
        """The reason why a case is not tried: its trace, which computes nothing, reached the time limit."""
        return self._failed.get(case)

    def take(self, case: str) -> CaseOperators | None:
        """The operators of a case, which are not kept here any longer."""
        traced = self._traced.pop(case, None)
        return CaseOperators(case, traced.operators) if traced is not None and traced.operators else None

    def close(self) -> bytes:
        """Ends the process, if there is one, and returns its output."""
        self._pool.close()
        return self._pool.output

    def _trace(self, workload: Workload, case: Case) -> TracedCase:
        limit = self._limit if case.cost is None else min(self._limit, CHECK_SECONDS)
        try:
            self._pool.replace_lost()
            self._pool.grow(1)
            return self._pool.ask(0, TraceCase(case.id, *pack_workload(workload)), TracedCase, limit)
        except UsageError as error:
            return TracedCase(untraced=str(error))
        except LostError as lost:
            if lost.timed_out and case.cost is None:
                reason = f"took longer than its limit of {units.seconds(limit)}, traced: {lost}"
                self._failed[case.id] = Failed(reason=reason)
            return TracedCase(untraced=f"it took the process down: {lost}")
