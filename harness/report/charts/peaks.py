"""The peak hierarchies of peaks as bars, and the bandwidth of each memory level."""

import altair as alt

from harness import units
from harness.records import PeakLevel, Run
from harness.report.charts.style import FAINT, INK, PALETTE, Chart, chart, data, rows_axis, tooltips
from harness.text import counted

_BEST = "best case"


def hierarchies(run: Run) -> tuple[Chart, ...]:
    """A chart for each dtype and thread count: where between the datasheet and the best case is the rate lost?"""
    most = run.header.settings.threads
    kinds = sorted(
        dict.fromkeys((one.dtype, one.threads) for one in run.peaks.compute),
        key=lambda one: one[1] != most,
    )
    drawn = (_hierarchy(run, dtype, threads) for dtype, threads in kinds)
    return tuple(one for one in drawn if one is not None)


def _hierarchy(run: Run, dtype: str, threads: int) -> Chart | None:
    steps = run.hierarchy(dtype, threads)
    if not steps:
        return None
    top = max(step.flops_per_second for step in steps)
    values = [
        {
            "peak_level": step.peak_level,
            "rate": step.flops_per_second,
            "shown": units.work_rate(step.flops_per_second),
            "label": f"{units.work_rate(step.flops_per_second)}{_loss(step.to_above)}",
            "by": step.method,
            "kind": "told"
            if step.peak_level in {PeakLevel.DATASHEET.value, PeakLevel.CLOCK_TRUE.value}
            else "reached",
        }
        for step in steps
    ]
    base = alt.Chart(data(values)).encode(y=rows_axis("peak_level", [step.peak_level for step in steps]))
    rate = alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, 1.9 * top]))
    kind = alt.Color(
        "kind:N", scale=alt.Scale(domain=["told", "reached"], range=[FAINT, PALETTE[0]]), legend=None
    )
    bars = base.mark_bar(height=14).encode(
        x=rate, color=kind, tooltip=tooltips(peak_level="peak level", shown="rate", by="by")
    )
    texts = base.mark_text(align="left", dx=5).encode(x="rate:Q", text="label:N")
    return chart(
        f"{dtype}, {counted(threads, 'thread')}",
        "The peak levels of the peak hierarchy from the top down, each with how it lies to the one above; grey ones are computed, not reached.",
        bars + texts,
        height=26 * len(steps) + 8,
        half=True,
    )


def _loss(to_above: float | None) -> str:
    return "" if to_above is None else f"  {units.change(to_above)}"


def bandwidth(run: Run) -> Chart | None:
    """Bars for each memory level and peak level."""
    threads = run.header.settings.threads
    names = [level.name for level in run.peaks.levels]
    values = [
        {
            "level": one.level,
            "peak_level": one.peak_level.value,
            "rate": one.bytes_per_second,
            "label": units.bandwidth(one.bytes_per_second),
            "by": one.method,
            "round_spread": "" if one.round_spread is None else units.percent(one.round_spread),
        }
        for one in run.peaks.bandwidth
        if one.threads == threads and one.level in names
    ]
    if not values:
        return None
    peak_levels = [
        peak_level.value
        for peak_level in PeakLevel
        if any(value["peak_level"] == peak_level.value for value in values)
    ]
    top = max(one.bytes_per_second for one in run.peaks.bandwidth)
    base = alt.Chart(data(values)).encode(
        y=rows_axis("level", names), yOffset=alt.YOffset("peak_level:N", sort=peak_levels)
    )
    bars = base.mark_bar(height=12).encode(
        x=alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, 1.35 * top])),
        color=alt.Color(
            "peak_level:N",
            sort=peak_levels,
            scale=alt.Scale(domain=peak_levels, range=list(PALETTE[: len(peak_levels)])),
            legend=alt.Legend(title=None),
        ),
        tooltip=tooltips(
            level="level", peak_level="peak level", label="bandwidth", round_spread="moved", by="by"
        ),
    )
    texts = base.mark_text(align="left", dx=5, color=INK).encode(x="rate:Q", text="label:N")
    return chart(
        f"Bandwidth by memory level, {counted(threads, 'thread')}",
        "The best rate at which bytes moved while they fit into each level.",
        bars + texts,
        height=(16 * len(peak_levels) + 10) * len({value["level"] for value in values}),
        half=True,
    )
