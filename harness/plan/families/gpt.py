"""GPT-2 and what came of it: blocks without a gate. The defaults are those of transformers 5.23's configuration classes."""

from harness.plan.families.decoder import Decoder, Sizes, Windows, checked, sizes
from harness.plan.families.fields import MOST_LAYERS, Fields
from harness.plan.families.pieces import linear
from harness.records.architecture import Architecture


def gpt2(fields: Fields) -> Architecture:
    """GPT-2 and GPT-3: a table of positions, biases everywhere, a tied head."""
    own = _short(fields, Sizes(50257, 768, 0, 12, 12, None, None, 1024))
    return _gpt2(fields, own, "gpt2")


def gpt_bigcode(fields: Fields) -> Architecture:
    """SantaCoder and StarCoder: GPT-2 whose heads share one key and one value."""
    one = fields.flag("multi_query", default=True)
    own = _short(fields, Sizes(50257, 768, 0, 12, 12, 1 if one else None, None, 1024))
    return _gpt2(fields, own, "gpt_bigcode")


def _gpt2(fields: Fields, own: Sizes, family: str) -> Architecture:
    return Decoder(
        own,
        own.attention(bias=True, output_bias=True),
        own.block(gated=False, bias=True),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=2,
        positions=own.context or 0,
    ).architecture(fields, family)


def gptj(fields: Fields) -> Architecture:
    """GPT-J: both blocks side by side behind one norm, attention without biases, a head with one."""
    own = _short(fields, Sizes(50400, 4096, 0, 28, 16, None, None, 2048))
    return Decoder(
        own,
        own.attention(),
        own.block(gated=False, bias=True),
        tied=fields.flag("tie_word_embeddings", default=False),
        norm=2,
        norms=1,
        head_bias=True,
    ).architecture(fields, "gptj")


def _short(fields: Fields, usual: Sizes) -> Sizes:
    """GPT-2's short names; transformers understands the long ones too."""
    hidden = fields.size("n_embd", "hidden_size", usual=usual.hidden)
    return checked(
        fields,
        Sizes(
            vocabulary=fields.size("vocab_size", usual=usual.vocabulary),
            hidden=hidden,
            inner=fields.option("n_inner") or 4 * hidden,
            layers=fields.size("n_layer", "num_hidden_layers", usual=usual.layers, most=MOST_LAYERS),
            heads=fields.size("n_head", "num_attention_heads", usual=usual.heads),
            kv_heads=usual.kv_heads,
            width=None,
            context=fields.number("n_positions", "max_position_embeddings", default=usual.context or 0),
        ),
        ("n_embd", "n_head", "heads of keys"),
    )


def gpt_neo(fields: Fields) -> Architecture:
    """GPT-Neo: every other layer sees a window; keys, queries and values without biases."""
    hidden = fields.size("hidden_size", usual=2048)
    found = Sizes(
        vocabulary=fields.size("vocab_size", usual=50257),
        hidden=hidden,
        inner=fields.option("intermediate_size") or 4 * hidden,
        layers=fields.size("num_layers", "num_hidden_layers", usual=24, most=MOST_LAYERS),
        heads=fields.size("num_heads", "num_attention_heads", usual=16),
        kv_heads=None,
        width=None,
        context=fields.number("max_position_embeddings", default=2048),
    )
    own = checked(fields, found, ("hidden_size", "num_heads", "heads of keys"))
    return Decoder(
        own,
        own.attention(output_bias=True),
        own.block(gated=False, bias=True),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=2,
        positions=own.context or 0,
        windows=_neo_windows(fields, own.layers),
    ).architecture(fields, "gpt_neo")


def _neo_windows(fields: Fields, layers: int) -> Windows:
    """By `attention_types`: lists of kinds, and how often each list repeats."""
    window = fields.number("window_size", default=256)
    allowed = 'a list such as [[["global", "local"], 12]]'
    kinds: list[str] = []
    for row in fields.rows("attention_types") or [[["global", "local"], 12]]:
        if not isinstance(row, list | tuple) or len(row) != 2 or not isinstance(row[0], list | tuple):
            raise fields.wrong("attention_types", row, allowed)
        names, times = row
        if (
            not isinstance(times, int)
            or not 0 < times <= MOST_LAYERS
            or not {*map(str, names)} <= {"global", "local"}
        ):
            raise fields.wrong("attention_types", row, allowed)
        kinds += list(names) * times
    if len(kinds) != layers:
        raise fields.fault(f"attention_types names {len(kinds)} layers, but num_layers is {layers}")
    return tuple(window if kind == "local" else None for kind in kinds)


def gpt_neox(fields: Fields) -> Architecture:
    """GPT-NeoX and Pythia: two norms, biases everywhere, a head of its own."""
    own = sizes(fields, Sizes(50432, 6144, 24576, 44, 64, None, None, 2048))
    bias = fields.flag("attention_bias", default=True)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(gated=False, bias=True),
        tied=fields.flag("tie_word_embeddings", default=False),
        norm=2,
    ).architecture(fields, "gpt_neox")


