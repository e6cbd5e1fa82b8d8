"""Peaks: the rules on made-up curves, and one small round on the real CPU."""

import math
import re

import pytest
import torch

from harness.measure import selection
from harness.measure.devices.cpu import Cpu
from harness.measure.peaks import bandwidth as streams
from harness.measure.peaks import compute as peaks
from harness.measure.peaks import microkernel
from harness.measure.peaks.bandwidth import Stream, best_by_level, effective_levels, working_sets
from harness.records import ComputePeak, MemoryLevel, PeakLevel, Peaks
from tests import made_up
from tests.simulated import Simulated

KIB, MIB, GIB = 2**10, 2**20, 2**30
TOLD = (
    MemoryLevel("L1", 64 * KIB),
    MemoryLevel("L2", 2 * MIB),
    MemoryLevel("L3", 512 * MIB),
    MemoryLevel("DRAM", None),
)


def curve(edge: int) -> list[Stream]:
    """100 GB/s in L2, 60 GB/s up to an edge, 20 GB/s beyond."""
    rates = [
        (size, 100e9 if size <= 2 * MIB else 60e9 if size <= edge else 20e9)
        for size in working_sets(TOLD, 2**40)
    ]
    return [Stream(size, "copy", rate, 0.01) for size, rate in rates]


def test_working_sets_lie_inside_the_levels_and_reach_main_memory() -> None:
    sizes = working_sets(TOLD, 2**40)

    assert sizes == sorted(set(sizes))
    assert sizes[0] < 64 * KIB
    assert sizes[-1] == 4 * 512 * MIB
    assert working_sets(TOLD, 1 * GIB)[-1] == GIB // 4  # a quarter of the free memory at most


def test_a_cache_that_belongs_to_the_host_is_cut_to_our_fraction() -> None:
    levels = effective_levels(TOLD, curve(edge=64 * MIB))

    assert levels[2] == MemoryLevel("L3", 64 * MIB, reported_bytes=512 * MIB)
    assert levels[:2] == TOLD[:2]


def test_a_cache_that_is_ours_is_left_alone() -> None:
    assert effective_levels(TOLD, curve(edge=512 * MIB)) == TOLD


def test_a_cache_no_faster_than_main_memory_has_no_edge() -> None:
    slow = [Stream(s.working_set_bytes, s.kernel, 20e9, 0.01) for s in curve(edge=64 * MIB)]

    assert effective_levels(TOLD, slow) == TOLD


def test_each_level_gets_the_best_of_its_own_working_sets() -> None:
    levels = effective_levels(TOLD, curve(edge=64 * MIB))
    found = {c.level: c.bytes_per_second for c in best_by_level(levels, 2, curve(edge=64 * MIB))}

    assert found == {"L1": 100e9, "L2": 100e9, "L3": 60e9, "DRAM": 20e9}


@pytest.mark.parametrize(
    ("working_set", "level", "between"),
    [
        (30 * KIB, "L1", False),
        (64 * KIB, "L1", True),
        (128 * KIB, "L1", True),
        (129 * KIB, "L2", False),
        (3 * MIB, "L2", True),
        (5 * MIB, "L3", False),
        (2 * GIB, "DRAM", False),
    ],
)
def test_the_level_of_a_working_set(working_set: int, level: str, between: bool) -> None:
    known = Peaks(levels=TOLD)
    found = known.level_of(working_set)

    assert found is not None
    assert (found.name, known.between_levels(working_set)) == (level, between)


@pytest.mark.parametrize(
    ("flops_per_second", "expected"),
    [(2 * 3e9 * 32 * 0.97, 32), (2 * 3e9 * 1024 * 0.84, 1024), (2 * 3e9 * 43, None)],
)
def test_the_width_of_a_core_is_the_power_of_two_its_kernel_shows(
    flops_per_second: float, expected: int | None
) -> None:
    kernel = ComputePeak("float32", 2, PeakLevel.MICRO_KERNEL, "fma", flops_per_second)
    found = peaks._clock_true(kernel, 3e9)

    assert (found.flops_per_second if found else None) == (2 * 3e9 * expected if expected else None)
    assert peaks._clock_true(kernel, None) is None


def test_a_width_that_is_not_believed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = next(iter(microkernel.kernels()), None)
    if kernel is None:
        pytest.skip("no micro-kernel on this CPU")
    found = peaks._Round(Cpu(1))
    found.clock_hertz = 3e9
    odd = microkernel.Rate(per_second=3e9 * 43, threads=1, spread=0.0, repeats=1)
    monkeypatch.setattr(microkernel, "kernels", lambda: (kernel,))
    monkeypatch.setattr(microkernel, "peak", lambda *_: odd)

    found._micro_kernels(1)

    assert [c.peak_level for c in found.compute] == [PeakLevel.MICRO_KERNEL]
    assert "129 GFLOP/s fits no width of a core" in found.unmeasured[f"clock-true {kernel.dtype}"]


