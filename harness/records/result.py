"""How a case came out, and what was said before it ran."""

from harness.records.base import Record
from harness.records.case import Case
from harness.records.measurement import Measurement


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
    def all_flops_per_second(self) -> float | None:
        """Matrix and vector FLOPs over typical time: what a roofline shows over their arithmetic intensity."""
        if self.measurement is None or self.case.cost is None:
            return None
        return (self.case.cost.flops + self.case.cost.vector_flops) / self.measurement.typical

    @property
    def hardware_flops_per_second(self) -> float | None:
        """Matrix FLOPs, those computed again included, over typical time; None where the case does none."""
        if self.measurement is None or self.case.cost is None or not self.case.cost.flops:
            return None
        return self.case.cost.hardware_flops / self.measurement.typical

    @property
    def rates(self) -> dict[str, float]:
        """What is processed per second, by unit: samples, tokens."""
        if self.measurement is None:
            return {}
        return {unit: count / self.measurement.typical for unit, count in self.case.items.items()}

    @property
    def bytes_per_second(self) -> float | None:
        """Compulsory bytes over typical time."""
        if self.measurement is None or self.case.cost is None:
            return None
        return self.case.cost.bytes_moved / self.measurement.typical
