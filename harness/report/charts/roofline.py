"""The peak hierarchies, and the roofline: measured peaks, the datasheet thin above them, and every case that does FLOPs under them."""

from collections.abc import Sequence

import altair as alt

from harness import units
from harness.records import PeakLevel, Result, Run
from harness.report.case_tables import on_roofline
from harness.report.charts.style import (
    DASHED,
    FAINT,
    INK,
    PALETTE,
    Chart,
    Values,
    chart,
    data,
    log_axis,
    rows_axis,
    tooltips,
)
from harness.text import counted

_MARGIN = 1.5
_ALONG = 0.15


def roofline(run: Run) -> Chart | None:
    """FLOP/s over arithmetic intensity; None where no case does FLOPs."""
    threads = run.header.settings.threads
    points = [_point(run, one) for one in on_roofline(run)]
    if not points:
        return None
    roofs = _roofs(run, [float(str(point["intensity"])) for point in points])
    rates, intensities = (
        [float(str(point[name])) for point in (*points, *roofs)] for name in ("rate", "intensity")
    )
    x = alt.X(
        **log_axis("intensity", "arithmetic intensity, compulsory bytes (FLOP/B)", "", intensities, form="~r")
    )
    y = alt.Y(**log_axis("rate", "matrix and elementwise FLOP/s", "", rates, margin=1.5))
    marks = (
        alt.Chart(data(points))
        .mark_point(filled=True, size=45, opacity=0.8, aria=False)
        .encode(
            x=x,
            y=y,
            color=alt.Color("suite:N", legend=alt.Legend(title=None)),
            shape=alt.Shape("dtype:N", legend=alt.Legend(title=None)),
            tooltip=tooltips(
                case="case",
                shown="rate",
                fraction="of its peak",
                bound="bound by",
                at="FLOP/B",
                median="median",
                flags="flags",
            ),
        )
    )
    drawing = alt.layer(*_lines(roofs, x, y), marks).resolve_scale(color="independent") if roofs else marks
    return chart(
        f"Roofline, {counted(threads, 'thread')}",
        "Each case by its arithmetic intensity and rate, under the peaks measured here; a point above all roofs would be an error in the count, the clock or the roof.",
        drawing,
        height=440,
    )


def _lines(roofs: Values, x: alt.X, y: alt.Y) -> tuple[alt.Chart, ...]:
    """The roofs, and their names."""
    kinds = alt.Scale(domain=["measured", "datasheet"], range=[INK, FAINT])
    dashes = alt.Scale(domain=["measured", "datasheet"], range=[[1, 0], DASHED])
    lines = (
        alt.Chart(data(roofs))
        .mark_line(strokeWidth=1.3, aria=False)
        .encode(
            x=x,
            y=y,
            detail="roof:N",
            color=alt.Color("kind:N", scale=kinds, legend=None),
            strokeDash=alt.StrokeDash("kind:N", scale=dashes, legend=None),
        )
    )
    names = (
        alt.Chart(data([roof for roof in roofs if roof["label"]]))
        .mark_text(dy=-6, fontSize=10, aria=False)
        .encode(x=x, y=y, text="label:N")
    )
    left, right = (names.transform_filter(f"datum.side == '{side}'") for side in ("left", "right"))
    return (
        lines,
        left.mark_text(align="left", dx=3, dy=-6, fontSize=10, aria=False),
        right.mark_text(align="right", dy=-6, fontSize=10, aria=False),
    )


def _point(run: Run, result: Result) -> dict[str, object]:
    measurement, cost = result.measurement, result.case.cost
    if measurement is None or cost is None:
        return {}
    fraction = run.of_peak(result)
    rate = result.all_flops_per_second or 0.0
    return {
        "case": result.case.id,
        "suite": result.case.suite,
        "dtype": result.case.dtype or "none",
        "intensity": cost.arithmetic_intensity,
        "at": f"{cost.arithmetic_intensity:.3g}",
        "rate": rate,
        "shown": units.work_rate(rate),
        "median": units.seconds(measurement.median),
        "fraction": "" if fraction is None else units.percent(fraction),
        "bound": (result.prediction.bound if result.prediction else None) or "",
        "flags": ", ".join(measurement.flags),
    }


