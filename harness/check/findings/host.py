"""Settings of the host, the GPU and torch that cost speed or affect validity, and other programs that used them."""

from collections import Counter
from collections.abc import Iterator

from harness import stats, units
from harness.check.findings.common import (
    MANY,
    Ranked,
    advice,
    clean_fraction,
    crowded,
    flagged,
    fraction,
    ids,
    invalid,
    is_noisy,
    joined,
    measurements,
    most,
    of_cases,
    on_cpu,
    slowed,
)
from harness.records import Flag, Measurement, Result, Run
from harness.records.machine import Accelerator
from harness.records.measurement import STOLEN
from harness.text import counted


def _contended(run: Run) -> Iterator[Ranked]:
    results = flagged(run, Flag.CONTENDED)
    who = _who(run, results)
    # Without a known cause, "noisy machine" is the better finding.
    if fraction(len(results), len(run.measured)) <= MANY or (not who and is_noisy(run)):
        return
    clean = clean_fraction(run)
    yield invalid(
        fraction(len(results), len(run.measured)),
        "waiting for cores",
        joined(
            f"{of_cases(len(results), run)} are contended: over a tenth of their samples waited for a core, or other programs wanted it",
            f"{units.percent(1.0 - clean)} of all samples waited" if clean is not None else "",
        ),
        cause=who or _unexplained(run),
        fix=_leave_a_core(run),
        cases=ids(results),
    )


def _who(run: Run, results: list[Result]) -> str:
    """Who took the cores, as far as it was counted."""
    contended = [result.measurement for result in results if result.measurement is not None]
    others = most(m.sensors.other_cpus for m in contended)
    stolen = most(m.sensors.steal_fraction for m in contended)
    crowds = sum(map(crowded, contended))
    nice = run.header.environment.limits.nice or 0
    return joined(
        f"other programs used up to {others:.2f} CPUs during {counted(crowds, 'case')}"
        if others is not None and crowds
        else "",
        f"the hypervisor gave up to {units.percent(stolen)} of the CPU time to other machines"
        if stolen is not None and stolen > STOLEN
        else "",
        f"the run has nice {nice}{', so other programs go first' if nice > 0 else ''}" if nice else "",
    )


def _unexplained(run: Run) -> str:
    """What was counted, where it does not explain the waiting."""
    sensors = [m.sensors for m in measurements(run)]
    others, stolen = most(s.other_cpus for s in sensors), most(s.steal_fraction for s in sensors)
    counted = joined(
        "" if others is None else f"other programs used at most {others:.2f} CPUs",
        "" if stolen is None else f"the hypervisor took at most {units.percent(stolen)}",
        by=", ",
    )
    if not counted:
        return "the record does not contain what else ran"
    return f"the counters do not explain it ({counted}). Tasks too short for averages may, or threads of the run that wait for each other"


def _leave_a_core(run: Run) -> str:
    threads, cores = run.header.settings.threads, run.header.environment.limits.usable_physical_cores
    if on_cpu(run) and threads > 1 and threads >= cores:
        return f"stop other programs, or leave them a core: `--threads {threads - 1}`"
    return "stop other programs and measure again"


def _noisy(run: Run) -> Iterator[Ranked]:
    if not is_noisy(run):
        return
    results = flagged(run, Flag.NOISY, Flag.DRIFTING, Flag.CONTENDED)
    noisy, drifting, contended = (
        len(flagged(run, flag)) for flag in (Flag.NOISY, Flag.DRIFTING, Flag.CONTENDED)
    )
    widths = [m.view.half_width for m in measurements(run) if m.view.half_width is not None]
    yield invalid(
        fraction(len(results), len(run.measured)),
        "noisy machine",
        joined(
            f"of {counted(len(run.measured), 'case')} {noisy} are noisy, {drifting} drifting and {contended} contended",
            f"their 95% intervals are ± {units.percent(stats.median(widths))} (median)" if widths else "",
        ),
        cause=_why_noisy(run),
        fix=_measure_better(run),
        cases=ids(results),
    )


def _why_noisy(run: Run) -> str:
    shared = (
        "other virtual machines on the same host probably use its caches, bandwidth and clock"
        if run.header.environment.processor.hypervisor
        else "other programs may use the clock, the caches or the memory, or the machine became warmer"
    )
    clean = clean_fraction(run)
    if clean is None or clean <= 1.0 - MANY:
        return f"{shared}, in addition to the cores"
    return (
        f"only {units.percent(1.0 - clean)} of the samples waited for a core, which explains little: {shared}"
    )


