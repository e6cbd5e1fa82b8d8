"""Estimates against measurements, and the speed-up of each optimization."""

import altair as alt

from harness import units
from harness.records import Optimization, Run
from harness.report.charts.style import (
    FAINT,
    INK,
    MOST_ROWS,
    PALETTE,
    Chart,
    chart,
    data,
    height_of,
    labels,
    log_axis,
    rows_axis,
    tooltips,
)
from harness.text import visible

# The bands about the diagonal.
_BANDS = (0.10, 0.25)


def scatter(run: Run) -> Chart | None:
    """Each held-out step: measured time across, estimated time up, with its 90% interval."""
    estimates = {estimate.case: estimate for estimate in run.header.estimates}
    values = [
        {
            "case": one.case,
            "suite": validation.suite,
            "measured": one.measured,
            "expected": one.estimated,
            "low": estimates[one.case].low,
            "high": estimates[one.case].high,
            "took": units.seconds(one.measured),
            "estimate": units.seconds(one.estimated),
            "within": f"{units.seconds(estimates[one.case].low)} - {units.seconds(estimates[one.case].high)}",
            "off": units.signed_percent(one.error),
        }
        for validation in run.header.validations
        for one in validation.cases
        if one.case in estimates
    ]
    if not values:
        return None
    times = [float(str(value[key])) for value in values for key in ("measured", "expected", "low", "high")]
    ends = [min(times) / 1.5, max(times) * 1.5]
    x = alt.X(**log_axis("measured", "measured", "s", times, margin=1.5))
    y = log_axis("expected", "expected", "s", times, margin=1.5)
    bands = alt.layer(
        *(
            alt.Chart(
                data([{"measured": end, "low": end * (1 - band), "high": end * (1 + band)} for end in ends])
            )
            .mark_area(color=FAINT, opacity=0.16, clip=True, aria=False)
            .encode(x=x, y=alt.Y(**{**y, "shorthand": "low"}), y2="high:Q")
            for band in reversed(_BANDS)
        ),
        alt.Chart(data([{"measured": end, "expected": end} for end in ends]))
        .mark_line(color=FAINT, strokeWidth=1, aria=False)
        .encode(x=x, y=alt.Y(**y)),
    )
    base = alt.Chart(data(values)).encode(x=x, color=alt.Color("suite:N", legend=alt.Legend(title=None)))
    rules = base.mark_rule(opacity=0.6, aria=False).encode(y=alt.Y(**{**y, "shorthand": "low"}), y2="high:Q")
    points = base.mark_point(filled=True, size=50, aria=False).encode(
        y=alt.Y(**y),
        tooltip=tooltips(case="step", took="measured", estimate="expected", within="90%", off="off by"),
    )
    return chart(
        "Estimated and measured time",
        "A point for each held-out step with its 90% interval; on the diagonal estimate and measurement agree; the bands are ± 10% and ± 25%.",
        alt.layer(bands, rules, points),
        height=360,
        half=True,
    )


def errors(run: Run) -> Chart | None:
    """Bars: the mean error of each way to predict, by suite."""
    ways = [(v.suite, one) for v in run.header.validations for one in v.ways]
    if not ways:
        return None
    order = list(dict.fromkeys(visible(one.way) for _, one in ways))
    values = [
        {
            "suite": suite,
            "way": one.way,
            "error": one.mape,
            "label": units.percent(one.mape),
            "worst": f"{units.signed_percent(one.worst)} ({one.worst_case})",
            "bias": units.signed_percent(one.bias),
            "steps": str(one.cases),
        }
        for suite, one in ways
    ]
    top = max(one.mape for _, one in ways)
    base = alt.Chart(data(values)).encode(
        y=rows_axis("suite", list(dict.fromkeys(suite for suite, _ in ways))),
        yOffset=alt.YOffset("way:N", sort=order),
    )
    bars = base.mark_bar(height=14).encode(
        x=alt.X("error:Q", axis=None, scale=alt.Scale(domain=[0, 1.3 * top])),
        color=alt.Color(
            "way:N", sort=order, scale=alt.Scale(domain=order), legend=alt.Legend(title=None, columns=2)
        ),
        tooltip=tooltips(
            suite="suite", way="way", label="mean error", bias="bias", worst="worst", steps="steps"
        ),
    )
    texts = base.mark_text(align="left", dx=5, color=INK).encode(x="error:Q", text="label:N")
    return chart(
        "Mean error of each way to predict",
        "The calibrated cost model and the alternatives: the roofline, the roofline times one factor, the operators of the step measured alone.",
        bars + texts,
        height=max(len(values) * 20, 60),
        half=True,
    )


_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]


def speedups(run: Run) -> Chart | None:
    """A row for each optimization and base, largest speed-up first."""
    optimizations = sorted(run.header.optimizations, key=lambda one: -one.speedup)
    shown = optimizations[:MOST_ROWS]
    if not shown:
        return None
    names = labels(optimization.base for optimization in optimizations)
    values = [_row(one, names[one.base]) for one in shown]
    order = list(dict.fromkeys(str(value["name"]) for value in values))
    x = alt.X(
        "speedup:Q",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(title="speed-up", values=_TICKS, labelExpr="format(datum.value, '~r') + ' x'"),
    )
    base = alt.Chart(data(values)).encode(y=rows_axis("name", order))
    one_line = alt.Chart(data([{"speedup": 1.0}])).mark_rule(color=INK, opacity=0.5).encode(x=x)
    rules = base.mark_rule(color=PALETTE[0], aria=False).encode(
        x=alt.X("low:Q", scale=alt.Scale(type="log")), x2="high:Q"
    )
    estimated = base.mark_point(size=60, color=PALETTE[1], shape="diamond", aria=False).encode(
        x=alt.X("expected:Q", scale=alt.Scale(type="log"))
    )
    points = base.mark_point(size=50, filled=True, color=PALETTE[0], opacity=1, aria=False).encode(
        x=x,
        tooltip=tooltips(
            optimization="optimization",
            case="base",
            shown="speed-up",
            interval="95%",
            predicted="expected",
            memory="memory",
        ),
    )
    cut = f" The {len(shown)} largest of {len(optimizations)}." if len(optimizations) > len(shown) else ""
    return chart(
        "Speed-up of each optimization",
        f"Points are measured, with their 95% interval; hollow diamonds are estimates.{cut}",
        alt.layer(one_line, rules, estimated, points),
        height=height_of(len(order)),
    )


def _row(optimization: Optimization, base: str) -> dict[str, object]:
    return {
        "name": f"{optimization.optimization}: {base}",
        "optimization": optimization.optimization,
        "case": optimization.base,
        "speedup": optimization.speedup,
        "low": optimization.low or None,
        "high": optimization.high or None,
        "expected": optimization.predicted or None,
        "shown": f"{optimization.speedup:.2f} x",
        "interval": f"{optimization.low:.2f} - {optimization.high:.2f}"
        if optimization.low and optimization.high
        else "",
        "predicted": f"{optimization.predicted:.2f} x ({optimization.way})" if optimization.predicted else "",
        "memory": units.signed_percent(optimization.memory - 1.0) if optimization.memory is not None else "",
    }
