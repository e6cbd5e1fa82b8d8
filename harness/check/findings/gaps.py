"""What was not measured, and why."""

import re
from collections.abc import Iterable, Iterator

from harness.check.findings.seen import measurements, number, on_cpu
from harness.records import Failed, Run, Skipped

# What a person looks for in a report of a machine; the rest of what could not be had is in the record.
MATTERS = (
    "processor.governor",
    "processor.boost",
    "processor.max_hertz",
    "processor.limit_hertz",
    "processor.model_name",
    "memory.total_bytes",
    "memory.transparent_huge_pages",
    "state.steal_fraction_since_boot",
    "state.cpu_pressure_some_avg10",
    "state.throttled_seconds",
    "code.commit",
)
# The same of each GPU.
OF_GPU = (
    "power_limit_enforced_watts",
    "power_limit_default_watts",
    "ecc_uncorrected_errors",
    "other_processes",
    "pcie_width",
    "sm_clock_max_hertz",
    "persistence",
)
# So many names are read; more are counted.
NAMED = 3


def unmeasured(run: Run) -> tuple[tuple[str, str], ...]:
    """What was not measured and why, a row for each reason."""
    return (
        *_missing(run),
        *_peaks(run),
        *_cases(run),
        *_of_cases(run),
        *_surroundings(run),
        *_machine(run),
    )


def _missing(run: Run) -> Iterator[tuple[str, str]]:
    if run.missing:
        yield _names(run.missing), "the run has not come to its end"


def _peaks(run: Run) -> Iterator[tuple[str, str]]:
    if not run.header.peaks:
        yield "peaks", "the run has none: nothing says what the machine could reach"
    told = {name: why for peak in run.header.peaks for name, why in peak.unmeasured.items()}
    yield from _rows(
        ((f"peak: {name}", why.removeprefix("Unsupported: ")) for name, why in told.items()), "peaks"
    )


def _cases(run: Run) -> Iterator[tuple[str, str]]:
    skipped = ((r.case.id, r.outcome.reason) for r in run.skipped if isinstance(r.outcome, Skipped))
    failed = ((r.case.id, f"failed: {r.outcome.reason}") for r in run.failed if isinstance(r.outcome, Failed))
    yield from _rows((*skipped, *failed), "cases")


def _of_cases(run: Run) -> Iterator[tuple[str, str]]:
    """What cases have not that others have: views, costs, memory, an expected time."""
    found = measurements(run)
    views = ((f"view {name}", why) for m in found for name, why in m.missing_views.items())
    yield from _rows(views, "views", counted=True)
    untraced = ((r.case.id, r.case.untraced) for r in run.results if r.case.untraced is not None)
    yield from _rows(untraced, "costs")
    lacking = sum(m.peak_memory_bytes is None for m in found)
    if lacking:
        yield f"peak memory of {number(lacking, 'case')}", "the record has no memory pass of them"
    if run.header.cost_model is None and any(r.case.held_out for r in run.measured):
        yield (
            "expected times of whole steps",
            "the run calibrated nothing: `plumbline bench` with the suite calibration",
        )
    kinds = dict.fromkeys(kind for said in run.header.estimates for kind in said.uncalibrated)
    if kinds:
        yield (
            f"models of {', '.join(kinds)}",
            "no operator of that kind was calibrated; they borrow another's model",
        )


def _surroundings(run: Run) -> Iterator[tuple[str, str]]:
    found = measurements(run)
    if found and all(m.sensors.seconds == 0.0 for m in found):
        yield (
            "what went on beside the cases",
            "the record has no sensors: it is older than they are, or the run too short",
        )
    processes = [process for m in found for process in m.view.processes]
    if processes and all(p.run_delay_seconds is None and p.involuntary_switches is None for p in processes):
        yield "time that threads waited for a core", "the system does not tell"


def _machine(run: Run) -> Iterator[tuple[str, str]]:
    told = run.header.environment.unavailable
    fields = [field for field in MATTERS if field in told]
    if not on_cpu(run):
        gpus = [f"accelerators.{position}" for position in range(len(run.header.environment.accelerators))]
        fields += [field for field in ("accelerators", *gpus) if field in told]
        fields += [f"{gpu}.{field}" for gpu in gpus for field in OF_GPU if f"{gpu}.{field}" in told]
    yield from _rows(((_field(field), told[field]) for field in fields), "facts")


def _field(name: str) -> str:
    """A field of the record as a person says it.

    >>> _field("processor.limit_hertz"), _field("accelerators.0.persistence")
    ('processor limit clock', 'accelerators 0 persistence')
    """
    words = name.replace("_some_avg10", "").replace("_hertz", "_clock")
    return re.sub(r"_(bytes|watts|seconds)$", "", words).replace("_", " ").replace(".", " ")


def _rows(pairs: Iterable[tuple[str, str]], what: str, *, counted: bool = False) -> Iterator[tuple[str, str]]:
    """A row for each reason; reasons that differ in a number alone are one. `counted`: names repeat, once a case."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for name, why in pairs:
        reasons.setdefault(re.sub(r"\d+(\.\d+)?", "#", why), []).append((name, why))
    for rows in reasons.values():
        names = list(dict.fromkeys(name for name, _ in rows))
        told = _names(names, what)
        yield (f"{told} of {number(len(rows), 'case')}" if counted else told), rows[0][1]


def _names(names: Iterable[str], what: str = "cases") -> str:
    several = list(names)
    if len(several) <= NAMED:
        return ", ".join(several)
    return f"{several[0]} and {len(several) - 1} more {what}"
