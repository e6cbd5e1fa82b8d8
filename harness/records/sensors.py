"""What the machine told of itself while a case was measured. Absent sensors are None, never zero."""

from collections.abc import Sequence

from harness import stats
from harness.records.base import Record


class Span(Record, frozen=True):
    """The readings of one sensor: lowest, median, highest."""

    low: float
    median: float
    high: float

    @classmethod
    def over(cls, readings: Sequence[float | None]) -> "Span | None":
        """Of those readings that were had; None where none was."""
        known = [reading for reading in readings if reading is not None]
        return cls(min(known), stats.median(known), max(known)) if known else None


class Reading(Record, frozen=True):
    """One look at the device's sensors, `at` seconds after the chapter of its case began.

    `throttle_reasons` are those in force at that moment, by NVML's names; None: the device does not tell.
    """

    at: float
    clock_hertz: float | None = None
    memory_clock_hertz: float | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    throttle_reasons: tuple[str, ...] | None = None


class Sensors(Record, frozen=True):
    """What the sensors told: the device's during a case, the host's during the chapter of cases it was measured in.

    `other_cpus`: how many CPUs' worth of time programs other than ours took, on average, of `cpus`.
    `steal_share`: the share of all CPU time that the hypervisor gave to others. `quota_throttled_seconds`:
    how long a CPU quota of the control group stopped our tasks. The spans are of the device.
    """

    seconds: float = 0.0
    cpus: int | None = None
    other_cpus: float | None = None
    load_average: float | None = None
    steal_share: float | None = None
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
