"""How the host and torch are set, where that may cost speed, and whether the host was tested."""

from collections.abc import Iterator

from harness import stats, units
from harness.check.findings.seen import (
    MANY,
    Ranked,
    clean_fraction,
    crowded,
    flagged,
    fraction,
    ids,
    is_noisy,
    measurements,
    most,
    number,
    on_cpu,
)
from harness.records import Finding, FindingKind, Flag, Result, Run
from harness.records.measurement import STOLEN


def _contended(run: Run) -> Iterator[Ranked]:
    found = flagged(run, Flag.CONTENDED)
    who = _who(run, found)
    # Where nobody is known to have taken the cores, a noisy machine is all there is to say.
    if fraction(len(found), len(run.measured)) <= MANY or (not who and is_noisy(run)):
        return
    clean = clean_fraction(run)
    told = f"; {units.percent(1.0 - clean)} of all samples waited" if clean is not None else ""
    yield Ranked(
        fraction(len(found), len(run.measured)),
        Finding(
            "waiting for cores",
            FindingKind.VOIDS,
            f"{len(found)} of {number(len(run.measured), 'case')} are contended: over a tenth of their samples waited for a core, or others wanted "
            f"more cores than were left{told}.",
            who or _nobody(run),
            _room(run),
            ids(found),
        ),
    )


