"""What the peak hierarchy of peaks tells: peak levels that are lost in a library, dtypes that are slow here, peaks that moved."""

from collections.abc import Iterator

from harness import units
from harness.check.findings.seen import Ranked, number
from harness.records import BandwidthPeak, ComputePeak, Finding, FindingKind, PeakLevel, Run

# A product has to pack and move its operands, which a micro-kernel does not: the best libraries come to within a tenth of it.
LOST = 0.10
# Another library on the same machine has the same operands to move: half of that is a difference.
BEHIND = 0.05
# So much slower than float32 is no noise of one product.
SLOWER = 0.90
# Compute was seen to move by a few percent between quiet rounds, memory on a shared host by 1.5 to 2 times; half of the lesser is much.
MOVED, MEMORY_CHANGED = 0.15, 0.25
# The best products of the GPUs known to us reach 51 to 97 % of their datasheets; less is no library's doing alone.
OF_DATASHEET = 0.50


def _library(run: Run) -> Iterator[Ranked]:
    """Dtypes in which torch's best product stays behind what other code reached on the same cores."""
    found = []
    for dtype in _dtypes(run):
        peak_levels = _peak_levels(run, dtype)
        torch, peer = peak_levels.get(PeakLevel.TORCH), peak_levels.get(PeakLevel.PEER)
        best = max(
            (one for peak_level, one in peak_levels.items() if peak_level.achieved), key=_rate, default=None
        )
        if torch is None or best is None:
            continue
        if _rate(torch) < (1.0 - LOST) * _rate(best) or (
            peer and _rate(torch) < (1.0 - BEHIND) * _rate(peer)
        ):
            found.append((1.0 - _rate(torch) / _rate(best), dtype, torch, best))
    if not found:
        return
    found.sort(key=lambda one: -one[0])
    told = "; ".join(
        f"{dtype} {units.work_rate(_rate(torch))} of {units.work_rate(_rate(best))} ({best.peak_level.value}), {units.change(_rate(torch) / _rate(best))}"
        for _, dtype, torch, best in found
    )
    yield Ranked(
        found[0][0],
        Finding(
            "lost in the library",
            FindingKind.ADVICE,
            f"torch's best products stay behind what other code reached on {number(run.header.settings.threads, 'thread')}: {told}.",
            _why_lost(run, [dtype for _, dtype, _, _ in found]),
            _other_library(run, [dtype for _, dtype, _, _ in found], found[0][0]),
        ),
    )


def _why_lost(run: Run, dtypes: list[str]) -> str:
    """The machine reached the upper peak level, so it is the library: whose, as far as the record tells."""
    environment = run.header.environment
    torch, isa = environment.software.torch, environment.processor.isa
    told = "The machine reached the upper peak level, so the loss is the library's"
    if torch.cpu_capability == "AVX2" and "avx512f" in isa:
        return f"{told}: this CPU has AVX-512 and torch runs {torch.cpu_capability} code."
    peers = [dtype for dtype in dtypes if _as_good(run, dtype)]
    if peers:
        told += f"; in {', '.join(peers)} the best other library comes to the same within {units.percent(BEHIND)}, so some of it is probably what packing and moving operands takes"
    library = f" (its BLAS: {torch.blas})" if torch.blas else ""
    if environment.processor.vendor == "AuthenticAMD" and (torch.blas or "").startswith("mkl"):
        library = f" (its BLAS is {torch.blas}, which may not take its fastest kernels on an AMD CPU)"
    return f"{told}{library}."


def _as_good(run: Run, dtype: str) -> bool:
    peak_levels = _peak_levels(run, dtype)
    torch, peer = peak_levels.get(PeakLevel.TORCH), peak_levels.get(PeakLevel.PEER)
    return torch is not None and peer is not None and abs(_rate(torch) / _rate(peer) - 1.0) <= BEHIND


def _other_library(run: Run, dtypes: list[str], most: float) -> str:
    for dtype in dtypes:
        peak_levels = _peak_levels(run, dtype)
        torch, peer = peak_levels.get(PeakLevel.TORCH), peak_levels.get(PeakLevel.PEER)
        if torch and peer and _rate(torch) < (1.0 - BEHIND) * _rate(peer):
            gain = _rate(peer) / _rate(torch) - 1.0
            return f"In {dtype} {peer.method} is {units.percent(gain)} faster: try a torch that is built with that library's BLAS."
    return (
        "See which kernels the products take (`ONEDNN_VERBOSE=1`, `MKL_VERBOSE=1`), and try another release or build of torch: "
        f"at most {units.percent(most)} of the time of large products is to be had."
    )


