"""What costs time besides the work of a case, and which optimizations pay on this machine."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from harness import stats, units
from harness.check.findings.common import Ranked, advice, ids, joined, on_cpu
from harness.records import MAPPED_BYTES, Optimization, Result, Run
from harness.records.measurement import speedup_interval
from harness.text import counted

# A speed-up of less than a tenth is not worth a change of code.
PAYS = 1.10
# Threads do not scale where the whole interval of the speed-up is below this fraction of their number.
SCALES = 0.75

# Why each optimization pays where it does, and how to apply it.
OPTIMIZATIONS = {
    "bfloat16 instead of float32": (
        "Half of the bytes, and instructions for its products where the hardware has them",
        "`torch.autocast(device_type, dtype=torch.bfloat16)`, where 8 bits of mantissa are enough",
    ),
    "float16 instead of float32": (
        "Half of the bytes, and instructions for its products where the hardware has them",
        "`torch.autocast(device_type, dtype=torch.float16)` with a GradScaler in training",
    ),
    "TF32 instead of float32": (
        "Tensor cores multiply float32 with 10 bits of mantissa",
        '`torch.backends.cuda.matmul.fp32_precision = "tf32"`, where that is accurate enough',
    ),
    "flash instead of math attention": (
        "The scores are never written to memory",
        "`torch.nn.functional.scaled_dot_product_attention`, with a mask and a dtype that its flash kernel supports",
    ),
    "memory-efficient instead of math attention": (
        "The scores are never written to memory",
        "`torch.nn.functional.scaled_dot_product_attention`, with a mask and a dtype that its kernel supports",
    ),
    "torch.compile instead of eager": (
        "Operators are fused: less memory is moved, and less Python runs",
        "`torch.compile(model)`",
    ),
    "activation checkpointing": (
        "Activations that are not kept need not be read again from memory",
        "`torch.utils.checkpoint`, or the model's own switch for it",
    ),
    "channels-last instead of contiguous": (
        "The library's convolutions work in that layout and need no conversion",
        "`model.to(memory_format=torch.channels_last)`, and the images too",
    ),
    "fused instead of foreach optimizer": (
        "One pass over parameters, gradients and state instead of one for each arithmetic step",
        "`fused=True` where the optimizer is created",
    ),
}


def _paying(run: Run) -> Iterator[Ranked]:
    """One finding for each optimization that pays somewhere."""
    threads = _threads(run)
    for name in dict.fromkeys(pair.optimization for pair in run.header.optimizations):
        pairs = [pair for pair in run.header.optimizations if pair.optimization == name]
        paying = [pair for pair in pairs if pair.speedup >= PAYS and pair.low is not None and pair.low > 1.0]
        more = max(threads.get(pair.changed) or 0 for pair in pairs)
        if not paying or 0 < more <= run.header.settings.threads:
            continue
        saved = 1.0 - 1.0 / stats.median([pair.speedup for pair in paying])
        of_threads = (
            "The run used fewer threads than the machine has cores for",
            f"`--threads {more}`, or `torch.set_num_threads({more})`",
        )
        cause, fix = OPTIMIZATIONS.get(name, of_threads if more else ("It was measured", name))
        yield advice(
            saved,
            name,
            _measured(pairs, paying),
            cause=joined(cause, _predicted(paying)),
            fix=f"{fix}; where it pays here, it saved {units.percent(saved)} of the time",
            cases=(pair.base for pair in paying),
        )


def _measured(pairs: list[Optimization], paying: list[Optimization]) -> str:
    best = max(paying, key=lambda pair: pair.speedup)
    interval = f"95% CI {best.low:.2f} to {best.high:.2f}" if best.low and best.high else ""
    if len(pairs) == 1:
        return f"it makes {best.base} {best.speedup:.2f} times as fast ({interval})"
    if len(paying) > 1:
        median = stats.median([pair.speedup for pair in paying])
        text = f"{len(paying)} of {len(pairs)} pairs of cases are faster, {median:.2f} times in the median, {best.speedup:.2f} times at most"
    else:
        text = f"1 of {len(pairs)} pairs of cases is faster, {best.speedup:.2f} times"
    slower = [
        pair for pair in pairs if pair.high is not None and pair.high < 1.0 and pair.speedup <= 1.0 / PAYS
    ]
    worst = min(slower, key=lambda pair: pair.speedup, default=None)
    return joined(
        f"{text} ({joined(interval, best.base)})",
        f"{len(slower)} slower, {1.0 / worst.speedup:.2f} times at most ({worst.base})" if worst else "",
    )


def _predicted(paying: list[Optimization]) -> str:
    predicted = {pair.way: pair for pair in paying if pair.predicted is not None}
    speedups = [pair.predicted for pair in paying if pair.predicted is not None]
    memory = [pair.memory for pair in paying if pair.memory is not None]
    return joined(
        f"predicted {stats.median(speedups):.2f} times as fast ({', '.join(predicted)})" if speedups else "",
        f"the memory is {units.percent(stats.median(memory))} of the former" if memory else "",
    )


def _threads_do_not_scale(run: Run) -> Iterator[Ranked]:
    threads, results = _threads(run), {result.case.id: result for result in run.measured}
    poor = []
    for pair in run.header.optimizations:
        more, base = threads.get(pair.changed) or 0, threads.get(pair.base) or 0
        if more > base > 0 and pair.high is not None and pair.high < SCALES * more / base:
            poor.append((pair.speedup * base / more, pair, more // base))
    if not poor:
        return
    reached, worst, times = min(poor, key=lambda row: row[0])
    yield advice(
        1.0 - reached,
        "threads do not scale",
        f"{counted(len(poor), 'sweep')} over threads gained little: {times} times the threads made {worst.base} {worst.speedup:.2f} times as "
        f"fast (95% CI {worst.low or 0.0:.2f} to {worst.high or 0.0:.2f})",
        cause=_why_not(run, results[worst.base], results[worst.changed]),
        fix="run such work on fewer threads (`torch.set_num_threads`), and use the cores for a data loader or another process",
        cases=(pair.changed for _, pair, _ in poor),
    )


def _why_not(run: Run, base: Result, changed: Result) -> str:
    prediction = changed.prediction
    if prediction is None or prediction.bound != "memory" or prediction.level is None:
        return "its parts are probably too short for the threads to synchronise after each of them"
    few, many = (
        run.peaks.bandwidth_peak(prediction.level, result.case.threads or 1) for result in (base, changed)
    )
    text = f"memory bounds it ({prediction.level})"
    if few is None or many is None or base.bytes_per_second is None:
        return f"{text}, and the threads share it"
    text += f": {counted(few.threads, 'thread')} moved {units.bandwidth(base.bytes_per_second)}. The bandwidth grows"
    rates = f"from {units.bandwidth(few.bytes_per_second)} ({few.threads}) to {units.bandwidth(many.bytes_per_second)} ({many.threads})"
    if many.bytes_per_second / few.bytes_per_second < SCALES * many.threads / few.threads:
        return f"{text} little with the threads, {rates}"
    return f"{text} with the threads, {rates}, so the cause is unknown"


def _threads(run: Run) -> dict[str, int | None]:
    return {result.case.id: result.case.threads for result in run.measured}


# From half of the time on, a step is mostly framework.
FRAMEWORK = 0.5
# First touches of pages that take a tenth of a call are worth a setting.
FAULTS = 0.10
# Sizes within 5% of each other are the same work; a difference in rate of a quarter then comes from the shape.
ALIKE, UNEVEN = 1.05, 1.25
# Vectors and tiles of all known CPUs and GPUs hold a multiple of this many elements.
MULTIPLE = 8


def _framework(run: Run) -> Iterator[Ranked]:
    measured = {result.case.id for result in run.measured}
    steps = [
        (
            sum(part.seconds for part in estimate.parts if part.kind == "framework") / estimate.seconds,
            estimate,
        )
        for estimate in run.header.estimates
        if estimate.case in measured and estimate.seconds > 0.0
    ]
    # On an accelerator the host works ahead: it sets the pace only where it is the slower of the two.
    least = FRAMEWORK if on_cpu(run) else 1.0
    mostly = sorted(
        ((part, estimate) for part, estimate in steps if part >= least * (1.0 - 1e-9)),
        key=lambda pair: -pair[0],
    )
    if not mostly:
        return
    part, worst = mostly[0]
    graphs = "" if on_cpu(run) else " or CUDA graphs"
    yield advice(
        part,
        "mostly framework",
        f"{len(mostly)} of {counted(len(steps), 'step')} {'is' if len(mostly) == 1 else 'are'} mostly framework by the cost model; "
        f"highest: {units.percent(part)} of the estimated {units.seconds(worst.seconds)} of {worst.case}",
        cause="Python, the dispatch of operators, views and the autograd engine take the same time for little work as for much",
        fix=f"larger batches increase the work for the same framework time; `torch.compile`{graphs} reduces that time",
        cases=(estimate.case for _, estimate in mostly),
    )


def _mapped(run: Run) -> Iterator[Ranked]:
    """Results so large that the allocator maps them again each time, where the first touch of their pages takes a part of the call."""
    model = run.header.cost_model
    if model is None or not model.fault_seconds or not on_cpu(run):
        return
    memory = run.header.environment.memory
    slow = []
    for result in run.measured:
        mapped = sum(operator.mapped_bytes for operator in run.operators.get(result.case.id, ()))
        if mapped and result.measurement is not None and not result.case.calibrates:
            faults = mapped / memory.page_bytes * model.fault_seconds
            part = min(1.0, faults / result.measurement.median)
            if part >= FAULTS:
                slow.append((part, faults, mapped, result, result.measurement.median))
    if not slow:
        return
    slow.sort(key=lambda row: -row[0])
    part, faults, mapped, worst, seconds = slow[0]
    huge = memory.transparent_huge_pages
    yield advice(
        # An estimate of more than the whole is too high, and proves no more than half.
        part if part < 1.0 else 0.5,
        "pages mapped again",
        f"{counted(len(slow), 'case')} of this run {'has' if len(slow) == 1 else 'have'} results of {units.size(MAPPED_BYTES)} or more: "
        f"{units.size(mapped)} a call in {worst.case.id}, which took {units.seconds(seconds)}. By the cost model the first touches of "
        f"their pages take {f'up to {units.seconds(faults)}' if part < 1.0 else 'much'} of it",
        cause=f"{_allocator(run)} maps an allocation of this size again each time, and its pages fault at the first touch"
        + (f" (transparent huge pages: {huge})" if huge else ""),
        fix=_keep_memory(run, huge),
        cases=ids(result for _, _, _, result, _ in slow),
    )


def _allocator(run: Run) -> str:
    libc = run.header.environment.software.libc
    return "the allocator (glibc)" if libc and "glibc" in libc.lower() else "the allocator probably"


def _keep_memory(run: Run, huge: str | None) -> str:
    """How to keep the memory, as far as the record shows what would help."""
    if "glibc" not in _allocator(run):
        return "reuse the memory: write results into existing tensors (`out=`), or use an allocator that keeps freed memory"
    return joined(
        "`MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296` before the command keeps the memory",
        "`THP_MEM_ALLOC_ENABLE=1` uses huge pages for it, but may slow down smaller results"
        if huge == "madvise"
        else "",
    )


class _Pair(NamedTuple):
    ratio: float
    slow: Result
    fast: Result


def _uneven_shapes(run: Run) -> Iterator[Ranked]:
    """Cases of nearly the same size with different rates."""
    alike: dict[tuple[str, str], list[Result]] = {}
    for result in run.measured:
        if not result.case.calibrates and result.case.sizes and _rate(result):
            shape = re.sub(r"\d+", "", result.case.id)
            alike.setdefault((result.case.dtype, shape), []).append(result)
    pairs = [
        pair
        for results in alike.values()
        for first, second in _neighbours(results)
        if (pair := _uneven(first, second)) is not None
    ]
    if not pairs:
        return
    worst = max(pairs, key=lambda pair: pair.ratio)
    slow = dict.fromkeys(pair.slow.case.id for pair in pairs)
    saved = 1.0 - 1.0 / worst.ratio
    yield advice(
        saved,
        "uneven shapes",
        joined(
            f"{worst.slow.case.id} runs at {_shown(worst.slow)}, {worst.fast.case.id} at {_shown(worst.fast)}: {worst.ratio:.2f} times the rate "
            f"at sizes within {units.percent(ALIKE - 1.0)} of each other",
            f"{counted(len(slow) - 1, 'similar case')}" if len(slow) > 1 else "",
        ),
        cause=_why_uneven(worst),
        fix=f"pad to the sizes of {worst.fast.case.id}, which saves up to {units.percent(saved)} of the time",
        cases=slow,
    )


def _neighbours(results: list[Result]) -> Iterator[tuple[Result, Result]]:
    """The pairs of nearly the same sizes. Pairs whose products of sizes lie too far apart are skipped."""
    volumes = sorted(
        ((math.prod(result.case.sizes.values()), place) for place, result in enumerate(results)), reverse=True
    )
    for at, (volume, place) in enumerate(volumes):
        for smaller, candidate in volumes[at + 1 :]:
            if volume > ALIKE ** len(results[place].case.sizes) * smaller:
                break
            if _nearly(results[place].case.sizes, results[candidate].case.sizes):
                yield results[place], results[candidate]


def _nearly(first: dict[str, int], second: dict[str, int]) -> bool:
    return first.keys() == second.keys() and all(
        max(first[name], second[name]) <= ALIKE * min(first[name], second[name]) for name in first
    )


def _uneven(first: Result, second: Result) -> _Pair | None:
    """The pair, if its rates differ by more than chance explains."""
    slow, fast = sorted((first, second), key=_rate)
    ratio = _rate(fast) / _rate(slow)
    if ratio < UNEVEN or slow.measurement is None or fast.measurement is None:
        return None
    interval = speedup_interval(slow.measurement.view, fast.measurement.view)
    return _Pair(ratio, slow, fast) if interval is not None and interval[0] > 1.0 else None


def _why_uneven(pair: _Pair) -> str:
    slow, fast = pair.slow.case.sizes, pair.fast.case.sizes
    odd = [f"{name} = {slow[name]}" for name in slow if slow[name] % MULTIPLE and not fast[name] % MULTIPLE]
    if not odd:
        return "the library probably takes another kernel or another blocking for these sizes"
    verb = "is not a multiple" if len(odd) == 1 else "are not multiples"
    return (
        f"the size{'' if len(odd) == 1 else 's'} {', '.join(odd)} {verb} of {MULTIPLE}. Rows then begin off the boundary of a vector, "
        "and the last vector or tile is partly empty"
    )


def _rate(result: Result) -> float:
    return result.flops_per_second or result.bytes_per_second or 0.0


def _shown(result: Result) -> str:
    return (
        units.work_rate(result.flops_per_second)
        if result.flops_per_second
        else units.bandwidth(_rate(result))
    )


RULES = (_paying, _threads_do_not_scale, _framework, _mapped, _uneven_shapes)
