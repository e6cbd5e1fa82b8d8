"""The fitted model of each sweep, with its interval and the sizes it was fitted to."""

import altair as alt

from harness import units
from harness.records import Fit, FitPoint, Result, Run
from harness.report.charts.style import PALETTE, Chart, chart, data, height_of, log_axis, tooltips


def curves(run: Run) -> tuple[Chart, ...]:
    """A chart for each fitted sweep."""
    return tuple(_curve(fit) for fit in run.header.fits if len(fit.points) > 1)


def _curve(fit: Fit) -> Chart:
    values = [_point(point) for point in fit.points]
    sizes = [point.size for point in fit.points]
    times = [
        time for point in fit.points for time in (point.measured, point.fitted, point.low, point.high) if time
    ]
    x = alt.X(**log_axis("size", fit.variable, "", sizes, ticks=sizes, form="n"))
    y = log_axis("measured", "time of a call", "s", times)
    base = alt.Chart(data(values)).encode(x=x)
    line = base.mark_line(color=PALETTE[0], strokeWidth=1.5, aria=False).encode(
        y=alt.Y(**{**y, "shorthand": "fitted"})
    )
    band = base.mark_area(color=PALETTE[0], opacity=0.18, aria=False).encode(
        y=alt.Y(**{**y, "shorthand": "low"}), y2="high:Q"
    )
    points = base.mark_point(size=42, aria=False).encode(
        y=alt.Y(**y),
        color=alt.value(PALETTE[1]),
        fill=alt.condition("datum.flagged", alt.value("transparent"), alt.value(PALETTE[1])),
        tooltip=tooltips(
            at=fit.variable, shown="measured", model="model", residual="measured / model", flag="flagged"
        ),
    )
    layers = [band, line, points] if all(point.low for point in fit.points) else [line, points]
    return chart(
        fit.series,
        f"Time over {fit.variable}: the model {fit.model} at the measured sizes, the band in which 95 of 100 times measured there lie, and what was measured; hollow points are flagged.",
        alt.layer(*layers),
        height=220,
        half=True,
    )


def _point(point: FitPoint) -> dict[str, object]:
    return {
        "size": point.size,
        "measured": point.measured,
        "fitted": point.fitted,
        "low": point.low,
        "high": point.high,
        "flagged": point.flagged,
        "at": f"{point.size:g}",
        "shown": units.seconds(point.measured),
        "model": units.seconds(point.fitted),
        "residual": units.signed_percent(point.residual),
        "flag": "yes" if point.flagged else "no",
    }


_SIZES = ("m", "n", "k")


def heatmap(run: Run) -> Chart | None:
    """A cell for each shape and dtype, with the fraction of the dtype's peak; None without products of matrices."""
    products = [result for result in run.measured if _is_product(result) and run.of_peak(result) is not None]
    if not products:
        return None
    products.sort(key=lambda one: one.case.cost.flops if one.case.cost else 0)
    values = [_cell(run, product) for product in products]
    shapes = list(dict.fromkeys(str(value["shape"]) for value in values))
    base = alt.Chart(data(values)).encode(
        y=alt.Y("shape:N", sort=shapes, axis=alt.Axis(title="m x n x k", labelOverlap=False, labelLimit=200)),
        x=alt.X("dtype:N", axis=alt.Axis(title=None, labelAngle=0, orient="top")),
    )
    cells = base.mark_rect(aria=False).encode(
        color=alt.Color(
            "fraction:Q",
            scale=alt.Scale(scheme="cividis", domain=[0, 1], clamp=True),
            legend=alt.Legend(title="of peak", format=".0%", gradientLength=180),
        ),
        tooltip=tooltips(case="case", shown="of peak", rate="rate", median="median", flags="flags"),
    )
    texts = base.mark_text(fontSize=11, aria=False).encode(
        text="label:N",
        color=alt.condition("datum.fraction > 0.55", alt.value("#111111"), alt.value("#ffffff")),
    )
    return chart(
        "Products of matrices by shape",
        "The rate of each product as a fraction of the peak of its dtype; sizes that are no multiple of 8 are marked with a star.",
        cells + texts,
        height=height_of(len(shapes)) + 40,
    )


def _is_product(result: Result) -> bool:
    return result.case.suite == "matmul" and all(name in result.case.sizes for name in _SIZES)


def _cell(run: Run, result: Result) -> dict[str, object]:
    measurement, fraction = result.measurement, run.of_peak(result)
    sizes = [result.case.sizes[name] for name in _SIZES]
    uneven = any(size % 8 for size in sizes if size > 1)
    shown = "" if fraction is None else units.percent(fraction)
    return {
        "shape": " x ".join(map(str, sizes)),
        "dtype": result.case.dtype,
        "fraction": fraction,
        "shown": shown,
        "label": f"{shown}{' *' if uneven else ''}",
        "case": result.case.id,
        "rate": units.work_rate(result.flops_per_second or 0.0),
        "median": units.seconds(measurement.median) if measurement else "",
        "flags": ", ".join(measurement.flags) if measurement else "",
    }
