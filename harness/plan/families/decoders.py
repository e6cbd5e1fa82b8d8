"""The families of decoders, each declared by its differences from Llama.

The defaults are those of transformers 5.23's configuration classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.plan.families.decoder import (
    LLAMA,
    Decoder,
    Names,
    Pattern,
    Sizes,
    alternating,
    early,
    everywhere,
    gemma3_windows,
    gpt_neo_windows,
    late,
    sizes,
)
from harness.plan.families.fields import MOST_LAYERS, Fields
from harness.plan.families.pieces import FeedForward, LatentAttention, Mixture, linear
from harness.records.architecture import Architecture

# A property of a family, or the field that decides it and its default.
Flag = bool | tuple[str, bool]


def _flag(fields: Fields, flag: Flag) -> bool:
    return flag if isinstance(flag, bool) else fields.flag(flag[0], default=flag[1])


@dataclass(frozen=True)
class Experts:
    """The fields of a mixture of experts, with their defaults; in `group`, where they are in a configuration of their own.

    `inner`: the width of an expert, where it is not that of a dense block; `shared`: the width of the expert that every token passes.
    `some_layers`: `mlp_only_layers` and `decoder_sparse_step` name layers without experts.
    """

    names: tuple[str, ...]
    experts: int
    chosen: int
    chosen_field: str = "num_experts_per_tok"
    group: str = ""
    inner: int | None = None
    shared: int = 0
    bias: bool = False
    some_layers: bool = False

    def routed(self, fields: Fields) -> tuple[int, int]:
        """The number of experts, and of those that a token is sent to."""
        own = fields.inner(self.group) if self.group else fields
        experts = own.number(*self.names, default=self.experts)
        chosen = own.number(self.chosen_field, default=min(self.chosen, experts))
        if chosen > experts:
            raise own.fault(f"{self.chosen_field} {chosen} is more than {self.names[0]} {experts}")
        return experts, chosen

    def mixture(self, fields: Fields, own: Sizes) -> Mixture:
        """The experts of a layer."""
        inner = own.inner
        if self.inner is not None:
            inner = fields.number("moe_intermediate_size", default=self.inner)
        shared = fields.number("shared_expert_intermediate_size", default=self.shared) if self.shared else 0
        expert = FeedForward(own.hidden, inner, gated=True, bias=self.bias)
        return Mixture(expert, *self.routed(fields), shared, bool(shared), self.bias)

    def dense_layers(self, fields: Fields, layers: int) -> int:
        """The number of layers without experts."""
        if not self.some_layers:
            return 0
        step = fields.number("decoder_sparse_step", default=1)
        plain = fields.rows("mlp_only_layers")
        for layer in plain:
            if not isinstance(layer, int) or not 0 <= layer < layers:
                raise fields.wrong("mlp_only_layers", layer, f"a list of layers from 0 to {layers - 1}")
        return sum(layer in plain or (layer + 1) % step != 0 for layer in range(layers))


@dataclass(frozen=True)
class Family:
    """A family of decoders: the names and defaults of its sizes, and its differences from Llama.

    `bias` is that of queries, keys and values, `output_bias` that of the output (None: the same). `further` counts the parameters of an attention layer
    besides its projections, if `further_if` holds. `positions`: rows of a table of positions besides those of the context; None: no table.
    """

    usual: Sizes
    names: Names = LLAMA
    multiple: int = 4
    bias: Flag = False
    output_bias: Flag | None = None
    further: Callable[[Sizes], int] | None = None
    further_if: Flag = True
    gated: bool = True
    block_bias: Flag = False
    tied: bool = False
    norm: int = 1
    norms: int = 2
    final_norm: bool = True
    embedding_norm: bool = False
    positions: int | None = None
    embedded: str = ""
    head_bias: bool = False
    windows: Pattern | None = None
    experts: Experts | None = None
    relative_positions: bool = False

    def decoder(self, fields: Fields) -> Decoder:
        """The decoder that the fields of a configuration describe."""
        own = sizes(fields, self.usual, self.names, multiple=self.multiple)
        bias = _flag(fields, self.bias)
        relative = linear("relative positions", own.hidden, own.heads * own.each, count=own.layers)
        return Decoder(
            own,
            own.attention(
                bias=bias,
                output_bias=bias if self.output_bias is None else _flag(fields, self.output_bias),
                extra=self.further(own) if self.further and _flag(fields, self.further_if) else 0,
            ),
            own.block(gated=self.gated, bias=_flag(fields, self.block_bias)),
            tied=fields.flag("tie_word_embeddings", default=self.tied),
            mixture=self.experts.mixture(fields, own) if self.experts else None,
            dense_layers=self.experts.dense_layers(fields, own.layers) if self.experts else 0,
            windows=self.windows(fields, own.layers) if self.windows else (),
            norm=self.norm,
            norms=self.norms,
            final_norm=self.final_norm,
            embedding_norm=self.embedding_norm,
            positions=0 if self.positions is None else (own.context or 0) + self.positions,
            embedded=fields.option(self.embedded) if self.embedded else None,
            head_bias=self.head_bias,
            extra=(relative,) if self.relative_positions else (),
        )


def _of_each_head(own: Sizes) -> int:
    """Norms of the queries and of the keys of each head, shared by the heads."""
    return 2 * own.each


def _of_all_heads(own: Sizes) -> int:
    """Norms over all queries and over all keys."""
    return (own.heads + own.shared) * own.each


_SHORT = Names(
    hidden=("n_embd", "hidden_size"),
    inner=("n_inner",),
    layers=("n_layer", "num_hidden_layers"),
    heads=("n_head", "num_attention_heads"),
    context=("n_positions", "max_position_embeddings"),
)
_MPT = Names(
    hidden=("d_model", "hidden_size"),
    inner=(),
    layers=("n_layers", "num_hidden_layers"),
    heads=("n_heads", "num_attention_heads"),
    context=("max_seq_len",),
)
_ATTENTION_BIAS = ("attention_bias", False)
# Layer norms with a shift, biases, no gate.
_GPT2 = Family(
    Sizes(50257, 768, 0, 12, 12, context=1024), _SHORT, bias=True, gated=False, block_bias=True, tied=True,
    norm=2, positions=0,
)  # fmt: skip


def _bigcode(fields: Fields) -> Family:
    """GPT-2 whose heads share one key and one value."""
    shared = 1 if fields.flag("multi_query", default=True) else None
    return replace(_GPT2, usual=replace(_GPT2.usual, kv_heads=shared))


def _opt(fields: Fields) -> Family:
    """Two more rows of positions than tokens, and tables that may be narrower than the layers."""
    before = fields.flag("do_layer_norm_before", default=True)
    scaled = fields.flag("layer_norm_elementwise_affine", default=True)
    return Family(
        Sizes(50272, 768, 3072, 12, 12, context=2048), Names(inner=("ffn_dim",)), bias=("enable_bias", True),
        gated=False, block_bias=("enable_bias", True), tied=True, norm=2 if scaled else 0, positions=2,
        final_norm=before and not fields.flag("_remove_final_layer_norm", default=False),
        embedded="word_embed_proj_dim",
    )  # fmt: skip


def _falcon(fields: Fields) -> Family:
    """One key and value for all heads, or groups of them in the newer form; blocks in parallel."""
    newer = fields.flag("new_decoder_architecture", default=False)
    alone = not newer and fields.flag("multi_query", default=True)
    norms = 2
    if fields.flag("parallel_attn", default=True):
        norms = fields.number("num_ln_in_parallel_attn", default=2 if newer else 1, most=2)
    names = Names(
        hidden=("hidden_size", "n_embed"),
        inner=("ffn_hidden_size",),
        layers=("num_hidden_layers", "n_layer"),
        heads=("num_attention_heads", "n_head"),
        kv_heads=("num_kv_heads", "n_head_kv") if newer else (),
    )
    return Family(
        Sizes(65024, 4544, 0, 32, 71, kv_heads=1 if alone else None, context=2048), names, bias=("bias", False),
        gated=False, block_bias=("bias", False), tied=True, norm=2, norms=norms,
    )  # fmt: skip


def _mpt(fields: Fields) -> Family:
    """As llm-foundry builds it: a table of positions unless slopes replace it; biases unless `no_bias`."""
    slopes = fields.inner("attn_config").flag("alibi", default=True)
    learned = fields.flag("learned_pos_emb", default=True) and not slopes
    bias = not fields.flag("no_bias", default=True)
    return Family(
        Sizes(50368, 2048, 0, 24, 16, context=2048), _MPT, multiple=fields.number("expansion_ratio", default=4),
        bias=bias, gated=False, block_bias=bias, tied=True, norm=1 + bias, positions=0 if learned else None,
    )  # fmt: skip


def _dbrx(fields: Fields) -> Family:
    """Attention and experts in configurations of their own."""
    inner = fields.inner("ffn_config").number("ffn_hidden_size", default=3584)
    shared = fields.inner("attn_config").number("kv_n_heads", default=1)
    return Family(
        Sizes(32000, 2048, inner, 24, 16, kv_heads=shared, context=2048),
        replace(_MPT, context=("max_seq_len", "max_position_embeddings")),
        experts=Experts(("moe_num_experts",), 4, 1, chosen_field="moe_top_k", group="ffn_config"),
    )


def _stablelm(fields: Fields) -> Family:
    """Layer norms with a shift; one fewer where the two blocks are parallel."""
    return Family(
        Sizes(50304, 2560, 6912, 32, 32, 32, context=4096), bias=("use_qkv_bias", False), output_bias=False,
        further=_of_all_heads, further_if=("qk_layernorm", False), norm=2,
        norms=1 if fields.flag("use_parallel_residual", default=False) else 2,
    )  # fmt: skip


def _qwen3_moe(fields: Fields) -> Family:
    used = fields.flag("use_sliding_window", default=False)
    return Family(
        Sizes(151936, 2048, 6144, 24, 32, 4, context=32768), bias=_ATTENTION_BIAS, further=_of_each_head,
        windows=everywhere(4096) if used else None,
        experts=Experts(("num_experts", "num_local_experts"), 128, 8, inner=768, some_layers=True),
    )  # fmt: skip


_GEMMA = Family(Sizes(256000, 3072, 24576, 28, 16, 16, 256, 8192), bias=_ATTENTION_BIAS, tied=True)
_GEMMA2 = replace(
    _GEMMA, usual=Sizes(256000, 2304, 9216, 26, 8, 4, 256, 8192), norms=4, windows=alternating(4096)
)
_MIXTRAL = Experts(("num_local_experts", "num_experts"), 8, 2)

# fmt: off
FAMILIES: dict[str, Family | Callable[[Fields], Family]] = {
    # Slopes in place of positions, a norm behind the table of tokens.
    "bloom": Family(
        Sizes(250880, 64, 0, 2, 8),
        Names(("hidden_size", "n_embed"), (), _SHORT.layers, _SHORT.heads, context=("seq_length",)),
        bias=True, gated=False, block_bias=True, tied=True, norm=2, embedding_norm=True,
    ),
    # Both blocks in parallel behind one norm, as in PaLM.
    "cohere": Family(
        Sizes(256000, 8192, 22528, 40, 64, context=8192), bias=_ATTENTION_BIAS, further=_of_all_heads,
        further_if=("use_qk_norm", False), tied=True, norms=1,
    ),
    "dbrx": _dbrx,
    "falcon": _falcon,
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": replace(
        _GEMMA2, usual=Sizes(262208, 2304, 9216, 26, 8, 4, 256, 131072), further=_of_each_head, windows=gemma3_windows,
    ),
    # Gopher and Chinchilla, as published (2112.11446, 2203.15556): RMS norms, and relative positions whose weights are
    # one more product. No model of them was released; the fields are Llama's.
    "gopher": Family(
        Sizes(32000, 8192, 32768, 80, 64, context=2048), gated=False, tied=True, relative_positions=True,
    ),
    "gpt2": _GPT2,
    "gpt_bigcode": _bigcode,
    # Every other layer has a window; keys, queries and values without biases.
    "gpt_neo": Family(
        Sizes(50257, 2048, 0, 24, 16, context=2048),
        Names(layers=("num_layers", "num_hidden_layers"), heads=("num_heads", "num_attention_heads")),
        output_bias=True, gated=False, block_bias=True, tied=True, norm=2, positions=0, windows=gpt_neo_windows,
    ),
    "gpt_neox": Family(
        Sizes(50432, 6144, 24576, 44, 64, context=2048), bias=("attention_bias", True), gated=False,
        block_bias=True, norm=2,
    ),
    # Biases everywhere, a sink for each head, and a window in every other layer.
    "gpt_oss": Family(
        Sizes(201088, 2880, 2880, 36, 64, 8, 64, 131072), bias=("attention_bias", True),
        further=lambda own: own.heads, windows=alternating(128), experts=replace(_MIXTRAL, experts=128, chosen=4, bias=True),
    ),
    # Both blocks in parallel behind one norm, attention without biases, a head with one.
    "gptj": Family(
        Sizes(50400, 4096, 0, 28, 16, context=2048), _SHORT, gated=False, block_bias=True, norm=2, norms=1,
        head_bias=True,
    ),
    "llama": Family(
        Sizes(32000, 4096, 11008, 32, 32, context=2048), bias=_ATTENTION_BIAS, block_bias=("mlp_bias", False),
    ),
    "mistral": Family(Sizes(32000, 4096, 14336, 32, 32, 8, context=131072), windows=everywhere(4096)),
    "mixtral": Family(
        Sizes(32000, 4096, 14336, 32, 32, 8, context=131072), windows=everywhere(None), experts=_MIXTRAL,
    ),
    "mpt": _mpt,
    "olmo": Family(Sizes(50304, 4096, 11008, 32, 32, context=2048), bias=_ATTENTION_BIAS, norm=0),
    "olmo2": Family(
        Sizes(50304, 4096, 11008, 32, 32, context=2048), bias=_ATTENTION_BIAS, further=_of_all_heads,
    ),
    "olmoe": Family(
        Sizes(50304, 2048, 2048, 16, 16, context=4096), bias=_ATTENTION_BIAS, further=_of_all_heads,
        experts=Experts(("num_experts", "num_local_experts"), 64, 8),
    ),
    "opt": _opt,
    # Both blocks in parallel behind one norm, biases everywhere, the head's too.
    "phi": Family(
        Sizes(51200, 2048, 8192, 24, 32, context=2048), bias=True, further=lambda own: 4 * own.each,
        further_if=("qk_layernorm", False), gated=False, block_bias=True, norm=2, norms=1, head_bias=True,
    ),
    "phi3": Family(Sizes(32064, 3072, 8192, 32, 32, context=4096), windows=everywhere(None)),
    "qwen2": Family(
        Sizes(151936, 4096, 22016, 32, 32, 32, context=32768), bias=True, output_bias=False, windows=late,
    ),
    "qwen2_moe": Family(
        Sizes(151936, 2048, 5632, 24, 16, 16, context=32768), bias=("qkv_bias", True), output_bias=False,
        windows=early, experts=Experts(("num_experts",), 60, 4, inner=1408, shared=5632, some_layers=True),
    ),
    "qwen3": Family(
        Sizes(151936, 4096, 22016, 32, 32, 32, 128, 32768), bias=_ATTENTION_BIAS, further=_of_each_head, windows=late,
    ),
    "qwen3_moe": _qwen3_moe,
    "stablelm": _stablelm,
    "starcoder2": Family(
        Sizes(49152, 3072, 12288, 30, 24, 2, context=4096), bias=("use_bias", True), gated=False,
        block_bias=("use_bias", True), tied=True, norm=2, windows=everywhere(None),
    ),
}
# fmt: on


def decoder(kind: str) -> Callable[[Fields], Architecture]:
    """The builder of a family of the table."""
    family = FAMILIES[kind]

    def build(fields: Fields) -> Architecture:
        known = family if isinstance(family, Family) else family(fields)
        return known.decoder(fields).architecture(fields, kind)

    return build


def deepseek_v2(fields: Fields) -> Architecture:
    """DeepSeek V2."""
    usual = Sizes(102400, 4096, 11008, 32, 32, context=2048)
    bias = fields.flag("mlp_bias", default=False)
    return _deepseek(fields, usual, (64, 6, 2, 1407), bias=bias, dense=0).architecture(fields, "deepseek_v2")


def deepseek_v3(fields: Fields) -> Architecture:
    """DeepSeek V3 and R1, without the module that predicts one more token."""
    usual = Sizes(129280, 7168, 18432, 61, 128, context=4096)
    return _deepseek(fields, usual, (256, 8, 1, 2048), bias=False, dense=3).architecture(
        fields, "deepseek_v3"
    )


def _deepseek(
    fields: Fields, usual: Sizes, usual_experts: tuple[int, int, int, int], *, bias: bool, dense: int
) -> Decoder:
    """Latent attention; the first layers are dense, the others have experts, some of them for every token."""
    experts, chosen, always, inner = usual_experts
    own = sizes(fields, replace(usual, width=1), Names())
    attention = LatentAttention(
        own.hidden,
        own.heads,
        query_rank=fields.option("q_lora_rank", default=1536),
        rank=fields.number("kv_lora_rank", default=512),
        plain=fields.number("qk_nope_head_dim", default=128),
        rotary=fields.number("qk_rope_head_dim", default=64),
        value=fields.number("v_head_dim", default=128),
        bias=fields.flag("attention_bias", default=False),
    )
    routed = Experts(("n_routed_experts", "num_experts", "num_local_experts"), experts, chosen).routed(fields)
    expert = FeedForward(own.hidden, fields.number("moe_intermediate_size", default=inner), True, bias)  # noqa: FBT003
    always = fields.number("n_shared_experts", default=always, least=0)
    first = fields.number("first_k_dense_replace", default=dense, least=0, most=MOST_LAYERS)
    return Decoder(
        own,
        attention,
        own.block(bias=bias),
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(expert, *routed, shared=always * expert.inner),
        dense_layers=min(own.layers, first),
    )
