"""The content of a report before its layout: sections of tables and lines, as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

Row = tuple[str, ...]


class Kind(StrEnum):
    """The kind of the cells of a column, which decides their alignment and width."""

    NUMBER = "number"  # right-aligned, on one line
    ID = "id"  # left-aligned, on one line while there is room
    TEXT = "text"  # left-aligned, may fold


class Column(str):
    """The title of a column, which also has a kind; a bare string is the title of a column of numbers."""

    __slots__ = ("kind",)
    kind: Kind

    def __new__(cls, title: str, kind: Kind | None = None) -> Self:
        """Keeps the kind of a title that has one already."""
        column = super().__new__(cls, title)
        column.kind = kind or (title.kind if isinstance(title, Column) else Kind.NUMBER)
        return column


def ids(*titles: str) -> tuple[Column, ...]:
    """Columns of names, which are best read whole."""
    return tuple(Column(title, Kind.ID) for title in titles)


def texts(*titles: str) -> tuple[Column, ...]:
    """Columns of prose, which may fold."""
    return tuple(Column(title, Kind.TEXT) for title in titles)


@dataclass(frozen=True)
class Table:
    """Cells under columns. A narrow place omits the columns in `dispensable`, first to last.

    `cards`: a page shows each row as a card, where there is room to read it.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""
    dispensable: tuple[str, ...] = ()
    cards: bool = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kind of each column."""
        return tuple(Column(title).kind for title in self.columns)


@dataclass(frozen=True)
class Lines:
    """Sentences, each with a line of its own. A `caution` has another colour where there are colours."""

    texts: tuple[str, ...]
    caution: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a report under a title; `name` is what links to it and stays the same when the title changes.

    `details`: for reference; a page and Markdown fold it.
    """

    name: str
    title: str
    blocks: tuple[Table | Lines, ...]
    details: bool = False


@dataclass(frozen=True)
class Page:
    """A whole report: its subject, and its sections in a reader's order."""

    title: str
    subtitles: tuple[str, ...]
    sections: tuple[Section, ...]


def section(
    name: str, title: str, blocks: Iterable[Table | Lines | None], *, details: bool = False
) -> Section | None:
    """A section of the blocks that are not None; None where all are."""
    known = tuple(block for block in blocks if block is not None)
    return Section(name, title, known, details) if known else None


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", dispensable: Sequence[str] = ()
) -> Table | None:
    """A table, or None where it has no rows."""
    cells = tuple(tuple(row) for row in rows)
    return Table(tuple(columns), cells, title, tuple(dispensable)) if cells else None


def lines(sentences: Iterable[str], *, caution: bool = False) -> Lines | None:
    """Sentences, or None where all are empty."""
    known = tuple(sentence for sentence in sentences if sentence)
    return Lines(known, caution) if known else None
