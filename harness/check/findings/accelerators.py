"""How a GPU is set, what it said while cases ran on it, and who else used it."""

from collections import Counter
from collections.abc import Iterator

from harness import stats, units
from harness.check.findings.seen import Ranked, flagged, fraction, ids, number, slowed
from harness.records import Finding, FindingKind, Flag, Measurement, Run
from harness.records.machine import Accelerator

# The enforced limit is told in whole watts or finer: a percent less than the default is a setting, not a rounding.
CAPPED = 0.99

# What to do for each reason a GPU names (NVML API reference, "Clocks event reasons").
RELIEF = {
    "sw_power_cap": "the board's power limit holds the clock: raise it if it is below the default (`nvidia-smi -q -d POWER`), else take these times for sustained ones",
    "hw_power_brake_slowdown": "the power supply asks for less: check the cables and the power budget of the chassis",
    "sw_thermal_slowdown": "it is too warm: improve the air flow, and measure again when it has cooled",
    "hw_thermal_slowdown": "it is too hot: improve the air flow, and measure again when it has cooled",
    "hw_slowdown": "`nvidia-smi -q -d PERFORMANCE` tells whether it is heat or power",
}


def _power_cap(run: Run) -> Iterator[Ranked]:
    capped = [(gpu.power_cap, gpu) for gpu in _devices(run) if gpu.power_cap and gpu.power_cap < CAPPED]
    if not capped:
        return
    cap, gpu = min(capped, key=lambda one: one[0])
    limit, default = gpu.power_limit_enforced_watts or 0.0, gpu.power_limit_default_watts or 0.0
    yield Ranked(
        1.0 - cap,
        Finding(
            "power cap",
            FindingKind.VOIDS,
            f"{_named(gpu)} may draw {units.power(limit)}, {units.percent(cap)} of its default {units.power(default)}{_too(len(capped))}.",
            "Somebody set a lower limit, or the machine enforces one.",
            f"`sudo nvidia-smi{_chosen(gpu)} -pl {default:.0f}`, and measure again.",
        ),
    )


def _throttled(run: Run) -> Iterator[Ranked]:
    found = [r for r in flagged(run, Flag.THROTTLED) if r.measurement and slowed(r.measurement)]
    if not found:
        return
    reasons = Counter(reason for r in found if r.measurement for reason in slowed(r.measurement))
    told = ", ".join(f"{reason} in {count}" for reason, count in reasons.most_common())
    spans = [r.measurement.sensors for r in found if r.measurement]
    hot = max((s.temperature_celsius.high for s in spans if s.temperature_celsius), default=None)
    watts = max((s.power_watts.high for s in spans if s.power_watts), default=None)
    seen = [
        f"up to {hot:.0f} °C" if hot is not None else "",
        f"up to {units.power(watts)}" if watts is not None else "",
    ]
    seen_text = f" The sensors read {' and '.join(filter(None, seen))}." if any(seen) else ""
    fix = RELIEF.get(reasons.most_common(1)[0][0], "`nvidia-smi -q -d PERFORMANCE` tells why")
    yield Ranked(
        fraction(len(found), len(run.measured)),
        Finding(
            "throttling",
            FindingKind.VOIDS,
            f"The GPU slowed itself down during {len(found)} of {number(len(run.measured), 'case')}.",
            f"Its driver names: {told}.{seen_text}",
            f"{fix[0].upper()}{fix[1:]}.",
            ids(found),
        ),
    )


def _others(run: Run) -> Iterator[Ranked]:
    counts = [gpu.other_processes or 0 for gpu in _devices(run)]
    if any(counts):
        yield Ranked(
            0.5,
            Finding(
                "others on the GPU",
                FindingKind.VOIDS,
                f"{number(max(counts), 'other process')} used the GPU when the run began."
                if max(counts) == 1
                else f"{max(counts)} other processes used the GPU when the run began.",
                "They share its time and its memory. In a container the count may include the run itself.",
                "`nvidia-smi` names them: stop them and measure again.",
            ),
        )


