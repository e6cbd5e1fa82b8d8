"""The tables of steps, optimizations, fits and the cost model, for every form of a report."""

from collections.abc import Callable

from harness import units
from harness.records import (
    PHASES,
    CaseAccuracy,
    Estimate,
    Fit,
    Measurement,
    OperatorModel,
    Optimization,
    Parameter,
    Result,
    Run,
)
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
    """A row under `STEP_COLUMNS` for each measured case with a trace and a count of items."""
    return [_row(result, run) for result in stepped(run)]


def stepped(run: Run) -> list[Result]:
    """The measured cases with a trace and a count of items."""
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
    """The measured cases with a predicted and a measured peak of memory."""
    return [
        result
        for result in run.measured
        if result.case.held_out
        and result.case.trace
        and result.measurement
        and result.measurement.peak_memory_bytes
    ]


def memory_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `MEMORY_COLUMNS` for each step with a predicted and a measured peak."""
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
    """A row under `OPTIMIZATION_COLUMNS` for each pair of cases."""
    return [_optimizations_row(optimization) for optimization in run.header.optimizations]


def _optimizations_row(optimization: Optimization) -> tuple[str, ...]:
    return (
        optimization.optimization,
        f"{optimization.speedup:.2f} x",
        f"{optimization.low:.2f} - {optimization.high:.2f}" if optimization.low and optimization.high else "",
        f"{optimization.predicted:.2f} x" if optimization.predicted else "",
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
    """The value and its interval, or the reason why the data cannot identify it."""
    if parameter.value is None or parameter.low is None or parameter.high is None:
        return "not identified", parameter.why
    shown = [_shown(number, parameter.unit) for number in (parameter.value, parameter.low, parameter.high)]
    return shown[0], f"{shown[1]} to {shown[2]}"


def _shown(number: float, unit: str) -> str:
    return _SHOW[unit](number) if unit in _SHOW else f"{number:.4g} {unit}".rstrip()


MODEL_COLUMNS = (
    *ids("operators", "dtype"),
    "cases",
    "overhead",
    "FLOP rate",
    "byte rate",
    "from memory",
    "median error",
    "worst error",
    *ids("worst case"),
)
MODEL_DISPENSABLE = ("worst case", "cases")
TIME_COLUMNS = (
    *ids("step"),
    *("estimated", "90% interval", "measured", "error", "roofline", "scaled", "replay"),
    *ids("largest parts"),
    *texts("not calibrated"),
)
TIME_DISPENSABLE = ("largest parts", "replay", "scaled")
WAY_COLUMNS = (*ids("suite", "method"), "steps", "mean error", "bias", "worst", *ids("worst step"))
WAY_DISPENSABLE = ("worst step",)
KIND_COLUMNS = (*ids("suite", "operators"), "shapes", "time alone", "mean error", "bias")


def model_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `MODEL_COLUMNS` for each model."""
    model = run.header.cost_model
    return [_model(model) for model in model.models] if model else []


def framework_line(run: Run) -> str:
    """The framework's part of a step as a sentence; empty without a calibration."""
    model = run.header.cost_model
    if model is None:
        return ""
    borrowed = f" (calibrated in {model.run})" if model.run != run.header.id else ""
    pays = "; ".join(
        f"where it touches {units.size(part.touched_bytes)}, {units.seconds(part.host)} for each function call of Python, {units.seconds(part.operator)} for "
        f"each operator and {units.seconds(part.view)} for each view it calls, {units.seconds(part.backward)} for each that the autograd engine runs"
        for part in model.framework
    )
    beside = (
        f"In addition to its operators a step takes, {pays}{_faults(model.fault_seconds)}. " if pays else ""
    )
    return f"{beside}Data used more than {units.size(model.far_bytes)} ago comes from memory{borrowed}."


def _faults(seconds: float) -> str:
    return (
        f", {units.seconds(seconds)} for each page of a result so large that it is mapped again"
        if seconds
        else ""
    )


def time_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each measured step with an estimate."""
    estimates = {estimate.case: estimate for estimate in run.header.estimates}
    return [
        _time(judged, estimates[judged.case])
        for validation in run.header.validations
        for judged in validation.cases
        if judged.case in estimates
    ]


def way_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each suite and method of prediction."""
    return [
        (
            validation.suite,
            way.way,
            str(way.cases),
            units.percent(way.mape),
            units.signed_percent(way.bias),
            units.signed_percent(way.worst),
            way.worst_case,
        )
        for validation in run.header.validations
        for way in validation.ways
    ]


def kind_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each kind of operators in a suite's steps, compared with the same operators measured alone."""
    return [
        (
            validation.suite,
            kind.kind,
            str(kind.operators),
            units.seconds(kind.seconds),
            units.percent(kind.mape),
            units.signed_percent(kind.bias),
        )
        for validation in run.header.validations
        for kind in validation.kinds
    ]


def _model(model: OperatorModel) -> tuple[str, ...]:
    return (
        model.kind,
        model.dtype,
        str(model.cases),
        units.seconds(model.overhead),
        units.work_rate(model.flops_per_second) if "flops" in model.identified else "",
        units.bandwidth(model.bytes_per_second) if "bytes" in model.identified else "",
        units.bandwidth(model.far_bytes_per_second) if "far" in model.identified else "",
        units.percent(model.median),
        units.signed_percent(model.worst),
        model.worst_case,
    )


def _time(judged: CaseAccuracy, estimate: Estimate) -> tuple[str, ...]:
    def against(predicted: float | None) -> str:
        return "" if predicted is None else units.signed_percent(predicted / judged.measured - 1.0)

    largest = [
        f"{part.kind} {units.percent(part.seconds / estimate.seconds)}"
        for part in estimate.parts[:3]
        if estimate.seconds
    ]
    missing = [*estimate.extrapolated, *(f"no model: {kind}" for kind in estimate.uncalibrated)]
    return (
        judged.case,
        units.seconds(estimate.seconds),
        f"{units.seconds(estimate.low)} - {units.seconds(estimate.high)}",
        units.seconds(judged.measured),
        against(judged.estimated),
        against(judged.roofline),
        against(judged.scaled),
        against(judged.replayed),
        ", ".join(largest),
        ", ".join(missing),
    )
