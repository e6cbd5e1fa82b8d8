"""Expected times of whole steps against measured ones, and how far off each way to predict was."""

import altair as alt

from harness import units
from harness.records import Run
from harness.report.charts.style import FAINT, INK, Chart, chart, data, log_axis, rows_axis, tooltips
from harness.report.text import visible

# The bands about the diagonal.
_BANDS = (0.10, 0.25)


def scatter(run: Run) -> Chart | None:
    """Each held-out step: measured across, expected up, with its 90 % interval."""
    said = {one.case: one for one in run.header.estimates}
    values = [
        {
            "case": one.case,
            "suite": validation.suite,
            "measured": one.measured,
            "expected": one.estimated,
            "low": said[one.case].low,
            "high": said[one.case].high,
            "took": units.seconds(one.measured),
            "was_said": units.seconds(one.estimated),
            "within": f"{units.seconds(said[one.case].low)} - {units.seconds(said[one.case].high)}",
            "off": units.signed_percent(one.error),
        }
        for validation in run.header.validations
        for one in validation.cases
        if one.case in said
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
        tooltip=tooltips(case="step", took="measured", was_said="expected", within="90 %", off="off by"),
    )
    return chart(
        "Expected against measured",
        "A point for each held-out step with its 90 % interval; on the diagonal theory and machine agree, the bands are ± 10 % and ± 25 %.",
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
        "The calibrated cost model beside what else one could have said: the roofline, the roofline times one factor, the operators of the step measured alone.",
        bars + texts,
        height=max(len(values) * 20, 60),
        half=True,
    )
