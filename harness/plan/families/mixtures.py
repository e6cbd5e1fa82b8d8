"""Mixtures of experts. The defaults are those of transformers 5.23's configuration classes."""

from dataclasses import replace

from harness.plan.families.decoder import Decoder, Sizes, checked, sizes, windows
from harness.plan.families.fields import MOST_LAYERS, Fields
from harness.plan.families.llama import everywhere
from harness.plan.families.pieces import FeedForward, LatentAttention, Mixture
from harness.records.architecture import Architecture


def mixtral(fields: Fields) -> Architecture:
    """Mixtral: Mistral with experts in each layer."""
    own = sizes(fields, Sizes(32000, 4096, 14336, 32, 32, 8, None, 131072))
    experts, chosen = routed(fields, ("num_local_experts", "num_experts"), 8, 2)
    return Decoder(
        own,
        own.attention(),
        None,
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(own.block(), experts, chosen),
        windows=everywhere(fields, own.layers, None),
    ).architecture(fields, "mixtral")


def qwen2_moe(fields: Fields) -> Architecture:
    """Qwen 1.5 and 2 with experts: one of them for every token, behind a gate."""
    own = sizes(fields, Sizes(151936, 2048, 5632, 24, 16, 16, None, 32768))
    experts, chosen = routed(fields, ("num_experts",), 60, 4)
    used = fields.flag("use_sliding_window", default=False)
    window = fields.option("sliding_window", default=4096) if used else None
    most = fields.number("max_window_layers", default=28, least=0)
    return Decoder(
        own,
        own.attention(bias=fields.flag("qkv_bias", default=True)),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(
            FeedForward(own.hidden, fields.number("moe_intermediate_size", default=1408), gated=True),
            experts,
            chosen,
            shared=fields.number("shared_expert_intermediate_size", default=5632),
            shared_gate=True,
        ),
        dense_layers=dense(fields, own.layers),
        windows=windows(
            fields, own.layers, window, tuple(layer % 2 == 0 and layer < most for layer in range(own.layers))
        ),
    ).architecture(fields, "qwen2_moe")


def qwen3_moe(fields: Fields) -> Architecture:
    """Qwen 3 with experts."""
    own = sizes(fields, Sizes(151936, 2048, 6144, 24, 32, 4, None, 32768))
    experts, chosen = routed(fields, ("num_experts", "num_local_experts"), 128, 8)
    bias = fields.flag("attention_bias", default=False)
    used = fields.flag("use_sliding_window", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias, extra=2 * own.each),
        own.block(),
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(
            FeedForward(own.hidden, fields.number("moe_intermediate_size", default=768), gated=True),
            experts,
            chosen,
        ),
        dense_layers=dense(fields, own.layers),
        windows=everywhere(fields, own.layers, 4096) if used else (),
    ).architecture(fields, "qwen3_moe")


def olmoe(fields: Fields) -> Architecture:
    """OLMoE: norms over all queries and over all keys."""
    own = sizes(fields, Sizes(50304, 2048, 2048, 16, 16, None, None, 4096))
    experts, chosen = routed(fields, ("num_experts", "num_local_experts"), 64, 8)
    bias = fields.flag("attention_bias", default=False)
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias, extra=(own.heads + own.shared) * own.each),
        None,
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(own.block(), experts, chosen),
    ).architecture(fields, "olmoe")


def gpt_oss(fields: Fields) -> Architecture:
    """gpt-oss: biases everywhere, a sink for each head, and every other layer sees a window."""
    own = sizes(fields, Sizes(201088, 2880, 2880, 36, 64, 8, 64, 131072))
    experts, chosen = routed(fields, ("num_local_experts", "num_experts"), 128, 4)
    bias = fields.flag("attention_bias", default=True)
    local = tuple(layer % 2 == 0 for layer in range(own.layers))
    return Decoder(
        own,
        own.attention(bias=bias, output_bias=bias, extra=own.heads),
        None,
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(own.block(bias=True), experts, chosen, router_bias=True),
        windows=windows(fields, own.layers, fields.option("sliding_window", default=128), local),
    ).architecture(fields, "gpt_oss")


