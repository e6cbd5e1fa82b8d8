"""`report.md`: one run or several as Markdown that fits its place."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from harness.report.content import Lines, Page, Section, Table
from harness.text import shortened, visible

# A table of more rows is folded.
LONG = 20
# Rows of each table, tried one after another until the report fits.
_ROWS = (1000, 500, 300, 200, 140, 100, 70, 50, 40, 30, 24, 20, 17, 14, 12, 10, 8, 6, 5, 4, 3, 2, 1, 0)
# The longest cell, in characters; a longer one loses its middle.
_CELL = 2000


@dataclass(frozen=True)
class Place:
    """A place of Markdown and its limit in UTF-8 bytes or characters; a longer text is refused whole."""

    name: str
    most: int
    in_bytes: bool

    def holds(self, text: str) -> bool:
        """Whether the text is within the limit."""
        return (len(text.encode()) if self.in_bytes else len(text)) <= self.most


# GitHub drops a job summary above 1,024 KiB whole, and refuses a comment above 65,536 characters.
SUMMARY = Place("summary", 1024 * 1024, in_bytes=True)
COMMENT = Place("comment", 65_536, in_bytes=False)
PLACES = {place.name: place for place in (SUMMARY, COMMENT)}


def markdown(page: Page, place: Place = SUMMARY) -> str:
    """The whole report, or as much as fits; what is left out is counted in its place."""
    for rows in (None, *_ROWS):
        text = "\n".join(_lines(page, rows)) + "\n"
        if place.holds(text):
            return text
    return _cut(text, place)


def _cut(text: str, place: Place) -> str:
    """Whole lines from the top, where not even a report without tables fits."""
    every = text.splitlines()

    def first(kept: int) -> str:
        note = f"{len(every) - kept} more lines are not shown: they did not fit here."
        return "\n".join([*every[:kept], "", note, ""])

    return first(bisect_left(range(len(every)), x=True, key=lambda kept: not place.holds(first(kept + 1))))


def _lines(page: Page, rows: int | None) -> Iterator[str]:
    yield f"# {escaped(page.title)}"
    for text in page.subtitles:
        yield ""
        yield escaped(text)
    for section in page.sections:
        yield from _section(section, rows)


def _section(section: Section, rows: int | None) -> Iterator[str]:
    yield ""
    yield f"## {escaped(section.title)}"
    for block in section.blocks:
        if isinstance(block, Lines):
            yield from _sentences(block)
        else:
            yield from _cards(block) if block.cards else _table(block, section, rows)


def _sentences(block: Lines) -> Iterator[str]:
    yield ""
    yield from (f"- {escaped(text)}" for text in block.texts)


def _cards(table: Table) -> Iterator[str]:
    """A list item for a row's first two cells, with its other cells below it."""
    yield ""
    yield from _title(table.title)
    for kind, finding, *cells in table.rows:
        yield f"- {_strong(kind)} {escaped(finding)}"
        for column, cell in zip(table.columns[2:], cells, strict=True):
            yield f"  - {escaped(column)}: {escaped(cell)}"


def _table(table: Table, section: Section, rows: int | None) -> Iterator[str]:
    shown = table.rows if rows is None else table.rows[:rows]
    title = table.title if table.title != section.title else ""
    folded = len(shown) > LONG or (section.details and bool(shown))
    yield ""
    if folded:
        yield f"<details><summary>{_plain_html(title or section.title)}: {len(table.rows)} rows</summary>"
        yield ""
    else:
        yield from _title(title)
    if shown:
        yield f"| {' | '.join(escaped(column) for column in table.columns)} |"
        yield f"|{'---|' * len(table.columns)}"
        yield from (f"| {' | '.join(escaped(cell) for cell in row)} |" for row in shown)
    if len(shown) < len(table.rows):
        left = len(table.rows) - len(shown)
        yield ""
        yield f"{left} of {len(table.rows)} rows are not shown: they did not fit here."
    if folded:
        yield ""
        yield "</details>"


def _title(text: str) -> Iterator[str]:
    if title := _strong(text):
        yield title
        yield ""


def _strong(text: str) -> str:
    shown = escaped(text)
    return f"**{shown}**" if shown else ""


# What begins markup inside a line, and what begins or ends one as markup; letters, digits and the rest of the
# punctuation of ids stay as they are.
_MARKUP = re.compile(
    r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[#>]|^[+=-](?=\s|[\s-]*$)|(?<=\s)#(?=#*$)"
)
# What makes an item of a numbered list out of a line: its point or bracket.
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)", re.ASCII)

# What GitHub makes a call to somebody or a link to an issue of: parted from its name by a space of no width.
_CALLED = re.compile(r"@|#(?=\d)")

# Something to type, between single backquotes; nothing in it could end the quotation, a cell or a line.
_TYPED = re.compile(r"(?<!`)`((?! )[\w ./=:()\[\],'\"-]+(?<! ))`(?!`)")


def escaped(text: str) -> str:
    r"""Text from outside, harmless in a table cell and elsewhere: no markup, no HTML, no mention of a person.

    >>> escaped("a|b <script> @someone [x](y) train_step, `plumbline env`")
    'a\\|b &lt;script> @\u200bsomeone \\[x\\](y) train_step, `plumbline env`'
    """
    parts = _TYPED.split(_shown(text))
    return "".join(f"`{part}`" if place % 2 else _plain(part) for place, part in enumerate(parts))


def _shown(text: str) -> str:
    return shortened(visible(text).strip(), _CELL)


def _plain(text: str) -> str:
    marked = _MARKUP.sub(lambda match: f"\\{match.group()}", text)
    return _html(_NUMBERED.sub(r"\1\\\2", marked))


def _plain_html(text: str) -> str:
    """The same where Markdown does not reach: inside an element."""
    return _html(_shown(text))


def _html(text: str) -> str:
    return _CALLED.sub("\\g<0>\u200b", text.replace("&", "&amp;").replace("<", "&lt;"))
