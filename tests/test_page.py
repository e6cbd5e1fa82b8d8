"""The page of a report: whole, harmless, and readable by anybody."""

import base64
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.report.content import Lines, Table
from harness.report.publish import as_html, as_page
from harness.report.sources import Source
from harness.text import visible
from tests import odd_runs

KEPT = ("epyc", "xeon")
PAGES = (*KEPT, *odd_runs.odd())
# Elements that have no end.
VOID = {"meta", "link", "img", "br", "hr", "input", "base", "source", "embed", "area", "col", "wbr"}
# Attributes whose values are ours alone.
OURS = ("id", "style", "tabindex", "role", "scope", "lang", "name", "type", "charset", "href", "data-chart")


def sources(name: str) -> tuple[Source, ...]:
    return (odd_runs.reference(name),) if name in KEPT else odd_runs.odd()[name].sources


@cache
def page(name: str) -> str:
    return as_html(sources(name))


@dataclass
class Parsed(HTMLParser):
    """A page as a browser would take it apart."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    inside: dict[str, list[str]] = field(default_factory=lambda: {"script": [], "style": []})
    trouble: list[str] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.trouble.append(f"an attribute twice: {tag} {names}")
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.trouble.append(f"</{tag}> ends nothing at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.inside:
            self.inside[self._open[-1]][-1] += data
            return
        self.texts.append(data)
        if {"td", "th"} & set(self._open):
            self.cells[-1] += data

    def handle_comment(self, data: str) -> None:
        self.trouble.append(f"a comment: {data[:50]}")

    def unknown_decl(self, data: str) -> None:
        self.trouble.append(f"a declaration: {data[:50]}")

    def close(self) -> None:
        super().close()
        self.trouble += [f"<{tag}> is not ended" for tag in self._open]

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        return [known[name] for _, known in self.tags if name in known]

    @property
    def specs(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.inside["script"][0])
        return told


def parsed(text: str) -> Parsed:
    found = Parsed()
    found.feed(text)
    found.close()
    return found


@cache
def taken_apart(name: str) -> Parsed:
    return parsed(page(name))


def test_the_parser_sees_what_is_wrong() -> None:
    assert parsed("<p>a</p>").trouble == []
    for wrong in ("<p>", "</p>", "<b><i></b></i>", "<!-- x -->", '<p id="a" id="b"></p>'):
        assert parsed(wrong).trouble, wrong


# What it says.


@pytest.mark.parametrize("name", KEPT)
def test_the_page_has_every_case_and_every_finding(name: str) -> None:
    run, told = sources(name)[0].run, taken_apart(name)

    assert run.header.findings
    cells = set(told.cells)
    for result in run.results:
        # What the cost model learns from is in the table of its models.
        if not result.case.calibrates:
            assert result.case.id in (cells if result.measurement else told.text)
    for finding in run.header.findings:
        for text in (finding.finding, finding.cause, finding.fix):
            assert visible(text).replace("`", "") in told.text.replace("`", "")


@pytest.mark.parametrize("name", PAGES)
def test_every_cell_and_sentence_of_the_content_is_on_the_page(name: str) -> None:
    content, told = as_page(sources(name)), taken_apart(name)
    cells = Counter(" ".join(cell.split()) for cell in told.cells)
    wanted: Counter[str] = Counter()
    for section in content.sections:
        for block in section.blocks:
            if isinstance(block, Lines):
                assert all(_bare(text) in told.text for text in block.texts)
            elif block.cards:
                assert all(_bare(cell) in told.text for row in block.rows for cell in row)
            else:
                wanted.update(_bare(cell) for row in (block.columns, *block.rows) for cell in row)

    # A column without a name gets one.
    assert {
        text: many for text, many in wanted.items() if text not in {"", "state"} and cells[text] != many
    } == {}
    assert visible(content.title) in told.text


def block_tables(name: str) -> list[Table]:
    return [
        block
        for section in as_page(sources(name)).sections
        for block in section.blocks
        if isinstance(block, Table) and not block.cards
    ]


def _bare(text: str) -> str:
    """A text as it reads: what stands between backquotes is set in another type instead."""
    return " ".join(re.sub(r"`([^`]+)`", r"\1", visible(text)).split())


@pytest.mark.parametrize("name", odd_runs.odd())
def test_an_odd_run_s_page_stands_and_says_what_is_so(name: str) -> None:
    told = taken_apart(name)

    assert told.trouble == []
    for words in odd_runs.odd()[name].says:
        assert words in told.text


def test_runs_of_one_name_are_told_apart() -> None:
    table = next(table for table in block_tables("twenty runs") if table.title == "The runs")

    assert len({row[0] for row in table.rows}) == len(table.rows) == 20


# How it is built.


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_well_formed_and_every_link_has_its_target(name: str) -> None:
    told = taken_apart(name)
    ids = told.attributes("id")
    links = told.attributes("href")

    assert told.trouble == []
    assert len(ids) == len(set(ids))
    assert all(link.startswith("#") for link in links)
    assert {link.removeprefix("#") for link in links} <= set(ids)
    sections = [known["id"] for tag, known in told.tags if tag == "section"]
    assert set(sections) <= {link.removeprefix("#") for link in links}
    assert [known.get("lang") for tag, known in told.tags if tag == "html"] == ["en"]
    assert Counter(tag for tag, _ in told.tags)["h1"] == 1


@pytest.mark.parametrize("name", PAGES)
def test_every_chart_has_its_place_and_every_place_its_chart(name: str) -> None:
    told = taken_apart(name)

    assert Counter(told.attributes("data-chart")) == Counter(list(told.specs["specs"]))
    assert set(told.specs) == {"config", "specs"}


@pytest.mark.parametrize("name", PAGES)
def test_the_page_loads_nothing(name: str) -> None:
    told = taken_apart(name)
    tags = {tag for tag, _ in told.tags}
    names = {attribute for _, known in told.tags for attribute in known}

    assert not tags & {
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "audio",
        "video",
        "source",
        "svg",
    }
    assert not names & {"src", "srcset", "action", "formaction", "data", "poster", "ping", "background"}
    assert not [attribute for attribute in names if attribute.startswith("on")]
    (style,) = told.inside["style"]
    assert not re.search(r"url\(|@import|expression\(|image-set|src:", style)
    assert not [
        attribute
        for attribute in told.attributes("style")
        if not re.fullmatch(r"min-height:\d+px", attribute)
    ]
    own = [part for part in _own_parts(told) if re.search(r"https?:|//\w+\.\w", part)]
    assert not own
    schemas = {spec["$schema"] for spec in told.specs["specs"].values()}
    assert all(schema.startswith("https://vega.github.io/schema/") for schema in schemas)


def _own_parts(told: Parsed) -> Iterator[str]:
    """All of a page but the library's script, and the names of schemas beside the charts."""
    specs, _, script = told.inside["script"]
    yield from (told.text, script, *told.inside["style"])
    yield from (value for _, known in told.tags for value in known.values())
    yield re.sub(r'"\$schema":"https://vega\.github\.io/schema/[^"]*"', "", specs)


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_lets_these_scripts_run_and_nothing_else(name: str) -> None:
    told = taken_apart(name)
    policy = next(
        known["content"] for _, known in told.tags if known.get("http-equiv") == "Content-Security-Policy"
    )
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    scripts = [
        text
        for text, known in zip(
            told.inside["script"], (known for tag, known in told.tags if tag == "script"), strict=True
        )
        if known["type"] == "module" and text
    ]

    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == [f"'sha256-{_sha256(text)}'" for text in scripts]
    assert rules["style-src"] == ["'unsafe-inline'"]
    assert rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert "connect-src" not in rules
    assert len(scripts) == (2 if told.specs["specs"] else 1)
    # A browser would read other characters than were hashed.
    assert not any(one in text for text in scripts for one in "\r\0")
    before = page(name).partition("http-equiv")[0]
    assert "<script" not in before
    assert "<style" not in before


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_sizes() -> None:
    assert len(page("epyc").encode()) < 3e6
    assert len(page("many").encode()) < 5e6
    assert len(page("many").encode()) - len(page("one case").encode()) < 2000 * 1200