def _memory_errors(run: Run) -> Iterator[Ranked]:
    found = [(gpu.ecc_uncorrected_errors, gpu) for gpu in _devices(run) if gpu.ecc_uncorrected_errors]
    if not found:
        return
    count, gpu = max(found, key=lambda one: one[0])
    yield Ranked(
        1.0,
        Finding(
            "memory errors",
            FindingKind.VOIDS,
            f"{_named(gpu)} has counted {number(count, 'uncorrected memory error')} in its life{_too(len(found))}.",
            "Its memory is or was faulty; results computed on it may be wrong.",
            f"Look at `nvidia-smi{_chosen(gpu)} -q -d ECC,ROW_REMAPPER`; have it replaced if the count grows.",
        ),
    )


def _narrow_link(run: Run) -> Iterator[Ranked]:
    links = [(gpu.pcie_width, gpu.pcie_width_max, gpu) for gpu in _devices(run)]
    found = [(width / widest, gpu) for width, widest, gpu in links if width and widest and width < widest]
    if not found:
        return
    of, gpu = min(found, key=lambda one: one[0])
    yield Ranked(
        1.0 - of,
        Finding(
            "narrow PCIe link",
            FindingKind.VOIDS,
            f"{_named(gpu)} was connected by {gpu.pcie_width} of {gpu.pcie_width_max} PCIe lanes{_too(len(found))}.",
            "The slot may have fewer lanes, or the card may sit badly; an idle link may narrow itself, too.",
            "Look again under load (`nvidia-smi -q`, Link Width), and try another slot: copies from the host have up to "
            f"{1.0 / of:.3g} times the bandwidth to gain.",
        ),
    )


def _persistence(run: Run) -> Iterator[Ranked]:
    found = [gpu for gpu in _devices(run) if gpu.persistence is False]
    if found:
        yield Ranked(
            0.01,
            Finding(
                "persistence mode off",
                FindingKind.ADVICE,
                f"Persistence mode of {_named(found[0])} is off.",
                "The driver unloads when nobody uses the GPU, and its settings and first calls start anew each time.",
                f"`sudo nvidia-smi{_chosen(found[0])} -pm 1`.",
            ),
        )


def _host_bound(run: Run) -> Iterator[Ranked]:
    found = flagged(run, Flag.HOST_BOUND)
    if not found:
        return
    gains = [gain for r in found if r.measurement and (gain := _by_graph(r.measurement)) is not None]
    gain = stats.median(gains) if gains else None
    known = f": {gain:.2f} times as fast in the median of {number(len(gains), 'case')} here" if gain else ""
    yield Ranked(
        max(1.0 - 1.0 / gain, 0.0) if gain else fraction(len(found), len(run.measured)),
        Finding(
            "host-bound cases",
            FindingKind.ADVICE,
            f"In {len(found)} of {number(len(run.measured), 'case')} the GPU waited for the host in over a fifth of the samples.",
            "Their kernels are shorter than what the host takes to launch them.",
            f"Larger batches, or CUDA graphs (`torch.cuda.graph`, `torch.compile(mode='reduce-overhead')`){known}.",
            ids(found),
        ),
    )


def _by_graph(found: Measurement) -> float | None:
    """What replaying the call from a graph gains."""
    graph = next((view for view in found.views if view.name == "gpu_graph"), None)
    return found.median / graph.median if graph is not None else None


def _devices(run: Run) -> tuple[Accelerator, ...]:
    return run.header.environment.devices


def _named(gpu: Accelerator) -> str:
    number_of = "" if gpu.index is None else f" {gpu.index}"
    return f"GPU{number_of} ({gpu.name})" if gpu.name else f"GPU{number_of}"


def _too(count: int) -> str:
    """Where one stands for several."""
    return f"; {number(count - 1, 'other GPU')} too" if count > 1 else ""


def _chosen(gpu: Accelerator) -> str:
    return "" if gpu.index is None else f" -i {gpu.index}"


RULES = (_power_cap, _throttled, _others, _memory_errors, _narrow_link, _persistence, _host_bound)