def dbrx(fields: Fields) -> Architecture:
    """DBRX: attention and experts in configurations of their own."""
    attention, block = fields.inner("attn_config"), fields.inner("ffn_config")
    hidden = fields.size("d_model", "hidden_size", usual=2048)
    heads = fields.size("n_heads", "num_attention_heads", usual=16)
    found = Sizes(
        vocabulary=fields.size("vocab_size", usual=32000),
        hidden=hidden,
        inner=block.number("ffn_hidden_size", default=3584),
        layers=fields.size("n_layers", "num_hidden_layers", usual=24, most=MOST_LAYERS),
        heads=heads,
        kv_heads=attention.number("kv_n_heads", default=1),
        width=None,
        context=fields.number("max_seq_len", "max_position_embeddings", default=2048),
    )
    own = checked(fields, found, ("d_model", "n_heads", "kv_n_heads"))
    experts, chosen = routed(block, ("moe_num_experts",), 4, 1, "moe_top_k")
    return Decoder(
        own,
        own.attention(),
        None,
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(own.block(), experts, chosen),
    ).architecture(fields, "dbrx")


def deepseek_v2(fields: Fields) -> Architecture:
    """DeepSeek V2."""
    usual = Sizes(102400, 4096, 11008, 32, 32, None, None, 2048)
    return _deepseek(fields, "deepseek_v2", usual, experts=(64, 6, 2, 1407), first_dense=0)


def deepseek_v3(fields: Fields) -> Architecture:
    """DeepSeek V3 and R1, without the module that predicts one token more."""
    usual = Sizes(129280, 7168, 18432, 61, 128, 128, None, 4096)
    return _deepseek(fields, "deepseek_v3", usual, experts=(256, 8, 1, 2048), first_dense=3)


def _deepseek(
    fields: Fields, family: str, usual: Sizes, *, experts: tuple[int, int, int, int], first_dense: int
) -> Architecture:
    """Latent attention; the first layers dense, the others with experts, some of them for every token."""
    routed_experts, usually_chosen, shared, inner = experts
    heads = fields.size("num_attention_heads", usual=usual.heads)
    own = Sizes(
        vocabulary=fields.size("vocab_size", usual=usual.vocabulary),
        hidden=fields.size("hidden_size", usual=usual.hidden),
        inner=fields.size("intermediate_size", usual=usual.inner),
        layers=fields.size("num_hidden_layers", usual=usual.layers, most=MOST_LAYERS),
        heads=heads,
        kv_heads=heads,
        width=1,
        context=fields.number("max_position_embeddings", default=usual.context or 0),
    )
    attention = LatentAttention(
        own.hidden,
        heads,
        query_rank=fields.option("q_lora_rank", default=1536),
        rank=fields.number("kv_lora_rank", default=512),
        plain=fields.number("qk_nope_head_dim", default=128),
        rotary=fields.number("qk_rope_head_dim", default=64),
        value=fields.number("v_head_dim", default=128),
        bias=fields.flag("attention_bias", default=False),
    )
    count, chosen = routed(
        fields, ("n_routed_experts", "num_experts", "num_local_experts"), routed_experts, usually_chosen
    )
    expert = FeedForward(own.hidden, fields.number("moe_intermediate_size", default=inner), gated=True)
    bias = family == "deepseek_v2" and fields.flag("mlp_bias", default=False)
    several = fields.number("n_shared_experts", default=shared, least=0)
    dense_layers = min(
        own.layers, fields.number("first_k_dense_replace", default=first_dense, least=0, most=MOST_LAYERS)
    )
    return Decoder(
        replace(own, width=attention.key_width),
        attention,
        own.block(bias=bias),
        tied=fields.flag("tie_word_embeddings", default=False),
        mixture=Mixture(replace(expert, bias=bias), count, chosen, shared=several * expert.inner),
        dense_layers=dense_layers,
    ).architecture(fields, family)


def routed(
    fields: Fields, names: tuple[str, ...], experts: int, chosen: int, field: str = "num_experts_per_tok"
) -> tuple[int, int]:
    """How many experts there are, and how many a token is sent to."""
    many = fields.number(*names, default=experts)
    few = fields.number(field, default=min(chosen, many))
    if few > many:
        raise fields.fault(f"{field} {few} is more than {names[0]} {many}")
    return many, few


def dense(fields: Fields, layers: int) -> int:
    """Layers without experts: by `mlp_only_layers` and `decoder_sparse_step`."""
    step = fields.number("decoder_sparse_step", default=1)
    plain = fields.rows("mlp_only_layers")
    for layer in plain:
        if not isinstance(layer, int) or not 0 <= layer < layers:
            raise fields.wrong("mlp_only_layers", layer, f"a list of layers from 0 to {layers - 1}")
    return sum(layer in plain or (layer + 1) % step != 0 for layer in range(layers))
