"""What the peak hierarchy shows: torch below other code, dtypes that are slow here, and peaks that vary between rounds."""

from collections.abc import Iterable, Iterator

from harness import units
from harness.check.findings.common import Ranked, advice, invalid
from harness.records import BandwidthPeak, ComputePeak, PeakLevel, Run
from harness.text import counted

# A product has to pack and move its operands, which a micro-kernel does not: the best libraries come within a tenth of it.
LOST = 0.10
# Another library on the same machine has the same operands to move: half of that is a difference.
BEHIND = 0.05
# Below this fraction of float32 a dtype is slower, beyond the noise of one product.
SLOWER = 0.90
# Spread between rounds that invalidates: compute varies by a few percent between quiet rounds, memory on a shared host by a factor of 1.5 to 2.
VARIES, MEMORY_VARIES = 0.15, 0.25
# The best products of known GPUs reach 51% to 97% of their datasheets: below that the library is not the only cause.
OF_DATASHEET = 0.50


def _slow_library(run: Run) -> Iterator[Ranked]:
    """Dtypes in which torch's best product is slower than other code on the same cores."""
    slow = []
    for dtype in _dtypes(run):
        levels = _levels(run, dtype)
        torch, best = levels.get(PeakLevel.TORCH), _best(levels.values())
        if torch is None or best is None:
            continue
        if _rate(torch) < (1.0 - LOST) * _rate(best) or _faster_peer(run, dtype):
            slow.append((1.0 - _rate(torch) / _rate(best), dtype, torch, best))
    if not slow:
        return
    slow.sort(key=lambda row: -row[0])
    dtypes = [dtype for _, dtype, _, _ in slow]
    rates = "; ".join(
        f"{dtype} {units.work_rate(_rate(torch))} of {units.work_rate(_rate(best))} ({best.peak_level.value}), {units.change(_rate(torch) / _rate(best))}"
        for _, dtype, torch, best in slow
    )
    yield advice(
        slow[0][0],
        "slow library",
        f"the best products of torch are slower than other code on {counted(run.header.settings.threads, 'thread')}: {rates}",
        cause=_why_slow_library(run, dtypes),
        fix=_other_library(run, dtypes, slow[0][0]),
        dtypes=dtypes,
    )


def _why_slow_library(run: Run, dtypes: list[str]) -> str:
    """The machine reached the higher level, so the library is the cause: which one, and why, as far as the record shows."""
    torch, processor = run.header.environment.software.torch, run.header.environment.processor
    if torch.cpu_capability == "AVX2" and "avx512f" in processor.isa:
        return f"this CPU has AVX-512 and torch runs {torch.cpu_capability} code"
    library = f" (its BLAS: {torch.blas})" if torch.blas else ""
    if processor.vendor == "AuthenticAMD" and (torch.blas or "").startswith("mkl"):
        library = f" (its BLAS is {torch.blas}, which may not use its fastest kernels on an AMD CPU)"
    text = f"the machine reached the higher rate, so the library loses the difference{library}"
    as_good = [dtype for dtype in dtypes if _peer_is_as_good(run, dtype)]
    if as_good:
        text += (
            f". In {', '.join(as_good)} the best other library is within {units.percent(BEHIND)}, "
            "so packing and moving operands probably takes a part"
        )
    return text


def _peer_is_as_good(run: Run, dtype: str) -> bool:
    levels = _levels(run, dtype)
    torch, peer = levels.get(PeakLevel.TORCH), levels.get(PeakLevel.PEER)
    return torch is not None and peer is not None and abs(_rate(torch) / _rate(peer) - 1.0) <= BEHIND


def _faster_peer(run: Run, dtype: str) -> ComputePeak | None:
    """The other library, if it is faster than torch."""
    levels = _levels(run, dtype)
    torch, peer = levels.get(PeakLevel.TORCH), levels.get(PeakLevel.PEER)
    return peer if torch and peer and _rate(torch) < (1.0 - BEHIND) * _rate(peer) else None


def _other_library(run: Run, dtypes: list[str], lost: float) -> str:
    for dtype in dtypes:
        torch, peer = _levels(run, dtype)[PeakLevel.TORCH], _faster_peer(run, dtype)
        if peer:
            gain = units.percent(_rate(peer) / _rate(torch) - 1.0)
            return f"in {dtype} {peer.method} is {gain} faster: try a build of torch with the BLAS of that library"
    return (
        "read which kernels the products use (`ONEDNN_VERBOSE=1`, `MKL_VERBOSE=1`), and try another release or build of torch: "
        f"large products can become up to {units.percent(lost)} shorter"
    )


