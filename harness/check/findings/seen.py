"""What the rules share: how a finding is ranked, and what the record says in several places."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from harness.records import Environment, Finding, Flag, Measurement, Result, Run
from harness.records.measurement import CROWDED, HARMLESS

# More than a tenth of the cases is no accident of a moment, as more than a tenth of the samples is none of a case.
MANY = 0.10
# A machine on which a quarter of the cases is noisy or drifting has no pace of its own to report.
NOISY = 0.25


class Ranked(NamedTuple):
    """A finding and its weight among those of its kind: the fraction of the time, or of the cases, that is at stake."""

    weight: float
    finding: Finding


Rule = Callable[[Run], Iterator[Ranked]]


def measurements(run: Run) -> list[Measurement]:
    """All that was measured."""
    return [r.measurement for r in run.measured if r.measurement is not None]


def on_cpu(run: Run) -> bool:
    """Whether the device of the run is the CPU."""
    return run.header.settings.device == "cpu"


def number(count: int, thing: str) -> str:
    """So many of something, in words.

    >>> number(1, "case"), number(3, "case")
    ('1 case', '3 cases')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def ids(results: Iterable[Result]) -> tuple[str, ...]:
    """The names of their cases."""
    return tuple(result.case.id for result in results)


def flagged(run: Run, *flags: Flag) -> list[Result]:
    """The cases that carry one of these flags."""
    return [r for r in run.measured if r.measurement is not None and set(flags) & set(r.measurement.flags)]


def is_noisy(run: Run) -> bool:
    """Whether much of what was measured is noisy or drifting."""
    return fraction(len(flagged(run, Flag.NOISY, Flag.DRIFTING)), len(run.measured)) > NOISY


def fraction(part: int, whole: int) -> float:
    """A part of a whole; nothing of nothing."""
    return part / whole if whole else 0.0


def most(values: Iterable[float | None]) -> float | None:
    """The largest that is known."""
    return max((value for value in values if value is not None), default=None)


def clean_fraction(run: Run) -> float | None:
    """The fraction of all samples that waited for no core; None where the system does not tell who waited."""
    processes = [process for m in measurements(run) for process in m.view.processes]
    told = [p for p in processes if p.run_delay_seconds is not None or p.involuntary_switches is not None]
    return sum(p.clean for p in told) / sum(p.samples for p in told) if told else None


def crowded(found: Measurement) -> bool:
    """Whether other programs wanted more cores than a case left them."""
    told = found.sensors
    if found.view.name != "cpu" or told.cpus is None or told.other_cpus is None:
        return False
    return told.other_cpus + (found.threads or 1) - told.cpus > CROWDED


def slowed(found: Measurement) -> set[str]:
    """Why the device slowed itself down during a case, if it did."""
    return set(found.sensors.throttle_reasons or ()) - HARMLESS


def why(environment: Environment, *fields: str) -> str:
    """Why the first of these fields, or all of their part of the record, could not be had; empty where nothing tells."""
    for field in fields:
        name = field
        while name:
            if name in environment.unavailable:
                return environment.unavailable[name]
            name = name.rpartition(".")[0]
    return ""
