"""The ladders of ceilings as bars, and the bandwidth of each memory level."""

import altair as alt

from harness import units
from harness.records import Run, Rung
from harness.report import summary
from harness.report.charts.style import FAINT, INK, PALETTE, Chart, chart, data, rows_axis, tooltips

_BEST = "best case"


def ladders(run: Run) -> tuple[Chart, ...]:
    """A chart for each dtype and thread count: where between the datasheet and the best case is the rate lost?"""
    most = run.header.settings.threads
    kinds = sorted(
        dict.fromkeys((one.dtype, one.threads) for one in run.ceilings.compute),
        key=lambda one: one[1] != most,
    )
    drawn = (_ladder(run, dtype, threads) for dtype, threads in kinds)
    return tuple(one for one in drawn if one is not None)


def _ladder(run: Run, dtype: str, threads: int) -> Chart | None:
    steps = run.ladder(dtype, threads)
    if not steps:
        return None
    top = max(step.flops_per_second for step in steps)
    values = [
        {
            "rung": step.rung,
            "rate": step.flops_per_second,
            "shown": units.work_rate(step.flops_per_second),
            "label": f"{units.work_rate(step.flops_per_second)}{_loss(step.to_above)}",
            "by": step.method,
            "kind": "told" if step.rung in {Rung.DATASHEET.value, Rung.CLOCK_TRUE.value} else "reached",
        }
        for step in steps
    ]
    base = alt.Chart(data(values)).encode(y=rows_axis("rung", [step.rung for step in steps]))
    rate = alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, 1.9 * top]))
    kind = alt.Color(
        "kind:N", scale=alt.Scale(domain=["told", "reached"], range=[FAINT, PALETTE[0]]), legend=None
    )
    bars = base.mark_bar(height=14).encode(
        x=rate, color=kind, tooltip=tooltips(rung="rung", shown="rate", by="by")
    )
    texts = base.mark_text(align="left", dx=5).encode(x="rate:Q", text="label:N")
    return chart(
        f"{dtype}, {summary.threads(threads)}",
        "The rungs of the ladder from the top down, each with how it lies to the one above; grey ones are computed, not reached.",
        bars + texts,
        height=26 * len(steps) + 8,
        half=True,
    )


def _loss(to_above: float | None) -> str:
    return "" if to_above is None else f"  {units.change(to_above)}"


def bandwidth(run: Run) -> Chart | None:
    """Bars for each memory level and rung."""
    threads = run.header.settings.threads
    names = [level.name for level in run.ceilings.levels]
    values = [
        {
            "level": one.level,
            "rung": one.rung.value,
            "rate": one.bytes_per_second,
            "label": units.bandwidth(one.bytes_per_second),
            "by": one.method,
            "moved": "" if one.moved is None else units.percent(one.moved),
        }
        for one in run.ceilings.bandwidth
        if one.threads == threads and one.level in names
    ]
    if not values:
        return None
    rungs = [rung.value for rung in Rung if any(value["rung"] == rung.value for value in values)]
    top = max(one.bytes_per_second for one in run.ceilings.bandwidth)
    base = alt.Chart(data(values)).encode(
        y=rows_axis("level", names), yOffset=alt.YOffset("rung:N", sort=rungs)
    )
    bars = base.mark_bar(height=12).encode(
        x=alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, 1.35 * top])),
        color=alt.Color(
            "rung:N",
            sort=rungs,
            scale=alt.Scale(domain=rungs, range=list(PALETTE[: len(rungs)])),
            legend=alt.Legend(title=None),
        ),
        tooltip=tooltips(level="level", rung="rung", label="bandwidth", moved="moved", by="by"),
    )
    texts = base.mark_text(align="left", dx=5, color=INK).encode(x="rate:Q", text="label:N")
    return chart(
        f"Bandwidth by memory level, {summary.threads(threads)}",
        "The best rate at which bytes moved while they fit into each level.",
        bars + texts,
        height=(16 * len(rungs) + 10) * len({value["level"] for value in values}),
        half=True,
    )
