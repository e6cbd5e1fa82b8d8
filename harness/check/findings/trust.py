"""The trust block: a fixed list of what can void the numbers of a run, and what was found of each."""

from collections.abc import Callable, Iterator

from harness import units
from harness.check.findings.accelerators import CAPPED
from harness.check.findings.peaks import MEMORY_CHANGED
from harness.check.findings.seen import (
    MANY,
    clean_fraction,
    crowded,
    flagged,
    fraction,
    is_noisy,
    measurements,
    most,
    number,
    on_cpu,
    slowed,
    why,
)
from harness.records import Flag, Run
from harness.records.measurement import STOLEN

FINE, BAD, UNKNOWN = "fine", "bad", "unknown"
# Clocks that lie a tenth apart change what compute takes by as much: more than the cases' own noise should be.
HELD = 0.90

_Row = tuple[str, str, str]


def voids(run: Run) -> tuple[_Row, ...]:
    """What can void the numbers, what was found of it, and whether that is fine, bad or unknown."""
    everywhere: tuple[tuple[str, _Check], ...] = (
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
    checks = everywhere if on_cpu(run) else (*gpu, *everywhere, *gpu_memory)
    return tuple((name, *check(run)) for name, check in (*checks, *_ALWAYS))


_Check = Callable[[Run], tuple[str, str]]


def _noise(run: Run) -> tuple[str, str]:
    told = measurements(run)
    if not told:
        return "nothing was measured", UNKNOWN
    count = len(flagged(run, Flag.NOISY, Flag.DRIFTING))
    found = f"{count} of {number(len(told), 'case')} {'is' if count == 1 else 'are'} noisy or drifting"
    return found, BAD if is_noisy(run) else FINE


def _peaks(run: Run) -> tuple[str, str]:
    rounds = [(one.peak_level, one.round_spread) for one in run.peaks.compute]
    rounds += [(one.peak_level, one.round_spread) for one in run.peaks.bandwidth]
    round_spread = [
        round_spread
        for peak_level, round_spread in rounds
        if peak_level.achieved and round_spread is not None
    ]
    if not round_spread:
        return "measured once", UNKNOWN
    found = f"their rounds lie up to {units.percent(max(round_spread))} apart"
    return found, BAD if max(round_spread) > MEMORY_CHANGED else FINE


def _power_cap(run: Run) -> tuple[str, str]:
    caps = [gpu.power_cap for gpu in run.header.environment.devices]
    known = [cap for cap in caps if cap is not None]
    if not known:
        return _unknown_reason(run, *_of_gpu(run, "power_limit_enforced_watts", "power_limit_default_watts"))
    lowest = min(known)
    return f"{units.percent(lowest)} of the default limit", BAD if lowest < CAPPED else FINE


def _throttling(run: Run) -> tuple[str, str]:
    told = [m for m in measurements(run) if m.sensors.throttle_reasons is not None]
    if not told:
        return "the device named no reasons, or was not asked", UNKNOWN
    reasons = sorted(set().union(*map(slowed, told)))
    count = sum(bool(slowed(m)) for m in told)
    if not count:
        return f"none during {number(len(told), 'case')}", FINE
    return f"{', '.join(reasons)} during {count} of {number(len(told), 'case')}", BAD


def _clocks_of_cpu(run: Run) -> tuple[str, str]:
    clocks = [peak.clock_hertz for peak in run.header.peaks if peak.clock_hertz]
    if not clocks:
        return "no clock was measured", UNKNOWN
    low, high = min(clocks), max(clocks)
    told = f"{units.frequency(low)} to {units.frequency(high)} in {number(len(clocks), 'round')}"
    return told, FINE if low >= HELD * high else BAD


def _clocks_of_gpu(run: Run) -> tuple[str, str]:
    spans = [m.sensors.clock_hertz for m in measurements(run) if m.sensors.clock_hertz is not None]
    if not spans:
        return "no clock was read", UNKNOWN
    low, high = min(span.median for span in spans), max(span.median for span in spans)
    told = f"{units.frequency(low)} to {units.frequency(high)}, medians of {number(len(spans), 'case')}"
    return told, FINE if low >= HELD * high else BAD


def _quota(run: Run) -> tuple[str, str]:
    limits, threads = run.header.environment.limits, run.header.settings.threads
    stopped = most(m.sensors.quota_throttled_seconds for m in measurements(run))
    if limits.cpu_quota is None:
        reason = why(run.header.environment, "limits.cpu_quota")
        if stopped:
            return f"tasks were stopped for up to {units.seconds(stopped)} a batch", BAD
        return (reason, FINE) if reason else ("the record does not say", UNKNOWN)
    told = f"{limits.cpu_quota:g} CPUs for {number(threads, 'thread')}"
    if stopped:
        told += f", tasks were stopped for up to {units.seconds(stopped)} a batch"
    return told, BAD if stopped or limits.cpu_quota < threads else FINE


def _steal(run: Run) -> tuple[str, str]:
    fractions = [m.sensors.steal_fraction for m in measurements(run) if m.sensors.steal_fraction is not None]
    if not fractions:
        return _unknown_reason(run, "state.steal_fraction_since_boot")
    over = sum(fraction > STOLEN for fraction in fractions)
    told = f"at most {units.percent(max(fractions))} of the CPU time during a batch"
    return told, BAD if fraction(over, len(fractions)) > MANY else FINE


def _others(run: Run) -> tuple[str, str]:
    known = [m for m in measurements(run) if m.sensors.other_cpus is not None]
    highest = most(m.sensors.other_cpus for m in known)
    if highest is None:
        return _unknown_reason(run)
    count = sum(map(crowded, known))
    told = f"at most {highest:.2f} CPUs" + (f", too many beside {number(count, 'case')}" if count else "")
    return told, BAD if fraction(count, len(known)) > MANY else FINE


def _waiting(run: Run) -> tuple[str, str]:
    clean = clean_fraction(run)
    if clean is None:
        return _unknown_reason(run)
    found, every = len(flagged(run, Flag.CONTENDED)), len(run.measured)
    told = f"{units.percent(clean)} of the samples waited for no core, {found} of {number(every, 'case')} are contended"
    return told, BAD if fraction(found, every) > MANY else FINE


def _on_gpu(run: Run) -> tuple[str, str]:
    counts = [gpu.other_processes for gpu in run.header.environment.devices]
    highest = most(counts)
    if highest is None:
        return _unknown_reason(run, *_of_gpu(run, "other_processes"))
    return f"{highest:.0f} when the run began", BAD if highest else FINE


def _memory_errors(run: Run) -> tuple[str, str]:
    devices = run.header.environment.devices
    highest = most(gpu.ecc_uncorrected_errors for gpu in devices)
    if highest is None:
        if any(gpu.ecc_enabled is False for gpu in devices):
            return "ECC is off: nobody counts them", UNKNOWN
        return _unknown_reason(run, *_of_gpu(run, "ecc_uncorrected_errors"))
    return f"{highest:.0f} uncorrected", BAD if highest else FINE


def _selftest(run: Run) -> tuple[str, str]:
    if run.header.selftest_at is None:
        return "none is known of this host", UNKNOWN
    return f"of {run.header.selftest_at}", FINE


def _code(run: Run) -> tuple[str, str]:
    code = run.header.environment.code
    if code.commit is None:
        reason = why(run.header.environment, "code.commit")
        return (
            f"no commit{f': {reason}' if reason else ''}, version {code.plumbline_version or 'unknown'}",
            UNKNOWN,
        )
    if code.dirty is None:
        return f"commit {code.commit[:8]}, clean or not is not known", UNKNOWN
    return (
        f"commit {code.commit[:8]}, {'with changes that are in no commit' if code.dirty else 'clean'}",
        BAD if code.dirty else FINE,
    )


def _unknown_reason(run: Run, *fields: str) -> tuple[str, str]:
    return why(run.header.environment, *fields) or "the record does not say", UNKNOWN


def _of_gpu(run: Run, *fields: str) -> Iterator[str]:
    """The names of these fields in the record, of each device of the run."""
    environment = run.header.environment
    places = [i for i, gpu in enumerate(environment.accelerators) if gpu in environment.devices]
    yield from (f"accelerators.{place}.{field}" for place in places for field in fields)
    yield "accelerators"


_ALWAYS: tuple[tuple[str, _Check], ...] = (
    ("noise", _noise),
    ("peaks", _peaks),
    ("self-test", _selftest),
    ("code", _code),
)