@pytest.mark.instructions
def test_a_small_round_on_this_cpu_fills_the_hierarchy(monkeypatch: pytest.MonkeyPatch) -> None:
    """That every peak level is there and lies in a sane order of magnitude; no speed is claimed."""
    monkeypatch.setitem(peaks.SIDES, "cpu", (32, 64))
    monkeypatch.setattr(streams, "LEAST_MAIN_BYTES", 2**22)
    monkeypatch.setattr(Cpu, "memory_levels", lambda _: (MemoryLevel("L1", 2**15), MemoryLevel("DRAM", None)))
    device = Cpu(1)
    notes: list[str] = []

    found = peaks.measure_peaks(device, notes.append, device.thread_counts())

    peak_levels = {c.peak_level for c in found.compute_hierarchy("float32", 1)}
    assert {PeakLevel.PEER, PeakLevel.TORCH} <= peak_levels
    assert {b.level for b in found.bandwidth} == {"L1", "DRAM"}
    assert all(math.isfinite(c.flops_per_second) and c.flops_per_second > 1e6 for c in found.compute)
    assert notes == ["compute peaks, 1 threads", "bandwidth peaks, 1 threads"]


def test_each_thread_count_is_measured_with_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Simulated()
    used: list[int] = []
    seen: list[tuple[int, int]] = []
    device.threads = 2
    monkeypatch.setattr(peaks._Round, "_read_clock", lambda _: None)
    monkeypatch.setattr(peaks._Round, "compute_peaks", lambda _, n: seen.append((n, used[-1])))
    monkeypatch.setattr(peaks, "stream_buffer", lambda *_: torch.empty(1))
    monkeypatch.setattr(peaks, "measure_streams", lambda *_: curve(edge=64 * MIB))
    monkeypatch.setattr(device, "use_threads", used.append)

    peaks.measure_peaks(device, lambda _: None, (1, 2))

    assert seen == [(1, 1), (2, 2)]
    assert used[-1] == 2


def test_a_rung_that_breaks_is_named_and_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED\nwhen calling it")

    monkeypatch.setitem(peaks.SIDES, "cpu", (32,))
    monkeypatch.setattr(peaks, "_numpy_product", broken)
    monkeypatch.setattr(peaks, "stream_buffer", broken)

    found = peaks.measure_peaks(Cpu(1), lambda _: None, (1,))

    assert found.unmeasured["numpy"] == "RuntimeError: CUBLAS_STATUS_NOT_SUPPORTED when calling it"
    assert found.unmeasured["bandwidth"].startswith("RuntimeError: CUBLAS")
    assert found.torch_peak("float32", 1) is not None
    assert found.bandwidth == ()


class _KnownGpu:
    name, multi_processor_count, total_memory, L2_cache_size = "NVIDIA H200", 132, 141 * 2**30, 60 * MIB


def test_a_known_gpu_has_datasheet_rungs_and_an_unknown_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """H200: 132 multiprocessors x 1.83 GHz x 4096 FLOP per clock = 989 TFLOP/s in bfloat16, dense."""
    device = Simulated(asynchronous=True)
    monkeypatch.setattr(device, "torch_device", torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: _KnownGpu)
    known = peaks._Round(device)
    known._datasheet(2)

    rates = {c.dtype: c.flops_per_second for c in known.compute}
    assert rates["bfloat16"] == pytest.approx(989.4e12, rel=0.01)
    assert rates["float8_e4m3fn"] == 2 * rates["bfloat16"]
    assert known.bandwidth[0].bytes_per_second == pytest.approx(4.8e12, rel=0.01)
    # A datasheet is no rate that code reached: it bounds no prediction and hides no measurement.
    assert Peaks(bandwidth=tuple(known.bandwidth), levels=TOLD).bandwidth_peak("DRAM", 2) is None

    monkeypatch.setattr(_KnownGpu, "name", "NVIDIA of tomorrow")
    unknown = peaks._Round(device)
    unknown._datasheet(2)
    assert unknown.compute == []
    assert "no datasheet row for 'NVIDIA of tomorrow'" in unknown.unmeasured["datasheet"]


@pytest.mark.parametrize(
    ("n", "rate", "words"),
    [
        (
            4096,
            1e9,
            r"one call would take 137 s or more, the limit is 250 ms: float16 products reach 1\.00 GFLOP/s",
        ),
        (2**20, 1e18, r"needs 12\.0 TiB of memory; 1\.00 TiB are free"),
    ],
)
def test_what_is_not_worth_trying_is_skipped_with_its_numbers(n: int, rate: float, words: str) -> None:
    slow = Peaks(compute=(ComputePeak("float16", 1, PeakLevel.TORCH, "torch product, n = 64", rate),))

    reason = selection.not_worth_it(
        made_up.product(n, "float16"), 2**40, slow, 1, selection.LONGEST_CALL_SECONDS["quick"]
    )

    assert reason is not None
    assert re.search(words, reason)