def _roofs(run: Run, intensities: list[float]) -> list[dict[str, object]]:
    """The ends of each line: bandwidths rise to the highest rate, rates run level from the fastest memory on."""
    peaks, threads = run.peaks, run.header.settings.threads
    rates = {
        (one.dtype, kind): rate
        for one in peaks.compute
        if one.threads == threads
        for kind, rate in _kinds(run, one.dtype)
    }
    slopes: dict[tuple[str, str], float] = {}
    for known in peaks.levels:
        best = peaks.bandwidth_peak(known.name, threads)
        if best is not None:
            slopes[known.name, "measured"] = best.bytes_per_second
    for one in peaks.bandwidth:
        if one.peak_level is PeakLevel.DATASHEET and one.threads == threads:
            slopes[one.level, "datasheet"] = one.bytes_per_second
    if not rates or not slopes:
        return []
    left, right = min(intensities) / _MARGIN, max(intensities) * _MARGIN
    top, steepest = max(rates.values()), max(slopes.values())
    rows: list[dict[str, object]] = []
    for (dtype, kind), rate in rates.items():
        begin, end = max(left, rate / steepest), max(right, 2.0 * rate / steepest)
        name = f"{dtype}: {units.work_rate(rate)}"
        rows += _line(f"{dtype} {kind}", kind, ((begin, rate, ""), (end, rate, name)), "right")
    for place, ((level, kind), slope) in enumerate(slopes.items()):
        # Names of levels whose bandwidths lie close together stand one after the other along their lines.
        at = left * (top / slope / left) ** (_ALONG * (place + 1))
        ends = (
            (left, left * slope, ""),
            (at, at * slope, f"{level}: {units.bandwidth(slope)}"),
            (top / slope, top, ""),
        )
        rows += _line(f"{level} {kind}", kind, ends, "left")
    return rows


def _kinds(run: Run, dtype: str) -> list[tuple[str, float]]:
    peaks, threads = run.peaks, run.header.settings.threads
    best = peaks.compute_peak(dtype, threads)
    sheets = [c for c in peaks.compute_hierarchy(dtype, threads) if c.peak_level is PeakLevel.DATASHEET]
    found = [("measured", best.flops_per_second)] if best else []
    return found + [("datasheet", one.flops_per_second) for one in sheets]


def _line(
    roof: str, kind: str, places: Sequence[tuple[float, float, str]], side: str
) -> list[dict[str, object]]:
    return [
        {"roof": roof, "kind": kind, "intensity": x, "rate": y, "label": text, "side": side}
        for x, y, text in places
    ]


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
            "kind": "computed"
            if step.peak_level in {PeakLevel.DATASHEET.value, PeakLevel.CLOCK_TRUE.value}
            else "reached",
        }
        for step in steps
    ]
    base = alt.Chart(data(values)).encode(y=rows_axis("peak_level", [step.peak_level for step in steps]))
    rate = alt.X("rate:Q", axis=None, scale=alt.Scale(domain=[0, 1.9 * top]))
    kind = alt.Color(
        "kind:N", scale=alt.Scale(domain=["computed", "reached"], range=[FAINT, PALETTE[0]]), legend=None
    )
    bars = base.mark_bar(height=14).encode(
        x=rate, color=kind, tooltip=tooltips(peak_level="peak level", shown="rate", by="by")
    )
    texts = base.mark_text(align="left", dx=5).encode(x="rate:Q", text="label:N")
    return chart(
        f"{dtype}, {counted(threads, 'thread')}",
        "The peak levels of the peak hierarchy from the top down, each with its change from the level above; grey levels are computed, not reached.",
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
            level="level",
            peak_level="peak level",
            label="bandwidth",
            round_spread="spread between rounds",
            by="by",
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
