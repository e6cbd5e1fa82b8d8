"""Encoders of text (BERT and its relatives), and encoders with a decoder (T5, BART).

The defaults are those of transformers 5.23's configuration classes.
"""

from collections import Counter
from dataclasses import dataclass, replace

from harness.plan.families.decoder import Names, Sizes, Windows, layer_types, sizes
from harness.plan.families.fields import MOST_LAYERS, Fields, Head, head
from harness.plan.families.pieces import (
    Attention,
    FeedForward,
    linear,
    merged,
    norm,
    output,
    per_sample,
    table,
)
from harness.records.architecture import Architecture, Cache, Core, Parts, Per

TEXT_HEADS = (Head.NONE, Head.MASKED, Head.SEQUENCE, Head.TOKENS, Head.PRETRAINING)


@dataclass(frozen=True)
class Encoder:
    """An encoder, piece by piece; the defaults are BERT's.

    `norm` is the parameters of a norm for each element. `embedded` is the width of the tables, where it is not the hidden size. `pooled`: the base model has a
    pooler. `transform_bias` is that of the layer under the head of a masked language model; `transformed`: that layer is under classes too.
    `second_bias`: an untied head has a second bias, which is added to nothing.
    """

    family: str
    sizes: Sizes
    positions: int
    tied: bool
    types: int = 0
    embedded: int | None = None
    norm: int = 2
    gated: bool = False
    bias: bool = True
    block_bias: bool = True
    transform_bias: bool = True
    decoder_bias: bool = True
    second_bias: bool = False
    pooled: bool = False
    transformed: bool = False
    windows: Windows = ()

    def architecture(self, fields: Fields) -> Architecture:
        """The record: the base model unless `architectures` names another."""
        own, width = self.sizes, self.sizes.each
        kind = head(fields, *TEXT_HEADS)
        attention = own.attention(bias=self.bias, output_bias=self.bias)
        parts = (
            *self._tables(),
            *attention.parts(own.layers),
            *own.block(gated=self.gated, bias=self.block_bias).parts(own.layers),
            norm(self.norm * own.hidden, 2 * own.layers),
            *self._top(fields, kind),
        )
        alike = Counter(self.windows or (None,) * own.layers)
        return Architecture(
            name=fields.where,
            family=self.family,
            parts=merged(parts),
            cores=tuple(
                Core(count, own.heads, width, width, causal=False, window=window)
                for window, count in alike.items()
            ),
            layers=own.layers,
            hidden=own.hidden,
            heads=own.heads,
            kv_heads=own.heads,
            head_width=width,
            intermediate=own.inner,
            gated=self.gated,
            vocabulary=own.vocabulary,
            tied=self.tied and kind in (Head.MASKED, Head.PRETRAINING),
            context=own.context,
        )

    @property
    def _width(self) -> int:
        return self.embedded or self.sizes.hidden

    def _tables(self) -> tuple[Parts, ...]:
        own, width = self.sizes, self._width
        tables = (
            table("embedding", own.vocabulary, width),
            table("positions", self.positions, width),
            table("types", self.types, width),
            norm(self.norm * width),
        )
        if width == own.hidden:
            return tables
        return (*tables, linear("embedding projection", width, own.hidden, bias=True))

    def _top(self, fields: Fields, kind: Head) -> tuple[Parts, ...]:
        hidden, words = self.sizes.hidden, self.sizes.vocabulary
        transform = (
            linear("head transform", hidden, self._width, bias=self.transform_bias),
            norm(self.norm * self._width),
        )
        masked = (
            *transform,
            output(self._width, words, tied=self.tied, bias=self.decoder_bias),
            Parts("head", int(self.second_bias and not self.tied), words),
        )
        pooler = linear("pooler", hidden, hidden, bias=True, per=Per.SAMPLE)
        match kind:
            case Head.MASKED:
                return masked
            case Head.PRETRAINING if self.pooled:  # and whether one sentence follows the other
                return (*masked, pooler, linear("classifier", hidden, 2, bias=True, per=Per.SAMPLE))
            case Head.PRETRAINING:  # ELECTRA's: whether a token is the original one
                dense = linear("head transform", hidden, hidden, bias=True)
                return (dense, linear("head", hidden, 1, bias=True))
            case Head.SEQUENCE:
                classes = linear("classifier", hidden, fields.labels(), bias=True, per=Per.SAMPLE)
                return (*map(per_sample, transform), classes) if self.transformed else (pooler, classes)
            case Head.TOKENS:
                classes = linear("classifier", hidden, fields.labels(), bias=True)
                return (*transform, classes) if self.transformed else (classes,)
            case _:
                return (pooler,) if self.pooled else ()


