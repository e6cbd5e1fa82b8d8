"""The calibrated cost model as tables: its models, what it said of each step, and how far each way to predict was off."""

from harness import units
from harness.records import Estimate, Judged, OperatorModel, Run
from harness.report.content import ids, texts

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
    """A row for each model."""
    model = run.header.cost_model
    return [_model(model) for model in model.models] if model else []


def framework_line(run: Run) -> str:
    """What the framework takes, as a sentence; empty where nothing was calibrated."""
    model = run.header.cost_model
    if model is None:
        return ""
    borrowed = f" (calibrated in {model.run})" if model.run != run.header.id else ""
    pays = "; ".join(
        f"where it touches {units.size(one.touched_bytes)}, {units.seconds(one.host)} for each function call of Python, {units.seconds(one.operator)} for "
        f"each operator and {units.seconds(one.view)} for each view it calls, {units.seconds(one.backward)} for each that the autograd engine runs"
        for one in model.framework
    )
    beside = f"Beside its operators a step pays, {pays}{_faults(model.fault_seconds)}. " if pays else ""
    return f"{beside}What was used more than {units.size(model.far_bytes)} ago comes from memory{borrowed}."


def _faults(seconds: float) -> str:
    return (
        f", {units.seconds(seconds)} for each page of a result so large that it is mapped anew"
        if seconds
        else ""
    )


def time_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each estimated case that was measured."""
    said = {estimate.case: estimate for estimate in run.header.estimates}
    return [_time(one, said[one.case]) for v in run.header.validations for one in v.cases if one.case in said]


def way_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each suite and way to predict."""
    return [
        (
            validation.suite,
            one.way,
            str(one.cases),
            units.percent(one.mape),
            units.signed_percent(one.bias),
            units.signed_percent(one.worst),
            one.worst_case,
        )
        for validation in run.header.validations
        for one in validation.ways
    ]


def kind_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each kind of operators of a suite's steps, against the same operators measured alone."""
    return [
        (
            validation.suite,
            one.kind,
            str(one.operators),
            units.seconds(one.seconds),
            units.percent(one.mape),
            units.signed_percent(one.bias),
        )
        for validation in run.header.validations
        for one in validation.kinds
    ]


def _model(model: OperatorModel) -> tuple[str, ...]:
    return (
        model.kind,
        model.dtype,
        str(model.cases),
        units.seconds(model.overhead),
        units.work_rate(model.flops_per_second) if "flops" in model.told else "",
        units.bandwidth(model.bytes_per_second) if "bytes" in model.told else "",
        units.bandwidth(model.far_bytes_per_second) if "far" in model.told else "",
        units.percent(model.median),
        units.signed_percent(model.worst),
        model.worst_case,
    )


def _time(judged: Judged, said: Estimate) -> tuple[str, ...]:
    def against(predicted: float | None) -> str:
        return "" if predicted is None else units.signed_percent(predicted / judged.measured - 1.0)

    largest = [
        f"{part.kind} {units.percent(part.seconds / said.seconds)}" for part in said.parts[:3] if said.seconds
    ]
    beyond = [*said.extrapolated, *(f"no model: {kind}" for kind in said.uncalibrated)]
    return (
        judged.case,
        units.seconds(said.seconds),
        f"{units.seconds(said.low)} - {units.seconds(said.high)}",
        units.seconds(judged.measured),
        against(judged.estimated),
        against(judged.roofline),
        against(judged.scaled),
        against(judged.replayed),
        ", ".join(largest),
        ", ".join(beyond),
    )
