"""Measures the peaks of the machine: compute rates by dtype and threads, bandwidths by memory level.

Rates are those of the fastest sample, as a peak is the most that can be reached.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch.nn.functional import ScalingType, scaled_mm

from harness import stats, units
from harness.cost import datasheets as datasheet
from harness.errors import one_line
from harness.measure.devices.base import MAIN_MEMORY, Device
from harness.measure.peaks import microkernel
from harness.measure.peaks.bandwidth import (
    Stream,
    best_by_level,
    effective_levels,
    measure_streams,
    reach,
    stream_buffer,
    working_sets,
)
from harness.measure.protocol import PeakScope
from harness.measure.timer import QuickTiming, Timer
from harness.models.training import float32_precision, require_tf32
from harness.records import BandwidthPeak, ComputePeak, MemoryLevel, PeakLevel, Peaks

DTYPES = ("float32", "bfloat16", "float16", "tf32", "float8_e4m3fn")
# Sides of square products: a small product decides whether a larger one is worth its time.
SIDES = {"cpu": (64, 256, 512, 1024, 2048)}
SIDES_OF_AN_ACCELERATOR = (1024, 4096, 8192)
# Longer products do not raise the peak.
LONGEST_CALL_SECONDS = 0.1
# The most that a thread reads of a large shared cache.
MOST_READ_BYTES = 2**26
# AVX-512 and AMX code was seen 7 to 23 % below the clock of scalar code.
WIDTH_TOLERANCE = 0.25
TIMING = QuickTiming(warmup_seconds=0.01, seconds=0.03, least_samples=5)

T = TypeVar("T")


def measure_peaks(
    device: Device,
    note: Callable[[str], None],
    thread_counts: Iterable[int],
    levels: tuple[MemoryLevel, ...] = (),
    scope: PeakScope = PeakScope(),  # noqa: B008 - frozen
) -> Peaks:
    """One round of the peaks in `scope`; `note` receives what is being measured.

    This round finds the memory levels unless those of an earlier one are given. A peak level that
    breaks is named in `unmeasured` and costs no other.
    """
    measured = _Round(device, scope.dtypes)
    reported = device.memory_levels()
    most_bytes = reach(reported, scope.working_set_bytes)
    sizes = working_sets(reported, device.free_bytes(), most_bytes)
    buffer = measured.attempt("bandwidth", partial(stream_buffer, device, sizes))
    curves: dict[int, list[Stream]] = {}
    for threads in thread_counts:
        with _threads(device, threads):
            note(f"compute peaks, {threads} threads")
            measured.compute_peaks(threads)
            if buffer is None:
                continue
            note(f"bandwidth peaks, {threads} threads")
            curve = measured.attempt("bandwidth", partial(measure_streams, measured.timer, sizes, buffer))
            if curve is not None:
                curves[threads] = curve
    levels = levels or (effective_levels(reported, curves[max(curves)]) if curves else reported)
    near = [
        level for level in levels if most_bytes is None or (level.capacity_bytes or math.inf) <= most_bytes
    ]
    for threads in curves:
        measured.cache_bandwidths(near, threads)
    streams = [c for threads, curve in curves.items() for c in best_by_level(levels, threads, curve)]
    return Peaks(
        compute=tuple(measured.compute),
        bandwidth=(*measured.bandwidth, *streams),
        levels=levels,
        clock_hertz=measured.clock_hertz,
        unmeasured=measured.unmeasured,
    )


class _Round:
    """The peaks that one round has measured so far."""

    def __init__(self, device: Device, dtypes: Collection[str] | None = None) -> None:
        self.device = device
        self.dtypes = [dtype for dtype in DTYPES if dtypes is None or dtype in dtypes]
        self.timer = Timer(device)
        self.compute: list[ComputePeak] = []
        self.bandwidth: list[BandwidthPeak] = []
        self.unmeasured: dict[str, str] = {}
        self.clock_hertz: float | None = None
        if device.torch_device.type == "cpu":
            self._read_clock()

    def attempt(self, what: str, measure: Callable[[], T]) -> T | None:
        """The result of `measure`; None where it failed, with the reason in `unmeasured`."""
        try:
            return measure()
        except Exception as error:  # noqa: BLE001 - a peak that cannot be had must not end a run
            self.unmeasured[what] = one_line(error)
            return None

    def compute_peaks(self, threads: int) -> None:
        """All peak levels of all dtypes for one number of threads."""
        if self.device.torch_device.type == "cpu":
            if self.dtypes:
                self._micro_kernels(threads)
            if "float32" in self.dtypes:
                peer = self.attempt("numpy", partial(_best_product, self.timer, SIDES["cpu"], _numpy_product))
                if peer is not None:
                    self.compute.append(peer.peak("float32", threads, PeakLevel.PEER, "numpy"))
        else:
            self._datasheet(threads)
        for dtype in self.dtypes:
            product = self.attempt(f"torch {dtype}", partial(self._torch_product, dtype, threads))
            if product is not None:
                self.compute.append(product)

    def _read_clock(self) -> None:
        clock = microkernel.clock_hz()
        self.clock_hertz = clock.hertz if clock else None
        if self.clock_hertz is None:
            self.unmeasured["clock"] = (
                clock.reason if clock else microkernel.unavailable_reason()
            ) or "unknown"

    def _micro_kernels(self, threads: int) -> None:
        """The best kernel of each dtype, and the peak from its width and the true clock."""
        self.unmeasured |= {f"micro-kernel {name}": why for name, why in microkernel.unusable().items()}
        best: dict[str, ComputePeak] = {}
        for kernel in (known for known in microkernel.kernels() if known.dtype in self.dtypes):
            timed = self.attempt(f"micro-kernel {kernel.name}", partial(microkernel.peak, kernel, threads))
            if timed is not None:
                rate = timed.per_second
                peak = ComputePeak(
                    kernel.dtype, threads, PeakLevel.MICRO_KERNEL, kernel.name, rate, timed.spread
                )
                best[kernel.dtype] = max(best.get(kernel.dtype, peak), peak, key=lambda c: c.flops_per_second)
        for peak in best.values():
            clock_true = _clock_true(peak, self.clock_hertz)
            if clock_true is not None:
                self.compute.append(clock_true)
            elif self.clock_hertz is not None:
                self.unmeasured[f"clock-true {peak.dtype}"] = (
                    f"{peak.method} at {units.work_rate(peak.flops_per_second)} fits no width of a core"
                )
            self.compute.append(peak)

    def cache_bandwidths(self, levels: Sequence[MemoryLevel], threads: int) -> None:
        """The read bandwidth of each cache."""
        loop = microkernel.reader() if self.device.torch_device.type == "cpu" else None
        for level in levels if loop is not None else ():
            if level.capacity_bytes is None or loop is None:
                continue
            # Half of one thread's part: private caches add up over the threads of the run.
            size = min(level.capacity_bytes // self.device.threads // 2, MOST_READ_BYTES)
            rate = self.attempt(f"read {level.name}", partial(microkernel.bandwidth, loop, size, threads))
            if rate is not None:
                method = f"{loop.name}, {units.size(size)} a thread"
                self.bandwidth.append(
                    BandwidthPeak(
                        level.name, threads, PeakLevel.MICRO_KERNEL, method, rate.per_second, rate.spread
                    )
                )

    def _datasheet(self, threads: int) -> None:
        """The peaks of a known GPU; nothing for an unknown one."""
        if self.device.torch_device.type != "cuda":
            self.unmeasured["datasheet"] = f"no datasheet of {self.device.torch_device.type} devices"
            return
        known = torch.cuda.get_device_properties(self.device.torch_device)
        gpu = datasheet.lookup(known.name, sms=known.multi_processor_count, memory_bytes=known.total_memory)
        if gpu is None:
            self.unmeasured["datasheet"] = f"no datasheet row for {known.name!r}: no percentage of its peak"
            return
        for dtype in self.dtypes:
            rate = gpu.flops_per_second(dtype)
            if rate is not None:
                self.compute.append(ComputePeak(dtype, threads, PeakLevel.DATASHEET, gpu.name, rate))
        self.bandwidth.append(
            BandwidthPeak(MAIN_MEMORY, threads, PeakLevel.DATASHEET, gpu.name, gpu.bytes_per_second)
        )

    def _torch_product(self, dtype: str, threads: int) -> ComputePeak:
        device = self.device.torch_device
        if dtype == "tf32":
            require_tf32(device)
        # FP8 on Hopper: fast accumulation is another, faster kernel.
        variants = (False, True) if dtype == "float8_e4m3fn" and device.type == "cuda" else (False,)
        with float32_precision("tf32" if dtype == "tf32" else "ieee"):
            tried = [
                _best_product(
                    self.timer,
                    SIDES.get(device.type, SIDES_OF_AN_ACCELERATOR),
                    _torch_product_of(dtype, device, fast=fast),
                )
                for fast in variants
            ]
        best = max(tried, key=lambda product: product.flops_per_second)
        fast = ", fast accumulation" if variants[tried.index(best)] else ""
        return best.peak(dtype, threads, PeakLevel.TORCH, f"torch{fast}")


@contextmanager
def _threads(device: Device, threads: int) -> Iterator[None]:
    device.use_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        device.use_threads(device.threads)


def _clock_true(kernel: ComputePeak, clock_hertz: float | None) -> ComputePeak | None:
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
    return ComputePeak(
        dtype=kernel.dtype,
        threads=kernel.threads,
        peak_level=PeakLevel.CLOCK_TRUE,
        method=f"{kernel.threads} x {clock_hertz * 1e-9:.2f} GHz x {width} FLOP/cycle",
        flops_per_second=kernel.threads * clock_hertz * width,
    )


def _numpy_product(side: int) -> Callable[[], object]:
    a, b = (np.random.default_rng(seed).random((side, side), dtype=np.float32) for seed in (0, 1))
    out = np.empty_like(a)
    return lambda: np.matmul(a, b, out=out)


def _torch_product_of(
    dtype: str, device: torch.device, *, fast: bool
) -> Callable[[int], Callable[[], object]]:
    def product(side: int) -> Callable[[], object]:
        a, b = (torch.randn(side, side, device=device) for _ in range(2))
        if dtype == "float8_e4m3fn":
            left, right = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
            unit, tensorwise = torch.ones((), device=device), ScalingType.TensorWise
            return lambda: scaled_mm(left, right, unit, tensorwise, unit, tensorwise, use_fast_accum=fast)
        stored = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
        left, right = a.to(stored), b.to(stored)
        out = torch.empty_like(left)
        return lambda: torch.mm(left, right, out=out)

    return product


@dataclass(frozen=True)
class _Product:
    """The fastest of several square products."""

    side: int
    flops_per_second: float
    spread: float

    def peak(self, dtype: str, threads: int, peak_level: PeakLevel, who: str) -> ComputePeak:
        method = f"{who} product, n = {self.side}"
        return ComputePeak(dtype, threads, peak_level, method, self.flops_per_second, self.spread)


def _best_product(
    timer: Timer, sides: Sequence[int], product: Callable[[int], Callable[[], object]]
) -> _Product:
    """Tries larger and larger sides while a call stays short."""
    tried: list[_Product] = []
    for side in sides:
        work = 2 * side**3
        if tried and work / tried[-1].flops_per_second > LONGEST_CALL_SECONDS:
            break
        seconds = timer.quick_samples(product(side), TIMING).seconds
        tried.append(_Product(side, work / min(seconds), stats.relative_iqr(seconds)))
    return max(tried, key=lambda best: best.flops_per_second)