# Text from outside.

HOSTILE = {
    "scripts": "<script>alert(1)</script> </script><script>alert(2)</script> </SCRIPT ><ScRiPt>alert(3)</sCrIpT>",
    "elements": "<img src=x onerror=alert(1)> </td></table></details></style> <!-- <script> --> <!",
    "data": "]]> --> <![CDATA[ ?> */ %}{{ 7 * 7 }}{% raw %} datum.value'] || alert(1) // \\u003cb\\u003e a.b[c]['d']",
    "quotes": '"\' onmouseover="alert(1)" x=\' `<b>` `` `&` \\` ${alert(1)}',
    "entities": "&lt;b&gt; &amp;amp; &#60;b> &notanentity;",
    "links": "javascript:alert(1) [x](javascript:alert(1)) data:text/html;base64,PHNjcmlwdD4=",
    "controls": "one\ntwo\r\nthree\u2028four\u2029five\x85six\tseven nul \0 bell \a escape \x1b[31mred\x1b[0m \x7f",
    "directions": "right \u202e to left \u2066 isolated \u200f marked zero\u200bwidth soft\u00adhyphen \ufeffmark \U000e0041",
    "long": "x" * 5000,
    "long words": "word " * 1000,
    "emoji": "👩\u200d🚀🏳️ naïve 模型 ﷺ",
    "numbers": "-1 ± 2 %",
}


