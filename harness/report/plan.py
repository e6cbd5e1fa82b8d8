"""A plan, as a person and as a program reads it."""

from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.text import Text

from harness import units
from harness.plan.budget import Optimum
from harness.records.plan import Plan
from harness.report.content import Page, Section, Table, ids, lines, section, table, texts
from harness.report.terminal import show_page


def show_plan(plan: Plan, console: Console) -> None:
    """Prints all of it."""
    show_page(page(plan), console)


def show_budget(optima: list[Optimum], console: Console) -> None:
    """Prints what each approach makes of a budget."""
    found = Table(BUDGET_COLUMNS, tuple(map(_optimum, optima)), "Compute-optimal size and tokens")
    show_page(Page("What a budget buys", (), (Section("budget", "Budget", (found,)),)), console)
    console.print(Text("The default is approach-1; the others are what their papers say, and differ."))


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
    *texts("by"),
)


def budget_json(optima: list[Optimum]) -> dict[str, object]:
    """The same for programs: numbers as they are."""
    return {"optima": [{key: getattr(one, key) for key in BUDGET_KEYS} for one in optima]}


def _optimum(optimum: Optimum) -> tuple[str, ...]:
    beyond = "extrapolated" if optimum.extrapolated else ""
    sizes = (
        f"{optimum.parameters:.3g}",
        f"{optimum.tokens:.3g}",
        f"{optimum.tokens_per_parameter:.1f}",
        f"{optimum.loss:.3f}",
    )
    return (optimum.approach, *sizes, f"{optimum.flops:.3g}", beyond, optimum.source)


def as_json(plan: Plan) -> dict[str, object]:
    """The same for programs: FLOPs, bytes, seconds."""
    found: dict[str, object] = msgspec.to_builtins(plan)
    return found


def page(plan: Plan) -> Page:
    """The plan as content."""
    about = (
        f"{plan.parameters.total:,} parameters; a batch of {plan.batch} x {plan.sequence}, {units.count(plan.tokens)} tokens or samples in all, on {plan.devices} device{'' if plan.devices == 1 else 's'}.",
    )
    return Page(
        f"Plan: {plan.model}", about, tuple(section for section in _sections(plan) if section is not None)
    )


def _sections(plan: Plan) -> Iterator[Section | None]:
    yield section(
        "counts",
        "Counts",
        (
            table(
                (*ids("component"), "parameters", "fraction", "forward FLOPs of the batch"),
                _components(plan),
                "Components",
            ),
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
    yield section("time", "Time", (table(ids("training", "value"), _time(plan), "Training"),))
    yield section(
        "fits",
        "What fits",
        (table((*ids("question"), *texts("answer")), _fits(plan), "Into the memory of a device"),),
    )
    yield section(
        "optimizations",
        "What a change makes of it",
        (
            table(
                (*ids("change"), "memory", "training time", *texts("why not")),
                _optimizations(plan),
                "Optimizations",
            ),
        ),
    )
    yield section(
        "traffic",
        "Communication",
        (table((*ids("bytes a device sends in a step"), "size"), _traffic(plan), "Traffic"),),
    )
    yield section(
        "assumptions",
        "Assumptions",
        (lines(f"{name}: {text}" for name, several in plan.assumptions.items() for text in several),),
    )


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
            [("with what is computed again", units.total_work(flops.hardware_total), "")]
            if flops.hardware_total != flops.train_total
            else []
        ),
        *((f"by {name}", "", units.total_work(total)) for name, total in flops.conventions.items()),
        *(
            [("tokens for which this size is compute-optimal", units.count(plan.compute_optimal_tokens), "")]
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
            (f"a token more, at least ({need.decode_bound} binds)", units.seconds(need.decode_seconds)),
            (
                "batch from which decoding is bound by compute",
                f"{need.compute_bound_batch:,}" if need.compute_bound_batch else "none",
            ),
        ]
    return rows


def _time(plan: Plan) -> list[tuple[str, ...]]:
    taken = plan.time
    if taken is None:
        return []
    rows: list[tuple[str, ...]] = [
        ("on", taken.on),
        (
            "all tokens",
            f"{units.lasting(taken.seconds)} ({units.lasting(taken.low)} - {units.lasting(taken.high)})",
        ),
        ("a step", units.seconds(taken.step_seconds)),
        ("tokens or samples a second", units.count(taken.tokens_per_second)),
        ("device-hours", f"{taken.device_hours:,.0f}"),
    ]
    if taken.mfu is not None:
        rows.append(("MFU", units.percent(taken.mfu)))
    if taken.mfu_dense is not None and taken.mfu_dense != taken.mfu:
        rows.append(("MFU, masks ignored", units.percent(taken.mfu_dense)))
    if taken.hfu is not None and taken.hfu != taken.mfu:
        rows.append(("HFU", units.percent(taken.hfu)))
    if taken.extrapolated:
        rows.append(("extrapolated", "larger than anything calibrated"))
    if plan.energy_joules is not None:
        rows.append(("energy", f"{plan.energy_joules / 3.6e6:,.0f} kWh"))
    if plan.cost is not None:
        rows.append(("price", f"{plan.cost:,.0f}"))
    return rows


def _fits(plan: Plan) -> list[tuple[str, ...]]:
    room = plan.fits
    if room is None:
        return []
    words = {
        "largest_batch": "largest batch",
        "longest_context": "longest sequence",
        "fewest_devices": "fewest devices for this batch",
    }
    rows: list[tuple[str, ...]] = []
    for name, title in words.items():
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
    return rows + ([("seconds, nothing hidden", units.seconds(sent.seconds))] if sent.seconds else [])
