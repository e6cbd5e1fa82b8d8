"""The peaks that a selection needs, and the estimate of the time left."""

from dataclasses import dataclass

import msgspec
import pytest
import torch

from harness import Call, Workload
from harness.measure.peaks.bandwidth import reach, working_sets
from harness.measure.selection import CASE_SECONDS, Progress, peak_scope
from harness.records import Case, Cost, MemoryLevel, Settings
from tests import made_up

LEVELS = (
    MemoryLevel("L1", 2**16),
    MemoryLevel("L2", 2**21),
    MemoryLevel("L3", 2**25),
    MemoryLevel("DRAM", None),
)


def case(name: str, dtype: str, *, flops: int = 0, nbytes: int = 1000, threads: int | None = None) -> Case:
    cost = Cost(flops=flops, bytes_read=nbytes, bytes_written=0, memory_bytes=nbytes)
    return Case(name, "own.py", name, dtype, {}, cost=cost, threads=threads)


def test_only_matrix_work_needs_compute_peaks() -> None:
    scope = peak_scope([case("sum", "float32", nbytes=4000)], threads=2)

    assert scope.dtypes == frozenset()
    assert scope.threads == frozenset({2})
    assert scope.working_set_bytes == 4000


def test_a_narrow_dtype_may_run_in_float32_and_a_case_on_its_own_threads() -> None:
    cases = [case("mm", "bfloat16", flops=100), case("sum", "float64", threads=1)]

    scope = peak_scope(cases, threads=2)

    assert scope.dtypes == frozenset({"bfloat16", "float32"})
    assert scope.threads == frozenset({1, 2})


def test_bandwidth_is_measured_up_to_the_level_after_the_one_that_serves() -> None:
    assert max(working_sets(LEVELS, 2**40, reach(LEVELS, 4000))) <= 2**21
    assert max(working_sets(LEVELS, 2**40, reach(LEVELS, 2**20))) <= 2**25
    assert reach(LEVELS, 2**25) is None  # main memory comes after the last cache
    assert working_sets(LEVELS, 2**40, reach(LEVELS, None)) == working_sets(LEVELS, 2**40)


@dataclass(frozen=True)
class Plain(Workload):
    n: int

    def prepare(self, device: torch.device) -> Call:
        raise NotImplementedError


def test_the_time_left_is_scaled_by_the_batches_so_far() -> None:
    settings = Settings(
        suites=(), expression="", profile="quick", device="cpu", threads=1, sampling=made_up.SAMPLING
    )
    progress = Progress(settings)
    assert progress.seconds_left(0) is None

    cases = [(Plain(n), case(f"plain-n{n}", "float32")) for n in range(10)]
    progress.plan(cases)
    sampling = made_up.SAMPLING
    each = sampling.processes * sampling.warmup_seconds + sampling.max_seconds + CASE_SECONDS
    progress.round_seconds = 7.0
    assert progress.seconds_left(1) == pytest.approx(10 * each + 7.0)

    progress.batch_done(["plain-n0"], 0.0)  # skipped: took no time and gives no scale
    assert progress.seconds_left(0) == pytest.approx(9 * each)
    progress.batch_done(["plain-n1", "plain-n2"], 6 * each)
    assert progress.seconds_left(0) == pytest.approx(7 * 3 * each)
    progress.plan(cases)  # cases that are known are not planned again
    assert progress.seconds_left(0) == pytest.approx(7 * 3 * each)


def test_a_model_takes_longer_than_a_case_of_known_cost() -> None:
    settings = Settings(
        suites=(), expression="", profile="quick", device="cpu", threads=1, sampling=made_up.SAMPLING
    )
    known, unknown = Progress(settings), Progress(settings)
    known.plan([(Plain(1), case("a", "float32"))])
    unknown.plan([(Plain(1), msgspec.structs.replace(case("a", "float32"), cost=None))])

    assert (unknown.seconds_left(0) or 0.0) > (known.seconds_left(0) or 0.0)
