"""Markdown of reports: it fits where it is read, counts what it leaves out, and lets no text from outside be markup."""

import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from harness.report.content import Lines, Page, Section, Table
from harness.report.markdown import COMMENT, LONG, PLACES, SUMMARY, Place, escaped, markdown
from harness.report.publish import as_markdown
from harness.report.sources import Source, opened
from harness.text import shortened, visible

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
RUNS = ("epyc-2-cores-cpu", "xeon-2-cores-cpu")

# Fitting


def paged(*blocks: Table | Lines, details: bool = False) -> Page:
    """A page of one section."""
    return Page("A page", ("A subtitle.",), (Section("only", "The only section", blocks, details),))


def counted(number: int, rows: int, cell: str = "cell", columns: int = 3) -> Table:
    """A table that names itself in each of its rows."""
    cells = tuple((f"t{number}r{row}", *(cell for _ in range(columns - 1))) for row in range(rows))
    return Table(("id", *(f"column {i}" for i in range(1, columns))), cells, f"table {number}")


def holding(*tables: Table, lines: int = 0) -> Page:
    """A page with a section for each table, every third of them to be looked up."""
    sections = [
        Section(f"s{i}", f"section {i}", (*_lines(i, lines), one), details=i % 3 == 2)
        for i, one in enumerate(tables)
    ]
    return Page("A page", ("A subtitle.",), tuple(sections))


def _lines(number: int, lines: int) -> tuple[Lines, ...]:
    return (Lines(tuple(f"Line {i} of section {number}." for i in range(lines))),) if lines else ()


def size(text: str, place: Place) -> int:
    return len(text.encode()) if place.in_bytes else len(text)


@dataclass
class Counts:
    """Rows of a table that are there, and those said not to be, of a total."""

    shown: int = 0
    left: int = 0
    total: int | None = None


def counts(text: str) -> dict[int, Counts]:
    """What became of each table, by its number."""
    found: dict[int, Counts] = {}
    one = Counts()
    for line in text.splitlines():
        if title := re.fullmatch(r"\*\*table (\d+)\*\*|<details><summary>table (\d+): .*", line):
            one = found.setdefault(int(title[1] or title[2]), Counts())
            assert one == Counts(), "each table once"
        elif row := re.match(r"\| t(\d+)r(\d+) \|", line):
            assert found[int(row[1])] is one, "a row stands in its own table"
            assert int(row[2]) == one.shown, "rows are the first ones, in order"
            one.shown += 1
        elif told := re.fullmatch(r"(\d+) of (\d+) rows are not shown: they did not fit here\.", line):
            assert one.total is None
            one.left, one.total = int(told[1]), int(told[2])
    return found


def check_whole_lines(text: str) -> None:
    """No row and no fold is cut in its middle."""
    depth = 0
    for line in text.splitlines():
        if line.startswith("<details>"):
            assert re.fullmatch(r"<details><summary>.*: \d+ rows</summary>", line)
            depth += 1
        elif line == "</details>":
            depth -= 1
        elif line.startswith("|"):
            assert line.endswith("|")
        assert depth in {0, 1}
    assert depth == 0


PAGES = {
    "small": holding(counted(0, 3), counted(1, 1), counted(2, 2)),
    "at the fold": holding(counted(0, LONG), counted(1, LONG + 1), counted(2, LONG)),
    "thousands of rows": holding(counted(0, 4000), counted(1, 3), counted(2, 2500)),
    "very many rows": holding(counted(0, 20_000, columns=2)),
    "very long cells": holding(
        counted(0, 400, "long " * 450, columns=2), counted(1, 150, "x" * 5000, columns=2)
    ),
    "wide": holding(counted(0, 400, "cell", columns=60)),
    "characters of several bytes": holding(counted(0, 5000, "模型 naïve µ"), counted(1, 900, "😀" * 100)),
    "hundreds of sections": holding(*(counted(i, 6, "x" * 350, columns=2) for i in range(200))),
    "sections of every length": holding(*(counted(i, 3**i) for i in range(9)), lines=5),
    "text that grows by escaping": holding(counted(0, 700, "&<|*" * 100, columns=2)),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=lambda place: place.name)