def opt(fields: Fields) -> Architecture:
    """OPT: two rows of positions more than it has, and tables that may be narrower than the layers."""
    hidden = fields.size("hidden_size", usual=768)
    found = Sizes(
        vocabulary=fields.size("vocab_size", usual=50272),
        hidden=hidden,
        inner=fields.size("ffn_dim", usual=3072),
        layers=fields.size("num_hidden_layers", usual=12, most=MOST_LAYERS),
        heads=fields.size("num_attention_heads", usual=12),
        kv_heads=None,
        width=None,
        context=fields.number("max_position_embeddings", default=2048),
    )
    own = checked(fields, found, ("hidden_size", "num_attention_heads", "heads of keys"))
    bias = fields.flag("enable_bias", default=True)
    before = fields.flag("do_layer_norm_before", default=True)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(gated=False, bias=bias),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=2 if fields.flag("layer_norm_elementwise_affine", default=True) else 0,
        final_norm=before and not fields.flag("_remove_final_layer_norm", default=False),
        positions=(own.context or 0) + 2,
        embedded=fields.option("word_embed_proj_dim") or hidden,
    ).architecture(fields, "opt")


def bloom(fields: Fields) -> Architecture:
    """BLOOM: slopes in place of positions, a norm behind the table of tokens."""
    hidden = fields.size("hidden_size", "n_embed", usual=64)
    found = Sizes(
        vocabulary=fields.size("vocab_size", usual=250880),
        hidden=hidden,
        inner=4 * hidden,
        layers=fields.size("n_layer", "num_hidden_layers", usual=2, most=MOST_LAYERS),
        heads=fields.size("n_head", "num_attention_heads", usual=8),
        kv_heads=None,
        width=None,
        context=fields.option("seq_length"),
    )
    own = checked(fields, found, ("hidden_size", "n_head", "heads of keys"))
    return Decoder(
        own,
        own.attention(bias=True, output_bias=True),
        own.block(gated=False, bias=True),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=2,
        embedding_norm=True,
    ).architecture(fields, "bloom")


def falcon(fields: Fields) -> Architecture:
    """Falcon: one key and value for all heads, or groups of them in its newer form; blocks side by side."""
    hidden = fields.size("hidden_size", "n_embed", usual=4544)
    heads = fields.size("num_attention_heads", "n_head", usual=71)
    newer = fields.flag("new_decoder_architecture", default=False)
    shared = fields.option("num_kv_heads", "n_head_kv") or heads
    if not newer:
        shared = 1 if fields.flag("multi_query", default=True) else heads
    found = Sizes(
        vocabulary=fields.size("vocab_size", usual=65024),
        hidden=hidden,
        inner=fields.option("ffn_hidden_size") or 4 * hidden,
        layers=fields.size("num_hidden_layers", "n_layer", usual=32, most=MOST_LAYERS),
        heads=heads,
        kv_heads=shared,
        width=None,
        context=fields.number("max_position_embeddings", default=2048),
    )
    own = checked(fields, found, ("hidden_size", "num_attention_heads", "num_kv_heads"))
    bias = fields.flag("bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(gated=False, bias=bias),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=2,
        norms=_falcon_norms(fields, newer=newer),
    ).architecture(fields, "falcon")


def _falcon_norms(fields: Fields, *, newer: bool) -> int:
    if not fields.flag("parallel_attn", default=True):
        return 2
    return 2 if fields.number("num_ln_in_parallel_attn", default=2 if newer else 1, most=2) == 2 else 1


def mpt(fields: Fields) -> Architecture:
    """MPT, as llm-foundry builds it: a table of positions unless slopes are in their place; biases unless `no_bias`."""
    attention = fields.inner("attn_config")
    hidden = fields.size("d_model", "hidden_size", usual=2048)
    found = Sizes(
        vocabulary=fields.size("vocab_size", usual=50368),
        hidden=hidden,
        inner=fields.number("expansion_ratio", default=4) * hidden,
        layers=fields.size("n_layers", "num_hidden_layers", usual=24, most=MOST_LAYERS),
        heads=fields.size("n_heads", "num_attention_heads", usual=16),
        kv_heads=None,
        width=None,
        context=fields.number("max_seq_len", default=2048),
    )
    own = checked(fields, found, ("d_model", "n_heads", "heads of keys"))
    bias = not fields.flag("no_bias", default=True)
    slopes = attention.flag("alibi", default=True)
    table = fields.flag("learned_pos_emb", default=True) and not slopes
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(gated=False, bias=bias),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=1 + bias,
        positions=(own.context or 0) if table else 0,
    ).architecture(fields, "mpt")


def gopher(fields: Fields) -> Architecture:
    """Gopher and Chinchilla, as published (2112.11446, 2203.15556): RMS norms, and relative positions whose weights are a product more.

    No model of them was released; the fields are Llama's.
    """
    own = sizes(fields, Sizes(32000, 8192, 32768, 80, 64, None, None, 2048))
    relative = linear("relative positions", own.hidden, own.heads * own.each, count=own.layers)
    return Decoder(
        own,
        own.attention(),
        own.block(gated=False),
        tied=fields.flag("tie_word_embeddings", default=True),
        extra=(relative,),
    ).architecture(fields, "gopher")
