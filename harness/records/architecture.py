"""A model as its configuration describes it: what it is made of, before any of it exists."""

from enum import StrEnum
from typing import NamedTuple, cast

import msgspec

from harness.records.base import Record


class Per(StrEnum):
    """What passes through a part.

    Every token of the source (an encoder's, or the only ones there are), of the target (a decoder's that has a source beside it), or each
    sample once (a pooled head, a convolution over its image).
    """

    SOURCE = "source"
    TARGET = "target"
    SAMPLE = "sample"


class Parts(Record, frozen=True):
    """So many alike parts of a model: weights, and the matrix FLOPs (a multiply-add is two) of one forward pass through one of them.

    `parameters` are those of one; `active` of them work on each token (None: all, as everywhere but among experts). `flops` are for each of `per`,
    of one part. What is looked up, added or normalised does none. A tied head has FLOPs, and no parameters of its own.
    """

    component: str
    count: int
    parameters: int
    flops: int = 0
    active: int | None = None
    per: Per = Per.SOURCE
    embedding: bool = False


class Core(Record, frozen=True):
    """The cores of `count` alike attention layers: queries times keys, and weights times values.

    `key_width` and `value_width` are those of one head. `queries` and `keys` say whose tokens; `window`: no query sees farther back, itself included.
    """

    count: int
    heads: int
    key_width: int
    value_width: int
    causal: bool
    window: int | None = None
    queries: Per = Per.SOURCE
    keys: Per = Per.SOURCE


class Cache(Record, frozen=True):
    """What `layers` decoder layers keep of each token: `width` elements in each, of no more than `window` tokens.

    `of` says whose tokens: beside an encoder a decoder keeps those of its target, and once those of the source.
    """

    layers: int
    width: int
    window: int | None = None
    of: Per = Per.SOURCE


class Architecture(Record, frozen=True):
    """A model by its sizes and its parts.

    `layers` are those of the stack that a pipeline cuts (encoder and decoder together where there are both); `intermediate` is the inner width of a feed-forward block, an
    expert's where there are experts. `context` is the longest sequence it is made for, None where positions have no end. `dtype` is what its
    configuration stores it in. `tokens` fixes the tokens of a sample that an image has.
    """

    name: str
    family: str
    parts: tuple[Parts, ...]
    cores: tuple[Core, ...] = ()
    caches: tuple[Cache, ...] = ()
    layers: int = 0
    hidden: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_width: int = 0
    intermediate: int = 0
    gated: bool = False
    vocabulary: int = 0
    tied: bool = False
    context: int | None = None
    experts: int = 0
    experts_per_token: int = 0
    tokens: int | None = None
    dtype: str = "float32"
    source: str = ""

    @property
    def parameters(self) -> int:
        """All of them; tied ones once."""
        return sum(part.count * part.parameters for part in self.parts)

    @property
    def active_parameters(self) -> int:
        """Those that work on a token: all but the experts it is not sent to."""
        return sum(
            part.count * (part.parameters if part.active is None else part.active) for part in self.parts
        )

    @property
    def embedding_parameters(self) -> int:
        """Those of tables that are looked up: tokens, positions, types. A tied head is among them."""
        return sum(part.count * part.parameters for part in self.parts if part.embedding)


class Recompute(StrEnum):
    """What a backward pass computes again: nothing, attention's core, or every layer."""

    NONE = "none"
    SELECTIVE = "selective"
    FULL = "full"


class Precision(NamedTuple):
    """Bytes of an element: of weights, gradients, a master copy of the weights, one moment of an optimizer; of what is computed; and of copies that are cast for a step."""

    weights: int
    gradients: int
    master: int
    moment: int
    compute: int
    casts: int = 0


