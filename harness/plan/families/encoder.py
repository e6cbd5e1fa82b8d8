"""Encoders of text: BERT and its kin. The defaults are those of transformers 5.23's configuration classes."""

from dataclasses import dataclass

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
from harness.records.architecture import Architecture, Core, Parts, Per

# Classes: (usual) pooled before a classifier, or a layer of its own before it, or nothing.
TEXT_HEADS = (Head.NONE, Head.MASKED, Head.SEQUENCE, Head.TOKENS)


@dataclass(frozen=True)
class Encoder:
    """An encoder, piece by piece; `norm` parameters of a norm for each element, `norms` all of hidden width.

    `embedded` is the width of the tables. `pooled`: the base model has a pooler. `transform_bias` is that of the layer under the head of
    a masked language model; `transformed`: it is under classes too.
    """

    family: str
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    context: int
    positions: int
    types: int
    embedded: int
    norm: int
    norms: int
    tied: bool
    gated: bool = False
    bias: bool = True
    block_bias: bool = True
    transform_bias: bool = True
    decoder_bias: bool = True
    pooled: bool = False
    transformed: bool = False
    windows: tuple[int | None, ...] = ()

    def architecture(self, fields: Fields) -> Architecture:
        """The record: the base model unless `architectures` says otherwise."""
        width = fields.divides("hidden size", self.hidden, "attention heads", self.heads)
        kind = head(fields, *TEXT_HEADS, Head.PRETRAINING)
        attention = Attention(self.hidden, self.heads, self.heads, width, self.bias, self.bias)
        block = FeedForward(self.hidden, self.inner, self.gated, self.block_bias)
        windows = self.windows or (None,) * self.layers
        return Architecture(
            name=fields.where,
            family=self.family,
            parts=merged(
                (
                    *self._tables(),
                    *attention.parts(self.layers),
                    *block.parts(self.layers),
                    norm(self.norm * self.hidden, self.norms),
                    *self._top(fields, kind),
                )
            ),
            cores=tuple(
                Core(windows.count(window), self.heads, width, width, causal=False, window=window)
                for window in dict.fromkeys(windows)
            ),
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            kv_heads=self.heads,
            head_width=width,
            intermediate=self.inner,
            gated=self.gated,
            vocabulary=self.vocabulary,
            tied=self.tied and kind in (Head.MASKED, Head.PRETRAINING),
            context=self.context,
        )

    def _tables(self) -> tuple[Parts, ...]:
        tables = (
            table("embedding", self.vocabulary, self.embedded),
            table("positions", self.positions, self.embedded),
            table("types", self.types, self.embedded),
            norm(self.norm * self.embedded),
        )
        if self.embedded == self.hidden:
            return tables
        return (*tables, linear("embedding projection", self.embedded, self.hidden, bias=True))

    def _top(self, fields: Fields, kind: Head) -> tuple[Parts, ...]:
        transform = (
            linear("head transform", self.hidden, self.embedded, bias=self.transform_bias),
            norm(self.norm * self.embedded),
        )
        masked = (
            *transform,
            output(self.embedded, self.vocabulary, tied=self.tied, bias=self.decoder_bias),
            # Untied, these keep a second bias, which is added to nothing.
            Parts("head", int(not self.tied and self.family in ("bert", "roberta")), self.vocabulary),
        )
        pooler = linear("pooler", self.hidden, self.hidden, bias=True, per=Per.SAMPLE)
        match kind:
            case Head.MASKED:
                return masked
            case Head.PRETRAINING if self.pooled:  # and whether one sentence follows the other
                return (*masked, pooler, linear("classifier", self.hidden, 2, bias=True, per=Per.SAMPLE))
            case Head.PRETRAINING:  # ELECTRA's: whether a token is the one that was there
                dense = linear("head transform", self.hidden, self.hidden, bias=True)
                return (dense, linear("head", self.hidden, 1, bias=True))
            case Head.SEQUENCE:
                classes = linear("classifier", self.hidden, fields.labels(), bias=True, per=Per.SAMPLE)
                return (*map(per_sample, transform), classes) if self.transformed else (pooler, classes)
            case Head.TOKENS:
                classes = linear("classifier", self.hidden, fields.labels(), bias=True)
                return (*transform, classes) if self.transformed else (classes,)
            case _:
                return (pooler,) if self.pooled else ()


def bert(fields: Fields) -> Architecture:
    """BERT."""
    return _bert(fields, "bert", (30522, 768, 3072, 12))