@pytest.mark.parametrize("name", PAGES)
def test_it_fits_and_counts_what_it_leaves_out(name: str, place: Place) -> None:
    page = PAGES[name]
    whole = markdown(page, Place("anywhere", 10**9, in_bytes=True))

    text = markdown(page, place)

    assert place.holds(text)
    assert size(text, place) <= place.most
    assert (text == whole) == (size(whole, place) <= place.most)
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert titles == [section.title for section in page.sections]
    check_whole_lines(text)
    found = counts(text)
    assert list(found) == list(range(len(page.sections)))
    for number, section in enumerate(page.sections):
        table = section.blocks[-1]
        assert isinstance(table, Table)
        assert found[number].shown + found[number].left == len(table.rows)
        assert found[number].total in {None, len(table.rows)}
    for number, told in re.findall(r"<details><summary>table (\d+): (\d+) rows</summary>", text):
        block = page.sections[int(number)].blocks[-1]
        assert isinstance(block, Table)
        assert int(told) == len(block.rows)


@pytest.mark.parametrize("place", PLACES.values(), ids=lambda place: place.name)
def test_what_just_fits_is_whole_and_one_more_is_cut(place: Place) -> None:
    cell = "é" * 80  # two bytes each: a place counts bytes or characters
    rows = place.most // size(f"| t0r9999 | {cell} |\n", place) - 2
    page = paged(counted(0, rows, cell, columns=2), Lines(("",)))
    room = place.most - size(markdown(page, Place("anywhere", 10**9, in_bytes=True)), place)
    assert 0 < room < 2000

    just = paged(counted(0, rows, cell, columns=2), Lines(("x" * room,)))
    more = paged(counted(0, rows, cell, columns=2), Lines(("x" * (room + 1),)))

    assert size(markdown(just, place), place) == place.most
    assert counts(markdown(just, place)) == {0: Counts(rows)}
    cut = counts(markdown(more, place))[0]
    assert cut.left > 0
    assert cut.shown + cut.left == rows == cut.total


def test_the_lesser_place_cuts_more() -> None:
    page = holding(counted(0, 3000, "x" * 100))

    assert counts(markdown(page, SUMMARY))[0].shown > counts(markdown(page, COMMENT))[0].shown > 0


def test_a_long_cell_shows_both_its_ends() -> None:
    text = markdown(paged(Table(("a",), (("begin" + "x" * 10_000 + "end",),))))

    (row,) = (line for line in text.splitlines() if line.startswith("| begin"))
    assert row.endswith("xend |")
    assert "…" in row
    assert len(row) == 2000 + len("|  |")


