"""What decisions buy on this machine, as a table."""

from harness import units
from harness.records import Lever, Run

LEVER_COLUMNS = ("lever", "speed-up", "95 %", "expected", "by", "memory", "said", "base")
LEVER_DISPENSABLE = ("said", "by", "memory")


def lever_rows(run: Run) -> list[tuple[str, ...]]:
    """A row for each pair of cases."""
    return [_row(lever) for lever in run.header.levers]


def _row(lever: Lever) -> tuple[str, ...]:
    return (
        lever.lever,
        f"{lever.speedup:.2f} x",
        f"{lever.low:.2f} - {lever.high:.2f}" if lever.low and lever.high else "",
        f"{lever.expected:.2f} x" if lever.expected else "",
        lever.way,
        units.signed_percent(lever.memory - 1) if lever.memory is not None else "",
        units.signed_percent(lever.expected_memory - 1) if lever.expected_memory is not None else "",
        lever.base,
    )
