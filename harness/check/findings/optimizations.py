"""Decisions that pay on this machine, and threads that do not."""

from collections.abc import Iterator

from harness import stats, units
from harness.check.findings.seen import Ranked, number
from harness.records import Finding, FindingKind, Optimization, Result, Run

# Less than a tenth is not worth a change of anybody's code.
PAYS = 1.10
# A speed-up below this fraction of the number of threads, with its whole interval, is threads that do not scale.
SCALES = 0.75

# Why each optimization pays where it does, and how it is pulled.
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
        "`torch.nn.functional.scaled_dot_product_attention`, and no mask or dtype that its flash kernel cannot do",
    ),
    "memory-efficient instead of math attention": (
        "The scores are never written to memory",
        "`torch.nn.functional.scaled_dot_product_attention`, and no mask or dtype that its kernel cannot do",
    ),
    "torch.compile instead of eager": (
        "Operators are fused: less memory is moved, and less Python runs",
        "`torch.compile(model)`",
    ),
    "activation checkpointing": (
        "What is not kept need not be brought back from memory",
        "`torch.utils.checkpoint`, or the model's own switch for it",
    ),
    "channels-last instead of contiguous": (
        "The library's convolutions work in that layout and need no conversion",
        "`model.to(memory_format=torch.channels_last)`, and the images too",
    ),
    "fused instead of foreach optimizer": (
        "One pass over parameters, gradients and state instead of one for each arithmetic step",
        "`fused=True` where the optimizer is made",
    ),
}


def _paying(run: Run) -> Iterator[Ranked]:
    """One finding for each optimization that pays somewhere."""
    threads = _threads(run)
    for name in dict.fromkeys(optimization.optimization for optimization in run.header.optimizations):
        every = [
            optimization for optimization in run.header.optimizations if optimization.optimization == name
        ]
        paying = [one for one in every if one.speedup >= PAYS and one.low is not None and one.low > 1.0]
        more = max(threads.get(one.changed) or 0 for one in every)
        if not paying or 0 < more <= run.header.settings.threads:
            continue
        median = stats.median([one.speedup for one in paying])
        cause, fix = OPTIMIZATIONS.get(name, _of_threads(more) if more else ("It was measured so", name))
        yield Ranked(
            1.0 - 1.0 / median,
            Finding(
                name,
                FindingKind.ADVICE,
                _told(every, paying, median),
                f"{cause}{_said(paying)}.",
                f"{fix}; where it pays here, it saved {units.percent(1.0 - 1.0 / median)} of the time.",
                tuple(one.base for one in paying),
            ),
        )


def _told(every: list[Optimization], paying: list[Optimization], median: float) -> str:
    best = max(paying, key=lambda one: one.speedup)
    known = f"95 %: {best.low:.2f} to {best.high:.2f}" if best.low and best.high else ""
    if len(every) == 1:
        return f"It makes {best.base} {best.speedup:.2f} times as fast ({known})."
    told = f"1 of {len(every)} pairs of cases is faster, {best.speedup:.2f} times ({known}; {best.base})"
    if len(paying) > 1:
        told = (
            f"{len(paying)} of {len(every)} pairs of cases are faster, {median:.2f} times in the median, {best.speedup:.2f} times at most "
            f"({known}; {best.base})"
        )
    costing = [one for one in every if one.high is not None and one.high < 1.0 and one.speedup <= 1.0 / PAYS]
    if costing:
        worst = min(costing, key=lambda one: one.speedup)
        told += f"; {len(costing)} slower, {1.0 / worst.speedup:.2f} times at most ({worst.base})"
    return f"{told}."


def _said(paying: list[Optimization]) -> str:
    said = [one for one in paying if one.expected is not None]
    memory = [one.memory for one in paying if one.memory is not None]
    told = ""
    if said:
        ways = ", ".join(dict.fromkeys(one.way for one in said))
        told += (
            f"; {stats.median([one.expected or 0.0 for one in said]):.2f} times were said beforehand ({ways})"
        )
    if memory:
        told += f"; the memory is {units.percent(stats.median(memory))} of what it was"
    return told


def _of_threads(threads: int) -> tuple[str, str]:
    return (
        "The run used fewer threads than the machine has cores for",
        f"`--threads {threads}`, or `torch.set_num_threads({threads})`",
    )


def _threads_do_not_scale(run: Run) -> Iterator[Ranked]:
    threads, results = _threads(run), {result.case.id: result for result in run.measured}
    found = []
    for optimization in run.header.optimizations:
        more, base = threads.get(optimization.changed) or 0, threads.get(optimization.base) or 0
        if more > base > 0 and optimization.high is not None and optimization.high < SCALES * more / base:
            found.append((optimization.speedup * base / more, optimization, more // base))
    if not found:
        return
    reached, worst, times = min(found, key=lambda one: one[0])
    yield Ranked(
        1.0 - reached,
        Finding(
            "threads do not scale",
            FindingKind.ADVICE,
            f"{number(len(found), 'sweep')} over threads gained little: {times} times the threads made {worst.base} {worst.speedup:.2f} times as "
            f"fast (95 %: {worst.low or 0.0:.2f} to {worst.high or 0.0:.2f}).",
            _why_not(run, results[worst.base], results[worst.changed]),
            "Give such work fewer threads (`torch.set_num_threads`) and the cores to something else, a data loader or another process.",
            tuple(one.changed for _, one, _ in found),
        ),
    )


def _why_not(run: Run, base: Result, changed: Result) -> str:
    said = changed.prediction
    if said is None or said.bound != "memory" or said.level is None:
        return "Its parts are probably too short for the threads to meet after each of them."
    one, more = (run.peaks.bandwidth_peak(said.level, result.case.threads or 1) for result in (base, changed))
    told = f"Memory binds it ({said.level})"
    if one is None or more is None or base.bytes_per_second is None:
        return f"{told}, which the threads share."
    told += f", where {number(one.threads, 'thread')} moved {units.bandwidth(base.bytes_per_second)}; "
    peaks = f"{units.bandwidth(one.bytes_per_second)} with {one.threads} to {units.bandwidth(more.bytes_per_second)} with {more.threads}"
    if more.bytes_per_second / one.bytes_per_second < SCALES * more.threads / one.threads:
        return f"{told}the threads share it, and its peak grows no more, from {peaks}."
    return f"{told}its peak grows with the threads, from {peaks}, so what holds this work back is not told."


def _threads(run: Run) -> dict[str, int | None]:
    return {result.case.id: result.case.threads for result in run.measured}


RULES = (_paying, _threads_do_not_scale)