@cache
def with_text(name: str) -> Parsed:
    return parsed(as_html((odd_runs.words(HOSTILE[name]),)))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_text(name: str) -> None:
    told, plain, shown = with_text(name), taken_apart("everything"), _bare(HOSTILE[name])

    assert told.trouble == []
    # The very elements and attributes of a page without it, but for what marks text to be typed and numbers to be aligned.
    assert _skeleton(told) == _skeleton(plain)
    for attribute in OURS:
        assert Counter(told.attributes(attribute)) == Counter(plain.attributes(attribute)), attribute
    assert {one for known in told.attributes("class") for one in known.split()} <= {
        *(one for known in plain.attributes("class") for one in known.split()),
        "n",
    }
    assert len(told.inside["script"]) == 3
    assert told.inside["script"][1:] == plain.inside["script"][1:]
    assert told.inside["style"] == plain.inside["style"]
    assert shown in told.text
    assert any(shown in cell for cell in told.cells)
    assert not _commands("".join((*told.texts, *told.attributes("aria-label"))))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_text_in_the_charts_too(name: str) -> None:
    told, plain = with_text(name).specs, taken_apart("everything").specs
    shown = visible(HOSTILE[name])

    assert told["config"] == plain["config"]
    assert list(told["specs"]) == list(plain["specs"])
    for place, spec in told["specs"].items():
        assert _shape(spec) == _shape(plain["specs"][place]), place
        assert not _commands(json.dumps(spec, ensure_ascii=False)), place
    texts = json.dumps(told, ensure_ascii=False)
    assert json.dumps(shown, ensure_ascii=False)[1:-1] in texts


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_runs_are_text(name: str) -> None:
    base = odd_runs.odd()["two runs"].sources
    labels = (f"a {HOSTILE[name]}", f"b {HOSTILE[name]}")
    runs = [Source(odd_runs.asked(one.run, label=label)) for one, label in zip(base, labels, strict=True)]
    told, plain = parsed(as_html(runs)), taken_apart("two runs")

    assert told.trouble == []
    assert _skeleton(told) == _skeleton(plain)
    assert _bare(labels[0]) in told.text
    assert _bare(labels[1]) in told.text
    assert not _commands("".join((*told.texts, *told.attributes("aria-label"))))
    assert not _commands(json.dumps(told.specs, ensure_ascii=False))


def _skeleton(told: Parsed) -> list[tuple[str, tuple[str, ...]]]:
    """The elements in their order, with the names of their attributes; a cell's class may come and go."""
    return [(tag, () if tag in {"td", "th"} else tuple(known)) for tag, known in told.tags if tag != "code"]


def _shape(spec: Any) -> Any:
    """A specification without what comes from the record: its texts, and how many rows the same text makes."""
    if isinstance(spec, dict):
        hidden = {"datasets", "description", "title", "sort", "domain", "name", "values"}
        return {key: _shape(part) for key, part in spec.items() if key not in hidden}
    return [_shape(part) for part in spec] if isinstance(spec, list) else spec


def _commands(text: str) -> set[str]:
    """Characters that a reader cannot see, but for the line breaks of the page itself."""
    return {one for one in text if not one.isprintable() and one != "\n"}


# Light and dark.


