"""The roofline: measured peaks, the datasheet thin above them, and every case that does FLOPs under them."""

from collections.abc import Sequence

import altair as alt

from harness import units
from harness.records import PeakLevel, Result, Run
from harness.report.case_tables import on_roofline
from harness.report.charts.style import DASHED, FAINT, INK, Chart, Values, chart, data, log_axis, tooltips
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
    told = [c for c in peaks.compute_hierarchy(dtype, threads) if c.peak_level is PeakLevel.DATASHEET]
    found = [("measured", best.flops_per_second)] if best else []
    return found + [("datasheet", one.flops_per_second) for one in told]


def _line(
    roof: str, kind: str, places: Sequence[tuple[float, float, str]], side: str
) -> list[dict[str, object]]:
    return [
        {"roof": roof, "kind": kind, "intensity": x, "rate": y, "label": text, "side": side}
        for x, y, text in places
    ]
