"""The fitted law of each sweep, with its interval and the sizes it was fitted to."""

import altair as alt

from harness import units
from harness.records import Fit, FitPoint, Run
from harness.report.charts.style import PALETTE, Chart, chart, data, log_axis, tooltips


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
            at=fit.variable, shown="measured", law="law", residual="measured / law", flag="flagged"
        ),
    )
    layers = [band, line, points] if all(point.low for point in fit.points) else [line, points]
    return chart(
        fit.series,
        f"Time over {fit.variable}: the law {fit.law} at the measured sizes, the band in which 95 of 100 times measured there lie, and what was measured; hollow points are flagged.",
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
        "law": units.seconds(point.fitted),
        "residual": units.signed_percent(point.residual),
        "flag": "yes" if point.flagged else "no",
    }
