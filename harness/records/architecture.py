"""A model as its configuration describes it, and how it is trained: parts, precision, layout."""

from enum import StrEnum
from typing import NamedTuple, cast

import msgspec

from harness.records.base import Record


class Per(StrEnum):
    """The unit that passes through a part.

    A token of the source (of an encoder, or of a model with one stack), a token of the target (of a decoder that also reads a source), or a sample
    (a pooled head, a convolution over its image).
    """

    SOURCE = "source"
    TARGET = "target"
    SAMPLE = "sample"


class Parts(Record, frozen=True):
    """Equal parts of a model, `count` of them: the weights of one, and its matrix FLOPs (a multiply-add is two) in a forward pass.

    `active` of the `parameters` work on each token (None: all; fewer among experts). `flops` are for each unit of `per`. Lookups, additions and
    norms have none. A tied head has FLOPs, and no parameters of its own.
    """

    component: str
    count: int
    parameters: int
    flops: int = 0
    active: int | None = None
    per: Per = Per.SOURCE
    embedding: bool = False


class Core(Record, frozen=True):
    """The cores of `count` equal attention layers: queries times keys, and weights times values.

    `key_width` and `value_width` are those of one head. `queries` and `keys` name the side of their tokens. A query attends to the last `window`
    tokens, its own included.
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
    """The cache of `layers` decoder layers: `width` elements of each token in each layer, of at most `window` tokens.

    `of` names the side of the tokens: a decoder that reads a source keeps tokens of both sides.
    """

    layers: int
    width: int
    window: int | None = None
    of: Per = Per.SOURCE


class Architecture(Record, frozen=True):
    """A model by its sizes and its parts.

    `layers` are those that a pipeline divides (encoder and decoder together). `intermediate` is the inner width of a feed-forward block, or of an expert.
    `context` is the longest sequence that it is made for, None where positions have no end. `dtype` is that of the stored weights. `tokens` is the
    fixed number of tokens of an image.
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
        """Parameters in all; tied ones count once."""
        return sum(part.count * part.parameters for part in self.parts)

    @property
    def active_parameters(self) -> int:
        """Parameters that work on a token: all but those of experts that it is not sent to."""
        return sum(
            part.count * (part.parameters if part.active is None else part.active) for part in self.parts
        )

    @property
    def embedding_parameters(self) -> int:
        """Parameters of lookup tables: tokens, positions, types. A tied head is one of them."""
        return sum(part.count * part.parameters for part in self.parts if part.embedding)


class Recompute(StrEnum):
    """The part that a backward pass computes again: nothing, attention's core, or every layer."""

    NONE = "none"
    SELECTIVE = "selective"
    FULL = "full"


class Precision(NamedTuple):
    """Bytes of an element: of weights, gradients, a master copy of weights, a moment of the optimizer, the computation, and copies cast for a step."""

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
    """The training states of each parameter, by the names of its precision and its optimizer.

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
        """Bytes of the moments of a parameter, and of its master copy if there is one."""
        moment = 1 if self.optimizer == EIGHT_BITS else self.bytes.moment
        return self.bytes.master + OPTIMIZERS[self.optimizer] * moment

    @property
    def per_parameter(self) -> int:
        """Bytes of states: weight, gradient and optimizer."""
        return self.bytes.weights + self.bytes.gradients + self.optimizer_bytes


# The default of a number that follows from the others.
FOLLOWS = cast("int", None)


class Layout(Record, frozen=True):
    """Model and batch over `devices` = data x tensor x pipeline; `devices` or `data` follows where it is not given.

    `interleave`: chunks of layers on each stage. `zero`: the stage of ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054). `microbatch`: samples of
    one pass on each replica; None: the replica's whole part of the batch. `flash`: attention's probabilities are never stored (Dao et al. 2022,
    arXiv 2205.14135).

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
        """Computes the numbers that follow. Impossible layouts stay as they are: `check_layout` refuses them."""
        model = self.tensor * self.pipeline
        if self.devices is FOLLOWS:
            replicas = 1 if self.data is FOLLOWS else self.data
            msgspec.structs.force_setattr(self, "devices", replicas * model)
        if self.data is FOLLOWS:
            msgspec.structs.force_setattr(self, "data", self.devices // model if model > 0 else 0)

    @property
    def sequence_split(self) -> int:
        """The number of devices that divide the tensors which tensor parallelism leaves whole."""
        return self.tensor if self.sequence_parallel else 1
