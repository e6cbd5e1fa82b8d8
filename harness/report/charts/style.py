"""What all charts share. Colours are the page's own CSS variables, so light, dark and print need no second drawing."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from harness.text import shortened, visible

Values = Sequence[Mapping[str, object]]

# So many rows of a chart with a row for each case; a longer one is cut, and says so.
MOST_ROWS = 60
# A whole number as it is, a large one with a prefix and no more digits than tell it.
_WHOLE = "format(datum.value, datum.value < 100000 ? 'd' : '.3~s')"
# What fits beside a chart, in characters; a longer name loses its middle.
_LABEL = 56
# An axis over no more decades than this has room for ticks between the powers of ten.
_FEW_DECADES = 2.5
ROW_HEIGHT = 18
# Series of a chart: the colours of Okabe and Ito, which colour-blind readers tell apart, darkened or
# lightened in the page's style sheet where the background asks for it.
PALETTE = tuple(f"var(--c{number})" for number in range(1, 11))
INK, FAINT, GRID = "var(--ink)", "var(--faint)", "var(--line)"
BAD = "var(--c6)"
DASHED = [5, 4]

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "padding": 4,
    "view": {"stroke": None},
    "range": {"category": list(PALETTE)},
    "mark": {"color": PALETTE[0]},
    "text": {"fill": INK, "fontSize": 11},
    "rule": {"stroke": INK},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": GRID,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelOverlap": True,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "orient": "bottom",
        "columns": 4,
        "labelFontSize": 11,
        "symbolStrokeWidth": 1.5,
        "symbolBaseFillColor": INK,
        "symbolBaseStrokeColor": INK,
        "layout": {"bottom": {"anchor": "start", "direction": "vertical"}},
        "labelLimit": 220,
    },
    "title": {"color": INK},
}


@dataclass(frozen=True)
class Chart:
    """A chart: its title, what it shows in a sentence (which is read aloud too), its specification and width.

    `half`: it needs no more than half of a wide page.
    """

    title: str
    words: str
    spec: dict[str, Any]
    half: bool = False


def chart(
    title: str,
    words: str,
    drawing: alt.Chart | alt.LayerChart | alt.FacetChart,
    *,
    height: int = 280,
    half: bool = False,
) -> Chart:
    """A drawing as a chart, as wide as there is room."""
    # A test holds every specification against the schema: here it would only take time.
    spec = drawing.properties(width="container", height=height).to_dict(validate=False)
    spec.pop("config", None)
    spec["description"] = visible(f"{title}. {words}")
    return Chart(title, words, spec, half)


def data(rows: Values) -> alt.InlineData:
    """Rows inside the specification, their texts fit to be shown."""
    return alt.InlineData(
        values=[
            {key: visible(value) if isinstance(value, str) else value for key, value in row.items()}
            for row in rows
        ]
    )


def tooltips(**fields: str) -> list[alt.Tooltip]:
    """What is shown of a mark under the pointer: texts, by field and title."""
    return [alt.Tooltip(field, type="nominal", title=visible(title)) for field, title in fields.items()]


def log_axis(  # noqa: PLR0913 - an axis has as many properties
    field: str,
    title: str,
    unit: str,
    values: Iterable[float],
    *,
    margin: float = 1.15,
    ticks: Sequence[float] = (),
    form: str = "~s",
) -> dict[str, Any]:
    """A channel on a logarithmic scale about these values, with ticks at round ones, in a form (SI prefixes; "n": whole numbers) and a unit."""
    known = [value for value in values if value > 0.0]
    domain = [min(known) / margin, max(known) * margin]
    return {
        "shorthand": field,
        "type": "quantitative",
        "scale": alt.Scale(type="log", domain=domain, nice=False),
        "axis": alt.Axis(
            title=visible(title),
            labelExpr=f"format(datum.value, '{form}') + '{unit}'" if form != "n" else _WHOLE,
            values=list(ticks) or _round_numbers(*domain),
        ),
    }


def _round_numbers(low: float, high: float) -> list[float]:
    """The powers of ten between two numbers, with their double and their half where those are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1.0,) if math.log10(high / low) > _FEW_DECADES else (1.0, 2.0, 5.0)
    return [number for decade in decades for step in steps if low <= (number := step * 10.0**decade) <= high]


def rows_axis(field: str, order: Sequence[str]) -> alt.Y:
    """A row for each case, in this order, under its name."""
    return alt.Y(
        field,
        type="nominal",
        sort=[visible(one) for one in order],
        # How long a label may be is the page's to say, which knows how wide it is.
        axis=alt.Axis(title=None, domain=False, ticks=False, labelOverlap=False),
    )


def height_of(rows: int) -> int:
    """How high a chart with so many rows is, in pixels."""
    return max(rows, 2) * ROW_HEIGHT + 10


def labels(ids: Iterable[str]) -> dict[str, str]:
    """Short names for cases: their kind, and what most cases of that kind are not.

    >>> labels(["train-mlp-adam-batch1", "train-mlp-adam-batch8", "train-mlp-sgd-batch8", "train-vit-adamw-batch8"])
    {'train-mlp-adam-batch1': 'train-mlp batch1', 'train-mlp-adam-batch8': 'train-mlp', 'train-mlp-sgd-batch8': 'train-mlp sgd', 'train-vit-adamw-batch8': 'train-vit'}
    """
    kinds: dict[tuple[str, int], list[str]] = {}
    for one in dict.fromkeys(ids):
        parts = one.split("-")
        kinds.setdefault(("-".join(parts[:2]), len(parts)), []).append(one)
    short = {
        one: visible(shortened(_label(kind, one, several), _LABEL))
        for (kind, _), several in kinds.items()
        for one in several
    }
    many = Counter(short.values())
    whole = {one: label if many[label] == 1 else visible(one) for one, label in short.items()}
    return _apart(whole)


def _apart(names: Mapping[str, str]) -> dict[str, str]:
    """The names, with a number behind those that several have even when written out."""
    many, seen, found = Counter(names.values()), Counter[str](), {}
    for one, name in names.items():
        seen[name] += 1
        found[one] = name if many[name] == 1 else f"{name} ({seen[name]})"
    return found


def _label(kind: str, one: str, several: Sequence[str]) -> str:
    shared = [Counter(parts) for parts in zip(*(other.split("-")[2:] for other in several), strict=True)]
    parts = zip(one.split("-")[2:], shared, strict=True)
    return " ".join([kind, *(part for part, counted in parts if counted[part] <= len(several) / 2)])
