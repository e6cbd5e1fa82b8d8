"""A report as one HTML file: it loads nothing, sends nothing, and reads in light, dark, on paper and on a phone."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup, escape

from harness.cache import cached
from harness.report.charts import Chart
from harness.report.charts.style import CONFIG
from harness.report.content import Kind, Page, Section
from harness.text import visible


@cache
def chart_library() -> str:
    """The script; it sets `window.vegaEmbed`."""
    return cached("charts", (_versions(),), _bundle).decode()


def _bundle() -> bytes:
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.encode()


def _versions() -> str:
    return "-".join(
        (
            f"vega-{vl_convert.get_vega_version()}",
            f"lite-{vl_convert.get_vegalite_versions()[-1]}",
            f"embed-{vl_convert.get_vega_embed_version()}",
            f"by-{version('vl-convert-python')}",
        )
    )


# A table of more rows is folded, and can be sorted and searched.
LONG = 20
# On the first screen a table of more rows is folded, and so are findings after the first.
FEW, FIRST = 10, 7
# Words that stand out where a cell is nothing else.
MARKS = frozenset(
    {"fine", "bad", "unknown", "holds", "fails", "inconclusive", "FAILED", "skipped", "faster", "slower"}
)
# Sections that are charts alone, or may be, and where they stand.
_CHARTS_ALONE = {
    "shapes": ("Products by shape", "roofline"),
    "sensors": ("Sensors", "optimizations"),
}
_CODE = re.compile(r"`([^`]+)`")


def html(page: Page, charts: Mapping[str, Sequence[Chart]]) -> str:
    """The page; a pure function of the record, and of the version of the library that draws its charts."""
    specs = {
        f"{name}-{place}": chart.spec
        for name, several in charts.items()
        for place, chart in enumerate(several)
    }
    # Tables are sorted and searched where there is no chart too.
    library, script = _inside(chart_library()) if specs else "", _file("page.js")
    sections = _with_charts(page.sections, charts)
    return _template().render(
        page=page,
        sections=sections,
        names={section.name for section in sections},
        charts={section: charts.get(section, ()) for section in _names(page, charts)},
        policy=_policy(library, script),
        style=Markup(_file("page.css")),  # noqa: S704 - our own file
        specs=_embedded({"config": CONFIG, "specs": specs}),
        library=Markup(library),  # noqa: S704 - the library's own code
        script=Markup(script),  # noqa: S704 - our own file
        long=LONG,
        few=FEW,
        first=FIRST,
        marks=MARKS,
        numeric=Kind.NUMBER,
    )


def _names(page: Page, charts: Mapping[str, Sequence[Chart]]) -> dict[str, None]:
    return dict.fromkeys((*(section.name for section in page.sections), *charts))


def _with_charts(sections: Sequence[Section], charts: Mapping[str, Sequence[Chart]]) -> list[Section]:
    """The sections, with those that are charts alone in their places."""
    found = list(sections)
    for name, (title, after) in _CHARTS_ALONE.items():
        names = [section.name for section in found]
        if name in charts and name not in names:
            place = names.index(after) + 1 if after in names else min(1, len(found))
            found.insert(place, Section(name, title, ()))
    return found


def _policy(*scripts: str) -> str:
    """What the browser lets the page do: run these scripts by their hashes, and reach nothing."""
    hashes = (
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts if script
    )
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _inside(script: str) -> str:
    """A script that nothing in it can end."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _embedded(value: Mapping[str, Any]) -> Markup:
    """JSON inside a page: no character of it can begin or end an element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escaped = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))  # noqa: S704 - just escaped


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["visible"] = visible
    environment.filters["prose"] = _prose
    return environment.from_string(_file("page.html.jinja"))


def _prose(text: str) -> Markup:
    """A sentence; what stands between backquotes in it is something to type."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(visible(text)))))  # noqa: S704 - escaped


@cache
def _file(name: str) -> str:
    return (resources.files("harness.report") / "web" / name).read_text(encoding="utf-8")
