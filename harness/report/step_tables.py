"""Fitted models of a run's sweeps, as text: the same in the terminal and in Markdown."""

from collections.abc import Callable

from harness import units
from harness.records import PHASES, Fit, Measurement, Optimization, Parameter, Result, Run
from harness.report.content import ids, texts

STEP_COLUMNS = (
    *ids("step"),
    "median",
    "samples/s",
    "tokens/s",
    *PHASES,
    "MFU",
    "HFU",
    "kernels",
    "memory",
    "predicted",
    *ids("peak in"),
    "activations",
)
# What a narrow terminal leaves out, first to last.
STEP_DISPENSABLE = ("kernels", "activations", "peak in", "predicted", "samples/s", "HFU", *PHASES)


def step_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `STEP_COLUMNS` for each measured case that was traced and says what it processes."""
    return [_row(result, run) for result in stepped(run)]


def stepped(run: Run) -> list[Result]:
    """The measured cases that were traced and say what they process."""
    return [result for result in run.measured if result.case.trace and result.case.items]


def unknown_operators(run: Run) -> list[str]:
    """A line for each operator that no formula covers: its FLOPs are missing in the cases named."""
    cases: dict[str, list[str]] = {}
    for result in run.results:
        for name in result.case.trace.unknown if result.case.trace else ():
            cases.setdefault(name, []).append(result.case.id)
    return [
        f"no formula for the operator {name}: its FLOPs are missing in {', '.join(ids)}"
        for name, ids in cases.items()
    ]


def untraced(run: Run) -> list[str]:
    """A line for each reason why measured cases have no prediction."""
    cases: dict[str, list[str]] = {}
    for result in run.measured:
        if result.case.untraced:
            cases.setdefault(result.case.untraced, []).append(result.case.id)
    return [f"no prediction: {why} ({', '.join(ids)})" for why, ids in cases.items()]


def _row(result: Result, run: Run) -> tuple[str, ...]:
    measurement, trace = result.outcome, result.case.trace
    if not isinstance(measurement, Measurement) or trace is None:
        return ()
    mfu, hfu = run.mfu(result), run.hfu(result)
    peak = measurement.peak_memory_bytes
    return (
        result.case.id,
        units.seconds(measurement.median),
        *(units.count(result.rates[unit]) if unit in result.rates else "" for unit in ("samples", "tokens")),
        *(_fraction(measurement, phase) for phase in PHASES),
        "" if mfu is None else units.percent(mfu),
        "" if hfu is None else units.percent(hfu),
        str(trace.kernels),
        units.size(peak) if peak else "",
        units.signed_percent(trace.footprint.total / peak - 1) if peak else "",
        measurement.peak_phase or "",
        units.size(trace.saved_bytes) if trace.saved_bytes else "",
    )


def _fraction(measurement: Measurement, phase: str) -> str:
    seconds = measurement.phase_seconds
    return units.percent(seconds[phase] / sum(seconds.values())) if phase in seconds else ""


# The categories of a footprint, from what stays to what goes.
CATEGORIES = ("parameters", "buffers", "gradients", "optimizer", "activations", "inputs", "temporaries")
MEMORY_COLUMNS = (*ids("step"), "measured", "predicted", "error", *ids("peak in"), *CATEGORIES)


def weighed(run: Run) -> list[Result]:
    """The measured cases whose memory was predicted from a trace and measured too."""
    return [
        result
        for result in run.measured
        if result.case.held_out
        and result.case.trace
        and result.measurement
        and result.measurement.peak_memory_bytes
    ]


def memory_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `MEMORY_COLUMNS` for each of them."""
    return [_memory_row(result) for result in weighed(run)]


def _memory_row(result: Result) -> tuple[str, ...]:
    trace, measurement = result.case.trace, result.measurement
    if trace is None or measurement is None or not measurement.peak_memory_bytes:
        return ()
    parts = (getattr(trace.footprint, category) for category in CATEGORIES)
    return (
        result.case.id,
        units.size(measurement.peak_memory_bytes),
        units.size(trace.footprint.total),
        units.signed_percent(trace.footprint.total / measurement.peak_memory_bytes - 1.0),
        trace.peak_phase,
        *(units.size(part) if part else "" for part in parts),
    )


OPTIMIZATION_COLUMNS = (
    *ids("optimization"),
    *("speed-up", "95% CI", "estimated"),
    *texts("by"),
    *("memory", "predicted memory"),
    *ids("base"),
)
OPTIMIZATION_DISPENSABLE = ("predicted memory", "by", "memory")


def optimization_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each pair of cases."""
    return [_optimizations_row(optimization) for optimization in run.header.optimizations]


def _optimizations_row(optimization: Optimization) -> tuple[str, ...]:
    return (
        optimization.optimization,
        f"{optimization.speedup:.2f} x",
        f"{optimization.low:.2f} - {optimization.high:.2f}" if optimization.low and optimization.high else "",
        f"{optimization.expected:.2f} x" if optimization.expected else "",
        optimization.way,
        units.signed_percent(optimization.memory - 1) if optimization.memory is not None else "",
        units.signed_percent(optimization.predicted_memory - 1)
        if optimization.predicted_memory is not None
        else "",
        optimization.base,
    )


FIT_COLUMNS = (*ids("sweep"), *texts("term"), "value", "95% interval")

_SHOW: dict[str, Callable[[float], str]] = {
    "s": units.seconds,
    "B/s": units.bandwidth,
    "FLOP/s": units.work_rate,
    "FLOP": units.work,
    "B": units.size,
}


def fit_rows(fit: Fit) -> list[tuple[str, ...]]:
    """A row under `FIT_COLUMNS` for the model of a sweep and each of its terms, then how well it explains the sizes."""
    worst = f"at {fit.variable} = {fit.worst.size}"
    theory = f"exponent of {fit.variable}, {fit.theory_exponent:g} in theory"
    exponent = [(fit.series, theory, *interval(fit.exponent))] if fit.work_in != "threads" else []
    return [
        (fit.series, "model", fit.model, f"{len(fit.points)} sizes"),
        *((fit.series, parameter.name, *interval(parameter)) for parameter in fit.parameters),
        *exponent,
        (fit.series, "residual, median", units.percent(fit.median_residual), ""),
        (fit.series, "residual, worst", units.percent(abs(fit.worst.residual)), worst),
    ]


def interval(parameter: Parameter) -> tuple[str, str]:
    """The value and its interval; or that there is none, and why."""
    if parameter.value is None or parameter.low is None or parameter.high is None:
        return "not identified", parameter.why
    shown = [_shown(number, parameter.unit) for number in (parameter.value, parameter.low, parameter.high)]
    return shown[0], f"{shown[1]} to {shown[2]}"


def _shown(number: float, unit: str) -> str:
    return _SHOW[unit](number) if unit in _SHOW else f"{number:.4g} {unit}".rstrip()
