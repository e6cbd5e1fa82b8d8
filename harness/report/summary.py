"""The sentences and small tables of a report, for every form of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from harness import stats, units
from harness.records import Answer, PeakLevel, Run, Verdict
from harness.report.content import ids, texts
from harness.text import counted

HIERARCHY_COLUMNS = (*ids("dtype"), "threads", *ids("peak level"), "rate", "to the one above", *texts("by"))
BANDWIDTH_COLUMNS = (
    *ids("level"),
    *("capacity", "threads"),
    *ids("peak level"),
    *("bandwidth", "spread between rounds"),
    *texts("by"),
)


def state(run: Run) -> str:
    """Whether the run is complete, and its counts of cases."""
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
        counted(settings.threads, "thread"),
        f"torch {environment.software.torch.version}",
    ]
    if run.peaks.clock_hertz:
        parts.append(f"measured clock {units.frequency(run.peaks.clock_hertz)}")
    return ", ".join(parts)


def device(run: Run) -> str:
    """The device as its maker calls it."""
    environment = run.header.environment
    if environment.devices:
        return ", ".join(dict.fromkeys(gpu.name for gpu in environment.devices if gpu.name))
    return environment.processor.model_name or run.header.settings.device


def hierarchy(run: Run) -> list[tuple[str, ...]]:
    """A row for each peak level of each dtype and thread count: its rate, and its distance from the level above."""
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
        for peak in run.peaks.bandwidth:
            if peak.level == level.name:
                # Private caches add up over the threads of the run.
                shown = capacity if peak.threads == run.header.settings.threads else ""
                rate = units.bandwidth(peak.bytes_per_second)
                rows.append(
                    (
                        level.name,
                        shown,
                        str(peak.threads),
                        peak.peak_level.value,
                        rate,
                        "" if peak.round_spread is None else units.percent(peak.round_spread),
                        peak.method,
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
    always = {"scaling", "crossover", "6ND"}
    return [v for v in run.header.verdicts if v.answer is not Answer.HOLDS or v.claim in always]


def surroundings(run: Run) -> str:
    """The background load during the run, and whether the intervals cover changes between runs."""
    sensors = [m.sensors for r in run.measured if (m := r.measurement) is not None]
    parts = [
        text
        for text in (
            _most("other programs used up to", [s.other_cpus for s in sensors], "{:.2f} CPUs".format),
            _most("stolen by the hypervisor up to", [s.steal_fraction for s in sensors], units.percent),
            _most(
                "stopped by a CPU quota up to",
                [s.quota_throttled_seconds or None for s in sensors],
                units.seconds,
            ),
        )
        if text
    ]
    beside = f"During the run: {', '.join(parts)}. " if parts else ""
    if run.header.selftest_at is None:
        return (
            f"{beside}There is no self-test of this host: the intervals omit changes from run to run "
            "(`plumbline selftest`)."
        )
    return f"{beside}Intervals include the differences between runs on this host (self-test of {run.header.selftest_at})."


def sustained(run: Run) -> list[tuple[str, str, str]]:
    """The rates that the machine sustains, and the errors of the predictions."""
    return [*_rates(run), *_predicted(run), *_weighed(run)]


def _rates(run: Run) -> Iterator[tuple[str, str, str]]:
    """The best rate of torch in each dtype as a fraction of the top of its peak hierarchy, and the bandwidth of main memory."""
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
            else f"spread between rounds {units.percent(memory.round_spread)}"
        )
        round_spread = f"{fraction}{apart}"
        yield f"{last} bandwidth", units.bandwidth(memory.bytes_per_second), round_spread


def _predicted(run: Run) -> Iterator[tuple[str, str, str]]:
    """The errors of the estimated times of whole steps, by suite."""
    for validation in run.header.validations:
        by = {way.way: way for way in validation.ways}
        ours, roof = by.get("cost model"), by.get("roofline")
        if ours is not None:
            beside = f"; mean error of the roofline alone {units.percent(roof.mape)}" if roof else ""
            inside = f"the 90% intervals cover {units.percent(validation.coverage)} of {ours.cases} steps"
            yield f"time of {validation.suite}", f"mean error {units.percent(ours.mape)}", inside + beside


def _weighed(run: Run) -> Iterator[tuple[str, str, str]]:
    """The errors of the predicted memory of traced steps."""
    off = [
        abs(r.case.trace.footprint.total / m.peak_memory_bytes - 1.0)
        for r in run.measured
        if r.case.held_out and r.case.trace and (m := r.measurement) and m.peak_memory_bytes
    ]
    if off:
        yield (
            "peak memory of steps",
            f"median error {units.percent(stats.median(off))}",
            f"{len(off)} steps; {units.percent(max(off))} at worst",
        )


def method(run: Run) -> tuple[str, ...]:
    """How the times were taken, as sentences."""
    sampling, settings = run.header.settings.sampling, run.header.settings
    many = (
        f"{sampling.processes} fresh processes, interleaved"
        if sampling.processes > 1
        else "one fresh process"
    )
    begin = f"in blocks of about {units.seconds(sampling.block_seconds)}, after at least {units.seconds(sampling.preheat_seconds)} of the same work"
    end = f"or after {units.seconds(sampling.max_seconds)} in all; a case may take {units.seconds(sampling.limit_seconds)} at most"
    known = units.percent(sampling.target_half_width)
    return (
        f"Each case was measured by {many}, with {counted(settings.threads, 'thread')} on {settings.device}, {begin}.",
        f"Sampling ended when the interval of every process was within ± {known} of its median, {end}.",
        "Memory was measured in a pass of its own, the peaks at the start, in the middle and at the end.",
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
        "95% CI",
        "half of the interval in which the median time of an independent repeat lies in 95 of 100 cases",
    ),
    ("IQR", "interquartile range of a process's samples over their median"),
    (
        "spread between rounds",
        "how much a peak differs between the rounds at the start, in the middle and at the end of the run",
    ),
    ("of peak", "the rate over the best rate any code reached here (dtype, or memory level, and threads)"),
    (
        "predicted / measured",
        "the roofline's lower bound over the median time, and which roof binds; above 1 the case beat the peak of the first round",
    ),
    ("memory", "peak of tensor bytes while one call ran, inputs and outputs included"),
    ("forward, backward, optimizer", "fractions of a step's time, in a pass of its own"),
    (
        "MFU, HFU",
        "model FLOP/s, and with recomputed FLOPs, over the best rate any code reached here",
    ),
    ("kernels", "operator calls of a step that touch elements"),
    (
        "predicted, peak in, activations",
        "the predicted peak against the measured one; the phase that sets it; what is kept for the backward pass",
    ),
    (
        "estimated, 90% interval",
        "the sum of a step's operators by models fitted to other operators, and the framework's part; the range of nine of ten such steps",
    ),
    (
        "roofline, scaled, replay",
        "other estimates: the bound of the roofline, that times one factor from the other steps, the operators of the step measured alone",
    ),
    ("speed-up", "the time of the base over that of the optimized case, measured interleaved"),
    ("noisy", "the interquartile range or half of the interval is over 10% of the median"),
    (
        "contended",
        "over 10% of the samples waited for a core, or other programs needed more cores than were left",
    ),
    ("drifting", "the last quarter of a process's samples differs from its first by over 5%"),
    ("throttled", "the device reduced its clock (power, heat), or a CPU quota stopped the process"),
    ("host_bound", "in over 20% of the samples the device waited for the host"),
    ("oversubscribed", "more threads than cores that this process may use"),
    ("cache_warm", "tensors could not be rotated so far that the cache was cold"),
    ("few_samples", "fewer than five samples"),
)