def _measure_better(run: Run) -> str:
    advised = "ignore differences smaller than these intervals"
    if run.header.selftest_at is None:
        return f"{advised}. `plumbline selftest` measures which differences are visible here; later intervals include it"
    if run.header.settings.profile == "full":
        return f"{advised}, and measure when the machine is quiet"
    return f"{advised}, and measure when the machine is quiet or longer: `plumbline bench --profile full`"


def _quota(run: Run) -> Iterator[Ranked]:
    quota, threads = run.header.environment.limits.cpu_quota, run.header.settings.threads
    stopped = [r for r in run.measured if r.measurement and r.measurement.sensors.quota_throttled_seconds]
    tight = quota is not None and quota < threads
    if not tight and not stopped:
        return
    longest = most(r.measurement.sensors.quota_throttled_seconds for r in stopped if r.measurement) or 0.0
    whole = max(1, int(quota)) if quota is not None else max(1, threads - 1)
    yield invalid(
        max(fraction(len(stopped), len(run.measured)), 1.0 - (quota or threads) / threads),
        "CPU quota",
        joined(
            f"the control group may use {quota:g} CPUs and the run has {counted(threads, 'thread')}"
            if tight
            else "",
            f"a quota stopped tasks during {counted(len(stopped), 'case')}, for up to {units.seconds(longest)} a batch"
            if stopped
            else "",
        ),
        cause="when a quota is used up, all threads stop for the rest of a period (usually 100 ms)",
        fix=f"raise the quota of the container, or use no more threads than it allows: `--threads {whole}`",
        cases=ids(stopped),
    )


def _oversubscribed(run: Run) -> Iterator[Ranked]:
    threads, cores = run.header.settings.threads, run.header.environment.limits.usable_physical_cores
    results = flagged(run, Flag.OVERSUBSCRIBED)
    if not results and not (on_cpu(run) and threads > cores):
        return
    wanted = max([threads, *(r.measurement.threads or 0 for r in results if r.measurement)])
    cores = min([cores, *(r.measurement.usable_cores or cores for r in results if r.measurement)])
    yield invalid(
        1.0 - cores / wanted,
        "more threads than cores",
        f"{wanted} threads shared {counted(cores, 'physical core')} that this process may use",
        cause="threads that wait for each other spin, and two of them on one core alternate",
        fix=f"use as many threads as cores: `--threads {cores}`",
        cases=ids(results),
    )


def _dirty(run: Run) -> Iterator[Ranked]:
    code = run.header.environment.code
    if code.dirty:
        commit = f" {code.commit[:8]}" if code.commit else ""
        difference = f" (difference {code.diff_hash})" if code.diff_hash else ""
        yield invalid(
            0.0,
            "dirty tree",
            f"the working tree differed from its commit{commit}{difference}",
            cause="no commit contains the changes, so this code cannot be run again",
            fix="commit, and measure again",
        )


# A cap this far below the hardware's highest clock costs about as much time.
CAPPED_CLOCK = 0.95


def _cpu_clock(run: Run) -> Iterator[Ranked]:
    cpu = run.header.environment.processor
    if cpu.governor not in {None, "performance"}:
        driver = f" of {cpu.frequency_driver}" if cpu.frequency_driver else ""
        yield advice(
            0.05,
            "clock governor",
            f"the clock governor is {cpu.governor}{driver}, not performance",
            cause="it may lower the clock between calls and raise it late; the cost was not measured",
            fix="`sudo cpupower frequency-set -g performance`, and measure again",
        )
    if cpu.boost is False:
        base = f"; without boost it may reach {units.frequency(cpu.base_hertz)}" if cpu.base_hertz else ""
        yield advice(
            0.1,
            "boost is off",
            f"the boost of the CPU is off{base}",
            cause="it was disabled in the firmware or the system, often for repeatable times",
            fix="enable it for speed (`echo 1 | sudo tee /sys/devices/system/cpu/cpufreq/boost`), or leave it off to compare",
        )
    if cpu.limit_hertz and cpu.max_hertz and cpu.limit_hertz < CAPPED_CLOCK * cpu.max_hertz:
        lost = 1.0 - cpu.limit_hertz / cpu.max_hertz
        yield advice(
            lost,
            "clock cap",
            f"the clock is capped at {units.frequency(cpu.limit_hertz)} of {units.frequency(cpu.max_hertz)}",
            cause="the setting scaling_max_freq is below the highest clock",
            fix=f"`sudo cpupower frequency-set -u {cpu.max_hertz / 1e6:.0f}MHz` saves up to {units.percent(lost)} of compute time",
        )


