"""Fitted laws of a run's sweeps, as text: the same in the terminal and in Markdown."""

from collections.abc import Callable

from harness import units
from harness.records import Fit, Parameter

FIT_COLUMNS = ("sweep", "term", "value", "95 % interval")

_SHOW: dict[str, Callable[[float], str]] = {
    "s": units.seconds,
    "B/s": units.bandwidth,
    "FLOP/s": units.work_rate,
    "FLOP": units.work,
    "B": units.size,
}


def fit_rows(fit: Fit) -> list[tuple[str, ...]]:
    """A row under `FIT_COLUMNS` for the law of a sweep and each of its terms, then how well it explains the sizes."""
    worst = f"at {fit.variable} = {fit.worst.size}"
    theory = f"exponent of {fit.variable}, {fit.theory_exponent:g} in theory"
    exponent = [(fit.series, theory, *interval(fit.exponent))] if fit.work_in != "threads" else []
    return [
        (fit.series, "law", fit.law, f"{len(fit.points)} sizes"),
        *((fit.series, one.name, *interval(one)) for one in fit.parameters),
        *exponent,
        (fit.series, "residual, typical", units.percent(fit.typical_residual), ""),
        (fit.series, "residual, worst", units.percent(abs(fit.worst.residual)), worst),
    ]


def interval(one: Parameter) -> tuple[str, str]:
    """The value and its interval; or that there is none, and why."""
    if one.value is None or one.low is None or one.high is None:
        return "not identified", one.why
    shown = [_shown(number, one.unit) for number in (one.value, one.low, one.high)]
    return shown[0], f"{shown[1]} to {shown[2]}"


def _shown(number: float, unit: str) -> str:
    return _SHOW[unit](number) if unit in _SHOW else f"{number:.4g} {unit}".rstrip()
