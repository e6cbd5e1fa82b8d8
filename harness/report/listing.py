"""The facts of a machine, and the workloads with their predicted costs."""

from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from harness import units
from harness.records import Case, Environment
from harness.report.content import ids, texts
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


FACT_COLUMNS = (*ids("part", "fact"), *texts("value"))


def fact_rows(environment: Environment) -> list[tuple[str, str, str]]:
    """A row under `FACT_COLUMNS` for every fact, then for what could not be had and why."""
    facts = [
        (part, name, fact)
        for part, value in msgspec.to_builtins(environment).items()
        if part != "unavailable" and isinstance(value, dict | list)
        for name, fact in _lines(value, "")
    ]
    return facts + [("unavailable", name, reason) for name, reason in sorted(environment.unavailable.items())]


def _lines(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _lines(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for position, part in enumerate(value):
            yield from _lines(part, f"{name}.{position}" if name else str(position))
    elif isinstance(value, list):
        yield name, " ".join(map(str, value))
    elif value is not None:
        yield name, _shown(name, value)


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("bytes"):
        return units.size(value)
    if isinstance(value, int | float) and name.endswith("hertz"):
        return units.frequency(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