def _numerics(run: Run) -> Iterator[Ranked]:
    numerics = run.header.environment.numerics
    settings = {
        "torch.use_deterministic_algorithms(True)": numerics.deterministic_algorithms,
        "torch.backends.cudnn.deterministic = True": numerics.cudnn_deterministic and not on_cpu(run),
        "torch.backends.mkldnn.enabled = False": not numerics.mkldnn_enabled and on_cpu(run),
    }
    slow = [name for name, is_set in settings.items() if is_set]
    if slow:
        yield advice(
            0.05,
            "slower numerics",
            f"this run of torch had the settings: {', '.join(slow)}",
            cause="each of them excludes kernels that may be faster; the cost was not measured",
            fix="leave them at their defaults unless results must be equal bit by bit",
        )


def _selftest(run: Run) -> Iterator[Ranked]:
    # The finding "noisy machine" advises one already.
    if run.header.selftest_at is None and run.measured and not is_noisy(run):
        yield advice(
            0.0,
            "no self-test",
            "there is no self-test of this host, so the intervals lack what changes from one run to the next",
            cause="none was run here with this device before this run",
            fix="`plumbline selftest` takes a few minutes; the intervals of later runs include its result",
        )


# The enforced limit has a resolution of a watt or less: one percent below the default is a setting, not rounding.
CAPPED_POWER = 0.99

# The fix for each reason that a GPU reports (NVML API reference, "Clocks event reasons").
RELIEF = {
    "sw_power_cap": "the power limit of the board lowers the clock. Raise it if it is below the default (`nvidia-smi -q -d POWER`), "
    "else regard these times as sustained ones",
    "hw_power_brake_slowdown": "the power supply demands less: check the cables and the power budget of the chassis",
    "sw_thermal_slowdown": "it is too warm: improve the air flow, and measure again when it is cool",
    "hw_thermal_slowdown": "it is too hot: improve the air flow, and measure again when it is cool",
    "hw_slowdown": "`nvidia-smi -q -d PERFORMANCE` shows whether the reason is heat or power",
}


def _power_cap(run: Run) -> Iterator[Ranked]:
    capped = [(gpu.power_cap, gpu) for gpu in _gpus(run) if gpu.power_cap and gpu.power_cap < CAPPED_POWER]
    if not capped:
        return
    cap, gpu = min(capped, key=lambda pair: pair[0])
    limit, default = gpu.power_limit_enforced_watts or 0.0, gpu.power_limit_default_watts or 0.0
    yield invalid(
        1.0 - cap,
        "power cap",
        f"{_name(gpu)} may draw {units.power(limit)}, {units.percent(cap)} of its default {units.power(default)}{_more(len(capped))}",
        cause="a lower limit was set, or the machine enforces one",
        fix=f"`sudo nvidia-smi{_option(gpu)} -pl {default:.0f}`, and measure again",
    )


def _throttled(run: Run) -> Iterator[Ranked]:
    results = [r for r in flagged(run, Flag.THROTTLED) if r.measurement and slowed(r.measurement)]
    if not results:
        return
    reasons = Counter(reason for r in results if r.measurement for reason in slowed(r.measurement))
    sensors = [r.measurement.sensors for r in results if r.measurement]
    hot = most(s.temperature_celsius.high for s in sensors if s.temperature_celsius)
    watts = most(s.power_watts.high for s in sensors if s.power_watts)
    read = joined(
        f"up to {hot:.0f} °C" if hot is not None else "",
        f"up to {units.power(watts)}" if watts is not None else "",
        by=" and ",
    )
    yield invalid(
        fraction(len(results), len(run.measured)),
        "throttling",
        f"the GPU slowed itself down during {of_cases(len(results), run)}",
        cause=f"reasons by its driver: {', '.join(f'{reason} in {count}' for reason, count in reasons.most_common())}"
        + (f". The sensors read {read}" if read else ""),
        fix=RELIEF.get(reasons.most_common(1)[0][0], "`nvidia-smi -q -d PERFORMANCE` shows the reason"),
        cases=ids(results),
    )


