"""Decoders: layers of causal attention and a feed-forward block, between a table of tokens and a head."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from harness.plan.families.fields import MOST_LAYERS, Fields, Head, head
from harness.plan.families.pieces import (
    Attention,
    FeedForward,
    LatentAttention,
    Mixture,
    linear,
    merged,
    norm,
    output,
    table,
)
from harness.records.architecture import Architecture, Cache, Core, Parts

Windows = tuple[int | None, ...]
# The windows of so many layers, from the fields of a configuration.
Pattern = Callable[[Fields, int], Windows]


@dataclass(frozen=True)
class Sizes:
    """The sizes of a stack of layers; as defaults: the values of transformers' configuration class for fields that are left out.

    `inner` 0: a multiple of the hidden size. `kv_heads` None: as many as heads. `width` None: the hidden size divided among the heads.
    `context` None: positions without an end.
    """

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int | None = None
    width: int | None = None
    context: int | None = None

    @property
    def shared(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def each(self) -> int:
        """The width of one head."""
        return self.width or self.hidden // self.heads

    def attention(self, *, bias: bool = False, output_bias: bool = False, extra: int = 0) -> Attention:
        """Grouped heads of these sizes."""
        return Attention(self.hidden, self.heads, self.shared, self.each, bias, output_bias, extra)

    def block(self, *, gated: bool = True, bias: bool = False) -> FeedForward:
        """A feed-forward block of these sizes."""
        return FeedForward(self.hidden, self.inner, gated, bias)


@dataclass(frozen=True)
class Names:
    """The names of the fields that have the sizes; several for a field that transformers reads under each of them.

    `endless`: a `context` of null means positions without an end; elsewhere it means the default.
    """

    hidden: tuple[str, ...] = ("hidden_size",)
    inner: tuple[str, ...] = ("intermediate_size",)
    layers: tuple[str, ...] = ("num_hidden_layers",)
    heads: tuple[str, ...] = ("num_attention_heads",)
    kv_heads: tuple[str, ...] = ()
    width: tuple[str, ...] = ()
    context: tuple[str, ...] = ("max_position_embeddings",)
    endless: bool = False


# The names since Llama.
LLAMA = Names(kv_heads=("num_key_value_heads",), width=("head_dim",), endless=True)


def sizes(
    fields: Fields, usual: Sizes, names: Names = LLAMA, *, multiple: int = 4, least_context: int = 1
) -> Sizes:
    """The sizes that fields give, with the width of a head filled in; `multiple` of the hidden size is the inner one where it has no default.

    Raises:
        UsageError: a size is missing, or one does not divide another.
    """
    hidden = fields.size(*names.hidden, usual=usual.hidden)
    heads = fields.size(*names.heads, usual=usual.heads)
    kv_heads = fields.option(*names.kv_heads, default=usual.kv_heads) or heads
    width = fields.option(*names.width, default=usual.width)
    context = fields.option(*names.context, default=usual.context, least=least_context)
    own = Sizes(
        vocabulary=fields.size("vocab_size", usual=usual.vocabulary),
        hidden=hidden,
        inner=fields.size(*names.inner, usual=usual.inner)
        if names.inner and usual.inner
        else fields.option(*names.inner) or usual.inner or multiple * hidden,
        layers=fields.size(*names.layers, usual=usual.layers, most=MOST_LAYERS),
        heads=heads,
        kv_heads=kv_heads,
        width=width or fields.divides(names.hidden[0], hidden, names.heads[0], heads),
        context=context if names.endless else context or usual.context,
    )
    fields.divides(names.heads[0], heads, (*names.kv_heads, "heads of keys")[0], kv_heads)
    return own


def layer_types(fields: Fields, layers: int, usual: tuple[bool, ...]) -> tuple[bool, ...]:
    """Which layers have a window: by `layer_types` where it is given, else by the pattern of the family."""
    kinds = fields.rows("layer_types")
    if not kinds:
        return usual
    if len(kinds) != layers:
        raise fields.fault(f"layer_types names {len(kinds)} layers, but num_hidden_layers is {layers}")
    for kind in kinds:
        if kind not in ("sliding_attention", "full_attention"):
            raise fields.wrong("layer_types", kind, "full_attention or sliding_attention")
    return tuple(kind == "sliding_attention" for kind in kinds)


def windows(fields: Fields, layers: int, window: int | None, usual: tuple[bool, ...]) -> Windows:
    """The window of each layer."""
    if window is None and "sliding_attention" in fields.rows("layer_types"):
        layer_types(fields, layers, usual)
        raise fields.fault("layer_types has sliding_attention, but sliding_window gives no window")
    return tuple(window if local else None for local in layer_types(fields, layers, usual))


def everywhere(usual: int | None) -> Pattern:
    """The same window in each layer."""
    return lambda fields, layers: (fields.option("sliding_window", default=usual),) * layers


def alternating(usual: int) -> Pattern:
    """A window in every other layer, from the first on."""

    def pattern(fields: Fields, layers: int) -> Windows:
        local = tuple(layer % 2 == 0 for layer in range(layers))
        return windows(fields, layers, fields.option("sliding_window", default=usual), local)

    return pattern


def gemma3_windows(fields: Fields, layers: int) -> Windows:
    """One layer of six sees all tokens."""
    pattern = fields.number("sliding_window_pattern", "_sliding_window_pattern", default=6)
    local = tuple((layer + 1) % pattern != 0 for layer in range(layers))
    return windows(fields, layers, fields.option("sliding_window", default=4096), local)


def _used_window(fields: Fields) -> int | None:
    used = fields.flag("use_sliding_window", default=False)
    return fields.option("sliding_window", default=4096) if used else None


def late(fields: Fields, layers: int) -> Windows:
    """Qwen's: where windows are in use, from layer `max_window_layers` on."""
    first = fields.number("max_window_layers", default=28, least=0)
    local = tuple(layer >= first for layer in range(layers))
    return windows(fields, layers, _used_window(fields), local)


