"""The models of `plumbline fit`, as a person and as a program reads them."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.text import Text

from harness import units
from harness.fit.fitted import Fitted
from harness.fit.groups import Group
from harness.fit.intervals import Expectation
from harness.fit.models import LONGEST, SHORTEST
from harness.records import Parameter
from harness.report.content import ids, texts
from harness.report.step_tables import FIT_COLUMNS, interval
from harness.report.terminal import print_table
from harness.text import visible

MODEL_COLUMNS = (*ids("sweep", "model"), "sizes", "times", "median residual", "worst", *texts("at"))
# Estimates, and groups without a model, that are shown; --json has all.
SHOWN = 40


def show_fits(groups: Sequence[Group], console: Console) -> None:
    """Prints the model of each group, its parameters, and what it expects; then the groups without a model, and why."""
    fitted = [(group, group.fitted) for group in groups if group.fitted is not None]
    print_table(console, "Models", MODEL_COLUMNS, [_model_row(group, one) for group, one in fitted])
    terms = [
        (visible(group.name), one.name, *interval(one)) for group, _ in fitted for one in group.parameters
    ]
    print_table(console, "Parameters", FIT_COLUMNS, terms)
    expected = [
        (visible(group.name), row, one)
        for group in groups
        for row, one in group.predictions
        if one is not None
    ]
    columns = (*ids("sweep", "work"), "estimated", "95% interval", *ids(""))
    print_table(console, "Estimates", columns, [_expected_row(*one) for one in expected[:SHOWN]])
    if len(expected) > SHOWN:
        console.print(Text(f"and {len(expected) - SHOWN} more: --json has all"))
    lines = [_caveat(group) for group in groups if group.fitted is None or group.left_out]
    for line in lines[:SHOWN]:
        console.print(Text(line, style="yellow"))
    if len(lines) > SHOWN:
        console.print(Text(f"and {len(lines) - SHOWN} more groups: --json has all", style="yellow"))
    if not groups:
        console.print(Text("no sweep has two measured sizes", style="yellow"))


def _caveat(group: Group) -> str:
    if group.fitted is None:
        return f"{visible(group.name)}: {group.reason}"
    return f"{visible(group.name)}: {group.left_out} left out: zero, negative or not a number"


def as_json(groups: Sequence[Group]) -> dict[str, object]:
    """The same for programs; base units, residuals relative."""
    return {"groups": [_group(group) for group in groups]}


def _group(group: Group) -> dict[str, object]:
    fitted = group.fitted
    return {
        "group": group.name,
        "model": fitted.model if fitted else None,
        "reason": group.reason or None,
        "sizes": len(group.where),
        "times": len(fitted.points.values) if fitted else None,
        "left_out": group.left_out,
        "parameters": {parameter.name: _parameter(parameter) for parameter in group.parameters},
        "residual": _residual(group, fitted) if fitted else None,
        "predictions": [_prediction(row, one) for row, one in group.predictions],
    }


def _parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "value": parameter.value,
        "low": parameter.low,
        "high": parameter.high,
        "identified": parameter.identified,
        "unit": parameter.unit,
        "why": parameter.why or None,
    }


def _residual(group: Group, fitted: Fitted) -> dict[str, object]:
    """The size of the median residual and of the worst; where that is."""
    sizes = np.abs(fitted.residuals)
    worst = int(np.argmax(sizes))
    return {"median": float(np.median(sizes)), "worst": float(sizes[worst]), "worst_at": group.where[worst]}


def _prediction(row: Mapping[str, object], one: Expectation | None) -> dict[str, object]:
    if one is None:
        return {**row, "seconds": None, "low": None, "high": None, "extrapolated": None}
    seconds = {"seconds": one.seconds, "low": one.low, "high": one.high}
    # Neither infinity nor the end of the logarithms is an answer.
    finite = {name: value if _held(value) else None for name, value in seconds.items()}
    return {**row, **finite, "extrapolated": one.extrapolated}


def _model_row(group: Group, fitted: Fitted) -> tuple[str, ...]:
    sizes = np.abs(fitted.residuals)
    worst = int(np.argmax(sizes))
    return (
        visible(group.name),
        fitted.model,
        str(len(group.where)),
        str(len(fitted.points.values)),
        units.percent(float(np.median(sizes))),
        units.percent(float(sizes[worst])),
        _where(group.where[worst]),
    )


def _expected_row(name: str, row: Mapping[str, object], expectation: Expectation) -> tuple[str, ...]:
    work = {column: row[column] for column in row if isinstance(row[column], (int, float))}
    interval = f"{_seconds(expectation.low)} to {_seconds(expectation.high)}"
    return (
        name,
        _where(work),
        _seconds(expectation.seconds),
        interval,
        "extrapolated" if expectation.extrapolated else "",
    )


def _held(seconds: float) -> bool:
    return SHORTEST <= seconds <= LONGEST


def _seconds(seconds: float) -> str:
    return units.seconds(seconds) if _held(seconds) else "beyond any number"


def _where(work: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {_number(value)}" for name, value in work.items())


def _number(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e9
    return f"{value:.0f}" if whole or isinstance(value, int) else f"{value:.4g}"
