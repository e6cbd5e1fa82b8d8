"""Which cases are tried at all, and which go into one batch together."""

from harness import units
from harness.errors import UsageError
from harness.measure.pickling import pack_workload
from harness.measure.pool import LostError, WorkerPool
from harness.measure.protocol import Follow, Followed
from harness.records import Case, CaseOperators, Failed, Peaks, Sampling
from harness.workload import Workload

# A case whose single call must take longer than this, at the best rate torch reached in its dtype,
# is skipped: float16 on a CPU without the instructions is 30-150 times slower than float32.
LONGEST_CALL_SECONDS = {"quick": 0.25, "standard": 2.0, "full": 5.0}
# A batch lasts about so long: its cases' blocks are spread over it, and a run that is killed loses no more.
BATCH_SECONDS = 30.0
# Of the memory that is free, what one case may take in one process, and all of a batch in all of them.
MEMORY_FRACTION, BATCH_MEMORY_FRACTION = 0.8, 0.4
# The operators of a case one by one get so much of the time its own samples get.
REPLAY_FRACTION = 2.0
# A case that does not say what it needs counts as this fraction of a batch's memory.
UNKNOWN_FRACTION = 1 / 8


def not_worth_it(
    case: Case, free_bytes: int, peaks: Peaks, threads: int, longest_call_seconds: float
) -> str | None:
    """Why a case is not even tried: no memory for it, or a single call too long; None where it is."""
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
    """How long the operators of a case are looked at one by one; not at all where there is but one."""
    return REPLAY_FRACTION * sampling.max_seconds if case.several else 0.0


class Budget:
    """What still goes into a batch: time, and memory in all processes at once."""

    def __init__(self, sampling: Sampling, free_bytes: int, *, views: int = 1) -> None:
        """`views` of each case; with more than one, half of the memory is left to tensors in rotation."""
        self._seconds = BATCH_SECONDS
        self._case_seconds = views * (sampling.processes * sampling.warmup_seconds + sampling.max_seconds)
        free_bytes //= min(views, 2)
        self._bytes = int(BATCH_MEMORY_FRACTION * free_bytes / sampling.processes)
        self._unknown = int(UNKNOWN_FRACTION * self._bytes)
        self._processes, self._free, self._sampling = sampling.processes, free_bytes, sampling
        self._empty = True
        self.together = True

    def admits(self, case: Case, effort: float = 1.0) -> bool:
        """Whether the case goes in too; the first always does, alone if it must."""
        needed = case.cost.memory_bytes if case.cost else self._unknown
        self._bytes -= needed
        self._seconds -= effort * self._case_seconds + replay_seconds(case, self._sampling)
        if self._empty:
            self._empty = False
            self.together = needed * self._processes <= MEMORY_FRACTION * self._free
            return True
        return self._bytes >= 0 and self._seconds >= 0 and self.together


# A cost that is known is checked within so long, or not at all.
CHECK_SECONDS = 10.0


class CaseTracer:
    """Cases with their costs; each is traced once, and kept until it is on record."""

    def __init__(self, pool: WorkerPool, limit_seconds: float) -> None:
        self._pool = pool.sibling()
        self._limit = limit_seconds
        self._followed: dict[str, Followed] = {}
        self._failed: dict[str, Failed] = {}

    def of(self, workload: Workload, case: Case) -> Case:
        """The case with its cost, or with the reason why that is not known; one given in closed form is checked."""
        if case.id not in self._followed:
            self._followed[case.id] = self._follow(workload, case)
        found = self._followed[case.id]
        return found.applied(case) if case.cost is None else found.checking(case)

    def failure(self, case: str) -> Failed | None:
        """Why a case is not worth trying: what takes so long without computing takes longer with it."""
        return self._failed.get(case)

    def take(self, case: str) -> CaseOperators | None:
        """The operators of a case, to be recorded; they are forgotten here."""
        found = self._followed.pop(case, None)
        return CaseOperators(case, found.operators) if found is not None and found.operators else None

    def close(self) -> bytes:
        """Ends the process, if there is one; gives what was printed in it."""
        self._pool.close()
        return self._pool.output

    def _follow(self, workload: Workload, case: Case) -> Followed:
        limit = self._limit if case.cost is None else min(self._limit, CHECK_SECONDS)
        try:
            self._pool.replace_lost()
            self._pool.grow(1)
            return self._pool.ask(0, Follow(case.id, *pack_workload(workload)), Followed, limit)
        except UsageError as error:
            return Followed(untraced=str(error))
        except LostError as lost:
            if lost.timed_out and case.cost is None:
                told = units.seconds(limit)
                self._failed[case.id] = Failed(reason=f"took longer than its limit of {told}, traced: {lost}")
            return Followed(untraced=f"it took the process down: {lost}")