# With Adam: float32 16 bytes a parameter; mixed 2 + 2 + 12 (Rajbhandari et al. 2020, arXiv 1910.02054, section 3.1); Megatron without its
# distributed optimizer 18, as its gradients are kept in float32 (Korthikanti et al. 2022, arXiv 2205.05198, figure 1); torch's autocast 16 and
# the cached casts of a step; weights and moments in sixteen bits 8.
PRECISIONS = {
    "float32": Precision(weights=4, gradients=4, master=0, moment=4, compute=4),
    "tf32": Precision(weights=4, gradients=4, master=0, moment=4, compute=4),
    "mixed": Precision(weights=2, gradients=2, master=4, moment=4, compute=2),
    "megatron": Precision(weights=2, gradients=4, master=4, moment=4, compute=2),
    "autocast": Precision(weights=4, gradients=4, master=0, moment=4, compute=2, casts=2),
    "bfloat16": Precision(weights=2, gradients=2, master=0, moment=2, compute=2),
    "float16": Precision(weights=2, gradients=2, master=0, moment=2, compute=2),
}

# Moments of each parameter. Lion: Chen et al. 2023, arXiv 2302.06675.
OPTIMIZERS = {"sgd": 0, "momentum": 1, "lion": 1, "adam": 2, "adamw": 2, "adam8bit": 2}

# One byte a moment (Dettmers et al. 2022, arXiv 2110.02861), the scales of its blocks left out.
EIGHT_BITS = "adam8bit"


class Recipe(Record, frozen=True):
    """What training keeps of each parameter, by the name of its precision and of its optimizer.

    >>> [Recipe(precision, "adam").per_parameter for precision in ("float32", "mixed", "megatron", "bfloat16")]
    [16, 16, 18, 8]
    >>> [Recipe("float32", optimizer).per_parameter for optimizer in ("sgd", "momentum", "adamw")]
    [8, 12, 16]
    """

    precision: str = "mixed"
    optimizer: str = "adamw"
    dropout: bool = False

    @property
    def bytes(self) -> Precision:
        """The sizes of its elements."""
        return PRECISIONS[self.precision]

    @property
    def optimizer_bytes(self) -> int:
        """Of each parameter: its moments, and its master copy where there is one."""
        moment = 1 if self.optimizer == EIGHT_BITS else self.bytes.moment
        return self.bytes.master + OPTIMIZERS[self.optimizer] * moment

    @property
    def per_parameter(self) -> int:
        """Bytes of states: weight, gradient and optimizer."""
        return self.bytes.weights + self.bytes.gradients + self.optimizer_bytes


# Stands where a number follows from the others.
FOLLOWS = cast("int", None)


class Layout(Record, frozen=True):
    """Model and batch over `devices` = data x tensor x pipeline; of `devices` and `data`, what is not given follows.

    `interleave`: chunks of layers on each stage. `zero`: the stage of ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054). `microbatch`: samples that
    one pass takes on each data-parallel replica; None: all of a replica's fraction of the batch at once. `flash`: attention's probabilities are
    never stored (Dao et al. 2022, arXiv 2205.14135).

    >>> Layout(devices=64, tensor=8, pipeline=2).data, Layout(tensor=8, data=3).devices, Layout().devices
    (4, 24, 1)
    """

    devices: int = FOLLOWS
    tensor: int = 1
    sequence_parallel: bool = False
    pipeline: int = 1
    interleave: int = 1
    data: int = FOLLOWS
    zero: int = 0
    recompute: Recompute = Recompute.NONE
    microbatch: int | None = None
    flash: bool = False

    def __post_init__(self) -> None:
        """Fills in what follows. What is impossible stays as it is: to refuse it is another's work."""
        model = self.tensor * self.pipeline
        if self.devices is FOLLOWS:
            replicas = 1 if self.data is FOLLOWS else self.data
            msgspec.structs.force_setattr(self, "devices", replicas * model)
        if self.data is FOLLOWS:
            msgspec.structs.force_setattr(self, "data", self.devices // model if model > 0 else 0)

    @property
    def sequence_split(self) -> int:
        """Among how many devices what tensor parallelism leaves whole is shared out."""
        return self.tensor if self.sequence_parallel else 1
