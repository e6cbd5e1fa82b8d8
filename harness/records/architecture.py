"""A model as its configuration describes it: what it is made of, before any of it exists."""

from enum import StrEnum

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
