"""Llama and its kin: gated blocks without position tables. The defaults are those of transformers 5.23's configuration classes."""

from harness.plan.families.decoder import Decoder, Sizes, Windows, sizes, windows
from harness.plan.families.fields import Fields
from harness.records.architecture import Architecture


def llama(fields: Fields) -> Architecture:
    """Llama 1 to 3, and what shares its configuration."""
    own = sizes(fields, Sizes(32000, 4096, 11008, 32, 32, None, None, 2048))
    bias = fields.flag("attention_bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(bias=fields.flag("mlp_bias", default=False)),
        tied=fields.flag("tie_word_embeddings", default=False),
    ).architecture(fields, "llama")


def mistral(fields: Fields) -> Architecture:
    """Mistral: each layer sees a window, unless it is null."""
    own = sizes(fields, Sizes(32000, 4096, 14336, 32, 32, 8, None, 131072))
    return Decoder(
        own,
        own.attention(),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        windows=everywhere(fields, own.layers, 4096),
    ).architecture(fields, "mistral")


def qwen2(fields: Fields) -> Architecture:
    """Qwen 2 and 2.5: queries, keys and values are biased."""
    own = sizes(fields, Sizes(151936, 4096, 22016, 32, 32, 32, None, 32768))
    return Decoder(
        own,
        own.attention(bias=True),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        windows=late(fields, own.layers),
    ).architecture(fields, "qwen2")


def qwen3(fields: Fields) -> Architecture:
    """Qwen 3: norms of each head's queries and keys."""
    own = sizes(fields, Sizes(151936, 4096, 22016, 32, 32, 32, 128, 32768))
    bias = fields.flag("attention_bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias, extra=2 * own.each),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        windows=late(fields, own.layers),
    ).architecture(fields, "qwen3")


def gemma(fields: Fields) -> Architecture:
    """Gemma: wide heads, a tied head."""
    own = sizes(fields, Sizes(256000, 3072, 24576, 28, 16, 16, 256, 8192))
    bias = fields.flag("attention_bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=True),
    ).architecture(fields, "gemma")


def gemma2(fields: Fields) -> Architecture:
    """Gemma 2: norms before and after each block, and every other layer sees a window."""
    own = sizes(fields, Sizes(256000, 2304, 9216, 26, 8, 4, 256, 8192))
    bias = fields.flag("attention_bias", default=False)
    local = tuple(layer % 2 == 0 for layer in range(own.layers))
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=True),
        norms=4,
        windows=windows(fields, own.layers, fields.option("sliding_window", default=4096), local),
    ).architecture(fields, "gemma2")


def gemma3(fields: Fields) -> Architecture:
    """Gemma 3: as Gemma 2, with norms of queries and keys, and one layer of six that sees all."""
    own = sizes(fields, Sizes(262208, 2304, 9216, 26, 8, 4, 256, 131072))
    bias = fields.flag("attention_bias", default=False)
    pattern = fields.number("sliding_window_pattern", "_sliding_window_pattern", default=6)
    local = tuple((layer + 1) % pattern != 0 for layer in range(own.layers))
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias, extra=2 * own.each),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=True),
        norms=4,
        windows=windows(fields, own.layers, fields.option("sliding_window", default=4096), local),
    ).architecture(fields, "gemma3_text")


def phi3(fields: Fields) -> Architecture:
    """Phi 3: Llama with its projections in one."""
    own = sizes(fields, Sizes(32064, 3072, 8192, 32, 32, None, None, 4096))
    return Decoder(
        own,
        own.attention(),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        windows=everywhere(fields, own.layers, None),
    ).architecture(fields, "phi3")


def olmo(fields: Fields) -> Architecture:
    """OLMo: norms without parameters."""
    own = sizes(fields, Sizes(50304, 4096, 11008, 32, 32, None, None, 2048))
    bias = fields.flag("attention_bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        norm=0,
    ).architecture(fields, "olmo")


def olmo2(fields: Fields) -> Architecture:
    """OLMo 2: norms over all queries and over all keys."""
    own = sizes(fields, Sizes(50304, 4096, 11008, 32, 32, None, None, 2048))
    bias = fields.flag("attention_bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias, extra=(own.heads + own.shared) * own.each),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
    ).architecture(fields, "olmo2")


def stablelm(fields: Fields) -> Architecture:
    """StableLM: layer norms with a shift; one less where the two blocks stand side by side."""
    own = sizes(fields, Sizes(50304, 2560, 6912, 32, 32, 32, None, 4096))
    each = (own.heads + own.shared) * own.each
    return Decoder(
        own,
        own.attention(
            bias=fields.flag("use_qkv_bias", default=False),
            extra=each if fields.flag("qk_layernorm", default=False) else 0,
        ),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        norm=2,
        norms=1 if fields.flag("use_parallel_residual", default=False) else 2,
    ).architecture(fields, "stablelm")


def cohere(fields: Fields) -> Architecture:
    """Command R: both blocks side by side behind one norm, as in PaLM; a tied head."""
    own = sizes(fields, Sizes(256000, 8192, 22528, 40, 64, None, None, 8192))
    bias = fields.flag("attention_bias", default=False)
    each = (own.heads + own.shared) * own.each
    return Decoder(
        own,
        own.attention(
            bias=bias, output_bias=bias, extra=each if fields.flag("use_qk_norm", default=False) else 0
        ),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=True),
        norms=1,
    ).architecture(fields, "cohere")


def starcoder2(fields: Fields) -> Architecture:
    """StarCoder 2: blocks without a gate, biases everywhere, a tied head."""
    own = sizes(fields, Sizes(49152, 3072, 12288, 30, 24, 2, None, 4096))
    bias = fields.flag("use_bias", default=True)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias),
        own.block(gated=False, bias=bias),
        tied=fields.flag("tie_word_embeddings", default=True),
        norm=2,
        windows=everywhere(fields, own.layers, None),
    ).architecture(fields, "starcoder2")


def phi(fields: Fields) -> Architecture:
    """Phi 1 and 2: both blocks side by side behind one norm, biases everywhere, the head's too."""
    own = sizes(fields, Sizes(51200, 2048, 8192, 24, 32, None, None, 2048))
    return Decoder(
        own,
        own.attention(
            bias=True,
            output_bias=True,
            extra=4 * own.each if fields.flag("qk_layernorm", default=False) else 0,
        ),
        own.block(gated=False, bias=True),
        tied=fields.flag("tie_word_embeddings", default=False),
        norm=2,
        norms=1,
        head_bias=True,
    ).architecture(fields, "phi")


def everywhere(fields: Fields, layers: int, usual: int | None) -> Windows:
    """The same window in each layer."""
    return (fields.option("sliding_window", default=usual),) * layers


def late(fields: Fields, layers: int) -> Windows:
    """Qwen's: where windows are in use, from layer `max_window_layers` on."""
    used = fields.flag("use_sliding_window", default=False)
    window = fields.option("sliding_window", default=4096) if used else None
    first = fields.number("max_window_layers", default=28, least=0)
    return windows(fields, layers, window, tuple(layer >= first for layer in range(layers)))
