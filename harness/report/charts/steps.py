"""Where the time of a step goes: forward, backward, optimizer."""

from collections.abc import Sequence

import altair as alt

from harness import units
from harness.records import PHASES, Run
from harness.report.charts.style import (
    INK,
    MOST_ROWS,
    PALETTE,
    Chart,
    Values,
    chart,
    data,
    height_of,
    labels,
    rows_axis,
    tooltips,
)
from harness.report.step_tables import CATEGORIES, stepped, weighed


def footprints(run: Run) -> Chart | None:
    """Stacked bars of the predicted footprint, a tick at the measured peak."""
    cases = sorted(
        weighed(run), key=lambda one: -(one.measurement.peak_memory_bytes or 0) if one.measurement else 0
    )
    shown, names = cases[:MOST_ROWS], labels(case.case.id for case in cases)
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
                "predicted": units.size(trace.footprint.total),
                "phase": trace.peak_phase,
            }
        )
    if not parts:
        return None
    order = [str(peak["step"]) for peak in peaks]
    used = [category for category in CATEGORIES if any(part["category"] == category for part in parts)]
    x = alt.X(
        "bytes:Q",
        axis=alt.Axis(title="bytes at the peak", labelExpr="format(datum.value, '~s') + 'B'", tickCount=5),
    )
    bars = _stacked(parts, order, x, "category", used).encode(
        tooltip=tooltips(case="step", category="category", size="predicted")
    )
    ticks = (
        alt.Chart(data(peaks))
        .mark_tick(color=INK, thickness=2, size=16, aria=False)
        .encode(
            y=rows_axis("step", order),
            x=x,
            tooltip=tooltips(case="step", size="measured", predicted="predicted", phase="peak in"),
        )
    )
    cut = f" The {len(shown)} largest of {len(cases)}." if len(cases) > len(shown) else ""
    return chart(
        "Memory at the peak",
        f"Bars are what was predicted before the step ran, by category; the mark is the measured peak.{cut}",
        bars + ticks,
        height=height_of(len(order)),
    )


def phases(run: Run) -> Chart | None:
    """Stacked shares of each step's phases, with its MFU; None where no step was timed by phase."""
    cases = [one for one in stepped(run) if one.measurement and one.measurement.phase_seconds]
    cases.sort(key=lambda one: -(run.mfu(one) or 0.0))
    shown, names = cases[:MOST_ROWS], labels(case.case.id for case in cases)
    parts: list[dict[str, object]] = []
    ends: list[dict[str, object]] = []
    for one in shown:
        seconds = one.measurement.phase_seconds if one.measurement else {}
        whole, mfu, hfu = sum(seconds.values()), run.mfu(one), run.hfu(one)
        if not whole:
            continue
        shared = {
            "step": names[one.case.id],
            "case": one.case.id,
            "mfu": "" if mfu is None else units.percent(mfu),
            "hfu": "" if hfu is None else units.percent(hfu),
        }
        ends.append({**shared, "fraction": 1.0, "label": f"MFU {shared['mfu']}" if shared["mfu"] else ""})
        parts += [
            {
                **shared,
                "phase": phase,
                "order": place,
                "fraction": seconds[phase] / whole,
                "took": f"{units.seconds(seconds[phase])} ({units.percent(seconds[phase] / whole)})",
            }
            for place, phase in enumerate(PHASES)
            if phase in seconds
        ]
    if not parts:
        return None
    order = [str(end["step"]) for end in ends]
    x = alt.X(
        "fraction:Q",
        scale=alt.Scale(domain=[0, 1.18], nice=False),
        axis=alt.Axis(title="fraction of the step", format=".0%", values=[0, 0.25, 0.5, 0.75, 1.0]),
    )
    bars = _stacked(parts, order, x, "phase", PHASES).encode(
        tooltip=tooltips(case="step", phase="phase", took="took", mfu="MFU", hfu="HFU")
    )
    texts = (
        alt.Chart(data(ends))
        .mark_text(align="left", dx=5, aria=False)
        .encode(y=rows_axis("step", order), x=x, text="label:N")
    )
    cut = f" The first {len(shown)} of {len(cases)}." if len(cases) > len(shown) else ""
    return chart(
        "Phases of a step",
        f"Fractions of each step's time, the most efficient step first; MFU is model FLOP/s over the best rate any code reached here.{cut}",
        bars + texts,
        height=height_of(len(order)),
    )


def _stacked(parts: Values, order: Sequence[str], x: alt.X, field: str, kinds: Sequence[str]) -> alt.Chart:
    """A bar for each step, stacked from parts of several kinds."""
    bars = alt.Chart(data(parts)).mark_bar(height=12, aria=False)
    coloured: alt.Chart = bars.encode(
        y=rows_axis("step", order),
        x=x,
        color=alt.Color(
            f"{field}:N",
            sort=list(kinds),
            scale=alt.Scale(domain=list(kinds), range=list(PALETTE[: len(kinds)])),
            legend=alt.Legend(title=None),
        ),
        order="order:O",
    )
    return coloured
