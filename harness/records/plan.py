"""The demand of a model: counts, memory, time, and the assumptions of each. FLOPs, bytes, seconds."""

import msgspec

from harness.records.base import Record


class ParameterCount(Record, frozen=True):
    """Parameters: in all, those that work on a token, those of lookup tables; and by component."""

    total: int
    active: int
    embedding: int
    components: dict[str, int] = msgspec.field(default_factory=dict)


class FlopCount(Record, frozen=True):
    """Matrix FLOPs, a multiply-add being two: exact where a mask is honoured, dense where it is ignored.

    `forward` is of the whole batch, `train_total` of all tokens; `hardware_total` includes recomputation. `conventions` has the training FLOPs of
    all tokens by published conventions.
    """

    forward_per_token: float
    forward_per_token_dense: float
    forward: int
    forward_dense: int
    train_total: float
    train_total_dense: float
    hardware_total: float
    components: dict[str, int] = msgspec.field(default_factory=dict)
    conventions: dict[str, float] = msgspec.field(default_factory=dict)


class MemoryNeed(Record, frozen=True):
    """Bytes on the fullest device in training. `activations` are those of layers, `ends` those of embedding and last norm.

    `activations` None: no formula is known, and the total is without them. They follow the published formula, which counts dropout masks and
    attention's probabilities; `activations_by_implementation` are those that the modules of transformers keep.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int | None
    ends: int
    logits: int
    temporaries: int
    total: int
    activations_by_implementation: int | None = None


class CacheNeed(Record, frozen=True):
    """Keys and values of inference, in bytes: of one more token, and of the batch at its length."""

    bytes_per_token: int
    total: int


class InferenceNeed(Record, frozen=True):
    """Bytes on the fullest device in inference, and lower bounds on the latency at full speed, where a device is named.

    `compute_bound_batch`: the smallest batch whose token takes longer to compute than to fetch.
    """

    memory: int
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    decode_bound: str | None = None
    compute_bound_batch: int | None = None


class TimeNeed(Record, frozen=True):
    """The time of training on all tokens, in seconds, with its plausible interval; that of one step in `step_seconds`.

    `mfu` counts exact FLOPs, `mfu_dense` ignores the mask, as most published MFU does.
    """

    seconds: float
    low: float
    high: float
    tokens_per_second: float
    device_hours: float
    step_seconds: float
    mfu: float | None
    hfu: float | None
    on: str
    mfu_dense: float | None = None
    extrapolated: bool = False


class Room(Record, frozen=True):
    """The sizes that fit into a device's memory; None with the reason where none fits, or none is known."""

    largest_batch: int | None
    longest_context: int | None
    fewest_devices: int | None
    reasons: dict[str, str] = msgspec.field(default_factory=dict)


class TrafficNeed(Record, frozen=True):
    """Bytes that one device sends in a step, by the kind of parallelism; seconds where a link is stated."""

    data: float
    tensor: float
    pipeline: float
    seconds: float | None = None


class Optimization(Record, frozen=True):
    """Memory and training time after a single change."""

    name: str
    memory: int | None
    seconds: float | None
    reason: str = ""


class Plan(Record, frozen=True):
    """The answer to one question about one model."""

    model: str
    source: str
    batch: int
    sequence: int
    tokens: float
    devices: int
    parameters: ParameterCount
    flops: FlopCount
    memory: MemoryNeed
    kv_cache: CacheNeed
    inference: InferenceNeed
    communication: TrafficNeed
    time: TimeNeed | None = None
    mfu: float | None = None
    fits: Room | None = None
    optimizations: tuple[Optimization, ...] = ()
    energy_joules: float | None = None
    cost: float | None = None
    compute_optimal_tokens: float | None = None
    assumptions: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class SweepPoint(Record, frozen=True):
    """The demand at one value of a sweep; an impossible point has a `reason` and nothing else.

    `forward` is the FLOPs of a batch, `memory` the bytes of the fullest device in training, `kv_cache` those of all keys and values of the batch.
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
    """The exponents of a curve: its slopes in logarithms between the two lowest points, and between the two highest."""

    low: float
    high: float


class Sweep(Record, frozen=True):
    """Demand over one quantity: size (its values are numbers of layers), tokens, sequence, batch or devices.

    `unit` is the unit of training: tokens or samples. `growth` has the exponents of each curve with two points or more.
    """

    model: str
    over: str
    unit: str
    points: tuple[SweepPoint, ...]
    growth: dict[str, Growth] = msgspec.field(default_factory=dict)
    assumptions: tuple[str, ...] = ()

    @property
    def possible(self) -> tuple[SweepPoint, ...]:
        """The points without a reason against them."""
        return tuple(point for point in self.points if not point.reason)

    @property
    def variable(self) -> str:
        """The quantity on the x axis: parameters in a sweep of the size."""
        return "parameters" if self.over == "size" else self.over

    def place(self, point: SweepPoint) -> int:
        """The position of a point on the x axis."""
        return point.parameters or 0 if self.over == "size" else point.value