@pytest.mark.parametrize("most", [120, 121, 1000])
@pytest.mark.parametrize("in_bytes", [True, False])
def test_where_not_even_the_headings_fit_whole_lines_do(most: int, in_bytes: bool) -> None:
    """Headings, sentences and findings are lines: those left out are counted."""
    place = Place("small", most, in_bytes)
    sections = tuple(
        Section(f"s{i}", f"section {i} {'é' * 40}", (counted(i, 2),)) for i in range(most // 40 + 2)
    )
    every = ["# A page", "", "A subtitle."]
    for i, section in enumerate(sections):
        told = "2 of 2 rows are not shown: they did not fit here."
        every += ["", f"## {section.title}", "", f"**table {i}**", "", "", told]

    text = markdown(Page("A page", ("A subtitle.",), sections), place)

    assert place.holds(text)
    assert size(text, place) > most - 140  # as much as there is room for
    *kept, blank, told, end = text.split("\n")
    assert (blank, end) == ("", "")
    assert kept == every[: len(kept)]
    assert told == f"{len(every) - len(kept)} more lines are not shown: they did not fit here."


@pytest.mark.parametrize("count", [300, 500])
def test_findings_are_never_cut_by_rows_and_fit_all_the_same(count: int) -> None:
    cards = Table(
        ("kind", "finding", "cause", "what to do"),
        tuple(("advice", f"finding {i} {'x' * 100}", "a cause", "a fix") for i in range(count)),
        "Findings",
        cards=True,
    )

    text = markdown(paged(cards, counted(0, 50)), COMMENT)

    assert COMMENT.holds(text)
    found = len(re.findall(r"^- \*\*advice\*\* finding", text, re.MULTILINE))
    assert (found == count) == (count == 300)
    assert ("more lines are not shown" in text) == (count == 500)


@cache
def reference(*names: str) -> tuple[Source, ...]:
    return opened([str(REFERENCE / name) for name in names], REFERENCE)


@pytest.mark.parametrize("name", RUNS)
def test_a_reference_run_fits_into_a_comment_that_begins_with_the_verdict(name: str) -> None:
    (source,) = reference(name)
    text = as_markdown((source,), "comment")

    assert COMMENT.holds(text)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "In short"
    assert len(headings) > 5
    short = text.split("## ")[1]
    assert "cases: " in short
    assert source.run.header.findings
    for finding in source.run.header.findings:
        assert f"- **{finding.kind.value}** {escaped(f'{finding.name}: {finding.finding}')}\n" in short
        assert f"  - what to do: {escaped(finding.fix)}\n" in short
    check_whole_lines(text)


def test_both_reference_runs_side_by_side_fit_into_a_comment() -> None:
    text = as_markdown(reference(*RUNS), "comment")

    assert COMMENT.holds(text)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[0] == "In short"
    check_whole_lines(text)


# Escaping

FRAGMENTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</details>",
    "</td></tr></table>",
    "<a href='javascript:x'>x</a>",
    "<!--",
    "-->",
    "<?php",
    "<![CDATA[",
    "<!DOCTYPE html>",
    "<http://e.example>",
    "|",
    "||",
    "\\|",
    "\\\\|",
    "\\\\\\|",
    "\\",
    "\\\\",
    "`",
    "``",
    "```",
    "````",
    "`a`",
    "` a `",
    "`a|b`",
    "`a",
    "b`",
    "``a`",
    "`a``",
    "`<b>`",
    "`@someone`",
    "`plumbline bench --resume x`",
    "*",
    "**",
    "**x**",
    "***",
    "_x_",
    "__x__",
    "_",
    "snake_case_name",
    "~~",
    "~~x~~",
    "~~~",
    "[a](javascript:x)",
    "[a]: http://e.example",
    "[a]",
    "[ ] ",
    "![x](http://e.example)",
    "[^1]",
    "&lt;",
    "&#60;",
    "&#x3c;script&#x3e;",
    "&amp;lt;",
    "&",
    "@someone",
    "@org/team",
    "# ",
    "## ",
    "#",
    " #",
    " ##",
    "- ",
    "-",
    "--",
    "---",
    "- - -",
    "+ ",
    "* ",
    "1. ",
    "1.",
    "23) ",
    "1234567890. ",
    "> ",
    ">",
    "===",
    "=",
    ":--",
    "\n",
    "\r\n",
    "\n\n",
    "\t",
    "    ",
    "  ",
    " ",
    "\0",
    "\x1b[31m",
    "\x1b]8;;http://e.example\x07",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\u00ad",
    "\u2028",
    "\x85",
    "\ud800",
    "\U000e0041",
    "模型",
    "naïve",
    "e\u0301",
    "$x$",
    ":x:",
    "a",
    "1",
    "word",
    ".",
    "!",
    "'\"",
)
ALONE = (
    *FRAGMENTS,
    "",
    "x" * 3000,
    "|" * 2500,
    "\\" * 2500,
    "`" * 2500,
    "<" * 2500,
    "a\\" + "|" * 3,
    "# a heading\n\n- a list\n\n---\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "a title\n===",
    "a title\n---",
    "<details><summary>x</summary>\n\n</details>",
    "x</summary></details><h1>y",
    "ends with #",
    "ends with ##",
    "ends with \\",
    "    indented",
    "\tindented",
    " leading and trailing ",
)

RENDERERS = {
    "commonmark": MarkdownIt("commonmark", {"html": True}).enable("table"),
    "gfm-like": MarkdownIt("gfm-like", {"html": True, "linkify": False}).disable("linkify"),
}
# What the structure of a page is made of.
OURS = {"h1", "h2", "p", "ul", "li", "strong", "table", "thead", "tbody", "tr", "th", "td", "code"}
FOLDS = {"details", "summary"}