def early(fields: Fields, layers: int) -> Windows:
    """Qwen's with experts: every other layer before layer `max_window_layers`."""
    end = fields.number("max_window_layers", default=28, least=0)
    local = tuple(layer % 2 == 0 and layer < end for layer in range(layers))
    return windows(fields, layers, _used_window(fields), local)


def gpt_neo_windows(fields: Fields, layers: int) -> Windows:
    """By `attention_types`: lists of kinds, and the number of repetitions of each list."""
    window = fields.number("window_size", default=256)
    allowed = 'a list such as [[["global", "local"], 12]]'
    kinds: list[str] = []
    for row in fields.rows("attention_types") or [[["global", "local"], 12]]:
        if not isinstance(row, list | tuple) or len(row) != 2 or not isinstance(row[0], list | tuple):
            raise fields.wrong("attention_types", row, allowed)
        names, times = row
        counted = isinstance(times, int) and 0 < times <= MOST_LAYERS
        if not counted or not {*map(str, names)} <= {"global", "local"}:
            raise fields.wrong("attention_types", row, allowed)
        kinds += list(names) * times
    if len(kinds) != layers:
        raise fields.fault(f"attention_types names {len(kinds)} layers, but num_layers is {layers}")
    return tuple(window if kind == "local" else None for kind in kinds)


@dataclass(frozen=True)
class Decoder:
    """A decoder, piece by piece.

    `norm` is the parameters of a norm for each element (scale; scale and shift; none), `norms` the norms of a layer. `dense_layers` have no experts.
    `embedded` is the width of the tables, where it is not the hidden size. `extra` are further parts.
    """

    sizes: Sizes
    attention: Attention | LatentAttention
    block: FeedForward
    tied: bool
    mixture: Mixture | None = None
    dense_layers: int = 0
    windows: Windows = ()
    norm: int = 1
    norms: int = 2
    final_norm: bool = True
    embedding_norm: bool = False
    positions: int = 0
    embedded: int | None = None
    head_bias: bool = False
    extra: tuple[Parts, ...] = ()

    def architecture(self, fields: Fields, family: str) -> Architecture:
        """The record: with the head of a language model unless `architectures` names another."""
        own, attention = self.sizes, self.attention
        kind = head(fields, Head.LANGUAGE, Head.NONE, Head.SEQUENCE)
        block = self.mixture.expert if self.mixture else self.block
        alike = Counter(self.windows or (None,) * own.layers)
        return Architecture(
            name=fields.where,
            family=family,
            parts=merged((*self._tables(), *self._layers(), *self._top(fields, kind))),
            cores=tuple(
                Core(
                    count,
                    attention.heads,
                    attention.key_width,
                    attention.value_width,
                    causal=True,
                    window=window,
                )
                for window, count in alike.items()
            ),
            caches=tuple(Cache(count, attention.kept, window) for window, count in alike.items()),
            layers=own.layers,
            hidden=own.hidden,
            heads=attention.heads,
            kv_heads=attention.kv_heads,
            head_width=attention.width,
            intermediate=block.inner,
            gated=block.gated,
            vocabulary=own.vocabulary,
            tied=self.tied and kind is Head.LANGUAGE,
            context=own.context,
            experts=self.mixture.experts if self.mixture else 0,
            experts_per_token=self.mixture.chosen if self.mixture else 0,
        )

    @property
    def _width(self) -> int:
        return self.embedded or self.sizes.hidden

    def _projection(self, inputs: int, outputs: int) -> tuple[Parts, ...]:
        """Between tables and layers, where their widths differ."""
        return () if inputs == outputs else (linear("embedding projection", inputs, outputs),)

    def _tables(self) -> tuple[Parts, ...]:
        own = self.sizes
        return (
            table("embedding", own.vocabulary, self._width),
            table("positions", self.positions, own.hidden),
            norm(self.norm * own.hidden, int(self.embedding_norm)),
            *self._projection(self._width, own.hidden),
        )

    def _layers(self) -> tuple[Parts, ...]:
        own = self.sizes
        dense = self.dense_layers if self.mixture else own.layers
        return (
            *self.attention.parts(own.layers),
            *self.block.parts(dense),
            *(self.mixture.parts(own.layers - dense) if self.mixture else ()),
            norm(self.norm * own.hidden, self.norms * own.layers + self.final_norm),
            *self.extra,
        )

    def _top(self, fields: Fields, kind: Head) -> tuple[Parts, ...]:
        projection = self._projection(self.sizes.hidden, self._width)
        if kind is Head.LANGUAGE:
            scores = output(self._width, self.sizes.vocabulary, tied=self.tied, bias=self.head_bias)
            return (*projection, scores)
        if kind is Head.SEQUENCE:
            return (*projection, linear("classifier", self._width, fields.labels()))
        return projection
