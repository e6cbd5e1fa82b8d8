"""The sentences and small tables of a report, as data for the terminal and for Markdown."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from harness import stats, units
from harness.records import Answer, PeakLevel, Run, Verdict

HIERARCHY_COLUMNS = ("dtype", "threads", "peak level", "rate", "to the one above", "by")
BANDWIDTH_COLUMNS = ("level", "capacity", "threads", "peak level", "bandwidth", "moved", "by")


def state(run: Run) -> str:
    """Whether the run came to its end, and what it holds."""
    counts = f"{len(run.measured)} measured, {len(run.skipped)} skipped, {len(run.failed)} failed"
    if run.complete:
        return f"{len(run.results)} cases: {counts}"
    planned = len(run.header.planned)
    return f"INCOMPLETE: {len(run.results)} of {planned} cases ({counts}); go on: plumbline bench --resume {run.header.id}"


def machine(run: Run) -> str:
    """The machine in one line."""
    environment, settings = run.header.environment, run.header.settings
    parts = [
        *([settings.label] if settings.label else []),
        device(run),
        threads(settings.threads),
        f"torch {environment.software.torch.version}",
    ]
    if run.peaks.clock_hertz:
        parts.append(f"measured clock {units.frequency(run.peaks.clock_hertz)}")
    return ", ".join(parts)


def threads(number: int) -> str:
    """How many threads, in words.

    >>> threads(1), threads(2)
    ('1 thread', '2 threads')
    """
    return f"{number} thread{'' if number == 1 else 's'}"


def device(run: Run) -> str:
    """The device as its maker calls it."""
    environment = run.header.environment
    if environment.devices:
        return ", ".join(dict.fromkeys(gpu.name for gpu in environment.devices if gpu.name))
    return environment.processor.model_name or run.header.settings.device


def hierarchy(run: Run) -> list[tuple[str, ...]]:
    """A row for each peak level of each dtype and thread count: its rate, and how far it lies from the one above."""
    return [
        (
            dtype,
            str(threads),
            step.peak_level,
            units.work_rate(step.flops_per_second),
            "" if step.to_above is None else units.change(step.to_above),
            step.method,
        )
        for dtype, threads in dict.fromkeys((c.dtype, c.threads) for c in run.peaks.compute)
        for step in run.hierarchy(dtype, threads)
    ]


def bandwidths(run: Run) -> list[tuple[str, ...]]:
    """A row for each memory level, thread count and peak level: the best that was reached, or the datasheet's."""
    rows: list[tuple[str, ...]] = []
    for level in run.peaks.levels:
        capacity = units.size(level.capacity_bytes) if level.capacity_bytes else ""
        capacity += f" of {units.size(level.reported_bytes)}" if level.reported_bytes else ""
        for one in run.peaks.bandwidth:
            if one.level == level.name:
                # Private caches add up over the threads of the run.
                shown = capacity if one.threads == run.header.settings.threads else ""
                rate = units.bandwidth(one.bytes_per_second)
                rows.append(
                    (
                        level.name,
                        shown,
                        str(one.threads),
                        one.peak_level.value,
                        rate,
                        "" if one.round_spread is None else units.percent(one.round_spread),
                        one.method,
                    )
                )
    return rows


def claims(run: Run) -> list[tuple[str, str]]:
    """Each claim with the count of its answers."""
    counted: dict[str, Counter[str]] = {}
    for verdict in run.header.verdicts:
        counted.setdefault(verdict.claim, Counter())[verdict.answer.value] += 1
    return [
        (claim, ", ".join(f"{answers[a.value]} {a.value}" for a in Answer if answers[a.value]))
        for claim, answers in counted.items()
    ]


def worth_reading(run: Run) -> list[Verdict]:
    """The verdicts a person should read: all that do not hold, and how each sweep and each step scales."""
    told = {"scaling", "crossover", "6ND"}
    return [v for v in run.header.verdicts if v.answer is not Answer.HOLDS or v.claim in told]


def surroundings(run: Run) -> str:
    """What went on beside the run, and whether its intervals know of drift; as one sentence or two."""
    told = [m.sensors for r in run.measured if (m := r.measurement) is not None]
    parts = [
        text
        for text in (
            _most("other programs used up to", [s.other_cpus for s in told], "{:.2f} CPUs".format),
            _most("stolen by the hypervisor up to", [s.steal_fraction for s in told], units.percent),
            _most(
                "stopped by a CPU quota up to",
                [s.quota_throttled_seconds or None for s in told],
                units.seconds,
            ),
        )
        if text
    ]
    beside = f"Meanwhile: {', '.join(parts)}. " if parts else ""
    if run.header.selftest_at is None:
        return (
            f"{beside}No self-test of this host is known: the intervals know nothing of what changes "
            "from one run to the next (`plumbline selftest`)."
        )
    return (
        f"{beside}Intervals include what runs on this host differ by (self-test of {run.header.selftest_at})."
    )


def sustained(run: Run) -> list[tuple[str, str, str]]:
    """Rows of what the machine sustains, of what, and how well theory predicted it: the report in short."""
    return [*_rates(run), *_predicted(run), *_weighed(run)]