def roberta(fields: Fields) -> Architecture:
    """RoBERTa and XLM-RoBERTa: two rows of positions are spent on padding."""
    return _bert(fields, "roberta", (50265, 768, 3072, 12), spent=2)


def electra(fields: Fields) -> Architecture:
    """ELECTRA: tables narrower than the layers, and no pooler."""
    return _bert(
        fields, "electra", (30522, 256, 1024, 4), embedded=fields.number("embedding_size", default=128)
    )


def _bert(
    fields: Fields,
    family: str,
    usual: tuple[int, int, int, int],
    *,
    spent: int = 0,
    embedded: int | None = None,
) -> Architecture:
    vocabulary, width, inner, heads = usual
    hidden = fields.size("hidden_size", usual=width)
    layers = fields.size("num_hidden_layers", usual=12, most=MOST_LAYERS)
    rows = fields.number("max_position_embeddings", default=512, least=1 + spent)
    return Encoder(
        family=family,
        vocabulary=fields.size("vocab_size", usual=vocabulary),
        hidden=hidden,
        layers=layers,
        heads=fields.size("num_attention_heads", usual=heads),
        inner=fields.size("intermediate_size", usual=inner),
        context=rows - spent,
        positions=rows,
        types=fields.number("type_vocab_size", default=2, least=0),
        embedded=embedded or hidden,
        norm=2,
        norms=2 * layers,
        tied=fields.flag("tie_word_embeddings", default=True),
        pooled=family != "electra",
    ).architecture(fields)


def distilbert(fields: Fields) -> Architecture:
    """DistilBERT: no types, no pooler."""
    hidden = fields.size("dim", "hidden_size", usual=768)
    layers = fields.size("n_layers", "num_hidden_layers", usual=6, most=MOST_LAYERS)
    rows = fields.number("max_position_embeddings", default=512)
    return Encoder(
        family="distilbert",
        vocabulary=fields.size("vocab_size", usual=30522),
        hidden=hidden,
        layers=layers,
        heads=fields.size("n_heads", "num_attention_heads", usual=12),
        inner=fields.size("hidden_dim", usual=3072),
        context=rows,
        positions=rows,
        types=0,
        embedded=hidden,
        norm=2,
        norms=2 * layers,
        tied=fields.flag("tie_word_embeddings", default=True),
    ).architecture(fields)


def modernbert(fields: Fields) -> Architecture:
    """ModernBERT: gated blocks, no table of positions, and windows in two layers of three."""
    hidden = fields.size("hidden_size", usual=768)
    layers = fields.size("num_hidden_layers", usual=22, most=MOST_LAYERS)
    norm_size = 1 + fields.flag("norm_bias", default=False)
    return Encoder(
        family="modernbert",
        vocabulary=fields.size("vocab_size", usual=50368),
        hidden=hidden,
        layers=layers,
        heads=fields.size("num_attention_heads", usual=12),
        inner=fields.size("intermediate_size", usual=1152),
        context=fields.number("max_position_embeddings", default=8192),
        positions=0,
        types=0,
        embedded=hidden,
        norm=norm_size,
        norms=2 * layers,  # the first layer has one less, and there is one at the end
        tied=fields.flag("tie_word_embeddings", default=True),
        gated=True,
        bias=fields.flag("attention_bias", default=False),
        block_bias=fields.flag("mlp_bias", default=False),
        transform_bias=fields.flag("classifier_bias", default=False),
        decoder_bias=fields.flag("decoder_bias", default=True),
        transformed=True,
        windows=_local(fields, layers),
    ).architecture(fields)


def _local(fields: Fields, layers: int) -> tuple[int | None, ...]:
    """`local_attention // 2` tokens to either side, and the one itself; a layer of `global_attn_every_n_layers` sees all."""
    window = 2 * (fields.number("local_attention", default=128) // 2) + 1
    every = fields.number("global_attn_every_n_layers", default=3)
    kinds = fields.rows("layer_types")
    if kinds and len(kinds) != layers:
        raise fields.fault(f"layer_types names {len(kinds)} layers, but num_hidden_layers is {layers}")
    for kind in kinds:
        if kind not in ("sliding_attention", "full_attention"):
            raise fields.wrong("layer_types", kind, "full_attention or sliding_attention")
    local = [kind == "sliding_attention" for kind in kinds] or [layer % every != 0 for layer in range(layers)]
    return tuple(window if here else None for here in local)
