"""What the rules share: how a finding is made and ranked, and facts that several of them need."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from harness.records import Environment, Finding, FindingKind, Flag, Measurement, Result, Run
from harness.records.measurement import CROWDED, HARMLESS
from harness.text import counted

# A trouble of more than a tenth of the cases is more than an accident.
MANY = 0.10
# Where more than a quarter of the cases is noisy or drifting, the machine is noisy.
NOISY = 0.25


class Ranked(NamedTuple):
    """A finding and its weight among those of its kind: the fraction of the time, or of the cases, at stake."""

    weight: float
    finding: Finding


def _ranked(  # noqa: PLR0913 - the fields of a finding
    kind: FindingKind,
    weight: float,
    name: str,
    finding: str,
    *,
    cause: str,
    fix: str,
    cases: Iterable[str] = (),
    dtypes: Iterable[str] = (),
) -> Ranked:
    made = Finding(name, kind, sentence(finding), sentence(cause), sentence(fix), tuple(cases), tuple(dtypes))
    return Ranked(weight, made)


wrong = partial(_ranked, FindingKind.WRONG)
invalid = partial(_ranked, FindingKind.VALIDITY)
advice = partial(_ranked, FindingKind.ADVICE)

Rule = Callable[[Run], Iterator[Ranked]]


def sentence(text: str) -> str:
    """The text with a full stop, and with a capital unless it begins with a name.

    >>> sentence("two cases failed"), sentence("conv-n1 is slow.")
    ('Two cases failed.', 'conv-n1 is slow.')
    """
    word, _, rest = text.removesuffix(".").partition(" ")
    return f"{word.capitalize() if word.strip(',:;').isalpha() and word.islower() else word}{' ' if rest else ''}{rest}."


def joined(*parts: str, by: str = "; ") -> str:
    """The parts that are not empty."""
    return by.join(filter(None, parts))


def measurements(run: Run) -> list[Measurement]:
    """The measurements of the cases that have one."""
    return [r.measurement for r in run.measured if r.measurement is not None]


def on_cpu(run: Run) -> bool:
    """Whether the device of the run is the CPU."""
    return run.header.settings.device == "cpu"


def ids(results: Iterable[Result]) -> tuple[str, ...]:
    """The names of the cases of these results."""
    return tuple(result.case.id for result in results)


def of_cases(count: int, run: Run) -> str:
    """A count among the measured cases."""
    return f"{count} of {counted(len(run.measured), 'case')}"


def flagged(run: Run, *flags: Flag) -> list[Result]:
    """The cases that carry one of these flags."""
    return [r for r in run.measured if r.measurement is not None and set(flags) & set(r.measurement.flags)]


def is_noisy(run: Run) -> bool:
    """Whether much of what was measured is noisy or drifting."""
    return fraction(len(flagged(run, Flag.NOISY, Flag.DRIFTING)), len(run.measured)) > NOISY


def fraction(part: int, whole: int) -> float:
    """Part over whole; 0 where there is no whole."""
    return part / whole if whole else 0.0


def most(values: Iterable[float | None]) -> float | None:
    """The largest value that is known."""
    return max((value for value in values if value is not None), default=None)


def clean_fraction(run: Run) -> float | None:
    """The fraction of all samples that waited for no core; None where the system does not report waiting."""
    processes = [
        process
        for measurement in measurements(run)
        for process in measurement.view.processes
        if process.run_delay_seconds is not None or process.involuntary_switches is not None
    ]
    return sum(p.clean for p in processes) / sum(p.samples for p in processes) if processes else None


def crowded(measurement: Measurement) -> bool:
    """Whether other programs wanted more cores than a case left them."""
    sensors = measurement.sensors
    if measurement.view.name != "cpu" or sensors.cpus is None or sensors.other_cpus is None:
        return False
    return sensors.other_cpus + (measurement.threads or 1) - sensors.cpus > CROWDED


def slowed(measurement: Measurement) -> set[str]:
    """The reasons for which the device slowed itself down during a case."""
    return set(measurement.sensors.throttle_reasons or ()) - HARMLESS


def why_unknown(environment: Environment, *fields: str) -> str:
    """Why the first of these fields, or the part of the record that holds it, is unknown; empty without a recorded reason."""
    for field in fields:
        name = field
        while name:
            if name in environment.unavailable:
                return environment.unavailable[name]
            name = name.rpartition(".")[0]
    return ""
