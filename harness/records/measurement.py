"""The measurement of one case: views of its time by several processes, memory, and surroundings."""

import math
from enum import StrEnum
from functools import cached_property

import msgspec

from harness import stats
from harness.records.base import Record
from harness.records.samples import ProcessStatistics, Sensors

# After this time of the same work the clocks have settled (they "oscillate for
# around the first 3 seconds", NVIDIA, GEMM Performance Measurement Methodology Guidelines).
SUSTAINED_SECONDS = 3.0
NOISY, DRIFTING, CONTENDED = 0.10, 0.05, 0.10
# The fraction of CPU time that the hypervisor gave to other guests; the CPUs that others need beyond the free ones.
STOLEN, CROWDED = 0.02, 0.15
# Below this ratio of CPU time (all threads) to wall time even the calling thread waited.
STARVED = 0.95
HOST_BOUND = 0.20
FEW_SAMPLES = 5
# Reasons of lower GPU clocks that are no fault: an idle device, or the user's own clock setting.
HARMLESS = frozenset({"gpu_idle", "applications_clocks_setting", "display_clock_setting"})


class Sampling(Record, frozen=True):
    """The sampling settings of a case.

    `processes` fresh processes measure it alternately, a block each. A process warms up for at least
    `preheat_seconds` and at most `warmup_seconds`. A block lasts about `block_seconds`, a sample at least
    `min_sample_seconds`; a round is one block of each process. After 4, 8, 16, ... rounds it is done if the
    median of every process has converged to `target_half_width` (half of a 95% interval, relative), and from the
    second round on when all blocks of a view together took `max_seconds`. A case that takes longer than
    `limit_seconds` of wall time has failed.
    """

    processes: int
    preheat_seconds: float
    warmup_seconds: float
    block_seconds: float
    max_seconds: float
    min_sample_seconds: float
    target_half_width: float
    limit_seconds: float

    def reduced(self, effort: float) -> "Sampling":
        """The same with a fraction of the time to warm up and to sample, in blocks that are shorter by the root of it."""
        if effort == 1.0:
            return self
        return msgspec.structs.replace(
            self,
            preheat_seconds=effort * self.preheat_seconds,
            warmup_seconds=effort * self.warmup_seconds,
            block_seconds=math.sqrt(effort) * self.block_seconds,
            max_seconds=effort * self.max_seconds,
        )


class StopReason(StrEnum):
    """Why sampling ended."""

    CONVERGED = "converged"
    TIME_CAP = "time_cap"
    SAMPLE_CAP = "sample_cap"  # only in runs of schema 2


class Flag(StrEnum):
    """Why not to trust a measurement blindly. A flagged case is shown, never dropped."""

    NOISY = "noisy"
    CONTENDED = "contended"
    DRIFTING = "drifting"
    THROTTLED = "throttled"
    HOST_BOUND = "host_bound"
    OVERSUBSCRIBED = "oversubscribed"
    CACHE_WARM = "cache_warm"
    FEW_SAMPLES = "few_samples"


class View(Record, frozen=True, dict=True):
    """The time of a call as one clock sees it, by each process.

    `cpu`: the host's clock around calls that return when they are done. On an accelerator: `gpu_hot`,
    the device's own time between events around back-to-back calls on the same tensors; `gpu_cold`, the
    same over `rotations` sets of tensors, so that none is in the cache; `gpu_graph`, the same calls
    replayed from a captured graph; `wall`, the host's clock with a synchronisation at both ends.

    `drift_between_runs` is the spread of such work between runs on this host, by a self-test
    (standard deviation of the logarithm); None without a self-test.
    """

    name: str
    calls_per_sample: int
    processes: tuple[ProcessStatistics, ...]
    stop_reason: StopReason
    rotations: int = 1
    cold: bool | None = None
    drift_between_runs: float | None = None

    def __post_init__(self) -> None:
        """Rejects a view without processes."""
        if not self.processes or self.calls_per_sample < 1:
            raise ValueError("a view is measured by processes")

    @cached_property
    def median(self) -> float:
        """Median over processes of their medians, in seconds."""
        return stats.median([process.median for process in self.processes])

    @property
    def best(self) -> float:
        """The fastest sample of any process: what the machine is capable of."""
        return min(process.fastest for process in self.processes)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the median time of an independent repeat, in seconds.

        Its unit is the process (`harness.stats.repeat_interval`): one process alone gives no interval.
        """
        blocks = [process.block_medians for process in self.processes]
        return stats.repeat_interval(blocks, self.drift_between_runs or 0.0)

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval, relative to the median time."""
        if self.interval is None:
            return None
        low, high = self.interval
        return (high - low) / 2 / self.median

    @property
    def relative_iqr(self) -> float:
        """Interquartile range over median within a process: the median of the processes."""
        return stats.median([process.relative_iqr for process in self.processes])

    @property
    def samples(self) -> int:
        """The number of samples of all processes."""
        return sum(process.samples for process in self.processes)

    @property
    def clean_fraction(self) -> float:
        """The fraction of samples that waited for no core."""
        return sum(process.clean for process in self.processes) / self.samples

    @property
    def host_bound_fraction(self) -> float | None:
        """The fraction of samples in which the device waited for the host; None where there is no such thing."""
        counts = [process.host_bound for process in self.processes if process.host_bound is not None]
        return sum(counts) / self.samples if counts else None

    @property
    def drift(self) -> float:
        """Last quarter of a process's samples over the first, minus one: the median of the processes."""
        return stats.median([process.drift for process in self.processes])