def _slow_dtypes(run: Run) -> Iterator[Ranked]:
    threads = run.header.settings.threads
    wide, narrow = run.peaks.torch_peak("float32", threads), run.peaks.torch_peak("bfloat16", threads)
    if wide is None:
        return
    known = ((dtype, run.peaks.torch_peak(dtype, threads)) for dtype in _dtypes(run))
    slow = sorted(
        (_rate(peak) / _rate(wide), dtype, _rate(peak))
        for dtype, peak in known
        if peak and dtype not in {"float32", "float64"} and _rate(peak) < SLOWER * _rate(wide)
    )
    if not slow:
        return
    rates = "; ".join(
        f"{dtype} {units.work_rate(rate)}, {1.0 / ratio:.3g} times slower" for ratio, dtype, rate in slow
    )
    faster = narrow is not None and _rate(narrow) > _rate(wide)
    yield advice(
        1.0 - slow[0][0],
        "slow dtypes",
        f"narrower dtypes are slower here than float32, which reaches {units.work_rate(_rate(wide))}: {rates}",
        cause="; ".join(f"{dtype}: {_why_slow(run, dtype)}" for _, dtype, _ in slow),
        fix=f"compute in bfloat16, which reaches {units.work_rate(_rate(narrow))}, or in float32"
        if narrow is not None and faster
        else "compute in float32",
        dtypes=(dtype for _, dtype, _ in slow),
    )


def _why_slow(run: Run, dtype: str) -> str:
    kernels = (
        peak
        for peak in run.peaks.compute
        if peak.dtype == dtype and peak.peak_level is PeakLevel.MICRO_KERNEL
    )
    if kernel := next(kernels, None):
        return f"the CPU has instructions for it ({kernel.method}), which the kernels of torch do not use"
    reasons = (reason for name, reason in run.peaks.unmeasured.items() if dtype in name.split("-"))
    return next(reasons, "no instruction for its products is known here, so torch probably converts")


def _variable(run: Run) -> Iterator[Ranked]:
    every: list[tuple[float, ComputePeak | BandwidthPeak]] = [
        *((VARIES, peak) for peak in run.peaks.compute),
        *((MEMORY_VARIES, peak) for peak in run.peaks.bandwidth),
    ]
    spreads = sorted(
        ((peak.round_spread or 0.0, peak) for limit, peak in every if _spread(peak) > limit),
        key=lambda pair: -pair[0],
    )
    if not spreads:
        return
    listed = ", ".join(f"{_title(peak)} by {units.percent(spread)}" for spread, peak in spreads)
    dtypes = dict.fromkeys(peak.dtype for _, peak in spreads if isinstance(peak, ComputePeak))
    yield invalid(
        spreads[0][0],
        "peaks vary",
        f"peaks differ between the {len(run.header.peaks)} rounds of this run, relative to the best: {listed}",
        cause="other virtual machines on the host probably share its caches and memory"
        if run.header.environment.processor.hypervisor
        else "other programs may have used the caches and the memory, or the clock changed",
        fix="regard fractions of these peaks as uncertain by as much, and measure again when the machine is quiet",
        # A bandwidth concerns every dtype.
        dtypes=dtypes if all(isinstance(peak, ComputePeak) for _, peak in spreads) else (),
    )


def _below_datasheet(run: Run) -> Iterator[Ranked]:
    low = []
    for dtype in _dtypes(run):
        levels = _levels(run, dtype)
        sheet, best = levels.get(PeakLevel.DATASHEET), _best(levels.values())
        if sheet is not None and best is not None and _rate(best) < OF_DATASHEET * _rate(sheet):
            ratio = _rate(best) / _rate(sheet)
            rates = f"{dtype} {units.work_rate(_rate(best))}, {units.percent(ratio)} of {units.work_rate(_rate(sheet))}"
            low.append((ratio, rates, dtype))
    if not low:
        return
    low.sort()
    yield invalid(
        1.0 - low[0][0],
        "far below the datasheet",
        f"the best products reach less than half of the datasheet: {'; '.join(rates for _, rates, _ in low)}",
        cause="known GPUs reach half or more: a power cap, heat, a shared GPU or an old library may be the cause",
        fix="`nvidia-smi -q -d PERFORMANCE,POWER,CLOCK` during a product shows which",
        dtypes=(dtype for _, _, dtype in low),
    )


def _spread(peak: ComputePeak | BandwidthPeak) -> float:
    return (peak.round_spread or 0.0) if peak.peak_level.achieved else 0.0


def _title(peak: ComputePeak | BandwidthPeak) -> str:
    subject = peak.dtype if isinstance(peak, ComputePeak) else peak.level
    return f"{subject} ({peak.peak_level.value}, {counted(peak.threads, 'thread')})"


def _dtypes(run: Run) -> list[str]:
    threads = run.header.settings.threads
    return list(dict.fromkeys(peak.dtype for peak in run.peaks.compute if peak.threads == threads))


def _levels(run: Run, dtype: str) -> dict[PeakLevel, ComputePeak]:
    return {peak.peak_level: peak for peak in run.peaks.compute_hierarchy(dtype, run.header.settings.threads)}


def _best(peaks: Iterable[ComputePeak]) -> ComputePeak | None:
    """The fastest that code reached."""
    return max((peak for peak in peaks if peak.peak_level.achieved), key=_rate, default=None)


def _rate(peak: ComputePeak) -> float:
    return peak.flops_per_second


RULES = (_slow_library, _slow_dtypes, _variable, _below_datasheet)
