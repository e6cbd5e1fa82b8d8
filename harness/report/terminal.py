"""Tables and sections in a terminal."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.report.content import Column, Kind, Page, Section, Table
from harness.text import visible

# The least width of a column that folds, and the space between columns, in characters.
_LEAST, _GAP = 14, 2
# A pipe has no width: it gets whole lines.
_ENDLESS = 240


def screen() -> Console:
    """A console as wide as the terminal, or wide enough for every table without one.

    It writes to the standard output of this moment, also after that is redirected.
    """
    console = _Screen(file=sys.stdout)
    return console if console.is_terminal else _Screen(file=sys.stdout, width=_ENDLESS)


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Leaves a closed pipe to the command."""
        raise BrokenPipeError


def show_page(page: Page, console: Console) -> None:
    """Prints the report of several runs, all of it."""
    console.print(Text(visible(page.title), style="bold"))
    for text in page.subtitles:
        console.print(Text(visible(text)))
    for section in page.sections:
        show_section(section, console)


def show_section(section: Section, console: Console) -> None:
    """Prints the tables and the sentences of a section."""
    for block in section.blocks:
        if isinstance(block, Table):
            print_table(console, block.title or section.title, block.columns, block.rows, block.dispensable)
        else:
            for text in block.texts:
                console.print(Text(visible(text), style="yellow" if block.caution else ""))
            console.print()


def print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    dispensable: Sequence[str] = (),
) -> None:
    """Prints a table, or nothing where it has no rows. Cells are text, never markup.

    While the table is wider than the terminal, dispensable columns go one after another; then the widest ids fold.
    """
    titles = [visible(name) for name in columns]
    cells = [[visible(cell) for cell in row] for row in rows]
    if not cells:
        return
    kinds = [Column(name).kind for name in columns]
    shown = list(range(len(columns)))
    for name in dispensable:
        if _width(titles, cells, shown) > console.width:
            shown.remove(columns.index(name))
    folding = [index for index in shown if kinds[index] is Kind.TEXT]
    names = [index for index in shown if kinds[index] is Kind.ID]
    # The widest names fold first; where that is not enough, numbers fold too, as nothing may be cut off.
    for index in sorted(names, key=lambda column: _width(titles, cells, [column]), reverse=True) + shown:
        rigid = [column for column in shown if column not in folding]
        if _width(titles, cells, rigid) + (_LEAST + _GAP) * len(folding) <= console.width:
            break
        folding = list({*folding, index})
    rigid = [column for column in shown if column not in folding]
    grid = Grid(
        title=Text(visible(title)) if title else None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for index in shown:
        grid.add_column(
            Text(titles[index]),
            justify="right" if kinds[index] is Kind.NUMBER else "left",
            no_wrap=index in rigid,
            overflow="fold",
        )
    for row in cells:
        grid.add_row(*(Text(row[index]) for index in shown))
    console.print(grid)
    console.print()


def _width(columns: Sequence[str], cells: Sequence[Sequence[str]], shown: Sequence[int]) -> int:
    return sum(max(len(columns[i]), *(len(row[i]) for row in cells)) + _GAP for i in shown) - _GAP
