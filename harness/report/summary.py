"""The sentences and small tables of a report, as data for the terminal and for Markdown."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from harness import units
from harness.records import Answer, Ceilings, Fit, Parameter, Run, Rung, Verdict

LADDER_COLUMNS = ("dtype", "threads", *(rung.value for rung in Rung), "best case here")
BANDWIDTH_COLUMNS = ("level", "capacity", "threads", "bandwidth", "range over rounds", "by")
FIT_COLUMNS = ("sweep", "overhead", "rate", "exponent (theory)", "typical residual", "worst residual")


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
    parts = [_device(run), f"{settings.threads} threads", f"torch {environment.software.torch.version}"]
    if run.ceilings.clock_hertz:
        parts.append(f"measured clock {units.frequency(run.ceilings.clock_hertz)}")
    return ", ".join(parts)


def _device(run: Run) -> str:
    """The device as its maker calls it."""
    environment = run.header.environment
    if environment.devices:
        return ", ".join(dict.fromkeys(gpu.name for gpu in environment.devices if gpu.name))
    return environment.processor.model_name or run.header.settings.device


def ladder(run: Run) -> list[tuple[str, ...]]:
    """A row for each dtype and thread count: the rate of each rung and its distance from the rung above."""
    rows: list[tuple[str, ...]] = []
    for dtype, threads in dict.fromkeys((c.dtype, c.threads) for c in run.ceilings.compute):
        rungs = {c.rung: c.flops_per_second for c in run.ceilings.compute_ladder(dtype, threads)}
        rates = [rungs.get(rung) for rung in Rung] + [_best_case(run, dtype, threads)]
        rows.append((dtype, str(threads), *_steps(rates)))
    return rows


def _best_case(run: Run, dtype: str, threads: int) -> float | None:
    """The best rate any case of this run sustained."""
    if threads != run.header.settings.threads:
        return None
    rates = (result.flops_per_second for result in run.measured if result.case.dtype == dtype)
    return max((rate for rate in rates if rate), default=None)


def _steps(rates: Sequence[float | None]) -> Iterator[str]:
    above: float | None = None
    for rate in rates:
        if rate is None:
            yield ""
            continue
        step = f" ({round(100 * (rate / above - 1)):+d} %)" if above else ""
        yield units.work_rate(rate) + step
        above = rate


def bandwidths(ceilings: Ceilings) -> list[tuple[str, ...]]:
    """A row for each memory level and thread count: the best any stream reached there."""
    rows: list[tuple[str, ...]] = []
    for level in ceilings.levels:
        for threads in dict.fromkeys(b.threads for b in ceilings.bandwidth):
            here = [b for b in ceilings.bandwidth if b.level == level.name and b.threads == threads]
            for best in sorted(here, key=lambda b: -b.bytes_per_second)[:1]:
                capacity = units.size(level.capacity_bytes) if level.capacity_bytes else ""
                capacity += f" of {units.size(level.told_bytes)}" if level.told_bytes else ""
                rate, spread = units.bandwidth(best.bytes_per_second), units.percent(best.spread)
                rows.append((level.name, capacity, str(threads), rate, spread, best.method))
    return rows


def fit_row(fit: Fit) -> tuple[str, ...]:
    """A fitted sweep: parameters with intervals, or that the sizes do not identify them."""
    overhead, *rates = fit.parameters
    return (
        fit.series,
        _interval(overhead, units.seconds),
        "; ".join(map(_rate, rates)),
        f"{_interval(fit.exponent, '{:.2f}'.format)} ({fit.theory_exponent:g})",
        units.percent(fit.typical_residual),
        f"{units.percent(abs(fit.worst.residual))} at {fit.variable} = {fit.worst.size}",
    )


def _rate(rate: Parameter) -> str:
    level = rate.name.removeprefix("rate").strip()
    show = units.bandwidth if rate.unit == "B/s" else units.work_rate
    return f"{level} {_interval(rate, show)}".lstrip()


def _interval(parameter: Parameter, show: Callable[[float], str]) -> str:
    value, low, high = parameter.value, parameter.low, parameter.high
    if value is None or low is None or high is None:
        return "not identified"
    return f"{show(value)} [{show(low)}, {show(high)}]"


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
    """The verdicts a person should read: all that do not hold, and the scaling of each sweep."""
    return [v for v in run.header.verdicts if v.answer is not Answer.HOLDS or v.claim == "scaling"]


WORDS = (
    ("typical", "median time of a call over the samples no neighbour disturbed"),
    ("± IQR", "half the interquartile range of those samples, relative to the median"),
    ("of ceiling", "the rate over the best rate any code reached here (dtype, or memory level, and threads)"),
    ("predicted / measured", "the roofline's lower bound over the typical time, and which roof binds"),
    ("memory", "peak of tensor bytes while one call ran, inputs and outputs included"),
    ("contended", "over 10 % of the samples waited for a core"),
    ("noisy", "the interquartile range is over 10 % of the median"),
    ("drifting", "the last quarter of the samples differs from the first by over 5 %"),
    ("few_samples", "fewer than five samples"),
)
