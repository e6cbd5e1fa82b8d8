"""Decoders: layers of causal attention and a feed-forward block, between a table of tokens and a head."""

from collections import Counter
from dataclasses import dataclass, field

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


@dataclass(frozen=True)
class Sizes:
    """The sizes every decoder has; as defaults: what transformers' configuration class takes for a field that is left out.

    `kv_heads` None: as many as heads; `width` None: the hidden size shared out among the heads.
    """

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int | None
    width: int | None
    context: int | None

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


def sizes(fields: Fields, usual: Sizes) -> Sizes:
    """The sizes under the names that most families give them."""
    hidden = fields.size("hidden_size", usual=usual.hidden)
    heads = fields.size("num_attention_heads", usual=usual.heads)
    shared = fields.option("num_key_value_heads", default=usual.kv_heads)
    width = fields.option("head_dim", default=usual.width)
    return checked(
        fields,
        Sizes(
            vocabulary=fields.size("vocab_size", usual=usual.vocabulary),
            hidden=hidden,
            inner=fields.size("intermediate_size", usual=usual.inner),
            layers=fields.size("num_hidden_layers", usual=usual.layers, most=MOST_LAYERS),
            heads=heads,
            kv_heads=shared or heads,
            width=width,
            context=fields.option("max_position_embeddings", default=usual.context),
        ),
        ("hidden_size", "num_attention_heads", "num_key_value_heads"),
    )


def checked(fields: Fields, found: Sizes, names: tuple[str, str, str]) -> Sizes:
    """Sizes that go together, with the width of a head filled in."""
    hidden, heads, shared = names
    width = found.width or fields.divides(hidden, found.hidden, heads, found.heads)
    fields.divides(heads, found.heads, shared, found.shared)
    return Sizes(
        found.vocabulary,
        found.hidden,
        found.inner,
        found.layers,
        found.heads,
        found.shared,
        width,
        found.context,
    )


def windows(fields: Fields, layers: int, window: int | None, usual: tuple[bool, ...]) -> Windows:
    """The window of each layer: by `layer_types` where they are given, else by the family's pattern."""
    kinds = fields.rows("layer_types")
    if not kinds:
        return tuple(window if local else None for local in usual)
    if len(kinds) != layers:
        raise fields.fault(f"layer_types names {len(kinds)} layers, but num_hidden_layers is {layers}")
    for kind in kinds:
        if kind not in ("sliding_attention", "full_attention"):
            raise fields.wrong("layer_types", kind, "full_attention or sliding_attention")
    if window is None and "sliding_attention" in kinds:
        raise fields.fault("layer_types has sliding_attention, but sliding_window gives no window")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


@dataclass(frozen=True)
class Decoder:
    """A decoder, piece by piece.

    `norm` is how many parameters a norm has for each element (a scale; a scale and a shift; none), `norms` how many a layer has.
    `mixtures` are layers with experts, `blocks` those without. `embedded` is the width of the tables, where it is not the hidden size.
    """

    sizes: Sizes
    attention: Attention | LatentAttention
    block: FeedForward | None
    tied: bool
    mixture: Mixture | None = None
    dense_layers: int | None = None
    windows: Windows = ()
    norm: int = 1
    norms: int = 2
    final_norm: bool = True
    embedding_norm: bool = False
    positions: int = 0
    embedded: int | None = None
    head_bias: bool = False
    extra: tuple[Parts, ...] = field(default=())

    def architecture(self, fields: Fields, family: str) -> Architecture:
        """The record: with the head of a language model unless `architectures` says otherwise."""
        own = self.sizes
        kind = head(fields, Head.LANGUAGE, Head.NONE, Head.SEQUENCE)
        one = self.mixture.expert if self.mixture else self.block
        return Architecture(
            name=fields.where,
            family=family,
            parts=merged((*self._tables(), *self._layers(), *self._top(fields, kind))),
            cores=self._cores(),
            caches=self._caches(),
            layers=own.layers,
            hidden=own.hidden,
            heads=self.attention.heads,
            kv_heads=self.attention.kv_heads,
            head_width=self.attention.width,
            intermediate=one.inner if one else 0,
            gated=bool(one and one.gated),
            vocabulary=own.vocabulary,
            tied=self.tied and kind is Head.LANGUAGE,
            context=own.context,
            experts=self.mixture.experts if self.mixture else 0,
            experts_per_token=self.mixture.chosen if self.mixture else 0,
        )

    def _tables(self) -> tuple[Parts, ...]:
        own, width = self.sizes, self.embedded or self.sizes.hidden
        tables = (
            table("embedding", own.vocabulary, width),
            table("positions", self.positions, own.hidden),
            norm(self.norm * own.hidden, int(self.embedding_norm)),
        )
        if width == own.hidden:
            return tables
        return (*tables, linear("embedding projection", width, own.hidden))

    def _layers(self) -> tuple[Parts, ...]:
        own = self.sizes
        dense = own.layers if self.mixture is None else self.dense_layers or 0
        return (
            *self.attention.parts(own.layers),
            *(self.block.parts(dense) if self.block else ()),
            *(self.mixture.parts(own.layers - dense) if self.mixture else ()),
            norm(self.norm * own.hidden, self.norms * own.layers + self.final_norm),
            *self.extra,
        )

    def _top(self, fields: Fields, kind: Head) -> tuple[Parts, ...]:
        own, width = self.sizes, self.embedded or self.sizes.hidden
        out = () if width == own.hidden else (linear("embedding projection", own.hidden, width),)
        if kind is Head.LANGUAGE:
            return (*out, output(width, own.vocabulary, tied=self.tied, bias=self.head_bias))
        if kind is Head.SEQUENCE:
            return (*out, linear("classifier", width, fields.labels()))
        return out

    def _each_window(self) -> Counter[int | None]:
        return Counter(self.windows or (None,) * self.sizes.layers)

    def _cores(self) -> tuple[Core, ...]:
        own = self.attention
        return tuple(
            Core(count, own.heads, own.key_width, own.value_width, causal=True, window=window)
            for window, count in self._each_window().items()
        )

    def _caches(self) -> tuple[Cache, ...]:
        return tuple(
            Cache(count, self.attention.kept, window) for window, count in self._each_window().items()
        )
