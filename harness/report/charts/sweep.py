"""Demand curves as charts: FLOPs, memory, time and KV cache over the swept quantity, both axes logarithmic."""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
from altair.utils.schemapi import debug_mode

from harness import units
from harness.records.plan import Sweep
from harness.report.charts.style import DASHED, PALETTE, Chart, chart, data, log_axis, tooltips
from harness.report.sweep import interval, value

Rows = list[dict[str, Any]]

# The axis of a flat curve still spans more than the widest gap between round numbers, 2 to 5.
_ROOM = 1.6
# A narrower range may have no round number: then points are its ticks.
_NARROW, _TICKS = 10.0, 8
# Above this number of points none is marked: marks would hide the curve.
_MARKED = 60
_DAY = 86_400.0


@debug_mode(arg=False)
def charts(sweep: Sweep) -> tuple[Chart, ...]:
    """A chart of each demand with two known points."""
    drawn = (_flops(sweep), _memory(sweep), _time(sweep), _cache(sweep))
    return tuple(curve for curve in drawn if curve is not None)


def _flops(sweep: Sweep) -> Chart | None:
    exact = _rows(sweep, "train_total", units.total_work, curve="exact")
    dense = _rows(sweep, "train_total_dense", units.total_work, curve="dense")
    return _curves(
        sweep, "Training FLOPs", "FLOPs of the whole training", "", exact + dense, form=".1~e",
        words="Exact honours masks; dense ignores them.",
    )  # fmt: skip


def _memory(sweep: Sweep) -> Chart | None:
    whole = _rows(sweep, "memory", units.size, curve="all")
    activations = _rows(sweep, "activations", units.size, curve="activations")
    return _curves(
        sweep, "Memory of a device", "bytes in training", "B", whole + activations,
        words="Memory of the fullest device in training, and its activations alone.",
    )  # fmt: skip


def _cache(sweep: Sweep) -> Chart | None:
    return _curves(
        sweep, "KV cache", "bytes of the batch", "B", _rows(sweep, "kv_cache", units.size, curve="KV cache"),
        words="Keys and values of the whole batch in inference.",
    )  # fmt: skip


def _time(sweep: Sweep) -> Chart | None:
    rows = _rows(sweep, "seconds", units.lasting, curve="time")
    long = any(row["y"] >= _DAY for row in rows)
    unit, title = (_DAY, "days") if long else (1.0, "seconds")
    scaled = [
        {**row, "y": row["y"] / unit, "low": row["low"] / unit, "high": row["high"] / unit} for row in rows
    ]
    return _curves(
        sweep, "Training time", f"{title} of training", "", scaled, form="~r", band=True,
        words="The line is the estimate, the band reaches from the lowest to the highest plausible time.",
    )  # fmt: skip


def _rows(sweep: Sweep, field: str, show: Callable[[float], str], *, curve: str) -> Rows:
    """The points with a known value of the field, where both coordinates have a logarithm."""
    return [
        {
            "x": sweep.place(point),
            "y": known,
            "low": point.low,
            "high": point.high,
            "curve": curve,
            "at": value(sweep, point),
            "shown": show(known),
            "interval": interval(point),
            "parameters": units.count(point.parameters or 0),
        }
        for point in sweep.possible
        if (known := getattr(point, field)) and sweep.place(point)
    ]


def _curves(  # noqa: PLR0913 - a chart has as many properties
    sweep: Sweep,
    title: str,
    y_title: str,
    unit: str,
    rows: Rows,
    *,
    words: str,
    form: str = "~s",
    band: bool = False,
) -> Chart | None:
    places = sorted({row["x"] for row in rows})
    if len(places) < 2:
        return None
    heights = [row[name] for row in rows for name in (("low", "y", "high") if band else ("y",))]
    x = alt.X(
        **log_axis("x", sweep.variable, "", places, ticks=_ticks(places), form=_form(sweep), margin=1.05)
    )
    y = log_axis("y", y_title, unit, heights, form=form, margin=_ROOM)
    names = list(dict.fromkeys(row["curve"] for row in rows))
    base = alt.Chart(data(rows)).encode(x=x)
    layers = [*_band(base, y, shown=band), base.mark_line(strokeWidth=1.5, aria=False).encode(
        y=alt.Y(**y), color=_colour(names), strokeDash=_dashes(names)
    )]  # fmt: skip
    if len(places) <= _MARKED:
        layers.append(_marks(base, y, names, sweep, band=band))
    return chart(title, f"Over {sweep.variable}. {words}", alt.layer(*layers), height=220, half=True)


def _band(base: alt.Chart, y: dict[str, Any], *, shown: bool) -> list[alt.Chart]:
    if not shown:
        return []
    area = base.mark_area(color=PALETTE[0], opacity=0.18, aria=False)
    return [area.encode(y=alt.Y(**{**y, "shorthand": "low"}), y2="high:Q")]


def _marks(
    base: alt.Chart, y: dict[str, Any], names: Sequence[str], sweep: Sweep, *, band: bool
) -> alt.Chart:
    at = "layers" if sweep.over == "size" else sweep.over
    size = {"parameters": "parameters"} if sweep.over == "size" else {}
    around = {"interval": "low - high"} if band else {}
    marks: alt.Chart = base.mark_point(size=30, filled=True, opacity=1, aria=False).encode(
        y=alt.Y(**y),
        color=_colour(names),
        tooltip=tooltips(curve="curve", at=at, **size, shown="needed", **around),
    )
    return marks


def _colour(names: Sequence[str]) -> alt.Color:
    scale = alt.Scale(domain=list(names), range=list(PALETTE[: len(names)]))
    return alt.Color("curve:N", scale=scale, legend=alt.Legend(title=None) if len(names) > 1 else None)


def _dashes(names: Sequence[str]) -> alt.StrokeDash:
    """The second curve is dashed, so that both are visible where they coincide."""
    return alt.StrokeDash(
        "curve:N", scale=alt.Scale(domain=list(names), range=[[1, 0], DASHED][: len(names)]), legend=None
    )


def _form(sweep: Sweep) -> str:
    return "~s" if sweep.variable in {"parameters", "tokens"} else "n"


def _ticks(places: Sequence[int]) -> Sequence[int]:
    """The points, where round numbers are too far apart."""
    if places[-1] >= _NARROW * places[0]:
        return ()
    return places[:: -(-len(places) // _TICKS)]