def palettes() -> tuple[str, dict[str, str], dict[str, str]]:
    css = (resources.files("harness.report") / "web" / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colour = re.compile(r"(--[\w-]+): (#[0-9a-f]{6});")
    return css, dict(colour.findall(light)), dict(colour.findall(dark))


def test_both_palettes_define_every_colour_that_is_used() -> None:
    css, light, dark = palettes()
    used = set(re.findall(r"var\((--[\w-]+)\)", css))
    for name in PAGES:
        used |= set(re.findall(r"var\((--[\w-]+)\)", taken_apart(name).inside["script"][0]))

    assert set(light) == set(dark)
    assert used <= set(light)
    # No colour of the page but those.
    assert not re.findall(
        r"#[0-9a-fA-F]{3,8}\b", re.sub(r":root \{.*?\}", "", css, flags=re.DOTALL).replace("#short", "")
    )


@pytest.mark.parametrize("place", [1, 2], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(place: int) -> None:
    """Contrast of WCAG 2.2: 4.5 for text (1.4.3), 3 for marks of a chart (1.4.11)."""
    colours = palettes()[place]
    assert isinstance(colours, dict)
    for text in ("--ink", "--soft", "--link", "--c1", "--c2", "--c3", "--c6"):
        for ground in ("--paper", "--card"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for number in range(1, 11):
        assert contrast(colours[f"--c{number}"], colours["--paper"]) >= 3.0, number
    assert contrast(colours["--faint"], colours["--paper"]) >= 3.0


def contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


# In a browser.

SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
OPENED = (
    *(
        (name, scheme, size)
        for name in ("epyc", "two machines")
        for scheme in ("light", "dark")
        for size in SIZES
    ),
    *((name, "light", "narrow") for name in ("three runs", "hostile", "only failures")),
)


@dataclass
class Opened:
    """A page in a browser, and what went on there."""

    tab: Any
    said: list[str]
    asked: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests; no network is asked for anything."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (`make browser`)")
    path = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
    )
    with driver.sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no Chromium is here: name one in CHROMIUM")
        # Chromium refuses its own sandbox to root.
        arguments = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        one = playwright.chromium.launch(executable_path=path, args=arguments)
        yield one
        one.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture
def opened(browser: Any, folder: Path) -> Iterator[Any]:
    """Opens a page by its name, offline."""
    contexts = []

    def open_page(name: str, scheme: str = "light", size: str = "wide", **options: Any) -> Opened:
        place = folder / f"{name}.html"
        if not place.exists():
            place.write_text(written(name), encoding="utf-8")
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, **options
        )
        contexts.append(context)
        found = Opened(context.new_page(), [], [])
        found.tab.on("console", lambda one: found.said.append(f"{one.type}: {one.text}"))
        found.tab.on("pageerror", lambda one: found.said.append(f"error: {one}"))
        found.tab.on("dialog", lambda one: found.said.append(f"dialog: {one.message}"))
        found.tab.on("request", lambda one: found.asked.append(one.url))
        found.tab.goto(place.as_uri())
        if options.get("java_script_enabled", True) and '"specs":{}' not in written(name):
            found.tab.wait_for_selector("body[data-drawn]", timeout=60_000)
        return found

    yield open_page
    for context in contexts:
        context.close()


@cache
def written(name: str) -> str:
    """A page, or one with all hostile texts at once."""
    texts = " ".join(text for kind, text in HOSTILE.items() if not kind.startswith("long"))
    return as_html((odd_runs.words(texts),)) if name == "hostile" else page(name)


def count(tab: Any, selector: str) -> int:
    return int(tab.locator(selector).count())