def _other_processes(run: Run) -> Iterator[Ranked]:
    count = max((gpu.other_processes or 0 for gpu in _gpus(run)), default=0)
    if count:
        yield invalid(
            0.5,
            "other processes on the GPU",
            f"{counted(count, 'other process')} used the GPU when the run began",
            cause="they use its time and its memory. In a container the count may include the run itself",
            fix="`nvidia-smi` lists them: stop them and measure again",
        )


def _memory_errors(run: Run) -> Iterator[Ranked]:
    faulty = [(gpu.ecc_uncorrected_errors, gpu) for gpu in _gpus(run) if gpu.ecc_uncorrected_errors]
    if not faulty:
        return
    count, gpu = max(faulty, key=lambda pair: pair[0])
    yield invalid(
        1.0,
        "memory errors",
        f"{_name(gpu)} has counted {counted(count, 'uncorrected memory error')} in its life{_more(len(faulty))}",
        cause="its memory is or was faulty, so computed results may be wrong",
        fix=f"read `nvidia-smi{_option(gpu)} -q -d ECC,ROW_REMAPPER`, and replace the GPU if the count grows",
    )


def _narrow_link(run: Run) -> Iterator[Ranked]:
    links = [(gpu.pcie_width, gpu.pcie_width_max, gpu) for gpu in _gpus(run)]
    narrow = [(width / widest, gpu) for width, widest, gpu in links if width and widest and width < widest]
    if not narrow:
        return
    ratio, gpu = min(narrow, key=lambda pair: pair[0])
    yield invalid(
        1.0 - ratio,
        "narrow PCIe link",
        f"{_name(gpu)} was connected by {gpu.pcie_width} of {gpu.pcie_width_max} PCIe lanes{_more(len(narrow))}",
        cause="the slot may have fewer lanes, the card may not sit properly, or the idle link saves power",
        fix="read Link Width under load (`nvidia-smi -q`), and try another slot. Copies from the host can become up to "
        f"{1.0 / ratio:.3g} times as fast",
    )


def _persistence(run: Run) -> Iterator[Ranked]:
    gpu = next((gpu for gpu in _gpus(run) if gpu.persistence is False), None)
    if gpu is not None:
        yield advice(
            0.01,
            "persistence mode off",
            f"the persistence mode of {_name(gpu)} is off",
            cause="the driver unloads when the GPU is idle, so its settings are lost and first calls are slow",
            fix=f"`sudo nvidia-smi{_option(gpu)} -pm 1`",
        )


def _host_bound(run: Run) -> Iterator[Ranked]:
    results = flagged(run, Flag.HOST_BOUND)
    if not results:
        return
    gains = [gain for r in results if r.measurement and (gain := _by_graph(r.measurement)) is not None]
    gain = stats.median(gains) if gains else None
    measured = f": {gain:.2f} times as fast here (median of {counted(len(gains), 'case')})" if gain else ""
    yield advice(
        max(1.0 - 1.0 / gain, 0.0) if gain else fraction(len(results), len(run.measured)),
        "host-bound cases",
        f"in {of_cases(len(results), run)} the GPU waited for the host in over a fifth of the samples",
        cause="their kernels take less time than the host needs to launch them",
        fix=f"larger batches, or CUDA graphs (`torch.cuda.graph`, `torch.compile(mode='reduce-overhead')`){measured}",
        cases=ids(results),
    )


def _by_graph(measurement: Measurement) -> float | None:
    """The speed-up of the call when a graph replays it."""
    graph = next((view for view in measurement.views if view.name == "gpu_graph"), None)
    return measurement.median / graph.median if graph is not None else None


def _gpus(run: Run) -> tuple[Accelerator, ...]:
    return run.header.environment.devices


def _name(gpu: Accelerator) -> str:
    return f"GPU{'' if gpu.index is None else f' {gpu.index}'}{f' ({gpu.name})' if gpu.name else ''}"


def _more(count: int) -> str:
    """Text for the GPUs that are not named."""
    return f"; {counted(count - 1, 'other GPU')} too" if count > 1 else ""


def _option(gpu: Accelerator) -> str:
    return "" if gpu.index is None else f" -i {gpu.index}"


RULES = (
    _contended,
    _noisy,
    _quota,
    _oversubscribed,
    _dirty,
    _cpu_clock,
    _numerics,
    _selftest,
    _power_cap,
    _throttled,
    _other_processes,
    _memory_errors,
    _narrow_link,
    _persistence,
    _host_bound,
)