def bert(fields: Fields) -> Architecture:
    """BERT."""
    return _bert(fields, "bert", Sizes(30522, 768, 3072, 12, 12, context=512))


def roberta(fields: Fields) -> Architecture:
    """RoBERTa and XLM-RoBERTa: two rows of positions are spent on padding."""
    return _bert(fields, "roberta", Sizes(50265, 768, 3072, 12, 12, context=512), padding=2)


def electra(fields: Fields) -> Architecture:
    """ELECTRA: tables narrower than the layers, and no pooler."""
    embedded = fields.number("embedding_size", default=128)
    return _bert(fields, "electra", Sizes(30522, 256, 1024, 12, 4, context=512), embedded=embedded)


def _bert(
    fields: Fields, family: str, usual: Sizes, *, padding: int = 0, embedded: int | None = None
) -> Architecture:
    own = sizes(fields, usual, Names(), least_context=1 + padding)
    positions = own.context or 0
    return Encoder(
        family,
        replace(own, context=positions - padding),
        positions,
        tied=fields.flag("tie_word_embeddings", default=True),
        types=fields.number("type_vocab_size", default=2, least=0),
        embedded=embedded,
        second_bias=family != "electra",
        pooled=family != "electra",
    ).architecture(fields)


def distilbert(fields: Fields) -> Architecture:
    """DistilBERT: no types, no pooler."""
    names = Names(
        hidden=("dim", "hidden_size"),
        inner=("hidden_dim",),
        layers=("n_layers", "num_hidden_layers"),
        heads=("n_heads", "num_attention_heads"),
    )
    own = sizes(fields, Sizes(30522, 768, 3072, 6, 12, context=512), names)
    tied = fields.flag("tie_word_embeddings", default=True)
    return Encoder("distilbert", own, own.context or 0, tied).architecture(fields)


