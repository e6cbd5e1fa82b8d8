"""Sensor readings while the cases ran: clock, power and temperature of a GPU; the load of the host."""

from collections.abc import Callable, Sequence

import altair as alt

from harness import units
from harness.records import Reading, Run, SensorSeries
from harness.records.measurement import HARMLESS
from harness.report.charts.style import BAD, PALETTE, Chart, chart, data, tooltips

# So many marks along a chart: more readings are summed up, lowest to highest, by their order.
_MARKS = 400

_KINDS: tuple[tuple[str, str, Callable[[Reading], float | None], Callable[[float], str]], ...] = (
    ("Clock", "Hz", lambda one: one.clock_hertz, units.frequency),
    ("Power", "W", lambda one: one.power_watts, units.power),
    ("Temperature", "°C", lambda one: one.temperature_celsius, "{:.0f} °C".format),
)


def readings(series: Sequence[SensorSeries]) -> tuple[Chart, ...]:
    """A chart for each sensor that a device has, over all readings, case after case: the cases of a batch take turns, so no clock orders them."""
    drawn = (_over_time(series, *kind) for kind in _KINDS)
    return tuple(one for one in drawn if one is not None)


def _over_time(
    series: Sequence[SensorSeries],
    title: str,
    unit: str,
    of: Callable[[Reading], float | None],
    show: Callable[[float], str],
) -> Chart | None:
    values_read = [
        (at, case, value, one.throttle_reasons or ())
        for at, (case, one) in enumerate((s.case, reading) for s in series for reading in s.readings)
        if (value := of(one)) is not None
    ]
    if not values_read:
        return None
    size = -(-len(values_read) // _MARKS)
    values = []
    for begin in range(0, len(values_read), size):
        some = values_read[begin : begin + size]
        low, high = min(value for *_, value, _ in some), max(value for *_, value, _ in some)
        reasons = sorted({reason for *_, several in some for reason in several} - HARMLESS)
        values.append(
            {
                "at": some[0][0],
                "case": some[0][1],
                "low": low,
                "high": high,
                "shown": show(low) if low == high else f"{show(low)} - {show(high)}",
                "reasons": ", ".join(reasons),
                "throttled": bool(reasons),
            }
        )
    base = alt.Chart(data(values)).encode(
        x=alt.X(
            "at:Q", axis=alt.Axis(title="readings, case after case", format="~s"), scale=alt.Scale(nice=False)
        )
    )
    scale = alt.Y(
        "low:Q",
        axis=alt.Axis(title=None, labelExpr=f"format(datum.value, '~s') + ' {unit}'"),
        scale=alt.Scale(zero=False),
    )
    line = base.mark_line(color=PALETTE[0], strokeWidth=1, aria=False).encode(y=scale)
    marks = base.mark_rule(strokeWidth=3, aria=False).encode(
        y=scale,
        y2="high:Q",
        color=alt.condition("datum.throttled", alt.value(BAD), alt.value(PALETTE[0])),
        tooltip=tooltips(case="case", shown=title.lower(), reasons="throttled by"),
    )
    return chart(
        title,
        "Readings of the device while the cases ran, case after case; those under which it throttled itself stand out in another colour.",
        line + marks,
        height=140,
        half=True,
    )


def disturbance(run: Run) -> tuple[Chart, ...]:
    """How many samples of each case waited for a core, and what other programs took, in the order they were measured."""
    values: list[dict[str, object]] = [
        {
            "place": place,
            "case": one.case.id,
            "waited": 1.0 - measurement.view.clean_fraction,
            "fraction": units.percent(1.0 - measurement.view.clean_fraction),
            "others": measurement.sensors.other_cpus,
            "cpus": ""
            if measurement.sensors.other_cpus is None
            else f"{measurement.sensors.other_cpus:.2f} CPUs",
        }
        for place, one in enumerate(run.measured, start=1)
        if (measurement := one.measurement) is not None
    ]
    waited = _along(values, "waited", "fraction", "Samples that waited for a core", ".0%")
    others = _along(
        [v for v in values if v["others"] is not None], "others", "cpus", "CPUs used by other programs", "~g"
    )
    return tuple(one for one in (waited, others) if one is not None)


def _along(
    values: Sequence[dict[str, object]], field: str, shown: str, title: str, form: str
) -> Chart | None:
    if not values:
        return None
    bars = (
        alt.Chart(data(values))
        .mark_tick(orient="horizontal", thickness=2, color=PALETTE[0], aria=False)
        .encode(
            x=alt.X(
                "place:Q",
                axis=alt.Axis(title="case, in the order of the run", format="~s"),
                scale=alt.Scale(nice=False),
            ),
            y=alt.Y(f"{field}:Q", axis=alt.Axis(title=None, format=form)),
            tooltip=tooltips(**{"case": "case", shown: title.lower()}),
        )
    )
    return chart(title, "A mark for each case, in the order of the run.", bars, height=140, half=True)
