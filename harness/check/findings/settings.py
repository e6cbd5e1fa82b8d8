"""How the host and torch are set, where that may cost speed, and whether the host was tested."""

from collections.abc import Iterator

from harness import units
from harness.check.findings.seen import Ranked, is_restless, on_cpu
from harness.records import Finding, FindingKind, Run

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
    # A restless machine is told to have one already.
    if run.header.selftest_at is None and run.measured and not is_restless(run):
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


RULES = (_governor, _capped_clock, _numerics, _selftest)