def _who(run: Run, found: list[Result]) -> str:
    """Who took the cores, as far as anybody counted."""
    told = [result.measurement for result in found if result.measurement is not None]
    others, stolen = (
        most(m.sensors.other_cpus for m in told),
        most(m.sensors.steal_fraction for m in told),
    )
    parts = []
    if others is not None and any(crowded(m) for m in told):
        parts.append(
            f"other programs used up to {others:.2f} CPUs beside {number(sum(map(crowded, told)), 'case')}"
        )
    if stolen is not None and stolen > STOLEN:
        parts.append(f"the hypervisor gave up to {units.percent(stolen)} of the CPU time to other machines")
    nice = run.header.environment.limits.nice
    if nice:
        parts.append(
            f"the run has nice {nice}, so others go first" if nice > 0 else f"the run has nice {nice}"
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _nobody(run: Run) -> str:
    """What was counted, where it does not explain who waited."""
    told = [m.sensors for m in measurements(run)]
    others, stolen = most(one.other_cpus for one in told), most(one.steal_fraction for one in told)
    counted = [
        "" if others is None else f"other programs used at most {others:.2f} CPUs",
        "" if stolen is None else f"the hypervisor took at most {units.percent(stolen)}",
    ]
    if not any(counted):
        return "The record does not say what else ran."
    return (
        f"What was counted does not explain it ({', '.join(filter(None, counted))}): it may be short tasks that no average shows, or threads of "
        "the run itself in each other's way."
    )


def _room(run: Run) -> str:
    threads, cores = run.header.settings.threads, run.header.environment.limits.usable_physical_cores
    if on_cpu(run) and threads > 1 and threads >= cores:
        return f"Stop other programs, or leave them a core: `--threads {threads - 1}`."
    return "Stop other programs and measure again."


def _noisy(run: Run) -> Iterator[Ranked]:
    if not is_noisy(run):
        return
    found = flagged(run, Flag.NOISY, Flag.DRIFTING, Flag.CONTENDED)
    noisy, drifting, contended = (
        len(flagged(run, flag)) for flag in (Flag.NOISY, Flag.DRIFTING, Flag.CONTENDED)
    )
    widths = [m.view.half_width for m in measurements(run) if m.view.half_width is not None]
    width = (
        f"; their 95 % intervals are ± {units.percent(stats.median(widths))} in the median" if widths else ""
    )
    yield Ranked(
        fraction(len(found), len(run.measured)),
        Finding(
            "noisy machine",
            FindingKind.VOIDS,
            f"Of {number(len(run.measured), 'case')} {noisy} are noisy, {drifting} drifting and {contended} contended{width}.",
            _why_noisy(run),
            _how_to_live_with_it(run),
            ids(found),
        ),
    )


def _why_noisy(run: Run) -> str:
    clean = clean_fraction(run)
    shared = (
        "other virtual machines on the same host probably take caches, bandwidth and clock"
        if run.header.environment.processor.hypervisor
        else "the clock, the caches or the memory may be shared with others, or the machine was heating up"
    )
    if clean is None or clean <= 1.0 - MANY:
        return f"{shared[0].upper()}{shared[1:]}, beside what waited for cores."
    return f"Only {units.percent(1.0 - clean)} of the samples waited for a core, which is the least of it: {shared}."


def _how_to_live_with_it(run: Run) -> str:
    told = "Believe no difference smaller than these intervals"
    if run.header.selftest_at is None:
        return (
            f"{told}; `plumbline selftest` finds what can be told apart here, and later intervals include it."
        )
    longer = (
        ""
        if run.header.settings.profile == "full"
        else ", or measure longer: `plumbline bench --profile full`"
    )
    return f"{told}, measure at a quiet time{longer}."


def _quota(run: Run) -> Iterator[Ranked]:
    limits, threads = run.header.environment.limits, run.header.settings.threads
    stopped = [r for r in run.measured if r.measurement and r.measurement.sensors.quota_throttled_seconds]
    tight = limits.cpu_quota is not None and limits.cpu_quota < threads
    if not tight and not stopped:
        return
    longest = most(r.measurement.sensors.quota_throttled_seconds for r in stopped if r.measurement) or 0.0
    parts = [
        f"the control group may use {limits.cpu_quota:g} CPUs and the run has {number(threads, 'thread')}"
        if tight
        else "",
        f"a quota stopped its tasks beside {number(len(stopped), 'case')}, for up to {units.seconds(longest)} a batch"
        if stopped
        else "",
    ]
    told = "; ".join(filter(None, parts))
    whole = max(1, int(limits.cpu_quota)) if limits.cpu_quota is not None else max(1, threads - 1)
    yield Ranked(
        max(fraction(len(stopped), len(run.measured)), 1.0 - (limits.cpu_quota or threads) / threads),
        Finding(
            "CPU quota",
            FindingKind.VOIDS,
            f"{told[0].upper()}{told[1:]}.",
            "A quota stops all threads for the rest of a period (100 ms, usually) once it is used up.",
            f"Raise the quota of the container, or take no more threads than it gives: `--threads {whole}`.",
            ids(stopped),
        ),
    )


def _oversubscribed(run: Run) -> Iterator[Ranked]:
    threads, cores = run.header.settings.threads, run.header.environment.limits.usable_physical_cores
    found = flagged(run, Flag.OVERSUBSCRIBED)
    if not found and not (on_cpu(run) and threads > cores):
        return
    wanted = max([threads, *(r.measurement.threads or 0 for r in found if r.measurement)])
    cores = min([cores, *(r.measurement.usable_cores or cores for r in found if r.measurement)])
    yield Ranked(
        1.0 - cores / wanted,
        Finding(
            "more threads than cores",
            FindingKind.VOIDS,
            f"{wanted} threads shared {number(cores, 'physical core')} that this process may use.",
            "Threads that wait for each other spin, and two of them on one core take turns.",
            f"Take as many threads as cores: `--threads {cores}`.",
            ids(found),
        ),
    )


def _dirty(run: Run) -> Iterator[Ranked]:
    code = run.header.environment.code
    if code.dirty:
        commit = f" {code.commit[:8]}" if code.commit else ""
        yield Ranked(
            0.0,
            Finding(
                "dirty tree",
                FindingKind.VOIDS,
                f"The working tree differed from its commit{commit}"
                + (f" (difference {code.diff_hash})." if code.diff_hash else "."),
                "What was changed is in no commit, so nobody can run the same code again.",
                "Commit, and measure again.",
            ),
        )


# A cap this far below the clock that the hardware may reach costs about as much.
CAPPED = 0.95


def _governor(run: Run) -> Iterator[Ranked]:
    cpu = run.header.environment.processor
    if cpu.governor not in {None, "performance"}:
        driver = f" of {cpu.frequency_driver}" if cpu.frequency_driver else ""
        yield Ranked(
            0.05,
            Finding(
                "clock governor",
                FindingKind.ADVICE,
                f"The clock governor is {cpu.governor}{driver}, not performance.",
                "It may lower the clock between calls and raise it late; what that costs was not measured.",
                "`sudo cpupower frequency-set -g performance`, and measure again.",
            ),
        )


def _capped_clock(run: Run) -> Iterator[Ranked]:
    cpu = run.header.environment.processor
    if cpu.boost is False:
        highest = f"; without boost it may reach {units.frequency(cpu.base_hertz)}" if cpu.base_hertz else ""
        yield Ranked(
            0.1,
            Finding(
                "boost is off",
                FindingKind.ADVICE,
                f"The CPU's boost is off{highest}.",
                "Somebody turned it off, in the firmware or in the system: often for times that repeat.",
                "Turn it on for speed (`echo 1 | sudo tee /sys/devices/system/cpu/cpufreq/boost`), leave it off to compare.",
            ),
        )
    if cpu.limit_hertz and cpu.max_hertz and cpu.limit_hertz < CAPPED * cpu.max_hertz:
        lost = 1.0 - cpu.limit_hertz / cpu.max_hertz
        yield Ranked(
            lost,
            Finding(
                "clock cap",
                FindingKind.ADVICE,
                f"The clock is capped at {units.frequency(cpu.limit_hertz)} of {units.frequency(cpu.max_hertz)}.",
                "Somebody set scaling_max_freq.",
                f"`sudo cpupower frequency-set -u {cpu.max_hertz / 1e6:.0f}MHz`: up to {units.percent(lost)} of the time of compute.",
            ),
        )


def _numerics(run: Run) -> Iterator[Ranked]:
    told = run.header.environment.numerics
    slow = {
        "torch.use_deterministic_algorithms(True)": told.deterministic_algorithms,
        "torch.backends.cudnn.deterministic = True": told.cudnn_deterministic and not on_cpu(run),
        "torch.backends.mkldnn.enabled = False": not told.mkldnn_enabled and on_cpu(run),
    }
    found = [name for name, is_set in slow.items() if is_set]
    if found:
        yield Ranked(
            0.05,
            Finding(
                "slower numerics",
                FindingKind.ADVICE,
                f"torch was set to: {', '.join(found)}.",
                "Each of them forbids kernels that may be faster; what that costs was not measured.",
                "Leave them at their defaults unless results must repeat to the bit.",
            ),
        )


def _selftest(run: Run) -> Iterator[Ranked]:
    # A noisy machine is told to have one already.
    if run.header.selftest_at is None and run.measured and not is_noisy(run):
        yield Ranked(
            0.0,
            Finding(
                "no self-test",
                FindingKind.ADVICE,
                "No self-test of this host is known, so the intervals know nothing of what changes from one run to the next.",
                "None was run here with this device before this run, or the run is older than self-tests.",
                "`plumbline selftest` takes a few minutes; later runs state intervals that include it.",
            ),
        )


RULES = (
    _contended,
    _noisy,
    _quota,
    _oversubscribed,
    _dirty,
    _governor,
    _capped_clock,
    _numerics,
    _selftest,
)
