"""How what a model needs grows with one quantity. FLOPs, bytes, seconds."""

import msgspec

from harness.records.base import Record


class SweepPoint(Record, frozen=True):
    """What is needed at one value of what is swept; where that cannot be, `reason` says why and there is nothing else.

    `forward` are the FLOPs of a batch, `memory` the bytes of the fullest device in training, `kv_cache` those of all keys and values of the batch.
    """

    value: int
    parameters: int | None = None
    batch: int | None = None
    forward: int | None = None
    forward_per_token: float | None = None
    train_total: float | None = None
    train_total_dense: float | None = None
    memory: int | None = None
    activations: int | None = None
    kv_cache: int | None = None
    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    reason: str = ""


class Growth(Record, frozen=True):
    """The exponent with which a curve grows: its slope in logarithms between the two lowest points that there are, and between the two highest."""

    low: float
    high: float


class Sweep(Record, frozen=True):
    """Demand over one quantity: size (of which the values are numbers of layers), tokens, sequence, batch or devices.

    `unit` is what training is counted in: tokens, or samples. `growth` has an exponent for each curve with two points or more.
    """

    model: str
    over: str
    unit: str
    points: tuple[SweepPoint, ...]
    growth: dict[str, Growth] = msgspec.field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    @property
    def possible(self) -> tuple[SweepPoint, ...]:
        """The points that can be."""
        return tuple(point for point in self.points if not point.reason)

    @property
    def variable(self) -> str:
        """What curves are drawn over: parameters where the size is swept."""
        return "parameters" if self.over == "size" else self.over

    def place(self, point: SweepPoint) -> int:
        """Where on that a point lies."""
        return point.parameters or 0 if self.over == "size" else point.value
