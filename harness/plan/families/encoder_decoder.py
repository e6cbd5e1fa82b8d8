"""Encoders with a decoder beside them: T5, BART. The defaults are those of transformers 5.23's configuration classes."""

from harness.plan.families.fields import MOST_LAYERS, Fields, Head, head
from harness.plan.families.pieces import Attention, FeedForward, merged, norm, output, table
from harness.records.architecture import Architecture, Cache, Core, Parts, Per


def t5(fields: Fields) -> Architecture:
    """T5 and its version 1.1."""
    return _t5(fields, "t5", (32128, 2048, 6, 8), gate="relu")


def mt5(fields: Fields) -> Architecture:
    """T5 of many languages."""
    return _t5(fields, "mt5", (250112, 1024, 8, 6), gate="gated-gelu")


def _t5(fields: Fields, family: str, usual: tuple[int, int, int, int], *, gate: str) -> Architecture:
    """No biases, norms of a scale, and a table of relative positions in the first layer of each stack.

    A head of its own where `tie_word_embeddings` is false, as in the checkpoints of version 1.1 (transformers 5 ties it all the same).
    """
    vocabulary, inner, deep, several = usual
    hidden = fields.size("d_model", "hidden_size", usual=512)
    heads = fields.size("num_heads", "num_attention_heads", usual=several)
    width = fields.number("d_kv", default=64)
    layers = fields.size("num_layers", "num_hidden_layers", usual=deep, most=MOST_LAYERS)
    decoders = fields.number("num_decoder_layers", default=layers, most=MOST_LAYERS)
    words = fields.size("vocab_size", usual=vocabulary)
    gated = fields.word("feed_forward_proj", gate).startswith("gated-")
    block = FeedForward(hidden, fields.size("d_ff", usual=inner), gated)
    buckets = fields.number("relative_attention_num_buckets", default=32)
    kind = head(fields, Head.LANGUAGE, Head.NONE)
    tied = fields.flag("tie_word_embeddings", default=True)
    attention = Attention(hidden, heads, heads, width)
    top = (output(hidden, words, tied=tied, per=Per.TARGET),) if kind is Head.LANGUAGE else ()
    return _architecture(
        fields,
        family,
        (
            table("embedding", words, hidden),
            *(table("positions", buckets, heads) for _ in range(2)),
            *_stacks((attention, attention), (block, block), (layers, decoders)),
            norm(hidden, 2 * layers + 3 * decoders + 2),
            *top,
        ),
        attentions=(attention, attention),
        stacks=(layers, decoders),
        block=block,
        sizes=(words, None),
        tied=tied and kind is Head.LANGUAGE,
    )


def bart(fields: Fields) -> Architecture:
    """BART: one table of tokens for both stacks and the head, two rows of positions more than it has."""
    hidden = fields.size("d_model", "hidden_size", usual=1024)
    layers = fields.size("encoder_layers", "num_hidden_layers", usual=12, most=MOST_LAYERS)
    decoders = fields.size("decoder_layers", usual=12, most=MOST_LAYERS)
    encoder_heads = fields.size("encoder_attention_heads", "num_attention_heads", usual=16)
    decoder_heads = fields.size("decoder_attention_heads", usual=16)
    words = fields.size("vocab_size", usual=50265)
    context = fields.number("max_position_embeddings", default=1024)
    kind = head(fields, Head.LANGUAGE, Head.NONE)
    tied = fields.flag("tie_word_embeddings", default=True)
    attentions = (
        _biased(fields, hidden, "encoder_attention_heads", encoder_heads),
        _biased(fields, hidden, "decoder_attention_heads", decoder_heads),
    )
    blocks = (
        FeedForward(hidden, fields.size("encoder_ffn_dim", usual=4096), bias=True),
        FeedForward(hidden, fields.size("decoder_ffn_dim", usual=4096), bias=True),
    )
    top = (output(hidden, words, tied=tied, per=Per.TARGET),) if kind is Head.LANGUAGE else ()
    return _architecture(
        fields,
        "bart",
        (
            *(table("embedding", words, hidden) for _ in range(1 if tied else 3)),
            *(table("positions", context + 2, hidden) for _ in range(2)),
            *_stacks(attentions, blocks, (layers, decoders)),
            norm(2 * hidden, 2 * layers + 3 * decoders + 2),
            *top,
        ),
        attentions=attentions,
        stacks=(layers, decoders),
        block=blocks[0],
        sizes=(words, context),
        tied=tied and kind is Head.LANGUAGE,
    )


def _biased(fields: Fields, hidden: int, name: str, heads: int) -> Attention:
    width = fields.divides("d_model", hidden, name, heads)
    return Attention(hidden, heads, heads, width, bias=True, output_bias=True)


def _stacks(
    attentions: tuple[Attention, Attention], blocks: tuple[FeedForward, FeedForward], layers: tuple[int, int]
) -> tuple[Parts, ...]:
    """Encoder layers over the source; decoder layers over the target, whose cross-attention takes keys and values from the source."""
    (encoding, decoding), (first, second), (encoders, decoders) = attentions, blocks, layers
    return (
        *encoding.parts(encoders),
        *first.parts(encoders),
        *decoding.parts(decoders, "attention", Per.TARGET, Per.TARGET),
        *decoding.parts(decoders, "cross-attention", Per.TARGET, Per.SOURCE),
        *second.parts(decoders, per=Per.TARGET),
    )


def _architecture(  # noqa: PLR0913 - the two stacks' pieces, each by name
    fields: Fields,
    family: str,
    parts: tuple[Parts, ...],
    *,
    attentions: tuple[Attention, Attention],
    stacks: tuple[int, int],
    block: FeedForward,
    sizes: tuple[int, int | None],
    tied: bool,
) -> Architecture:
    (encoding, decoding), (encoders, decoders) = attentions, stacks
    target = Per.TARGET
    return Architecture(
        name=fields.where,
        family=family,
        parts=merged(parts),
        cores=(
            Core(encoders, encoding.heads, encoding.width, encoding.width, causal=False),
            Core(
                decoders,
                decoding.heads,
                decoding.width,
                decoding.width,
                causal=True,
                queries=target,
                keys=target,
            ),
            Core(decoders, decoding.heads, decoding.width, decoding.width, causal=False, queries=target),
        ),
        caches=(
            Cache(decoders, decoding.kept, of=Per.TARGET),
            Cache(decoders, decoding.kept, of=Per.SOURCE),
        ),
        layers=encoders + decoders,
        hidden=encoding.hidden,
        heads=encoding.heads,
        kv_heads=encoding.kv_heads,
        head_width=encoding.width,
        intermediate=block.inner,
        gated=block.gated,
        vocabulary=sizes[0],
        tied=tied,
        context=sizes[1],
    )
