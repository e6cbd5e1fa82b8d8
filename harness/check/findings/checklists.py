"""Two lists of every report: what can invalidate the numbers of a run, and what was not measured."""

import re
from collections.abc import Callable, Iterable, Iterator

from harness import units
from harness.check.findings.common import (
    MANY,
    clean_fraction,
    crowded,
    flagged,
    fraction,
    is_noisy,
    measurements,
    most,
    of_cases,
    on_cpu,
    slowed,
    why_unknown,
)
from harness.check.findings.host import CAPPED_POWER
from harness.check.findings.peaks import MEMORY_VARIES
from harness.records import BandwidthPeak, ComputePeak, Failed, Flag, Run, Skipped
from harness.records.measurement import STOLEN
from harness.text import counted

FINE, BAD, UNKNOWN = "fine", "bad", "unknown"
# Clocks a tenth apart change compute times by as much, which is more than the noise of most cases.
HELD = 0.90
_NO_RECORD = "the record does not contain it"

_Check = Callable[[Run], tuple[str, str]]


def validity(run: Run) -> tuple[tuple[str, str, str], ...]:
    """What can invalidate the numbers, what was observed of it, and whether that is fine, bad or unknown."""
    cpu: tuple[tuple[str, _Check], ...] = (
        ("clocks", _clocks_of_cpu if on_cpu(run) else _clocks_of_gpu),
        ("CPU quota", _quota),
        ("steal", _steal),
        ("other programs on the CPUs", _others),
        ("waiting for cores", _waiting),
    )
    gpu: tuple[tuple[str, _Check], ...] = (("power cap", _power_cap), ("throttling", _throttling))
    gpu_memory: tuple[tuple[str, _Check], ...] = (
        ("other processes on the GPU", _on_gpu),
        ("memory errors", _memory_errors),
    )
    always: tuple[tuple[str, _Check], ...] = (
        ("noise", _noise),
        ("peaks", _peaks),
        ("self-test", _selftest),
        ("code", _code),
    )
    checks = (*cpu, *always) if on_cpu(run) else (*gpu, *cpu, *gpu_memory, *always)
    return tuple((name, *check(run)) for name, check in checks)


def _rated(text: str, *, bad: bool) -> tuple[str, str]:
    return text, BAD if bad else FINE


def _noise(run: Run) -> tuple[str, str]:
    if not run.measured:
        return "nothing was measured", UNKNOWN
    count = len(flagged(run, Flag.NOISY, Flag.DRIFTING))
    return _rated(
        f"{of_cases(count, run)} {'is' if count == 1 else 'are'} noisy or drifting", bad=is_noisy(run)
    )


def _peaks(run: Run) -> tuple[str, str]:
    every: list[ComputePeak | BandwidthPeak] = [*run.peaks.compute, *run.peaks.bandwidth]
    spread = most(peak.round_spread for peak in every if peak.peak_level.achieved)
    if spread is None:
        return "measured once", UNKNOWN
    return _rated(f"spread between rounds at most {units.percent(spread)}", bad=spread > MEMORY_VARIES)


def _power_cap(run: Run) -> tuple[str, str]:
    caps = [gpu.power_cap for gpu in run.header.environment.devices if gpu.power_cap is not None]
    if not caps:
        return _unknown(run, *_of_gpu(run, "power_limit_enforced_watts", "power_limit_default_watts"))
    return _rated(f"{units.percent(min(caps))} of the default limit", bad=min(caps) < CAPPED_POWER)


def _throttling(run: Run) -> tuple[str, str]:
    reasons = [slowed(m) for m in measurements(run) if m.sensors.throttle_reasons is not None]
    if not reasons:
        return "the device reported no reasons, or none were read", UNKNOWN
    count, cases = sum(map(bool, reasons)), counted(len(reasons), "case")
    if not count:
        return _rated(f"none during {cases}", bad=False)
    return _rated(f"{', '.join(sorted(set().union(*reasons)))} during {count} of {cases}", bad=True)


def _clocks_of_cpu(run: Run) -> tuple[str, str]:
    clocks = [peak.clock_hertz for peak in run.header.peaks if peak.clock_hertz]
    return _clocks(clocks, f"in {counted(len(clocks), 'round')}")


def _clocks_of_gpu(run: Run) -> tuple[str, str]:
    clocks = [m.sensors.clock_hertz.median for m in measurements(run) if m.sensors.clock_hertz is not None]
    return _clocks(clocks, f"(medians of {counted(len(clocks), 'case')})")


