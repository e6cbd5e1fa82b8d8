"""What the memory of a step holds at its peak: predicted by category, against the peak that was measured."""

import altair as alt

from harness import units
from harness.records import Run
from harness.report.charts.style import (
    INK,
    MOST_ROWS,
    PALETTE,
    Chart,
    chart,
    data,
    height_of,
    labels,
    rows_axis,
    tooltips,
)
from harness.report.memory import CATEGORIES, weighed


def footprints(run: Run) -> Chart | None:
    """Stacked bars of the predicted footprint, a tick at the measured peak."""
    cases = sorted(
        weighed(run), key=lambda one: -(one.measurement.peak_memory_bytes or 0) if one.measurement else 0
    )
    shown, names = cases[:MOST_ROWS], labels(one.case.id for one in cases)
    parts: list[dict[str, object]] = []
    peaks: list[dict[str, object]] = []
    for one in shown:
        trace, peak = one.case.trace, one.measurement.peak_memory_bytes if one.measurement else None
        if trace is None or not peak:
            continue
        name = names[one.case.id]
        parts += [
            {
                "step": name,
                "category": category,
                "order": place,
                "bytes": size,
                "size": units.size(size),
                "case": one.case.id,
            }
            for place, category in enumerate(CATEGORIES)
            if (size := getattr(trace.footprint, category))
        ]
        peaks.append(
            {
                "step": name,
                "bytes": peak,
                "case": one.case.id,
                "size": units.size(peak),
                "said": units.size(trace.footprint.total),
                "phase": trace.peak_phase,
            }
        )
    if not parts:
        return None
    order = [str(peak["step"]) for peak in peaks]
    used = [one for one in CATEGORIES if any(part["category"] == one for part in parts)]
    x = alt.X(
        "bytes:Q",
        axis=alt.Axis(title="bytes at the peak", labelExpr="format(datum.value, '~s') + 'B'", tickCount=5),
    )
    bars = (
        alt.Chart(data(parts))
        .mark_bar(height=12, aria=False)
        .encode(
            y=rows_axis("step", order),
            x=x,
            color=alt.Color(
                "category:N",
                sort=used,
                scale=alt.Scale(domain=used, range=list(PALETTE[: len(used)])),
                legend=alt.Legend(title=None),
            ),
            order="order:O",
            tooltip=tooltips(case="step", category="category", size="predicted"),
        )
    )
    ticks = (
        alt.Chart(data(peaks))
        .mark_tick(color=INK, thickness=2, size=16, aria=False)
        .encode(
            y=rows_axis("step", order),
            x=x,
            tooltip=tooltips(case="step", size="measured", said="predicted", phase="peak in"),
        )
    )
    cut = f" The {len(shown)} largest of {len(cases)}." if len(cases) > len(shown) else ""
    return chart(
        "Memory at the peak",
        f"Bars are what was predicted before the step ran, by category; the mark is the measured peak.{cut}",
        bars + ticks,
        height=height_of(len(order)),
    )