class Measurement(Record, frozen=True, tag="measurement", dict=True):
    """One case measured, in one view or several.

    `view` is the headline, `others` are the further views of the device; `missing_views` holds the missing ones
    with the reasons.
    `interleaved`: the blocks of the processes alternated; False where their memory did not fit together.
    A sample costs `timer_cost_seconds` inside its marks and `sample_cost_seconds` around them.
    `peak_memory_bytes` comes from a separate pass: the requested bytes of tensors. A caching allocator also gives
    the rounded bytes (`allocated_peak_bytes`) and those taken from the device (`reserved_peak_bytes`).
    `phase_peak_bytes` and `phase_seconds` are those of each phase of a call that has several, timed in a pass of its own.
    `joules_per_call` where the device counts energy.
    """

    view: View
    others: tuple[View, ...] = ()
    missing_views: dict[str, str] = msgspec.field(default_factory=dict)
    timer_cost_seconds: float = 0.0
    sample_cost_seconds: float | None = None
    first_call_seconds: float | None = None
    preheat_seconds: float = 0.0
    interleaved: bool = True
    threads: int | None = None
    usable_cores: int | None = None
    joules_per_call: float | None = None
    sensors: Sensors = Sensors()
    peak_memory_bytes: int | None = None
    phase_peak_bytes: dict[str, int] = msgspec.field(default_factory=dict)
    phase_seconds: dict[str, float] = msgspec.field(default_factory=dict)
    allocated_peak_bytes: int | None = None
    reserved_peak_bytes: int | None = None

    @property
    def views(self) -> tuple[View, ...]:
        """All views, the headline first."""
        return (self.view, *self.others)

    @property
    def peak_phase(self) -> str | None:
        """The phase whose peak is the highest; None where there is but one."""
        peaks = self.phase_peak_bytes
        return max(peaks, key=lambda name: peaks[name]) if len(peaks) > 1 else None

    @property
    def median(self) -> float:
        """Median over processes of the medians of a call's time, in seconds."""
        return self.view.median

    @property
    def best(self) -> float:
        """The fastest sample: what the machine is capable of."""
        return self.view.best

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the median time of an independent repeat, in seconds."""
        return self.view.interval

    @property
    def relative_iqr(self) -> float:
        """Interquartile range over median within a process."""
        return self.view.relative_iqr

    @property
    def regime(self) -> str:
        """`sustained` where the device was kept busy until its clocks settled, else `burst`."""
        return "sustained" if self.preheat_seconds >= SUSTAINED_SECONDS else "burst"

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """The reasons to distrust this measurement."""
        raised = {
            Flag.NOISY: self.relative_iqr > NOISY or (self.view.half_width or 0.0) > NOISY,
            Flag.CONTENDED: self._contended,
            Flag.DRIFTING: abs(self.view.drift) > DRIFTING,
            Flag.THROTTLED: self._throttled,
            Flag.HOST_BOUND: (self.view.host_bound_fraction or 0.0) > HOST_BOUND,
            Flag.OVERSUBSCRIBED: bool(
                self.threads and self.usable_cores and self.threads > self.usable_cores
            ),
            Flag.CACHE_WARM: any(v.cold is False for v in self.views if v.name == "gpu_cold"),
            Flag.FEW_SAMPLES: sum(process.trusted for process in self.view.processes) < FEW_SAMPLES,
        }
        return tuple(flag for flag, up in raised.items() if up)

    @property
    def _contended(self) -> bool:
        """Our threads waited for a core, or must have."""
        if self.view.clean_fraction < 1 - CONTENDED or (self.sensors.steal_fraction or 0.0) > STOLEN:
            return True
        return self.view.name == "cpu" and (self._crowd > CROWDED or self._starved)

    @property
    def _crowd(self) -> float:
        """How many more cores others wanted than we left, on average."""
        sensors, others = self.sensors, self.sensors.other_cpus
        if sensors.cpus is None:
            return 0.0
        if others is not None:
            return others + (self.threads or 1) - sensors.cpus
        # Only the load is known, which counts this process too.
        return 0.0 if sensors.load_average is None else sensors.load_average - sensors.cpus - 1

    @property
    def _starved(self) -> bool:
        """Less than one core's worth of CPU time, where the system does not report waiting."""
        return any(
            process.cpu_fraction is not None
            and process.cpu_fraction < STARVED
            and process.run_delay_seconds is None
            for process in self.view.processes
        )

    @property
    def _throttled(self) -> bool:
        reasons = set(self.sensors.throttle_reasons or ()) - HARMLESS
        return bool(reasons) or bool(self.sensors.quota_throttled_seconds)


def speedup_interval(base: View, candidate: View) -> tuple[float, float] | None:
    """Where the true speed-up of one over a base lies, in 95 of 100 cases; None where a view states no interval.

    They are measured apart, so what they err by, as logarithms, adds up in quadrature. The sides are kept apart: the true speed-up is
    lower where the base should have read less or the other more, so the low side is made of the base's lower distance and the other's upper one.

    A view's interval says where a repeat of it lies, and a repeat errs as much as the view did: its distances are those of the true
    time, times the root of two. Here nobody repeats anything, each errs once, and the root is taken out again.
    """
    if base.interval is None or candidate.interval is None:
        return None
    below, above = _distances(base.median, base.interval)
    further_below, further_above = _distances(candidate.median, candidate.interval)
    speedup = base.median / candidate.median
    low = math.hypot(below, further_above) / math.sqrt(2.0)
    high = math.hypot(above, further_below) / math.sqrt(2.0)
    return speedup * math.exp(-low), speedup * math.exp(high)


def _distances(median: float, interval: tuple[float, float]) -> tuple[float, float]:
    """How far the ends of an interval lie, on the logarithm; it is about the middle of blocks, which now and then has `median` outside."""
    low, high = interval
    return max(math.log(median / low), 0.0), max(math.log(high / median), 0.0)
