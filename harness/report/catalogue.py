"""The workloads there are, with what each should cost."""

from collections.abc import Sequence

from rich.console import Console

from harness import units
from harness.records import Case
from harness.report.terminal import print_table

COLUMNS = ("case", "matrix work", "vector work", "bytes moved", "FLOP/byte", "memory")


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
        units.work(cost.vector_flops) if cost.vector_flops else "",
        units.size(cost.bytes_moved),
        f"{cost.arithmetic_intensity:.3g}",
        units.size(cost.memory_bytes),
    )
