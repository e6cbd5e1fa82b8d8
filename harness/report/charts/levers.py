"""What decisions buy: measured speed-ups with their intervals, beside what was expected."""

import altair as alt

from harness import units
from harness.records import Lever, Run
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

_TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]


def speedups(run: Run) -> Chart | None:
    """A row for each lever and base, largest speed-up first."""
    levers = sorted(run.header.levers, key=lambda one: -one.speedup)
    shown = levers[:MOST_ROWS]
    if not shown:
        return None
    names = labels(one.base for one in levers)
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
    said = base.mark_point(size=60, color=PALETTE[1], shape="diamond", aria=False).encode(
        x=alt.X("expected:Q", scale=alt.Scale(type="log"))
    )
    points = base.mark_point(size=50, filled=True, color=PALETTE[0], opacity=1, aria=False).encode(
        x=x,
        tooltip=tooltips(
            lever="lever",
            case="base",
            shown="speed-up",
            interval="95 %",
            foretold="expected",
            memory="memory",
        ),
    )
    cut = f" The {len(shown)} largest of {len(levers)}." if len(levers) > len(shown) else ""
    return chart(
        "Speed-up of each lever",
        f"Points are measured, with their 95 % interval; hollow diamonds are what was expected.{cut}",
        alt.layer(one_line, rules, said, points),
        height=height_of(len(order)),
    )


def _row(lever: Lever, base: str) -> dict[str, object]:
    return {
        "name": f"{lever.lever}: {base}",
        "lever": lever.lever,
        "case": lever.base,
        "speedup": lever.speedup,
        "low": lever.low or None,
        "high": lever.high or None,
        "expected": lever.expected or None,
        "shown": f"{lever.speedup:.2f} x",
        "interval": f"{lever.low:.2f} - {lever.high:.2f}" if lever.low and lever.high else "",
        "foretold": f"{lever.expected:.2f} x ({lever.way})" if lever.expected else "",
        "memory": units.signed_percent(lever.memory - 1.0) if lever.memory is not None else "",
    }
