"""A run as tables in a terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.records import Answer, Run
from harness.report import costmodel, summary
from harness.report.fits import FIT_COLUMNS, fit_rows
from harness.report.levers import LEVER_COLUMNS, LEVER_DISPENSABLE, lever_rows
from harness.report.rows import COLUMNS, DISPENSABLE, VIEW_COLUMNS, absent_rows, case_rows, suites, view_rows
from harness.report.steps import STEP_COLUMNS, STEP_DISPENSABLE, step_rows, unknown_operators, untraced

STYLE = {Answer.HOLDS: "green", Answer.FAILS: "bold red", Answer.INCONCLUSIVE: "yellow"}
_LEFT = {
    "lever",
    "base",
    "case",
    "pass",
    "part",
    "step",
    "sweep",
    "level",
    "dtype",
    "flags",
    "by",
    "rung",
    "term",
    "law",
    "at",
    "work",
    "operators",
    "suite",
    "way to predict",
    "mostly",
    "worst case",
    "worst step",
}
# Columns that may fold: the others are numbers, or ids, which are best read whole.
_FREE = {"flags", "by", "term", "at"}
_IDS = {"base", "case", "step", "sweep", "reason", "worst case", "worst step", "mostly"}
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


def show(run: Run, console: Console) -> None:
    """Prints ceilings, sweeps, cases and claims; widths follow the terminal."""
    console.print(Text(summary.machine(run), style="bold"))
    print_table(console, "Compute ceilings", summary.LADDER_COLUMNS, summary.ladder(run))
    for what, why in run.ceilings.unmeasured.items():
        console.print(Text(f"not measured: {what} ({why})", style="yellow"))
    print_table(console, "Bandwidth ceilings", summary.BANDWIDTH_COLUMNS, summary.bandwidths(run))
    print_table(
        console,
        "Scaling",
        FIT_COLUMNS,
        [row for fit in run.header.fits for row in fit_rows(fit)],
    )
    for suite in suites(run.results):
        print_table(console, f"Cases: {suite}", COLUMNS, case_rows(run, suite), DISPENSABLE)
    print_table(console, "Steps", STEP_COLUMNS, step_rows(run), STEP_DISPENSABLE)
    show_cost_model(run, console)
    print_table(console, "Levers", LEVER_COLUMNS, lever_rows(run), LEVER_DISPENSABLE)
    for line in (*unknown_operators(run), *untraced(run)):
        console.print(Text(line, style="yellow"))
    print_table(console, "Views of a call's time", VIEW_COLUMNS, view_rows(run), ("host-bound", "regime"))
    for reason, word, cases in absent_rows(run):
        console.print(Text(f"{word}: {reason}", style="red" if word == "FAILED" else "yellow"))
        console.print(Text(f"  {cases}"))
    show_claims(run, console)
    console.print(Text(summary.surroundings(run)))
    console.print(Text(f"{run.header.id}: {summary.state(run)}", style="" if run.complete else "bold yellow"))


def show_cost_model(run: Run, console: Console) -> None:
    """Prints what was calibrated, and what it said of the steps."""
    print_table(
        console, "Cost model", costmodel.LAW_COLUMNS, costmodel.law_rows(run), costmodel.LAW_DISPENSABLE
    )
    line = costmodel.framework_line(run)
    if line:
        console.print(Text(line))
        console.print()
    print_table(
        console,
        "Expected time of steps, from operators measured alone",
        costmodel.TIME_COLUMNS,
        costmodel.time_rows(run),
        costmodel.TIME_DISPENSABLE,
    )
    print_table(
        console, "How far off", costmodel.WAY_COLUMNS, costmodel.way_rows(run), costmodel.WAY_DISPENSABLE
    )
    print_table(
        console,
        "Laws against the operators of the steps, each measured alone",
        costmodel.KIND_COLUMNS,
        costmodel.kind_rows(run),
    )


def show_claims(run: Run, console: Console) -> None:
    """Prints the verdicts: the count of each claim, every one worth reading, and what is damaged."""
    for claim, answers in summary.claims(run):
        console.print(Text(f"{claim}: {answers}"))
    for verdict in summary.worth_reading(run):
        line = Text("  ").append(verdict.answer.value, style=STYLE[verdict.answer])
        console.print(line.append(f"  {verdict.subject}: {verdict.reason}"))
    for damage in run.damage:
        console.print(Text(f"damaged: {damage}", style="red"))


def print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    dispensable: Sequence[str] = (),
) -> None:
    """Prints a table, or nothing where it has no rows. Cells are text, never markup.

    Columns that may go do, one after another, while the table is wider than the terminal; then ids fold.
    """
    cells = [list(row) for row in rows]
    if not cells:
        return
    shown = list(range(len(columns)))
    for name in dispensable:
        if _width(columns, cells, shown) > console.width:
            shown.remove(columns.index(name))
    free = _FREE | (_IDS if _width(columns, cells, shown) > console.width else set())
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index in shown:
        justify: Literal["left", "right"] = "left" if columns[index] in _LEFT else "right"
        table.add_column(columns[index], justify=justify, no_wrap=columns[index] not in free, overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    console.print(table)
    console.print()


def _width(columns: Sequence[str], cells: Sequence[Sequence[str]], shown: Sequence[int]) -> int:
    gap = 2
    return sum(max(len(columns[i]), *(len(row[i]) for row in cells)) + gap for i in shown) - gap