def _slow_dtypes(run: Run) -> Iterator[Ranked]:
    threads = run.header.settings.threads
    wide = run.peaks.torch_peak("float32", threads)
    if wide is None:
        return
    known = [
        (run.peaks.torch_peak(dtype, threads), dtype)
        for dtype in _dtypes(run)
        if dtype not in {"float32", "float64"}
    ]
    slow = sorted(
        (
            (_rate(one) / _rate(wide), dtype, one)
            for one, dtype in known
            if one and _rate(one) < SLOWER * _rate(wide)
        ),
        key=lambda one: one[:2],
    )
    if not slow:
        return
    told = "; ".join(
        f"{dtype} {units.work_rate(_rate(one))}, {1.0 / ratio:.3g} times slower" for ratio, dtype, one in slow
    )
    narrow = run.peaks.torch_peak("bfloat16", threads)
    instead = (
        f"bfloat16, which reaches {units.work_rate(_rate(narrow))}, or stay with float32"
        if narrow is not None and _rate(narrow) > _rate(wide)
        else "float32"
    )
    yield Ranked(
        1.0 - slow[0][0],
        Finding(
            "slow dtypes",
            FindingKind.ADVICE,
            f"Narrower types are slower than float32 here, whose products reach {units.work_rate(_rate(wide))}: {told}.",
            "; ".join(f"{dtype}: {_why_slow(run, dtype)}" for _, dtype, _ in slow) + ".",
            f"Compute in {instead}.",
        ),
    )


def _why_slow(run: Run, dtype: str) -> str:
    kernel = next(
        (c for c in run.peaks.compute if c.dtype == dtype and c.peak_level is PeakLevel.MICRO_KERNEL), None
    )
    if kernel is not None:
        return f"the CPU can ({kernel.method}), torch's kernels make no use of it"
    reasons = [why for name, why in run.peaks.unmeasured.items() if dtype in name.split("-")]
    return reasons[0] if reasons else "no instruction for its products is known here: torch probably converts"


def _round_spread(run: Run) -> Iterator[Ranked]:
    compute: list[ComputePeak | BandwidthPeak] = [
        c for c in run.peaks.compute if c.peak_level.achieved and (c.round_spread or 0.0) > MOVED
    ]
    memory: list[ComputePeak | BandwidthPeak] = [
        b for b in run.peaks.bandwidth if b.peak_level.achieved and (b.round_spread or 0.0) > MEMORY_CHANGED
    ]
    found = sorted([*compute, *memory], key=lambda one: -(one.round_spread or 0.0))
    if not found:
        return
    told = ", ".join(f"{_title(one)} by {units.percent(one.round_spread or 0.0)}" for one in found)
    yield Ranked(
        found[0].round_spread or 0.0,
        Finding(
            "peaks moved",
            FindingKind.VOIDS,
            f"Between the {len(run.header.peaks)} rounds of peaks of this run some moved, relative to their best: {told}.",
            "The same code on the same machine went at another pace: "
            + (
                "other virtual machines on the host probably share its caches and memory."
                if run.header.environment.processor.hypervisor
                else "others may have shared the caches and the memory, or the clock changed."
            ),
            "Read shares of these peaks with that much room, and measure again at a quiet time.",
        ),
    )


def _below_datasheet(run: Run) -> Iterator[Ranked]:
    found = []
    for dtype in _dtypes(run):
        peak_levels = _peak_levels(run, dtype)
        sheet = peak_levels.get(PeakLevel.DATASHEET)
        best = max(
            (one for peak_level, one in peak_levels.items() if peak_level.achieved), key=_rate, default=None
        )
        if sheet is not None and best is not None and _rate(best) < OF_DATASHEET * _rate(sheet):
            of = _rate(best) / _rate(sheet)
            told = f"{dtype} {units.work_rate(_rate(best))}, {units.percent(of)} of {units.work_rate(_rate(sheet))}"
            found.append((of, told))
    if not found:
        return
    found.sort()
    yield Ranked(
        1.0 - found[0][0],
        Finding(
            "far below the datasheet",
            FindingKind.VOIDS,
            f"The best products reach less than half of the datasheet: {'; '.join(told for _, told in found)}.",
            "GPUs known to us reach half of it or more: a power cap, heat, a shared GPU or an old library may be why.",
            "`nvidia-smi -q -d PERFORMANCE,POWER,CLOCK` while a product runs tells which.",
        ),
    )


def _title(one: ComputePeak | BandwidthPeak) -> str:
    subject = one.dtype if isinstance(one, ComputePeak) else one.level
    return f"{subject} ({one.peak_level.value}, {number(one.threads, 'thread')})"


def _dtypes(run: Run) -> list[str]:
    threads = run.header.settings.threads
    return list(dict.fromkeys(c.dtype for c in run.peaks.compute if c.threads == threads))


def _peak_levels(run: Run, dtype: str) -> dict[PeakLevel, ComputePeak]:
    return {c.peak_level: c for c in run.peaks.compute_hierarchy(dtype, run.header.settings.threads)}


def _rate(peak: ComputePeak) -> float:
    return peak.flops_per_second


RULES = (_library, _slow_dtypes, _round_spread, _below_datasheet)
