"""What the machine is, as a person reads it."""

from collections.abc import Iterator

import msgspec

from harness import units
from harness.records import Environment
from harness.report.content import ids, texts

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
