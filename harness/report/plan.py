"""A plan and the optima of a budget, as a page and as JSON."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from harness import units
from harness.plan.budget import Optimum
from harness.records.plan import Plan
from harness.report.content import Page, Section, Table, ids, lines, section, table, texts
from harness.report.terminal import show_page


def show_plan(plan: Plan, console: Console) -> None:
    """Prints the page of a plan."""
    show_page(page(plan), console)


def show_budget(optima: list[Optimum], console: Console) -> None:
    """Prints the size and the tokens of a budget by each approach."""
    rows = Table(BUDGET_COLUMNS, tuple(map(_optimum, optima)), "Compute-optimal size and tokens")
    show_page(Page("Compute budget", (), (Section("budget", "Budget", (rows,)),)), console)
    console.print(Text("The default is approach-1; the papers of the other approaches differ."))


BUDGET_KEYS = (
    "approach",
    "parameters",
    "tokens",
    "tokens_per_parameter",
    "loss",
    "flops",
    "extrapolated",
    "source",
)
BUDGET_COLUMNS = (
    *ids("approach"),
    *("parameters", "tokens", "tokens per parameter", "loss", "FLOPs", ""),
    *texts("source"),
)


def budget_json(optima: list[Optimum]) -> dict[str, object]:
    """The same as JSON: numbers without units."""
    return {"optima": [{key: getattr(optimum, key) for key in BUDGET_KEYS} for optimum in optima]}


def _optimum(optimum: Optimum) -> tuple[str, ...]:
    beyond = "extrapolated" if optimum.extrapolated else ""
    sizes = (
        f"{optimum.parameters:.3g}",
        f"{optimum.tokens:.3g}",
        f"{optimum.tokens_per_parameter:.1f}",
        f"{optimum.loss:.3f}",
    )
    return (optimum.approach, *sizes, f"{optimum.flops:.3g}", beyond, optimum.source)


def page(plan: Plan) -> Page:
    """The plan as content."""
    devices = f"{plan.devices} device{'' if plan.devices == 1 else 's'}"
    about = (
        f"{plan.parameters.total:,} parameters; a batch of {plan.batch} x {plan.sequence}, "
        f"{units.count(plan.tokens)} tokens or samples in all, on {devices}."
    )
    return Page(f"Plan: {plan.model}", (about,), tuple(filter(None, _sections(plan))))


def _sections(plan: Plan) -> Iterator[Section | None]:
    components = (*ids("component"), "parameters", "fraction", "forward FLOPs of the batch")
    yield section(
        "counts",
        "Counts",
        (
            table(components, _components(plan), "Components"),
            table((*ids("FLOPs"), "exact", "dense"), _flops(plan), "FLOPs"),
        ),
    )
    yield section(
        "memory",
        "Memory",
        (
            table((*ids("part"), "bytes", "size"), _memory(plan), "Training, on the fullest device"),
            table(ids("inference", "value"), _inference(plan), "Inference"),
        ),
    )
    for name, title, columns, rows, caption in (
        ("time", "Time", ids("training", "value"), _time(plan), "Training"),
        ("fits", "Limits", (*ids("limit"), *texts("value")), _fits(plan), "Limits by the memory of a device"),
        (
            "optimizations",
            "Single changes",
            (*ids("change"), "memory", "training time", *texts("reason")),
            _optimizations(plan),
            "Optimizations",
        ),
        (
            "traffic",
            "Communication",
            (*ids("bytes a device sends in a step"), "size"),
            _traffic(plan),
            "Traffic",
        ),
    ):
        yield section(name, title, (table(columns, rows, caption),))
    assumptions = (f"{name}: {text}" for name, several in plan.assumptions.items() for text in several)
    yield section("assumptions", "Assumptions", (lines(assumptions),))


def _components(plan: Plan) -> list[tuple[str, ...]]:
    counts, flops = plan.parameters.components, plan.flops.components
    rows: list[tuple[str, ...]] = [
        (
            name,
            f"{counts[name]:,}" if name in counts else "",
            units.percent(counts[name] / plan.parameters.total) if name in counts else "",
            units.work(flops[name]) if flops.get(name) else "",
        )
        for name in dict.fromkeys((*counts, *flops))
    ]
    active = plan.parameters.active
    total = f"{plan.parameters.total:,}"
    rows.append(("all", total, "", units.work(plan.flops.forward)))
    if active != plan.parameters.total:
        rows.append(("active for a token", f"{active:,}", units.percent(active / plan.parameters.total), ""))
    return rows


def _flops(plan: Plan) -> list[tuple[str, ...]]:
    flops = plan.flops
    return [
        ("forward, a token", units.work(flops.forward_per_token), units.work(flops.forward_per_token_dense)),
        ("forward, the batch", units.work(flops.forward), units.work(flops.forward_dense)),
        (
            "training, all tokens",
            units.total_work(flops.train_total),
            units.total_work(flops.train_total_dense),
        ),
        *(
            [("with recomputation", units.total_work(flops.hardware_total), "")]
            if flops.hardware_total != flops.train_total
            else []
        ),
        *((f"by {name}", "", units.total_work(total)) for name, total in flops.conventions.items()),
        *(
            [("compute-optimal tokens of this size", units.count(plan.compute_optimal_tokens), "")]
            if plan.compute_optimal_tokens
            else []
        ),
    ]


def _memory(plan: Plan) -> list[tuple[str, ...]]:
    need = plan.memory
    rows = [
        (name, getattr(need, name))
        for name in (
            "parameters",
            "gradients",
            "optimizer",
            "activations",
            "ends",
            "logits",
            "temporaries",
            "total",
        )
    ]
    rows.append(("activations as transformers keeps them", need.activations_by_implementation))
    return [
        (name, "not known" if size is None else f"{size:,}", "" if size is None else units.size(size))
        for name, size in rows
    ]


def _inference(plan: Plan) -> list[tuple[str, ...]]:
    need, kept = plan.inference, plan.kv_cache
    rows: list[tuple[str, ...]] = [("memory", units.size(need.memory))]
    if kept.bytes_per_token:
        rows += [
            ("KV cache, a token", units.size(kept.bytes_per_token)),
            ("KV cache, the batch", units.size(kept.total)),
        ]
    if need.prefill_seconds is not None and need.decode_seconds is not None:
        rows += [
            ("prefill, at least", units.seconds(need.prefill_seconds)),
            (f"each further token, at least ({need.decode_bound}-bound)", units.seconds(need.decode_seconds)),
            (
                "smallest batch with compute-bound decoding",
                f"{need.compute_bound_batch:,}" if need.compute_bound_batch else "none",
            ),
        ]
    return rows


def _time(plan: Plan) -> list[tuple[str, ...]]:
    time = plan.time
    if time is None:
        return []
    rows: list[tuple[str, ...]] = [
        ("on", time.on),
        (
            "all tokens",
            f"{units.lasting(time.seconds)} ({units.lasting(time.low)} - {units.lasting(time.high)})",
        ),
        ("a step", units.seconds(time.step_seconds)),
        ("tokens or samples a second", units.count(time.tokens_per_second)),
        ("device-hours", f"{time.device_hours:,.0f}"),
    ]
    if time.mfu is not None:
        rows.append(("MFU", units.percent(time.mfu)))
    if time.mfu_dense is not None and time.mfu_dense != time.mfu:
        rows.append(("MFU, masks ignored", units.percent(time.mfu_dense)))
    if time.hfu is not None and time.hfu != time.mfu:
        rows.append(("HFU", units.percent(time.hfu)))
    if time.extrapolated:
        rows.append(("extrapolated", "beyond the calibrated sizes"))
    if plan.energy_joules is not None:
        rows.append(("energy", f"{plan.energy_joules / 3.6e6:,.0f} kWh"))
    if plan.cost is not None:
        rows.append(("price", f"{plan.cost:,.0f}"))
    return rows


def _fits(plan: Plan) -> list[tuple[str, ...]]:
    room = plan.fits
    if room is None:
        return []
    titles = {
        "largest_batch": "largest batch",
        "longest_context": "longest sequence",
        "fewest_devices": "fewest devices for this batch",
    }
    rows: list[tuple[str, ...]] = []
    for name, title in titles.items():
        value, reason = getattr(room, name), room.reasons.get(name, "")
        rows.append((title, "; ".join(filter(None, ("none" if value is None else f"{value:,}", reason)))))
    return rows


def _optimizations(plan: Plan) -> list[tuple[str, ...]]:
    return [
        (
            optimization.name,
            "" if optimization.memory is None else units.size(optimization.memory),
            "" if optimization.seconds is None else units.lasting(optimization.seconds),
            optimization.reason,
        )
        for optimization in plan.optimizations
    ]


def _traffic(plan: Plan) -> list[tuple[str, ...]]:
    sent = plan.communication
    rows: list[tuple[str, ...]] = [
        (name, units.size(getattr(sent, name)))
        for name in ("data", "tensor", "pipeline")
        if getattr(sent, name)
    ]
    return rows + ([("seconds, without overlap", units.seconds(sent.seconds))] if sent.seconds else [])
