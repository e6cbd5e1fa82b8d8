"""A run as tables in a terminal."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.records import Answer, FindingKind, Run
from harness.report import summary
from harness.report.case_tables import absent_rows
from harness.report.content import Column, Kind, Page, Section, Table
from harness.report.sections import UNMEASURED_COLUMNS
from harness.report.sections import page as page_of
from harness.report.step_tables import unknown_operators, untraced
from harness.text import visible

STYLE = {Answer.HOLDS: "green", Answer.FAILS: "bold red", Answer.INCONCLUSIVE: "yellow"}
_KIND_STYLE = {FindingKind.WRONG: "bold red", FindingKind.VOIDS: "yellow", FindingKind.ADVICE: "cyan"}
# The least width of a column that folds, in characters.
_LEAST = 14
# Where there is no terminal there is no width to fit: a pipe gets whole lines.
_ENDLESS = 240


def screen() -> Console:
    """A console as wide as the terminal, or wide enough for every table where there is none.

    It keeps to the standard output of this moment, whatever takes its place later.
    """
    console = _Screen(file=sys.stdout)
    return console if console.is_terminal else _Screen(file=sys.stdout, width=_ENDLESS)


class _Screen(Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to the command what a reader that went away means."""
        raise BrokenPipeError


# What the terminal leaves to the page, and what it keeps for the end, where the eye is.
_LEFT_OUT = {"environment", "method", "memory", "roofline", "sensors"}
_LAST = ("doubts", "short", "claims")


def show(run: Run, console: Console) -> None:
    """Prints the report, what matters most at its end; widths follow the terminal."""
    found = {section.name: section for section in page_of(run).sections}
    console.print(Text(visible(summary.machine(run)), style="bold"))
    for name, section in found.items():
        if name not in {*_LEFT_OUT, *_LAST}:
            _show_section(section, console)
    for what, why in run.peaks.unmeasured.items():
        console.print(Text(visible(f"not measured: {what} ({why})"), style="yellow"))
    for reason, word, cases in absent_rows(run):
        console.print(Text(f"{word}: {visible(reason)}", style="red" if word == "FAILED" else "yellow"))
        console.print(Text(f"  {visible(cases)}"))
    for line in (*unknown_operators(run), *untraced(run)):
        console.print(Text(visible(line), style="yellow"))
    show_claims(run, console)
    for block in found["short"].blocks:
        if isinstance(block, Table) and not block.cards and block.columns != UNMEASURED_COLUMNS:
            print_table(console, block.title, block.columns, block.rows, block.dispensable)
    for finding in run.header.findings:
        kind = Text(finding.kind.value, style=_KIND_STYLE[finding.kind])
        console.print(kind.append(f"  {finding.name}: {visible(finding.finding)}", style="default"))
        console.print(Text(f"  {visible(finding.fix)}"))
    console.print(Text(visible(summary.surroundings(run))))
    console.print(Text(f"{run.header.id}: {summary.state(run)}", style="" if run.complete else "bold yellow"))


def show_page(page: Page, console: Console) -> None:
    """Prints the report of several runs, all of it."""
    console.print(Text(visible(page.title), style="bold"))
    for text in page.subtitles:
        console.print(Text(visible(text)))
    for section in page.sections:
        _show_section(section, console)


def _show_section(section: Section, console: Console) -> None:
    for block in section.blocks:
        if isinstance(block, Table):
            print_table(console, block.title or section.title, block.columns, block.rows, block.dispensable)
        else:
            for text in block.texts:
                console.print(Text(visible(text), style="yellow" if block.caution else ""))
            console.print()


def show_claims(run: Run, console: Console) -> None:
    """Prints the verdicts: the count of each claim, every one worth reading, and what is damaged."""
    for claim, answers in summary.claims(run):
        console.print(Text(f"{claim}: {answers}"))
    for verdict in summary.worth_reading(run):
        line = Text("  ").append(verdict.answer.value, style=STYLE[verdict.answer])
        console.print(line.append(visible(f"  {verdict.subject}: {verdict.reason}")))
    for damage in run.damage:
        console.print(Text(visible(f"damaged: {damage}"), style="red"))


def print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    dispensable: Sequence[str] = (),
) -> None:
    """Prints a table, or nothing where it has no rows. Cells are text, never markup.

    While the table is wider than the terminal, dispensable columns go one after another; then ids fold.
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
    folding = {Kind.TEXT} if _width(titles, cells, shown) <= console.width else {Kind.TEXT, Kind.ID}
    rigid = [index for index in shown if kinds[index] not in folding]
    if rigid and _width(titles, cells, rigid) + _LEAST * (len(shown) - len(rigid)) > console.width:
        rigid = []  # nothing may be cut off: then numbers fold too
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
    gap = 2
    return sum(max(len(columns[i]), *(len(row[i]) for row in cells)) + gap for i in shown) - gap
