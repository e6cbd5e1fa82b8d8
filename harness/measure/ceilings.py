"""Measures what the machine can do at best: each rung of the ladder, by dtype, threads and level.

Rates are those of the fastest sample: a ceiling is what can be reached, not what is usual.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.nn.functional import ScalingType, scaled_mm

from harness import stats
from harness.measure import microkernel
from harness.measure.device import MAIN_MEMORY, Device, impossible
from harness.measure.stopwatch import Stopwatch
from harness.measure.streams import Stream, best_by_level, effective_levels, measure_streams, stream_buffer
from harness.predict import datasheet
from harness.records import BandwidthCeiling, Ceilings, ComputeCeiling, MemoryLevel, Rung, Sampling

DTYPES = ("float32", "bfloat16", "float16", "tf32", "float8_e4m3fn")
# Sides of square products, growing: whether a dtype is worth a large one, a small one tells.
SIDES = {"cpu": (64, 256, 512, 1024, 2048), "cuda": (1024, 4096, 8192)}
# A product that would take longer than this says nothing more about the ceiling.
LONGEST_CALL_SECONDS = 0.1
# AVX-512 and AMX code was seen 7 to 23 % below the clock of scalar code.
WIDTH_TOLERANCE = 0.25
SAMPLING = Sampling(
    warmup_seconds=0.01,
    min_samples=5,
    max_samples=200,
    min_seconds=0.0,
    max_seconds=0.03,
    min_sample_seconds=20e-6,
    target_half_width=0.0,
)


def measure_ceilings(
    device: Device,
    note: Callable[[str], None],
    thread_counts: Iterable[int],
    levels: tuple[MemoryLevel, ...] = (),
) -> Ceilings:
    """One round of all ceilings; `note` hears what is being measured.

    Memory levels are found by this round unless those of an earlier one are given.
    """
    stopwatch = Stopwatch(device)
    compute: list[ComputeCeiling] = []
    bandwidth: list[BandwidthCeiling] = []
    unmeasured: dict[str, str] = {}
    streams: dict[int, list[Stream]] = {}
    told = device.memory_levels()
    buffer = stream_buffer(device, told)
    clock = microkernel.clock_hz() if device.torch_device.type == "cpu" else None
    for threads in thread_counts:
        with _threads(device, threads):
            note(f"compute ceilings, {threads} threads")
            if device.torch_device.type == "cpu":
                compute += _micro_kernels(threads, clock.hertz if clock else None, unmeasured)
                compute.append(_numpy_product(stopwatch, threads))
            else:
                gpu = _gpu(device, unmeasured)
                compute += _datasheet_compute(gpu, threads)
                bandwidth += _datasheet_bandwidth(gpu, threads)
            compute += _torch_products(device, stopwatch, threads, unmeasured)
            note(f"bandwidth ceilings, {threads} threads")
            streams[threads] = measure_streams(stopwatch, told, buffer)
    levels = levels or effective_levels(told, streams[max(streams)])
    bandwidth += [c for threads, curve in streams.items() for c in best_by_level(levels, threads, curve)]
    return Ceilings(
        compute=tuple(compute),
        bandwidth=tuple(bandwidth),
        levels=levels,
        clock_hertz=clock.hertz if clock else None,
        unmeasured=unmeasured,
    )


@contextmanager
def _threads(device: Device, threads: int) -> Iterator[None]:
    device.use_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        device.use_threads(device.threads)


def _micro_kernels(
    threads: int, clock_hertz: float | None, unmeasured: dict[str, str]
) -> Iterator[ComputeCeiling]:
    """The best kernel of each dtype, and the peak its width and the true clock make."""
    unmeasured |= {f"micro-kernel {name}": reason for name, reason in microkernel.unusable().items()}
    best: dict[str, ComputeCeiling] = {}
    for kernel in microkernel.kernels():
        peak = microkernel.peak(kernel, threads)
        if kernel.dtype not in best or peak.flops_per_second > best[kernel.dtype].flops_per_second:
            best[kernel.dtype] = ComputeCeiling(
                dtype=kernel.dtype,
                threads=threads,
                rung=Rung.MICRO_KERNEL,
                method=kernel.name,
                flops_per_second=peak.flops_per_second,
                spread=peak.spread,
            )
    for ceiling in best.values():
        yield ceiling
        clock_true = _clock_true(ceiling, clock_hertz)
        if clock_true is None:
            unmeasured[f"clock-true {ceiling.dtype}"] = "the micro-kernel fits no whole width at the clock"
        else:
            yield clock_true


def _clock_true(kernel: ComputeCeiling, clock_hertz: float | None) -> ComputeCeiling | None:
    """Threads x measured clock x FLOP per cycle, the width being the power of two the kernel shows.

    How many FMA ports a core has cannot be read from CPUID. The clock is that of light scalar code,
    and wide units slow it down by up to a quarter, so this is the upper bound of what the cores can
    do; a rate farther than that from a power of two is not believed.
    """
    if clock_hertz is None:
        return None
    per_cycle = kernel.flops_per_second / (kernel.threads * clock_hertz)
    width = 2 ** round(math.log2(per_cycle))
    if abs(per_cycle / width - 1.0) > WIDTH_TOLERANCE:
        return None
    return ComputeCeiling(
        dtype=kernel.dtype,
        threads=kernel.threads,
        rung=Rung.CLOCK_TRUE,
        method=f"{kernel.threads} x {clock_hertz * 1e-9:.2f} GHz x {width} FLOP/cycle",
        flops_per_second=kernel.threads * clock_hertz * width,
    )


def _gpu(device: Device, unmeasured: dict[str, str]) -> datasheet.Gpu | None:
    """The datasheet's row of this GPU; none for an unknown one."""
    properties = torch.cuda.get_device_properties(device.torch_device)
    gpu = datasheet.lookup(
        properties.name, sms=properties.multi_processor_count, memory_bytes=properties.total_memory
    )
    if gpu is None:
        unmeasured["datasheet"] = f"no datasheet row for {properties.name!r}: no percentage of its peak"
    return gpu


