"""What was seen when a case ran, and what was said before."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cached_property

from harness import stats
from harness.records.base import Record
from harness.records.case import Case

# A sample is clean when its threads waited for a core (runnable, not running) for less than this
# share of it, plus a fixed allowance for the wake-ups a parallel call needs. Measured on a shared
# virtual machine: keeping clean samples took a contended median from 35 to 409 GFLOP/s where
# quiet truth was 415.
CLEAN_WAIT_SHARE = 0.005
CLEAN_WAIT_SECONDS = 2e-6


class Prediction(Record, frozen=True):
    """The roofline, said before the case ran: no call can be faster than `seconds`.

    Each part is None where the machine has no measured ceiling for it.
    """

    compute_seconds: float | None = None
    memory_seconds: float | None = None
    flops_per_second: float | None = None
    bytes_per_second: float | None = None
    level: str | None = None

    @property
    def seconds(self) -> float | None:
        """The lower bound on the time of one call: the slower of compute and memory."""
        return max((s for s in (self.compute_seconds, self.memory_seconds) if s), default=None)

    @property
    def bound(self) -> str | None:
        """Which ceiling is reached first: "compute" or "memory"."""
        if self.seconds is None:
            return None
        return "compute" if self.seconds == self.compute_seconds else "memory"

    @property
    def ridge_point(self) -> float | None:
        """The arithmetic intensity (FLOPs per byte) at which the two ceilings meet."""
        if self.flops_per_second is None or self.bytes_per_second is None:
            return None
        return self.flops_per_second / self.bytes_per_second


class Sampling(Record, frozen=True):
    """How long to look, and how well. Seconds; half-width relative to the median.

    `min_seconds` keeps a case of microseconds from being judged by one lucky millisecond.
    """

    warmup_seconds: float
    min_samples: int
    max_samples: int
    min_seconds: float
    max_seconds: float
    min_sample_seconds: float
    target_half_width: float


class StopReason(StrEnum):
    """Why sampling ended."""

    CONVERGED = "converged"
    TIME_CAP = "time_cap"
    SAMPLE_CAP = "sample_cap"


class Flag(StrEnum):
    """Why not to trust a measurement blindly. A flagged case is shown, never dropped."""

    NOISY = "noisy"
    CONTENDED = "contended"
    DRIFTING = "drifting"
    FEW_SAMPLES = "few_samples"


class Disturbance(Record, frozen=True):
    """What else went on in this process during each sample, in sample order.

    `run_delay_seconds` is the time the thread that waited longest spent runnable but not running
    (`/proc/self/task/*/schedstat`), None where the system does not tell. The rest is of all threads.
    """

    cpu_seconds: tuple[float, ...]
    involuntary_switches: tuple[int, ...]
    page_faults: tuple[int, ...]
    run_delay_seconds: tuple[float, ...] | None


def clean(seconds: Sequence[float], disturbance: Disturbance | None, calls: int) -> tuple[float, ...]:
    """The samples (seconds per call, of `calls` calls each) during which no thread waited for a core.

    All of them where the system does not tell.
    """
    if disturbance is None or disturbance.run_delay_seconds is None:
        return tuple(seconds)
    return tuple(
        second
        for second, waited in zip(seconds, disturbance.run_delay_seconds, strict=True)
        if waited <= CLEAN_WAIT_SHARE * second * calls + CLEAN_WAIT_SECONDS
    )


class Measurement(Record, frozen=True, tag="measurement", dict=True):
    """The samples of one case, raw and in order, and what went on meanwhile.

    `seconds` is per call; a sample is `calls_per_sample` calls in a row between two readings of
    the clock. `view` names the clock: `cpu` (wall clock of the host) or `gpu_hot` (events around
    back-to-back calls on the same buffers).
    """

    view: str
    seconds: tuple[float, ...]
    calls_per_sample: int
    timer_cost_seconds: float
    warmup_calls: int
    stop_reason: StopReason
    disturbance: Disturbance | None = None
    peak_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuses samples that no clock gives, and columns that do not belong to them."""
        if not self.seconds or min(self.seconds) <= 0.0 or self.calls_per_sample < 1:
            raise ValueError("a measurement has samples, all of them longer than nothing")
        if self.disturbance is not None and any(
            len(column) != len(self.seconds)
            for column in (
                self.disturbance.cpu_seconds,
                self.disturbance.involuntary_switches,
                self.disturbance.page_faults,
                self.disturbance.run_delay_seconds or self.seconds,
            )
        ):
            raise ValueError("a measurement has one disturbance for each sample")

    @cached_property
    def clean_seconds(self) -> tuple[float, ...]:
        """The samples during which no thread of ours waited for a core, where the system tells."""
        return clean(self.seconds, self.disturbance, self.calls_per_sample)

    @property
    def clean_share(self) -> float:
        """The share of samples that nothing disturbed."""
        return len(self.clean_seconds) / len(self.seconds)

    @property
    def trusted_seconds(self) -> tuple[float, ...]:
        """The clean samples if there are at least three, else all of them (then `contended`)."""
        return self.clean_seconds if len(self.clean_seconds) >= 3 else self.seconds

    @cached_property
    def typical(self) -> float:
        """Median time of a call, in seconds."""
        return stats.median(self.trusted_seconds)

    @property
    def best(self) -> float:
        """The fastest sample, in seconds per call: the capability figure."""
        return min(self.seconds)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """A 95 % interval of the median within this process, in seconds; says nothing of others."""
        return stats.median_interval(self.trusted_seconds)

    @cached_property
    def relative_iqr(self) -> float:
        """Interquartile range over median of the trusted samples."""
        return stats.relative_iqr(self.trusted_seconds)

    @property
    def flags(self) -> tuple[Flag, ...]:
        """What speaks against trusting this measurement."""
        raised = {
            Flag.NOISY: self.relative_iqr > 0.10,
            Flag.CONTENDED: self.clean_share < 0.90,
            Flag.DRIFTING: abs(stats.drift(self.trusted_seconds)) > 0.05,
            Flag.FEW_SAMPLES: len(self.trusted_seconds) < 5,
        }
        return tuple(flag for flag, up in raised.items() if up)


class Skipped(Record, frozen=True, tag="skipped"):
    """Impossible or pointless here, and why: no such device, dtype unsupported, too large, too slow."""

    reason: str


class Failed(Record, frozen=True, tag="failed"):
    """It should have run and did not: what went wrong."""

    reason: str


class Result(Record, frozen=True):
    """One case: what it is, what was predicted, and how it came out."""

    case: Case
    outcome: Measurement | Skipped | Failed
    prediction: Prediction | None = None

    @property
    def measurement(self) -> Measurement | None:
        """The measurement, or None where there is none."""
        return self.outcome if isinstance(self.outcome, Measurement) else None

    @property
    def efficiency(self) -> float | None:
        """Predicted lower bound over measured time; above 1 the cost, the clock or the ceiling is wrong."""
        if self.measurement is None or self.prediction is None or self.prediction.seconds is None:
            return None
        return self.prediction.seconds / self.measurement.typical

    @property
    def flops_per_second(self) -> float | None:
        """Matrix FLOPs over typical time; None where the case does none."""
        if self.measurement is None or self.case.cost is None or not self.case.cost.flops:
            return None
        return self.case.cost.flops / self.measurement.typical

    @property
    def bytes_per_second(self) -> float | None:
        """Compulsory bytes over typical time."""
        if self.measurement is None or self.case.cost is None:
            return None
        return self.case.cost.bytes_moved / self.measurement.typical