def _clocks(clocks: list[float], where: str) -> tuple[str, str]:
    if not clocks:
        return "no clock was measured", UNKNOWN
    low, high = min(clocks), max(clocks)
    return _rated(f"{units.frequency(low)} to {units.frequency(high)} {where}", bad=low < HELD * high)


def _quota(run: Run) -> tuple[str, str]:
    quota, threads = run.header.environment.limits.cpu_quota, run.header.settings.threads
    stopped = most(m.sensors.quota_throttled_seconds for m in measurements(run))
    tasks = f"tasks were stopped for up to {units.seconds(stopped)} a batch" if stopped else ""
    if quota is None:
        reason = why_unknown(run.header.environment, "limits.cpu_quota")
        if tasks:
            return _rated(tasks, bad=True)
        return _rated(reason, bad=False) if reason else (_NO_RECORD, UNKNOWN)
    text = f"{quota:g} CPUs for {counted(threads, 'thread')}{f', {tasks}' if tasks else ''}"
    return _rated(text, bad=bool(stopped) or quota < threads)


def _steal(run: Run) -> tuple[str, str]:
    fractions = [m.sensors.steal_fraction for m in measurements(run) if m.sensors.steal_fraction is not None]
    if not fractions:
        return _unknown(run, "state.steal_fraction_since_boot")
    over = sum(steal > STOLEN for steal in fractions)
    text = f"at most {units.percent(max(fractions))} of the CPU time during a batch"
    return _rated(text, bad=fraction(over, len(fractions)) > MANY)


def _others(run: Run) -> tuple[str, str]:
    known = [m for m in measurements(run) if m.sensors.other_cpus is not None]
    highest = most(m.sensors.other_cpus for m in known)
    if highest is None:
        return _unknown(run)
    count = sum(map(crowded, known))
    text = f"at most {highest:.2f} CPUs" + (f", too many during {counted(count, 'case')}" if count else "")
    return _rated(text, bad=fraction(count, len(known)) > MANY)


def _waiting(run: Run) -> tuple[str, str]:
    clean = clean_fraction(run)
    if clean is None:
        return _unknown(run)
    count = len(flagged(run, Flag.CONTENDED))
    text = f"{units.percent(clean)} of the samples waited for no core, {of_cases(count, run)} are contended"
    return _rated(text, bad=fraction(count, len(run.measured)) > MANY)


def _on_gpu(run: Run) -> tuple[str, str]:
    highest = most(gpu.other_processes for gpu in run.header.environment.devices)
    if highest is None:
        return _unknown(run, *_of_gpu(run, "other_processes"))
    return _rated(f"{highest:.0f} when the run began", bad=highest > 0)


def _memory_errors(run: Run) -> tuple[str, str]:
    devices = run.header.environment.devices
    highest = most(gpu.ecc_uncorrected_errors for gpu in devices)
    if highest is not None:
        return _rated(f"{highest:.0f} uncorrected", bad=highest > 0)
    if any(gpu.ecc_enabled is False for gpu in devices):
        return "ECC is off, so errors are not counted", UNKNOWN
    return _unknown(run, *_of_gpu(run, "ecc_uncorrected_errors"))


def _selftest(run: Run) -> tuple[str, str]:
    date = run.header.selftest_at
    return ("this host has no self-test", UNKNOWN) if date is None else _rated(f"of {date}", bad=False)


def _code(run: Run) -> tuple[str, str]:
    code = run.header.environment.code
    if code.commit is None:
        reason = why_unknown(run.header.environment, "code.commit")
        version = code.plumbline_version or "unknown"
        return f"no commit{f': {reason}' if reason else ''}, version {version}", UNKNOWN
    if code.dirty is None:
        return f"commit {code.commit[:8]}, clean or not is unknown", UNKNOWN
    state = "with changes that are in no commit" if code.dirty else "clean"
    return _rated(f"commit {code.commit[:8]}, {state}", bad=code.dirty)


def _unknown(run: Run, *fields: str) -> tuple[str, str]:
    return why_unknown(run.header.environment, *fields) or _NO_RECORD, UNKNOWN


def _of_gpu(run: Run, *fields: str) -> Iterator[str]:
    """The names of these fields in the record, of each device of the run."""
    environment = run.header.environment
    places = [i for i, gpu in enumerate(environment.accelerators) if gpu in environment.devices]
    yield from (f"accelerators.{place}.{field}" for place in places for field in fields)
    yield "accelerators"