def _datasheet_compute(gpu: datasheet.Gpu | None, threads: int) -> Iterator[ComputeCeiling]:
    for dtype in DTYPES if gpu is not None else ():
        rate = gpu.flops_per_second(dtype) if gpu is not None else None
        if gpu is not None and rate is not None:
            yield ComputeCeiling(dtype, threads, Rung.DATASHEET, gpu.name, rate)


def _datasheet_bandwidth(gpu: datasheet.Gpu | None, threads: int) -> Iterator[BandwidthCeiling]:
    if gpu is not None:
        yield BandwidthCeiling(MAIN_MEMORY, threads, Rung.DATASHEET, gpu.name, gpu.bytes_per_second)


def _numpy_product(stopwatch: Stopwatch, threads: int) -> ComputeCeiling:
    """NumPy's BLAS, the peer that is always there, on float32."""

    def product(side: int) -> Callable[[], object]:
        a, b = (np.random.default_rng(seed).random((side, side), dtype=np.float32) for seed in (0, 1))
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out)

    best = _best_product(stopwatch, SIDES["cpu"], product)
    return best.ceiling("float32", threads, Rung.PEER, "numpy")


def _torch_products(
    device: Device, stopwatch: Stopwatch, threads: int, unmeasured: dict[str, str]
) -> Iterator[ComputeCeiling]:
    for dtype in DTYPES:
        if dtype == "tf32" and device.torch_device.type != "cuda":
            continue
        try:
            sides = SIDES[device.torch_device.type]
            best = _best_product(stopwatch, sides, _product_of(dtype, device.torch_device))
            yield best.ceiling(dtype, threads, Rung.TORCH, "torch")
        except Exception as error:
            reason = impossible(error)
            if reason is None:
                raise
            unmeasured[f"torch {dtype}"] = reason


def _product_of(dtype: str, device: torch.device) -> Callable[[int], Callable[[], object]]:
    def product(side: int) -> Callable[[], object]:
        a, b = (torch.randn(side, side, device=device) for _ in range(2))
        if dtype == "float8_e4m3fn":
            left, right = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
            one, tensorwise = torch.ones((), device=device), ScalingType.TensorWise
            return lambda: scaled_mm(left, right, one, tensorwise, one, tensorwise)
        if dtype == "tf32":
            return lambda: _tf32_product(a, b)
        left, right = a.to(getattr(torch, dtype)), b.to(getattr(torch, dtype))
        out = torch.empty_like(left)
        return lambda: torch.mm(left, right, out=out)

    return product


def _tf32_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        return torch.mm(a, b)
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


@dataclass(frozen=True)
class _Product:
    """The fastest of several square products."""

    side: int
    flops_per_second: float
    spread: float

    def ceiling(self, dtype: str, threads: int, rung: Rung, who: str) -> ComputeCeiling:
        method = f"{who} product, n = {self.side}"
        return ComputeCeiling(dtype, threads, rung, method, self.flops_per_second, self.spread)


def _best_product(
    stopwatch: Stopwatch, sides: Sequence[int], product: Callable[[int], Callable[[], object]]
) -> _Product:
    """Tries larger and larger sides while a call stays short."""
    tried: list[_Product] = []
    for side in sides:
        work = 2 * side**3
        if tried and work / tried[-1].flops_per_second > LONGEST_CALL_SECONDS:
            break
        measurement = stopwatch.measure(product(side), SAMPLING)
        spread = stats.relative_iqr(measurement.seconds)
        tried.append(_Product(side, work / measurement.best, spread))
    return max(tried, key=lambda one: one.flops_per_second)