def modernbert(fields: Fields) -> Architecture:
    """ModernBERT: gated blocks, no table of positions, and windows in two layers of three.

    A window is `local_attention // 2` tokens on either side, and the token itself. A layer of `global_attn_every_n_layers` sees all tokens.
    Norms are two a layer: the first layer has one fewer, and there is one at the end.
    """
    own = sizes(fields, Sizes(50368, 768, 1152, 22, 12, context=8192), Names())
    window = 2 * (fields.number("local_attention", default=128) // 2) + 1
    every = fields.number("global_attn_every_n_layers", default=3)
    local = layer_types(fields, own.layers, tuple(layer % every != 0 for layer in range(own.layers)))
    return Encoder(
        "modernbert",
        own,
        positions=0,
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=1 + fields.flag("norm_bias", default=False),
        gated=True,
        bias=fields.flag("attention_bias", default=False),
        block_bias=fields.flag("mlp_bias", default=False),
        transform_bias=fields.flag("classifier_bias", default=False),
        decoder_bias=fields.flag("decoder_bias", default=True),
        transformed=True,
        windows=tuple(window if here else None for here in local),
    ).architecture(fields)


@dataclass(frozen=True)
class Stack:
    """The layers of an encoder, or of the decoder that reads its output."""

    attention: Attention
    block: FeedForward
    layers: int


def t5(fields: Fields) -> Architecture:
    """T5 and its version 1.1."""
    return _t5(fields, "t5", Sizes(32128, 512, 2048, 6, 8, width=64), gate="relu")


def mt5(fields: Fields) -> Architecture:
    """T5 of many languages."""
    return _t5(fields, "mt5", Sizes(250112, 512, 1024, 8, 6, width=64), gate="gated-gelu")


def _t5(fields: Fields, family: str, usual: Sizes, *, gate: str) -> Architecture:
    """No biases, norms of a scale, and a table of relative positions in the first layer of each stack.

    The head is its own where `tie_word_embeddings` is false, as in the checkpoints of version 1.1 (transformers 5 ties it all the same).
    """
    names = Names(
        hidden=("d_model", "hidden_size"),
        inner=("d_ff",),
        layers=("num_layers", "num_hidden_layers"),
        heads=("num_heads", "num_attention_heads"),
        width=("d_kv",),
        context=(),
    )
    own = sizes(fields, usual, names)
    decoders = fields.number("num_decoder_layers", default=own.layers, most=MOST_LAYERS)
    gated = fields.word("feed_forward_proj", gate).startswith("gated-")
    buckets = fields.number("relative_attention_num_buckets", default=32)
    stacks = [Stack(own.attention(), own.block(gated=gated), layers) for layers in (own.layers, decoders)]
    tables = (
        table("embedding", own.vocabulary, own.hidden),
        *(table("positions", buckets, own.heads) for _ in stacks),
    )
    return _beside(fields, family, tables, stacks, own.vocabulary, norm_width=own.hidden)


def bart(fields: Fields) -> Architecture:
    """BART: one table of tokens for both stacks and the head, two more rows of positions than tokens."""
    hidden = fields.size("d_model", "hidden_size", usual=1024)
    words = fields.size("vocab_size", usual=50265)
    context = fields.number("max_position_embeddings", default=1024)
    tied = fields.flag("tie_word_embeddings", default=True)
    stacks = [_bart_stack(fields, hidden, *names) for names in _BART_STACKS]
    tables = (
        *(table("embedding", words, hidden) for _ in range(1 if tied else 3)),
        *(table("positions", context + 2, hidden) for _ in stacks),
    )
    return _beside(fields, "bart", tables, stacks, words, norm_width=2 * hidden, context=context)


# Prefix of the fields of a stack, and further names of its layers and of its heads.
_BART_STACKS = (("encoder", ("num_hidden_layers",), ("num_attention_heads",)), ("decoder", (), ()))


def _bart_stack(
    fields: Fields, hidden: int, prefix: str, layers: tuple[str, ...], heads: tuple[str, ...]
) -> Stack:
    count = fields.size(f"{prefix}_layers", *layers, usual=12, most=MOST_LAYERS)
    several = fields.size(f"{prefix}_attention_heads", *heads, usual=16)
    width = fields.divides("d_model", hidden, f"{prefix}_attention_heads", several)
    inner = fields.size(f"{prefix}_ffn_dim", usual=4096)
    attention = Attention(hidden, several, several, width, bias=True, output_bias=True)
    return Stack(attention, FeedForward(hidden, inner, bias=True), count)


def _beside(  # noqa: PLR0913 - the pieces of a model with two stacks
    fields: Fields,
    family: str,
    tables: tuple[Parts, ...],
    stacks: list[Stack],
    words: int,
    *,
    norm_width: int,
    context: int | None = None,
) -> Architecture:
    """Encoder layers over the source; decoder layers over the target, whose cross-attention takes keys and values from the source."""
    first, second = stacks
    encoding, decoding, decoders = first.attention, second.attention, second.layers
    target, kind = Per.TARGET, head(fields, Head.LANGUAGE, Head.NONE)
    tied = fields.flag("tie_word_embeddings", default=True)
    parts = (
        *tables,
        *encoding.parts(first.layers),
        *first.block.parts(first.layers),
        *decoding.parts(decoders, "attention", target, target),
        *decoding.parts(decoders, "cross-attention", target, Per.SOURCE),
        *second.block.parts(decoders, per=target),
        norm(norm_width, 2 * first.layers + 3 * decoders + 2),
        *((output(encoding.hidden, words, tied=tied, per=target),) if kind is Head.LANGUAGE else ()),
    )
    heads, width = decoding.heads, decoding.width
    return Architecture(
        name=fields.where,
        family=family,
        parts=merged(parts),
        cores=(
            Core(first.layers, encoding.heads, encoding.width, encoding.width, causal=False),
            Core(decoders, heads, width, width, causal=True, queries=target, keys=target),
            Core(decoders, heads, width, width, causal=False, queries=target),
        ),
        caches=(Cache(decoders, decoding.kept, of=target), Cache(decoders, decoding.kept, of=Per.SOURCE)),
        layers=first.layers + decoders,
        hidden=encoding.hidden,
        heads=encoding.heads,
        kv_heads=encoding.kv_heads,
        head_width=encoding.width,
        intermediate=first.block.inner,
        gated=first.block.gated,
        vocabulary=words,
        tied=tied and kind is Head.LANGUAGE,
        context=context,
    )
