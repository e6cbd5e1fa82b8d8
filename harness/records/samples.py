"""Raw samples of one process, in order, with what went on during each; and what sums them up."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, pairwise
from typing import TypeVar

from harness import stats
from harness.records.base import Record


class Span(Record, frozen=True):
    """The readings of one sensor: lowest, median, highest."""

    low: float
    median: float
    high: float

    @classmethod
    def over(cls, readings: Sequence[float | None]) -> "Span | None":
        """The span of the known readings; None where there are none."""
        known = [reading for reading in readings if reading is not None]
        return cls(min(known), stats.median(known), max(known)) if known else None


class Reading(Record, frozen=True):
    """The device's sensors `at` seconds after the batch of its case began.

    `throttle_reasons` are those in force at that moment, by NVML's names; None if the device does not report them.
    """

    at: float
    clock_hertz: float | None = None
    memory_clock_hertz: float | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    throttle_reasons: tuple[str, ...] | None = None


class Sensors(Record, frozen=True):
    """Sensor values: the device's during a case, the host's during the batch of the case.

    `other_cpus`: how many CPUs' worth of time programs other than ours took, on average, of `cpus`.
    `steal_fraction`: the fraction of all CPU time that the hypervisor gave to others. `quota_throttled_seconds`:
    how long a CPU quota of the control group stopped our tasks. The spans are of the device.
    """

    seconds: float = 0.0
    cpus: int | None = None
    other_cpus: float | None = None
    load_average: float | None = None
    steal_fraction: float | None = None
    quota_throttled_seconds: float | None = None
    readings: int = 0
    clock_hertz: Span | None = None
    memory_clock_hertz: Span | None = None
    power_watts: Span | None = None
    temperature_celsius: Span | None = None
    throttle_reasons: tuple[str, ...] | None = None


class SensorSeries(Record, frozen=True):
    """A line of the side file: the readings of the device during one case, in order."""

    case: str
    readings: tuple[Reading, ...]


# A sample is clean when its threads waited for a core (runnable, not running) for less than this
# fraction of it, plus a fixed allowance for the wake-ups a parallel call needs. Measured on a shared
# virtual machine: keeping clean samples took a contended median from 35 to 409 GFLOP/s where
# quiet truth was 415.
CLEAN_WAIT_FRACTION = 0.005
CLEAN_WAIT_SECONDS = 2e-6
# With fewer clean samples than this, all count (and the measurement is `contended`).
LEAST_CLEAN = 3

_Value = TypeVar("_Value")


class Disturbance(Record, frozen=True):
    """Disturbances of this process during each sample, in sample order.

    `run_delay_seconds` is the time the thread that waited longest spent runnable but not running
    (`/proc/self/task/*/schedstat`), None where the system does not report. The rest is of all threads.
    """

    cpu_seconds: tuple[float, ...]
    involuntary_switches: tuple[int, ...]
    page_faults: tuple[int, ...]
    run_delay_seconds: tuple[float, ...] | None


class Samples(Record, frozen=True):
    """Samples in order: seconds per call, each the mean of `calls_per_sample` calls between two marks.

    `blocks` holds the number of samples of each block; other processes measured between two blocks.
    `host_bound` marks samples in which the device waited for the host (None where it cannot).
    """

    calls_per_sample: int
    seconds: tuple[float, ...]
    blocks: tuple[int, ...]
    disturbance: Disturbance | None = None
    host_bound: tuple[bool, ...] | None = None

    def __post_init__(self) -> None:
        """Rejects empty or non-positive samples, and columns of another length."""
        if not self.seconds or min(self.seconds) <= 0.0 or self.calls_per_sample < 1:
            raise ValueError("samples must exist, and all be positive")
        columns: list[Sequence[object]] = [self.host_bound or self.seconds]
        if self.disturbance is not None:
            columns += [
                self.disturbance.cpu_seconds,
                self.disturbance.involuntary_switches,
                self.disturbance.page_faults,
                self.disturbance.run_delay_seconds or self.seconds,
            ]
        if sum(self.blocks) != len(self.seconds) or any(len(c) != len(self.seconds) for c in columns):
            raise ValueError("samples have one disturbance and one place in a block each")

    @classmethod
    def joined(cls, parts: Sequence["Samples"]) -> "Samples":
        """The samples of several blocks, one after the other."""
        disturbances = [part.disturbance for part in parts if part.disturbance is not None]
        marks = [part.host_bound for part in parts if part.host_bound is not None]
        return cls(
            calls_per_sample=parts[0].calls_per_sample,
            seconds=_chained(part.seconds for part in parts),
            blocks=_chained(part.blocks for part in parts),
            disturbance=_joined(disturbances) if len(disturbances) == len(parts) else None,
            host_bound=_chained(marks) if len(marks) == len(parts) else None,
        )

    @property
    def clean(self) -> tuple[bool, ...]:
        """Which samples are clean: none of our threads waited for a core.

        Where the system does not report waiting, those without an involuntary switch. Where it reports
        neither, all samples.
        """
        disturbance = self.disturbance
        if disturbance is None:
            return (True,) * len(self.seconds)
        if disturbance.run_delay_seconds is None:
            return tuple(switches == 0 for switches in disturbance.involuntary_switches)
        return tuple(
            waited <= CLEAN_WAIT_FRACTION * second * self.calls_per_sample + CLEAN_WAIT_SECONDS
            for second, waited in zip(self.seconds, disturbance.run_delay_seconds, strict=True)
        )

    @property
    def trusted(self) -> tuple[bool, ...]:
        """Which samples count: the clean ones if there are at least three, else all (then `contended`)."""
        clean = self.clean
        return clean if sum(clean) >= LEAST_CLEAN else (True,) * len(clean)

    @property
    def trusted_seconds(self) -> tuple[float, ...]:
        """The samples that count."""
        return tuple(second for second, counts in zip(self.seconds, self.trusted, strict=True) if counts)

    @property
    def block_medians(self) -> tuple[float, ...]:
        """The median of the samples of each block that count; a block without any is left out."""
        marked = self._in_blocks(tuple(zip(self.seconds, self.trusted, strict=True)))
        blocks = [[second for second, counts in block if counts] for block in marked]
        return tuple(stats.median(block) for block in blocks if block)

    @property
    def by_block(self) -> tuple[tuple[float, ...], ...]:
        """The seconds of each block."""
        return self._in_blocks(self.seconds)

    def _in_blocks(self, column: tuple[_Value, ...]) -> tuple[tuple[_Value, ...], ...]:
        edges = pairwise(accumulate(self.blocks, initial=0))
        return tuple(column[first:last] for first, last in edges)

    def statistics(self) -> "ProcessStatistics":
        """The statistics of the trusted samples; see `ProcessStatistics`."""
        trusted, disturbance = self.trusted_seconds, self.disturbance
        wall = sum(self.seconds) * self.calls_per_sample
        return ProcessStatistics(
            samples=len(self.seconds),
            clean=sum(self.clean),
            median=stats.median(trusted),
            mean=sum(self.seconds) / len(self.seconds),
            mad=stats.mad(trusted),
            p05=stats.quantile(trusted, 0.05),
            p25=stats.quantile(trusted, 0.25),
            p75=stats.quantile(trusted, 0.75),
            p95=stats.quantile(trusted, 0.95),
            p99=stats.quantile(trusted, 0.99),
            fastest=min(self.seconds),
            slowest=max(self.seconds),
            lag1_autocorrelation=stats.lag1_autocorrelation(trusted),
            drift=stats.drift(trusted),
            block_medians=self.block_medians,
            cpu_fraction=sum(disturbance.cpu_seconds) / wall if disturbance else None,
            involuntary_switches=sum(disturbance.involuntary_switches) if disturbance else None,
            page_faults=sum(disturbance.page_faults) if disturbance else None,
            run_delay_seconds=sum(disturbance.run_delay_seconds)
            if disturbance and disturbance.run_delay_seconds
            else None,
            host_bound=sum(self.host_bound) if self.host_bound is not None else None,
        )


def _chained(columns: Iterable[tuple[_Value, ...]]) -> tuple[_Value, ...]:
    return tuple(chain.from_iterable(columns))


def _joined(parts: Sequence[Disturbance]) -> Disturbance:
    delays = [part.run_delay_seconds for part in parts if part.run_delay_seconds is not None]
    return Disturbance(
        cpu_seconds=_chained(part.cpu_seconds for part in parts),
        involuntary_switches=_chained(part.involuntary_switches for part in parts),
        page_faults=_chained(part.page_faults for part in parts),
        run_delay_seconds=_chained(delays) if len(delays) == len(parts) else None,
    )


class ProcessStatistics(Record, frozen=True):
    """One process's samples of one case summed up, in seconds per call; the raw ones are in the side file.

    Of the samples that waited for no core, but for `samples`, `fastest`, `slowest` and `mean`, which are of all.
    `cpu_fraction` is CPU time over wall time, all threads together; None where the system does not report it.
    """

    samples: int
    clean: int
    median: float
    mad: float
    p05: float
    p25: float
    p75: float
    p95: float
    p99: float
    fastest: float
    slowest: float
    lag1_autocorrelation: float
    drift: float
    block_medians: tuple[float, ...]
    cpu_fraction: float | None = None
    involuntary_switches: int | None = None
    page_faults: int | None = None
    run_delay_seconds: float | None = None
    host_bound: int | None = None
    mean: float | None = None

    def __post_init__(self) -> None:
        """Rejects impossible statistics."""
        if not 0 <= self.clean <= self.samples or self.samples < 1 or not self.block_medians:
            raise ValueError("statistics are of samples, in blocks")
        if min(self.median, self.fastest, *self.block_medians) <= 0.0:
            raise ValueError("samples must be positive")

    @property
    def trusted(self) -> int:
        """How many samples the statistics are of."""
        return self.clean if self.clean >= LEAST_CLEAN else self.samples

    @property
    def relative_iqr(self) -> float:
        """Interquartile range over median."""
        return (self.p75 - self.p25) / self.median


class RawSamples(Record, frozen=True):
    """The raw samples of one view by one process."""

    view: str
    process: int
    samples: Samples


class CaseSamples(Record, frozen=True):
    """A line of the side file: all raw samples of one case."""

    case: str
    parts: tuple[RawSamples, ...]
