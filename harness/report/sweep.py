"""Demand curves as a page."""

from collections.abc import Callable

from harness import units
from harness.records.plan import Plan, Sweep, SweepPoint
from harness.report.content import Page, Table, ids, lines, section, table, texts

# The columns that a narrow terminal leaves out, first to last.
DISPENSABLE = ("tokens/s", "samples/s", "dense", "activations", "low - high", "MFU")
# The titles of curves, by their names in a sweep.
GROWING = {
    "forward_per_token": "forward FLOPs of a {unit}",
    "forward": "forward FLOPs of a batch",
    "train_total": "training FLOPs",
    "train_total_dense": "training FLOPs, dense",
    "memory": "memory of a device",
    "activations": "activations of a device",
    "kv_cache": "KV cache of a batch",
    "seconds": "training time",
}


def page(sweep: Sweep, plan: Plan) -> Page:
    """The sweep as content; its charts belong to the section "curves"."""
    about = (
        f"From {plan.parameters.total:,} parameters, a batch of {plan.batch} x {plan.sequence}, "
        f"{units.count(plan.tokens)} {sweep.unit} and {plan.devices} device{'' if plan.devices == 1 else 's'}."
    )
    sections = (
        section("curves", "Demand", (_points(sweep), lines(_untimed(sweep, plan)))),
        section("growth", "Growth", (_growth(sweep),)),
        section("assumptions", "Assumptions", (lines(_assumed(sweep, plan)),)),
    )
    title = f"Plan: {sweep.model} over {sweep.over}"
    return Page(title, (about,), tuple(section for section in sections if section is not None))


def value(sweep: Sweep, point: SweepPoint) -> str:
    """The value of the swept quantity at a point."""
    return units.count(point.value) if sweep.over == "tokens" else f"{point.value:,}"


def _points(sweep: Sweep) -> Table | None:
    """A row for each point; empty columns are left out."""
    columns = {
        name: cells
        for name, cell in _columns(sweep).items()
        if any(cells := [cell(point) for point in sweep.points])
    }
    rows = list(zip(*columns.values(), strict=True))
    titles = [*columns] if "reason" not in columns else [*list(columns)[:-1], *texts("reason")]
    return table(titles, rows, "Demand", [name for name in DISPENSABLE if name in columns])


def _columns(sweep: Sweep) -> dict[str, Callable[[SweepPoint], str]]:
    columns: dict[str, Callable[[SweepPoint], str]] = {
        "layers" if sweep.over == "size" else sweep.over: lambda point: value(sweep, point)
    }
    if sweep.over == "size":
        columns["parameters"] = lambda point: _shown(point.parameters, units.count)
    if sweep.over == "devices":
        columns["batch"] = lambda point: _shown(point.batch, "{:,}".format)
    return columns | {
        f"forward a {_unit(sweep)}": lambda point: _shown(point.forward_per_token, units.work),
        "training": lambda point: _shown(point.train_total, units.total_work),
        "dense": lambda point: _shown(point.train_total_dense, units.total_work),
        "memory": lambda point: _shown(point.memory, units.size),
        "activations": lambda point: _shown(point.activations, units.size),
        "KV cache": lambda point: _shown(point.kv_cache or None, units.size),
        "time": lambda point: _shown(point.seconds, units.lasting),
        "low - high": interval,
        f"{sweep.unit}/s": lambda point: _shown(point.tokens_per_second, units.count),
        "MFU": lambda point: _shown(point.mfu, units.percent),
        "reason": lambda point: point.reason,
    }


def _unit(sweep: Sweep) -> str:
    return sweep.unit.removesuffix("s")


def _shown(number: float | None, show: Callable[[float], str]) -> str:
    return "" if number is None else show(number)


def interval(point: SweepPoint) -> str:
    """The plausible interval of the training time at a point; empty where no time is known."""
    if point.low is None or point.high is None:
        return ""
    return f"{units.lasting(point.low)} - {units.lasting(point.high)}"


def _growth(sweep: Sweep) -> Table | None:
    return table(
        (*ids("demand"), "exponent at the lower end", "at the upper end"),
        [
            (title.format(unit=_unit(sweep)), f"{slope.low:.2f}", f"{slope.high:.2f}")
            for curve, title in GROWING.items()
            if (slope := sweep.growth.get(curve))
        ],
        f"Exponents over {sweep.variable}",
    )


def _untimed(sweep: Sweep, plan: Plan) -> list[str]:
    """The reason why a plan has a time and its sweep has none."""
    if plan.time is None or any(point.seconds is not None for point in sweep.points):
        return []
    return [f"No time over {sweep.over}: {plan.time.on} predicts the step of the plan only; name a device."]


def _assumed(sweep: Sweep, plan: Plan) -> list[str]:
    """The assumptions of the sweep, and of the question that it starts from."""
    timed = any(point.seconds is not None for point in sweep.points)
    names = ("parameters", "memory", "kv_cache", *(("time", "mfu") if timed else ()))
    return [
        *sweep.assumptions,
        *(
            f"{name}: {text}"
            for name in names
            for text in plan.assumptions.get(name, ())
            if not text.startswith("activations_by_implementation")  # which a sweep does not have
        ),
    ]