@dataclass
class Element:
    """A piece of rendered HTML: its kind, and what a reader sees of it."""

    kind: str
    text: str = ""


class Rendered(HTMLParser):
    """What became of Markdown: each element in the order begun, code between backquotes again."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, "an element is not closed"

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert not attrs, (tag, attrs)
        if tag == "code":
            self.handle_data("`")
        one = Element(tag)
        self.elements.append(one)
        self._open.append(one)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().kind == tag
        if tag == "code":
            self.handle_data("`")

    def handle_data(self, data: str) -> None:
        for one in self._open:
            one.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration: {decl}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a section: {data}")

    def texts(self, *kinds: str) -> list[str]:
        return [as_read(element.text) for element in self.elements if element.kind in kinds]

    def kinds(self) -> set[str]:
        return {element.kind for element in self.elements}


def as_read(text: str) -> str:
    """Text as a browser shows it: white space is one space."""
    return " ".join(text.replace("@\u200b", "@").replace("#\u200b", "#").split())


def expected(text: str) -> str:
    return as_read(shortened(visible(text).strip(), 2000))


def rendered(page: Page) -> Iterator[Rendered]:
    text = markdown(page)
    assert "@someone" not in text
    assert "@org" not in text
    for renderer in RENDERERS.values():
        yield Rendered(renderer.render(text))


def check_sentences(texts: Sequence[str]) -> None:
    page = Page("T", (), (Section("n", "S", (Lines(tuple(texts)), Lines(("last",)))),))
    for found in rendered(page):
        assert found.kinds() <= {"h1", "h2", "ul", "li", "code", "p"}
        # Empty items are items too.
        assert found.texts("li") == [*map(expected, texts), "last"]


def check_subtitles(texts: Sequence[str]) -> None:
    page = Page("T", (*texts, "last"), ())
    for found in rendered(page):
        assert found.kinds() <= {"h1", "p", "code"}
        assert found.texts("p") == [*(told for text in texts if (told := expected(text))), "last"]


def check_titles(texts: Sequence[str]) -> None:
    sections = [Section("n", text, (Lines(("x",)),)) for text in texts]
    for found in rendered(Page(texts[0], (), tuple(sections))):
        assert found.kinds() <= {"h1", "h2", "ul", "li", "code"}
        assert found.texts("h1") == [expected(texts[0])]
        assert found.texts("h2") == [*map(expected, texts)]


def check_cells(texts: Sequence[str], columns: int = 3, *, details: bool = False) -> None:
    """The texts as columns, as cells, and as title of a table, folded or not."""
    padded = [*texts, *[""] * (-len(texts) % columns)]
    rows = tuple(tuple(padded[i : i + columns]) for i in range(0, len(padded), columns))
    title = texts[0] or "a title"
    table = Table(rows[-1], rows, title)
    for found in rendered(Page("T", (), (Section("n", "S", (table,), details), Section("e", "End", ())))):
        assert found.kinds() <= OURS | (FOLDS if details or len(rows) > LONG else set())
        assert found.texts("h2") == ["S", "End"]
        assert found.texts("th") == [*map(expected, rows[-1])]
        assert found.texts("td") == [*map(expected, padded)]
        if "summary" in found.kinds():
            assert found.texts("summary") == [as_read(f"{expected(title)}: {len(rows)} rows")]
        else:
            assert found.texts("strong") == [told for told in [expected(title)] if told]


def check_cards(texts: Sequence[str]) -> None:
    rows = tuple((kind, *_others(texts, i)) for i, kind in enumerate(texts))
    columns = ("kind", "finding", "cause", "what to do")
    table = Table(columns, rows, "Findings", cards=True)
    for found in rendered(Page("T", (), (Section("n", "S", (table,)), Section("e", "End", ())))):
        assert found.kinds() <= OURS - {"table", "thead", "tbody", "tr", "th", "td"}
        assert found.texts("h2") == ["S", "End"]
        told = [
            item
            for kind, finding, cause, fix in rows
            for item in (
                as_read(
                    f"{expected(kind)} {expected(finding)} cause: {expected(cause)} what to do: {expected(fix)}"
                ),
                as_read(f"cause: {expected(cause)}"),
                as_read(f"what to do: {expected(fix)}"),
            )
        ]
        assert found.texts("li") == told
        assert found.texts("strong") == ["Findings", *(expected(kind) for kind in texts)]


def _others(texts: Sequence[str], place: int) -> tuple[str, str, str]:
    finding, cause, fix = (texts[(place + step) % len(texts)] for step in (1, 2, 3))
    return finding, cause, fix


def told(texts: Iterable[str]) -> list[str]:
    """Those of the texts in which there is something to read."""
    return [text for text in texts if visible(text).strip()]


def test_a_hostile_text_alone_is_text() -> None:
    for text in ALONE:
        check_sentences([text])
        check_subtitles([text])
        check_titles([text, "next"])
        check_cells([text], columns=1)


def test_hostile_texts_together_are_texts() -> None:
    texts = [text.replace("x" * 100, "") for text in ALONE]
    check_sentences(texts)
    check_subtitles(texts)
    check_titles(texts)
    check_cells(texts)
    check_cells(texts[:40], columns=4, details=True)
    check_cards(told(texts))


def test_any_of_their_combinations_is_text() -> None:
    chance = random.Random(20260102)
    mixed = ["".join(chance.choices(FRAGMENTS, k=chance.randint(1, 8))) for _ in range(300)]
    for start in range(0, len(mixed), 30):
        texts = mixed[start : start + 30]
        check_sentences(texts)
        check_subtitles(texts)
        check_titles(texts)
        check_cells(texts, columns=chance.randint(1, 5), details=chance.random() < 0.5)
        check_cards(told(texts))


def test_a_hostile_column_of_findings_and_a_missing_title_are_no_markup() -> None:
    table = Table(("kind", "finding", "<b> **x**"), (("advice", "x", "y"),), "", cards=True)

    for found in rendered(paged(table)):
        assert found.kinds() == {"h1", "p", "h2", "ul", "li", "strong"}
        assert found.texts("li") == ["advice x <b> **x**: y", "<b> **x**: y"]


def test_something_to_type_stays_code() -> None:
    assert (
        escaped("see `plumbline bench --resume x` and `a=1`") == "see `plumbline bench --resume x` and `a=1`"
    )
    assert escaped("`x`") == "`x`"


# Text


def characters(chance: random.Random) -> str:
    """A text of characters of every kind."""
    ends = (0x20, 0x7F, 0x100, 0x3000, 0xFFFF, 0x10FFFF)
    return "".join(chr(chance.randrange(chance.choice(ends) + 1)) for _ in range(chance.randint(0, 40)))


def test_visible_is_one_line_without_commands_and_stays_as_it_is() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        text = characters(chance)
        shown = visible(text)
        assert shown.isprintable()
        assert len(shown.splitlines()) <= 1
        assert not {unicodedata.category(one) for one in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert visible(shown) == shown
        shown.encode()
        if text.isprintable():
            assert shown == text


def test_visible_loses_no_word() -> None:
    chance = random.Random(8)
    for _ in range(500):
        words = [chance.choice(("a", "模型", "naïve", "\x1b[2J", "\u202e", "\0")) for _ in range(10)]
        shown = visible(chance.choice((" ", "\n", "\t", "\r\n", "\u2028")).join(["first", *words, "last"]))
        assert shown.split() == ["first", *(visible(word) for word in words), "last"]


def test_shortened_keeps_both_ends_and_never_exceeds() -> None:
    chance = random.Random(9)
    for _ in range(2000):
        text = characters(chance)
        most = chance.randint(1, 50)
        short = shortened(text, most)
        assert len(short) <= most
        if len(text) <= most:
            assert short == text
        else:
            head, tail = short[: (most - 1) // 2], short[(most - 1) // 2 + 1 :]
            assert short == f"{head}…{tail}"
            assert text.startswith(head)
            assert text.endswith(tail)
            assert 0 <= len(tail) - len(head) <= 1
