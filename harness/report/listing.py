"""Prints the facts of a machine, and the workloads with their predicted costs."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness import units
from harness.records import Case, Environment
from harness.report.content import ids
from harness.report.facts import fact_rows
from harness.report.terminal import print_table
from harness.text import visible

COLUMNS = (*ids("case"), "matrix work", "elementwise work", "bytes moved", "FLOP/byte", "memory")


def show_facts(environment: Environment, console: Console) -> None:
    """Prints every fact under its part of the record, then what could not be had and why."""
    shown = ""
    for part, name, fact in fact_rows(environment):
        if part != shown:
            console.print(Text(part, style="bold"))
            shown = part
        console.print(Text(f"  {name:<34} ").append(visible(fact)), soft_wrap=True)
    console.print(Text(f"fingerprint {environment.fingerprint}"))


def show_catalogue(cases: Sequence[Case], console: Console) -> None:
    """Prints a table for each suite."""
    for suite in dict.fromkeys(case.suite for case in cases):
        rows = [_row(case) for case in cases if case.suite == suite]
        print_table(console, f"{suite}: {len(rows)} workloads", COLUMNS, rows)


def _row(case: Case) -> tuple[str, ...]:
    cost = case.cost
    if cost is None:
        return (case.id, case.untraced or "traced", "", "", "", "")
    return (
        case.id,
        units.work(cost.flops) if cost.flops else "",
        units.work(cost.elementwise_flops) if cost.elementwise_flops else "",
        units.size(cost.bytes_moved),
        f"{cost.arithmetic_intensity:.3g}",
        units.size(cost.memory_bytes),
    )