# Facts of the machine that a reader of a report expects; other missing facts are in the record.
FACTS = (
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
FACTS_OF_GPU = (
    "power_limit_enforced_watts",
    "power_limit_default_watts",
    "ecc_uncorrected_errors",
    "other_processes",
    "pcie_width",
    "sm_clock_max_hertz",
    "persistence",
)
# Up to this many names are listed; more are counted.
NAMED = 3


def unmeasured(run: Run) -> tuple[tuple[str, str], ...]:
    """What was not measured and why, a row for each reason."""
    return (
        *_missing(run),
        *_missing_peaks(run),
        *_missing_cases(run),
        *_missing_parts(run),
        *_missing_sensors(run),
        *_missing_facts(run),
    )


def _missing(run: Run) -> Iterator[tuple[str, str]]:
    if run.missing:
        yield _names(run.missing), "the run did not end"


def _missing_peaks(run: Run) -> Iterator[tuple[str, str]]:
    if not run.header.peaks:
        yield "peaks", "the run measured none, so the limits of the machine are unknown"
    reasons = {name: reason for peaks in run.header.peaks for name, reason in peaks.unmeasured.items()}
    named = ((f"peak: {name}", reason.removeprefix("Unsupported: ")) for name, reason in reasons.items())
    yield from _rows(named, "peaks")


def _missing_cases(run: Run) -> Iterator[tuple[str, str]]:
    skipped = ((r.case.id, r.outcome.reason) for r in run.skipped if isinstance(r.outcome, Skipped))
    failed = ((r.case.id, f"failed: {r.outcome.reason}") for r in run.failed if isinstance(r.outcome, Failed))
    yield from _rows((*skipped, *failed), "cases")


def _missing_parts(run: Run) -> Iterator[tuple[str, str]]:
    """Views, costs, memory and estimates that some cases lack."""
    measured = measurements(run)
    views = ((f"view {name}", reason) for m in measured for name, reason in m.missing_views.items())
    yield from _rows(views, "views", per_case=True)
    untraced = ((r.case.id, r.case.untraced) for r in run.results if r.case.untraced is not None)
    yield from _rows(untraced, "costs")
    lacking = sum(m.peak_memory_bytes is None for m in measured)
    if lacking:
        yield f"peak memory of {counted(lacking, 'case')}", "the record has no memory pass of them"
    if run.header.cost_model is None and any(r.case.held_out for r in run.measured):
        reason = "the run calibrated no cost model: `plumbline bench` with the suite calibration"
        yield "estimated times of whole steps", reason
    kinds = dict.fromkeys(kind for estimate in run.header.estimates for kind in estimate.uncalibrated)
    if kinds:
        reason = "no operator of that kind was calibrated; they use the model of another kind"
        yield f"models of {', '.join(kinds)}", reason


def _missing_sensors(run: Run) -> Iterator[tuple[str, str]]:
    measured = measurements(run)
    if measured and all(m.sensors.seconds == 0.0 for m in measured):
        yield "what else ran during the cases", "the record has no sensors: the run was too short"
    processes = [process for m in measured for process in m.view.processes]
    if processes and all(p.run_delay_seconds is None and p.involuntary_switches is None for p in processes):
        yield "time that threads waited for a core", "the system does not report it"


def _missing_facts(run: Run) -> Iterator[tuple[str, str]]:
    reasons = run.header.environment.unavailable
    fields = list(FACTS)
    if not on_cpu(run):
        gpus = [f"accelerators.{position}" for position in range(len(run.header.environment.accelerators))]
        fields += ["accelerators", *gpus, *(f"{gpu}.{field}" for gpu in gpus for field in FACTS_OF_GPU)]
    yield from _rows(((_field(field), reasons[field]) for field in fields if field in reasons), "facts")


def _field(name: str) -> str:
    """A field of the record in words.

    >>> _field("processor.limit_hertz"), _field("accelerators.0.persistence")
    ('processor limit clock', 'accelerators 0 persistence')
    """
    words = name.replace("_some_avg10", "").replace("_hertz", "_clock")
    return re.sub(r"_(bytes|watts|seconds)$", "", words).replace("_", " ").replace(".", " ")


def _rows(
    pairs: Iterable[tuple[str, str]], what: str, *, per_case: bool = False
) -> Iterator[tuple[str, str]]:
    """A row for each reason; reasons that differ only in a number are one. `per_case`: names repeat, once a case."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for name, reason in pairs:
        reasons.setdefault(re.sub(r"\d+(\.\d+)?", "#", reason), []).append((name, reason))
    for rows in reasons.values():
        names = _names(dict.fromkeys(name for name, _ in rows), what)
        yield (f"{names} of {counted(len(rows), 'case')}" if per_case else names), rows[0][1]


def _names(names: Iterable[str], what: str = "cases") -> str:
    several = list(names)
    if len(several) <= NAMED:
        return ", ".join(several)
    return f"{several[0]} and {len(several) - 1} more {what}"
