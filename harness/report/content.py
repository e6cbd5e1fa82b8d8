"""What a report is made of, before anybody decides how it looks: sections of tables and lines, as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Cells under columns. What a narrow place leaves out are the columns in `dispensable`, first to last.

    `cards`: a page shows each row as a card, where there is room to read it.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""
    dispensable: tuple[str, ...] = ()
    cards: bool = False


@dataclass(frozen=True)
class Lines:
    """Sentences, each with a line of its own. A `caution` is told in another colour where there are colours."""

    texts: tuple[str, ...]
    caution: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a report under a title; `name` is what links to it and stays the same when the title changes.

    `details`: rather to be looked up than read.
    """

    name: str
    title: str
    blocks: tuple[Table | Lines, ...]
    details: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report: what it is of, and its sections in a reader's order."""

    title: str
    subtitles: tuple[str, ...]
    sections: tuple[Section, ...]


def section(
    name: str, title: str, blocks: Iterable[Table | Lines | None], *, details: bool = False
) -> Section | None:
    """A section of those blocks that there are; None where there is none."""
    told = tuple(block for block in blocks if block is not None)
    return Section(name, title, told, details) if told else None


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", dispensable: Sequence[str] = ()
) -> Table | None:
    """A table, or None where it has no rows."""
    cells = tuple(tuple(row) for row in rows)
    return Table(tuple(columns), cells, title, tuple(dispensable)) if cells else None


def lines(texts: Iterable[str], *, caution: bool = False) -> Lines | None:
    """Sentences, or None where all are empty."""
    told = tuple(text for text in texts if text)
    return Lines(told, caution) if told else None
