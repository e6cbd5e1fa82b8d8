"""Demand curves, as a person and as a program reads them."""

from collections.abc import Callable

import msgspec

from harness import units
from harness.records.plan import Plan, Sweep, SweepPoint
from harness.report.content import Page, Table, ids, lines, section, table, texts

# What a narrow place leaves out, first to last.
DISPENSABLE = ("tokens/s", "samples/s", "dense", "activations", "low - high", "MFU")
# What grows, by the name it has in a sweep.
GROWING = {
    "forward_per_token": "forward FLOPs of a {one}",
    "forward": "forward FLOPs of a batch",
    "train_total": "training FLOPs",
    "train_total_dense": "training FLOPs, dense",
    "memory": "memory of a device",
    "activations": "activations of a device",
    "kv_cache": "KV cache of a batch",
    "seconds": "training time",
}


def as_json(sweep: Sweep) -> dict[str, object]:
    """The sweep for programs: FLOPs, bytes, seconds."""
    found: dict[str, object] = msgspec.to_builtins(sweep)
    return found


def page(sweep: Sweep, plan: Plan) -> Page:
    """The sweep as content; its charts belong to the section "curves"."""
    about = (
        f"From {plan.parameters.total:,} parameters, a batch of {plan.batch} x {plan.sequence}, "
        f"{units.count(plan.tokens)} {sweep.unit} and {plan.devices} device{'' if plan.devices == 1 else 's'}."
    )
    sections = (
        section("curves", "Demand", (_points(sweep), lines(_untimed(sweep, plan)))),
        section("growth", "How it grows", (_growth(sweep),)),
        section("assumptions", "Assumptions", (lines(_assumed(sweep, plan)),)),
    )
    title = f"Plan: {sweep.model} over {sweep.over}"
    return Page(title, (about,), tuple(section for section in sections if section is not None))


def value(sweep: Sweep, point: SweepPoint) -> str:
    """What is swept, at a point."""
    return units.count(point.value) if sweep.over == "tokens" else f"{point.value:,}"


def _points(sweep: Sweep) -> Table | None:
    """A row for each point; columns that say nothing are left out."""
    columns = _columns(sweep)
    rows = [[tell(point) for tell in columns.values()] for point in sweep.points]
    told = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    names = [*list(columns)[:-1], *texts("why not")]
    return table(
        [names[place] for place in told],
        [[row[place] for place in told] for row in rows],
        "Demand",
        [name for name in DISPENSABLE if name in {names[place] for place in told}],
    )


def _columns(sweep: Sweep) -> dict[str, Callable[[SweepPoint], str]]:
    per = f"{sweep.unit}/s"
    columns: dict[str, Callable[[SweepPoint], str]] = {
        "layers" if sweep.over == "size" else sweep.over: lambda one: value(sweep, one)
    }
    if sweep.over == "size":
        columns["parameters"] = lambda one: _told(one.parameters, units.count)
    if sweep.over == "devices":
        columns["batch"] = lambda one: _told(one.batch, "{:,}".format)
    return columns | {
        f"forward a {_one(sweep)}": lambda one: _told(one.forward_per_token, units.work),
        "training": lambda one: _told(one.train_total, units.total_work),
        "dense": lambda one: _told(one.train_total_dense, units.total_work),
        "memory": lambda one: _told(one.memory, units.size),
        "activations": lambda one: _told(one.activations, units.size),
        "KV cache": lambda one: _told(one.kv_cache or None, units.size),
        "time": lambda one: _told(one.seconds, units.lasting),
        "low - high": _interval,
        per: lambda one: _told(one.tokens_per_second, units.count),
        "MFU": lambda one: _told(one.mfu, units.percent),
        "why not": lambda one: one.reason,
    }


def _one(sweep: Sweep) -> str:
    return sweep.unit.removesuffix("s")


def _told(number: float | None, tell: Callable[[float], str]) -> str:
    return "" if number is None else tell(number)


def _interval(point: SweepPoint) -> str:
    if point.low is None or point.high is None:
        return ""
    return f"{units.lasting(point.low)} - {units.lasting(point.high)}"


def _growth(sweep: Sweep) -> Table | None:
    return table(
        (*ids("demand"), "exponent at the lower end", "at the upper end"),
        [
            (title.format(one=_one(sweep)), f"{slope.low:.2f}", f"{slope.high:.2f}")
            for curve, title in GROWING.items()
            if (slope := sweep.growth.get(curve))
        ],
        f"Exponents over {sweep.variable}",
    )


def _untimed(sweep: Sweep, plan: Plan) -> list[str]:
    """Why a plan has a time and its sweep none."""
    if plan.time is None or any(point.seconds is not None for point in sweep.points):
        return []
    return [f"No time over {sweep.over}: {plan.time.on} prices one step, that of the plan; name a device."]


def _assumed(sweep: Sweep, plan: Plan) -> list[str]:
    """Those of the sweep, and those of the question it starts from."""
    timed = any(point.seconds is not None for point in sweep.points)
    names = ("parameters", "memory", "kv_cache", *(("time", "mfu") if timed else ()))
    return [
        *sweep.assumptions,
        *(
            f"{name}, as asked: {text}"
            for name in names
            for text in plan.assumptions.get(name, ())
            if not text.startswith("activations_by_implementation")  # which a sweep does not tell
        ),
    ]