def _rates(run: Run) -> Iterator[tuple[str, str, str]]:
    """The best of torch in each dtype against the top of its peak hierarchy, and the bandwidth of main memory."""
    peaks, most = run.peaks, run.header.settings.threads
    for dtype in dict.fromkeys(c.dtype for c in peaks.compute if c.threads == most):
        best, top = peaks.torch_peak(dtype, most), peaks.compute_hierarchy(dtype, most)[0]
        if best is not None:
            fraction = units.percent(best.flops_per_second / top.flops_per_second)
            above = (
                f"{fraction} of {units.work_rate(top.flops_per_second)}, {_TOPS[top.peak_level]}"
                if top is not best
                else ""
            )
            yield f"{dtype} products", units.work_rate(best.flops_per_second), above
    last = peaks.levels[-1].name if peaks.levels else ""
    memory = peaks.bandwidth_peak(last, most)
    if memory is not None:
        sheet = next(
            (b for b in peaks.bandwidth if b.level == last and b.peak_level is PeakLevel.DATASHEET), None
        )
        fraction = (
            f"{units.percent(memory.bytes_per_second / sheet.bytes_per_second)} of the datasheet; "
            if sheet
            else ""
        )
        apart = (
            "measured once"
            if memory.round_spread is None
            else f"its rounds lie {units.percent(memory.round_spread)} apart"
        )
        round_spread = f"{fraction}{apart}"
        yield f"{last} bandwidth", units.bandwidth(memory.bytes_per_second), round_spread


def _predicted(run: Run) -> Iterator[tuple[str, str, str]]:
    """How far off the expected times of whole steps were, in each suite."""
    for validation in run.header.validations:
        by = {way.way: way for way in validation.ways}
        ours, roof = by.get("cost model"), by.get("roofline")
        if ours is not None:
            beside = f"; the roofline alone is {units.percent(roof.mape)} off" if roof else ""
            inside = f"of {ours.cases} steps {units.percent(validation.coverage)} lie in their 90 % interval"
            yield f"time of {validation.suite}", f"predicted to {units.percent(ours.mape)}", inside + beside


def _weighed(run: Run) -> Iterator[tuple[str, str, str]]:
    """How far off the memory of traced steps was."""
    off = [
        abs(r.case.trace.footprint.total / m.peak_memory_bytes - 1.0)
        for r in run.measured
        if r.case.held_out and r.case.trace and (m := r.measurement) and m.peak_memory_bytes
    ]
    if off:
        yield (
            "peak memory of steps",
            f"predicted to {units.percent(stats.median(off))}",
            f"median of {len(off)} steps; {units.percent(max(off))} at worst",
        )


def method(run: Run) -> tuple[str, ...]:
    """How the times were taken, as sentences."""
    sampling, settings = run.header.settings.sampling, run.header.settings
    many = f"{sampling.processes} fresh processes in turns" if sampling.processes > 1 else "one fresh process"
    begin = f"in blocks of about {units.seconds(sampling.block_seconds)}, after at least {units.seconds(sampling.preheat_seconds)} of the same work"
    end = f"or after {units.seconds(sampling.max_seconds)} in all; a case may take {units.seconds(sampling.limit_seconds)} at most"
    known = units.percent(sampling.target_half_width)
    return (
        f"Each case was measured by {many}, with {threads(settings.threads)} on {settings.device}, {begin}.",
        f"Sampling ended when every process knew its own median to ± {known}, {end}.",
        "Memory was weighed in a pass of its own, the peaks at the start, in the middle and at the end.",
        surroundings(run),
        "FLOPs: a multiply-add is two; masked attention counts the pairs it attends to. GB = 10^9 bytes, GiB = 2^30.",
    )


_TOPS = {
    PeakLevel.DATASHEET: "by datasheet",
    PeakLevel.CLOCK_TRUE: "by clock and width",
    PeakLevel.MICRO_KERNEL: "a micro-kernel",
    PeakLevel.PEER: "the best peer",
    PeakLevel.TORCH: "torch",
}


def _most(words: str, values: Sequence[float | None], show: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return f"{words} {show(max(known))}" if known else ""


WORDS = (
    (
        "median",
        "median over processes of the median time of a call, over samples that waited for no core (all, if under three)",
    ),
    (
        "95 %",
        "half of the interval in which the median time of an independent repeat lies in 95 of 100 cases",
    ),
    ("IQR", "interquartile range of a process's samples over their median"),
    (
        "moved",
        "how far the rounds of a peak, at the start, in the middle and at the end of the run, lie apart",
    ),
    ("of peak", "the rate over the best rate any code reached here (dtype, or memory level, and threads)"),
    (
        "predicted / measured",
        "the roofline's lower bound over the median time, and which roof binds; above 1 the case beat the peak as the first round knew it",
    ),
    ("memory", "peak of tensor bytes while one call ran, inputs and outputs included"),
    ("forward, backward, optimizer", "shares of a step's time, in a pass of its own"),
    (
        "MFU, HFU",
        "model FLOP/s, and those with what is computed again, over the best rate any code reached here",
    ),
    ("kernels", "operator calls of a step that touch elements"),
    (
        "said, peak in, activations",
        "the traced peak against the measured one; the phase that sets it; what is kept for the backward pass",
    ),
    (
        "expected, 90 %",
        "the sum of a step's operators by models learned from other operators in this run, and the framework's part; where nine of ten such steps lie",
    ),
    (
        "roofline, scaled, replay",
        "what else would have been expected: the roofline's bound, that times what the other steps suggest, each operator of the step measured alone",
    ),
    ("speed-up", "the time of the first way over that of the other, measured side by side in this run"),
    ("noisy", "the interquartile range or half of the interval is over 10 % of the median"),
    ("contended", "over 10 % of the samples waited for a core, or others wanted more cores than were left"),
    ("drifting", "the last quarter of a process's samples differs from its first by over 5 %"),
    ("throttled", "the device slowed itself down (power, heat), or a CPU quota stopped us"),
    ("host_bound", "in over 20 % of the samples the device waited for the host"),
    ("oversubscribed", "more threads than cores that this process may use"),
    ("cache_warm", "tensors could not be rotated so far that the cache was cold"),
    ("few_samples", "fewer than five samples"),
)