@pytest.mark.browser
@pytest.mark.parametrize(("name", "scheme", "size"), OPENED)
def test_a_browser_draws_every_chart_and_has_nothing_to_complain_of(
    opened: Any, name: str, scheme: str, size: str
) -> None:
    found = opened(name, scheme, size)
    tab = found.tab

    assert found.said == []
    assert {url for url in found.asked if not url.startswith("blob:")} == {tab.url}
    places = count(tab, "[data-chart]")
    assert places == len(parsed(written(name)).specs["specs"])
    assert count(tab, "[data-chart] svg") == places
    assert count(tab, "[data-chart] .error, [data-chart].error") == 0
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert tab.evaluate("document.querySelector('script[src], img, iframe, link')") is None
    marks = tab.evaluate(
        "[...document.querySelectorAll('[data-chart] svg')].map(one => one.querySelectorAll('path, text').length)"
    )
    assert all(mark > 3 for mark in marks)


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["epyc", "two machines"])
def test_nobody_is_shut_out(opened: Any, name: str, scheme: str) -> None:
    """What axe finds grave, with all that is folded open; of a table's rows, which are all alike, the first few."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    tab = opened(name, scheme).tab
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    tab.evaluate("document.querySelectorAll('tbody tr:nth-child(n + 6)').forEach(one => one.remove())")

    found = axe.Axe().run(tab).response["violations"]

    assert [
        (one["id"], one["impact"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ] == []


def long_table(tab: Any, title: str) -> Any:
    details = tab.locator("details", has=tab.locator("summary", has_text=title)).last
    details.evaluate("one => one.open = true")
    return details


def column(table: Any, place: int) -> list[str]:
    told: list[str] = table.locator(f"tbody tr:not([hidden]) td:nth-child({place + 1})").all_text_contents()
    return told


@pytest.mark.browser
def test_a_long_table_is_sorted_by_value(opened: Any) -> None:
    run = sources("epyc")[0].run
    median = {result.case.id: result.measurement.median for result in run.measured if result.measurement}
    table = long_table(opened("epyc").tab, "Cases: matmul")
    header = table.locator("th").nth(1)
    assert header.text_content() == "median"
    before = column(table, 0)

    header.locator("button").click()
    up = column(table, 0)
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").click()
    down = column(table, 0)

    assert header.get_attribute("aria-sort") == "descending"
    assert sorted(up) == sorted(down) == sorted(before)
    # By value, not by digits: 8.39 µs before 1.87 ms. Cells have three digits.
    times = [median[case] for case in up]
    assert all(one <= 1.01 * after for one, after in pairwise(times))
    times = [median[case] for case in down]
    assert all(one >= after / 1.01 for one, after in pairwise(times))
    assert up.index("matmul-float32-m64-n64-k64") < up.index("matmul-float32-m512-n512-k512")


@pytest.mark.browser
def test_every_kind_of_number_is_sorted_by_value(opened: Any) -> None:
    """Cells in an order that is right, by hand; the page's own script gives each its key."""
    tab = opened("only failures").tab
    script = parsed(page("only failures")).inside["script"][2]
    function = re.search(r"const PREFIXES.*?\n\}\n", script, re.DOTALL)
    assert function is not None
    for cells in (
        ["12.0 ns", "8.39 µs", "651 µs", "1.87 ms", "154 ms", "1.20 s", "75.0 s"],
        ["100 B", "1023 B", "1.00 KiB", "999 KiB", "1.00 MiB", "3.00 GiB", "1.00 TiB"],
        ["2.00 B/s", "900 kB/s", "18.5 MB/s", "443 GB/s", "1.20 TB/s"],
        ["8.83 kFLOP", "1.13 MFLOP", "236 GFLOP/s", "2.20 TFLOP/s", "1.00 PFLOP/s"],
        ["-98.38%", "-0.00%", "+4.16%", "+295.17%"],
        ["± 0.5%", "± 7.2%", "± 39%"],
        ["0.27 compute", "0.61 memory", "1.01 compute"],
        ["210", "5.97 k", "1.20 M"],
        ["0.50 x (0.4 - 0.6) -", "1.00 x ?", "10.20 x (9.0 - 11.0) +"],
        ["12.3 mJ", "4.20 J"],
        ["800 MHz", "3.53 GHz"],
    ):
        keys = tab.evaluate(f"cells => {{ {function[0]} return cells.map(key); }}", cells)
        assert keys == sorted(keys), cells
        assert all(isinstance(key, int | float) for key in keys), cells


@pytest.mark.browser
def test_a_long_table_is_searched(opened: Any) -> None:
    table = long_table(opened("many").tab, "Cases: suite1")
    cases = column(table, 0)
    wanted = cases[3]
    search = table.locator("input[type=search]")

    search.fill(wanted.upper())
    assert wanted in column(table, 0)
    assert 0 < len(column(table, 0)) < len(cases) == 500
    assert all(wanted in case for case in column(table, 0))
    search.fill("no such case")
    assert column(table, 0) == []
    search.fill("")
    assert column(table, 0) == cases


@pytest.mark.browser
@pytest.mark.parametrize("name", ["epyc", "three runs"])
def test_without_scripts_every_number_is_there(opened: Any, name: str) -> None:
    tab = opened(name, java_script_enabled=False).tab
    # Scripts of the page are off; the test may still look.
    content = parsed(tab.content())

    assert Counter(_flat(content.cells)) == Counter(_flat(taken_apart(name).cells))
    assert tab.locator("noscript p").is_visible()
    assert count(tab, "svg") == 0


def _flat(cells: list[str]) -> list[str]:
    return [" ".join(cell.split()) for cell in cells]
