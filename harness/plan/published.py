"""Published models by name: their sizes, in the fields of a Hugging Face configuration, and where they are published."""

import difflib
import re
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]

OPENAI = "openai/gpt-2 hparams; Radford et al., 2019"
GPT3 = "GPT-3 paper (2005.14165), Table 2.1"
SC21 = "Megatron-LM (2104.04473), Table 1; vocabulary 51200, 2048 tokens"
SELECTIVE = "Korthikanti et al. (2205.05198), Table 3; vocabulary 51200, 2048 tokens"
FOUNDRY = "mosaicml/llm-foundry, scripts/train/benchmarking: learned positions and biases"


@dataclass(frozen=True)
class Known:
    """A published model; `source` says where its sizes are from."""

    name: str
    source: str
    config: Config


def gpt2(hidden: int, layers: int, heads: int, *, vocabulary: int = 50257, context: int = 1024) -> Config:
    """GPT-2's fields."""
    return {
        "model_type": "gpt2", "n_embd": hidden, "n_layer": layers, "n_head": heads,
        "vocab_size": vocabulary, "n_positions": context,
    }  # fmt: skip


def gpt3(hidden: int, layers: int, heads: int) -> Config:
    """GPT-3's, which are GPT-2's with 2048 tokens."""
    return gpt2(hidden, layers, heads, context=2048)


def megatron(hidden: int, layers: int, heads: int) -> Config:
    """Megatron's GPT."""
    return gpt2(hidden, layers, heads, vocabulary=51200, context=2048)


def decoder(
    kind: str, hidden: int, layers: int, heads: int, inner: int, vocabulary: int, **other: Any
) -> Config:
    """The fields that Llama and most after it share."""
    return {
        "model_type": kind, "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": inner, "vocab_size": vocabulary, "torch_dtype": "bfloat16", **other,
    }  # fmt: skip


def llama(hidden: int, layers: int, heads: int, inner: int, context: int = 2048, **other: Any) -> Config:
    """Llama 1 and 2."""
    return decoder(
        "llama", hidden, layers, heads, inner, 32000,
        max_position_embeddings=context, **{"torch_dtype": "float16"} | other,
    )  # fmt: skip


def llama3(hidden: int, layers: int, heads: int, inner: int, context: int = 131072, **other: Any) -> Config:
    """Llama 3."""
    return decoder(
        "llama", hidden, layers, heads, inner, 128256,
        num_key_value_heads=8, max_position_embeddings=context, **other,
    )  # fmt: skip


def opt(hidden: int, layers: int, heads: int, **other: Any) -> Config:
    """OPT."""
    return {
        "model_type": "opt", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "ffn_dim": 4 * hidden, "vocab_size": 50272, "max_position_embeddings": 2048, "torch_dtype": "float16", **other,
    }  # fmt: skip


def bloom(hidden: int, layers: int, heads: int) -> Config:
    """BLOOM."""
    return {
        "model_type": "bloom", "hidden_size": hidden, "n_layer": layers, "n_head": heads, "vocab_size": 250880,
        "seq_length": 2048, "torch_dtype": "bfloat16",
    }  # fmt: skip


def neox(hidden: int, layers: int, heads: int, vocabulary: int) -> Config:
    """GPT-NeoX and Pythia."""
    return decoder(
        "gpt_neox", hidden, layers, heads, 4 * hidden, vocabulary,
        max_position_embeddings=2048, torch_dtype="float16",
    )  # fmt: skip


def mpt(hidden: int, layers: int, heads: int, vocabulary: int, context: int, **other: Any) -> Config:
    """MPT."""
    return {
        "model_type": "mpt", "d_model": hidden, "n_layers": layers, "n_heads": heads, "vocab_size": vocabulary,
        "max_seq_len": context, "torch_dtype": "bfloat16", **other,
    }  # fmt: skip


def foundry(hidden: int, layers: int, heads: int) -> Config:
    """MPT as llm-foundry measures it."""
    return mpt(hidden, layers, heads, 50368, 2048, no_bias=False, attn_config={"alibi": False})


def falcon(hidden: int, layers: int, heads: int, **other: Any) -> Config:
    """Falcon."""
    return {
        "model_type": "falcon", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "vocab_size": 65024, "torch_dtype": "bfloat16", **other,
    }  # fmt: skip


def bert(hidden: int, layers: int, heads: int, **other: Any) -> Config:
    """BERT and RoBERTa, without a head."""
    return {
        "model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * hidden, "vocab_size": 30522, "max_position_embeddings": 512, **other,
    }  # fmt: skip


def roberta(hidden: int, layers: int, heads: int) -> Config:
    """RoBERTa, without a head."""
    other = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
    return bert(hidden, layers, heads, model_type="roberta", **other)


def t5(hidden: int, layers: int, heads: int, width: int, inner: int) -> Config:
    """T5."""
    return {
        "model_type": "t5", "d_model": hidden, "num_layers": layers, "num_heads": heads, "d_kv": width, "d_ff": inner,
        "vocab_size": 32128,
    }  # fmt: skip


def vit(hidden: int, layers: int, heads: int, patch: int) -> Config:
    """ViT for ImageNet's classes, 224 pixels to a side."""
    return {
        "model_type": "vit", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "intermediate_size": 4 * hidden, "patch_size": patch, "image_size": 224, "num_labels": 1000,
    }  # fmt: skip


def resnet(depths: tuple[int, ...], *, basic: bool = False) -> Config:
    """ResNet for ImageNet's classes."""
    return {
        "model_type": "resnet", "depths": depths, "layer_type": "basic" if basic else "bottleneck",
        "hidden_sizes": (64, 128, 256, 512) if basic else (256, 512, 1024, 2048), "num_labels": 1000,
    }  # fmt: skip


GEMMA = {"head_dim": 256, "max_position_embeddings": 8192}
GROUPED = {"num_key_value_heads": 8}
NARROW = {"word_embed_proj_dim": 512, "do_layer_norm_before": False}
DEEPSEEK3 = {
    "moe_intermediate_size": 2048, "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1,
    "first_k_dense_replace": 3, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "max_position_embeddings": 163840,
}  # fmt: skip
DEEPSEEK2 = DEEPSEEK3 | {
    "moe_intermediate_size": 1536, "n_routed_experts": 160, "num_experts_per_tok": 6, "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}  # fmt: skip
QWEN3_MOE = {"head_dim": 128, "num_key_value_heads": 4, "num_experts": 128, "num_experts_per_tok": 8}
DBRX = {
    "model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "vocab_size": 100352, "max_seq_len": 32768,
    "attn_config": {"kv_n_heads": 8}, "torch_dtype": "bfloat16",
    "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
}  # fmt: skip

HUB = "config.json on the Hugging Face Hub"

# fmt: off
KNOWN = (
    Known("GPT-2", OPENAI, gpt2(768, 12, 12)),
    Known("GPT-2-medium", OPENAI, gpt2(1024, 24, 16)),
    Known("GPT-2-large", OPENAI, gpt2(1280, 36, 20)),
    Known("GPT-2-XL", OPENAI, gpt2(1600, 48, 25)),
    Known("GPT-3-125M", GPT3, gpt3(768, 12, 12)),
    Known("GPT-3-350M", GPT3, gpt3(1024, 24, 16)),
    Known("GPT-3-760M", GPT3, gpt3(1536, 24, 16)),
    Known("GPT-3-1.3B", GPT3 + "; 16 heads of 128, as 24 do not make the width", gpt3(2048, 24, 16)),
    Known("GPT-3-2.7B", GPT3, gpt3(2560, 32, 32)),
    Known("GPT-3-6.7B", GPT3, gpt3(4096, 32, 32)),
    Known("GPT-3-13B", GPT3 + "; width 5120, as 5140 is not 40 heads of 128", gpt3(5120, 40, 40)),
    Known("GPT-3-175B", GPT3, gpt3(12288, 96, 96)),
    Known("Megatron-1.7B", SC21, megatron(2304, 24, 24)),
    Known("Megatron-3.6B", SC21, megatron(3072, 30, 32)),
    Known("Megatron-7.5B", SC21, megatron(4096, 36, 32)),
    Known("Megatron-18.4B", SC21, megatron(6144, 40, 48)),
    Known("Megatron-39.1B", SC21, megatron(8192, 48, 64)),
    Known("Megatron-76.1B", SC21, megatron(10240, 60, 80)),
    Known("Megatron-145.6B", SC21, megatron(12288, 80, 96)),
    Known("Megatron-310.1B", SC21, megatron(16384, 96, 128)),
    Known("Megatron-529.6B", SC21, megatron(20480, 105, 128)),
    Known("Megatron-1008.0B", SC21, megatron(25600, 128, 160)),
    Known("Megatron-22B", SELECTIVE, megatron(6144, 48, 64)),
    Known("Megatron-175B", SELECTIVE, megatron(12288, 96, 96)),
    Known("Megatron-530B", SELECTIVE, megatron(20480, 105, 128)),
    Known("Megatron-1T", SELECTIVE, megatron(25600, 128, 160)),
    Known("MT-NLG-530B", "2201.11990, section 2.3; vocabulary padded to 51200", megatron(20480, 105, 128)),
    Known("GPT-J-6B", HUB, {
        "model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "vocab_size": 50400,
        "n_positions": 2048,
    }),
    Known("GPT-Neo-1.3B", HUB, {
        "model_type": "gpt_neo", "hidden_size": 2048, "num_layers": 24, "num_heads": 16, "vocab_size": 50257,
    }),
    Known("GPT-Neo-2.7B", HUB, {
        "model_type": "gpt_neo", "hidden_size": 2560, "num_layers": 32, "num_heads": 20, "vocab_size": 50257,
        "attention_types": [[["global", "local"], 16]],
    }),
    Known("GPT-NeoX-20B", HUB, neox(6144, 44, 64, 50432)),
    Known("Pythia-1.4B", HUB, neox(2048, 24, 16, 50304)),
    Known("Pythia-6.9B", HUB, neox(4096, 32, 32, 50432)),
    Known("Pythia-12B", HUB, neox(5120, 36, 40, 50688)),
    Known("OPT-125M", HUB, opt(768, 12, 12)),
    Known("OPT-350M", HUB, opt(1024, 24, 16, **NARROW)),
    Known("OPT-1.3B", HUB, opt(2048, 24, 32)),
    Known("OPT-2.7B", HUB, opt(2560, 32, 32)),
    Known("OPT-6.7B", HUB, opt(4096, 32, 32)),
    Known("OPT-13B", HUB, opt(5120, 40, 40)),
    Known("OPT-30B", HUB, opt(7168, 48, 56)),
    Known("OPT-66B", HUB, opt(9216, 64, 72)),
    Known("OPT-175B", "OPT paper (2205.01068), Table 1", opt(12288, 96, 96)),
    Known("BLOOM-560M", HUB, bloom(1024, 24, 16)),
    Known("BLOOM-3B", HUB, bloom(2560, 30, 32)),
    Known("BLOOM-7B1", HUB, bloom(4096, 30, 32)),
    Known("BLOOM-176B", HUB, bloom(14336, 70, 112)),
    Known("LLaMA-7B", "LLaMA paper (2302.13971), Table 2", llama(4096, 32, 32, 11008)),
    Known("LLaMA-13B", "LLaMA paper (2302.13971), Table 2", llama(5120, 40, 40, 13824)),
    Known("LLaMA-33B", "LLaMA paper (2302.13971), Table 2", llama(6656, 60, 52, 17920)),
    Known("LLaMA-65B", "LLaMA paper (2302.13971), Table 2", llama(8192, 80, 64, 22016)),
    Known("Llama-2-7B", HUB, llama(4096, 32, 32, 11008, 4096)),
    Known("Llama-2-13B", HUB, llama(5120, 40, 40, 13824, 4096)),
    Known("Llama-2-70B", HUB, llama(8192, 80, 64, 28672, 4096, **GROUPED)),
    Known("Llama-3-8B", HUB, llama3(4096, 32, 32, 14336, 8192)),
    Known("Llama-3-70B", HUB, llama3(8192, 80, 64, 28672, 8192)),
    Known("Llama-3.1-8B", HUB, llama3(4096, 32, 32, 14336)),
    Known("Llama-3.1-70B", HUB, llama3(8192, 80, 64, 28672)),
    Known("Llama-3.1-405B", HUB, llama3(16384, 126, 128, 53248)),
    Known("Llama-3.2-1B", HUB, llama3(2048, 16, 32, 8192, tie_word_embeddings=True)),
    Known("Llama-3.2-3B", HUB, llama3(3072, 28, 24, 8192, tie_word_embeddings=True)),
    Known("Mistral-7B", HUB + ", v0.1", decoder(
        "mistral", 4096, 32, 32, 14336, 32000, sliding_window=4096, max_position_embeddings=32768, **GROUPED,
    )),
    Known("Mixtral-8x7B", HUB, decoder(
        "mixtral", 4096, 32, 32, 14336, 32000, sliding_window=None, max_position_embeddings=32768,
        num_local_experts=8, num_experts_per_tok=2, **GROUPED,
    )),
    Known("Mixtral-8x22B", HUB + ", v0.1", decoder(
        "mixtral", 6144, 56, 48, 16384, 32000, sliding_window=None, max_position_embeddings=65536,
        num_local_experts=8, num_experts_per_tok=2, **GROUPED,
    )),
    Known("Qwen2.5-0.5B", HUB, decoder(
        "qwen2", 896, 24, 14, 4864, 151936, num_key_value_heads=2, tie_word_embeddings=True,
    )),
    Known("Qwen2.5-7B", HUB, decoder(
        "qwen2", 3584, 28, 28, 18944, 152064, num_key_value_heads=4, max_position_embeddings=131072,
    )),
    Known("Qwen2.5-72B", HUB, decoder(
        "qwen2", 8192, 80, 64, 29568, 152064, max_position_embeddings=131072, **GROUPED,
    )),
    Known("Qwen1.5-MoE-A2.7B", HUB, decoder(
        "qwen2_moe", 2048, 24, 16, 5632, 151936, num_key_value_heads=16, moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632, num_experts=60, num_experts_per_tok=4,
    )),
    Known("Qwen3-8B", HUB, decoder(
        "qwen3", 4096, 36, 32, 12288, 151936, head_dim=128, max_position_embeddings=40960, **GROUPED,
    )),
    Known("Qwen3-30B-A3B", HUB, decoder(
        "qwen3_moe", 2048, 48, 32, 6144, 151936, moe_intermediate_size=768, max_position_embeddings=40960, **QWEN3_MOE,
    )),
    Known("Qwen3-235B-A22B", HUB, decoder(
        "qwen3_moe", 4096, 94, 64, 12288, 151936, moe_intermediate_size=1536, max_position_embeddings=40960, **QWEN3_MOE,
    )),
    Known("Gemma-2B", HUB, decoder("gemma", 2048, 18, 8, 16384, 256000, num_key_value_heads=1, **GEMMA)),
    Known("Gemma-7B", HUB, decoder("gemma", 3072, 28, 16, 24576, 256000, num_key_value_heads=16, **GEMMA)),
    Known("Gemma-2-2B", HUB, decoder("gemma2", 2304, 26, 8, 9216, 256000, num_key_value_heads=4, **GEMMA)),
    Known("Gemma-2-9B", HUB, decoder("gemma2", 3584, 42, 16, 14336, 256000, num_key_value_heads=8, **GEMMA)),
    Known("Gemma-2-27B", HUB, decoder(
        "gemma2", 4608, 46, 32, 36864, 256000, num_key_value_heads=16, **GEMMA | {"head_dim": 128},
    )),
    Known("DeepSeek-V2", HUB, decoder("deepseek_v2", 5120, 60, 128, 12288, 102400, **DEEPSEEK2)),
    Known("DeepSeek-V3", HUB + "; without the multi-token module", decoder(
        "deepseek_v3", 7168, 61, 128, 18432, 129280, **DEEPSEEK3,
    )),
    Known("gpt-oss-20b", HUB, decoder(
        "gpt_oss", 2880, 24, 64, 2880, 201088, num_local_experts=32, num_experts_per_tok=4, head_dim=64, **GROUPED,
    )),
    Known("gpt-oss-120b", HUB, decoder(
        "gpt_oss", 2880, 36, 64, 2880, 201088, num_local_experts=128, num_experts_per_tok=4, head_dim=64, **GROUPED,
    )),
    Known("DBRX", HUB, DBRX),
    Known("Phi-2", HUB, decoder("phi", 2560, 32, 32, 10240, 51200, torch_dtype="float16")),
    Known("Phi-3-mini", HUB + ", 4k", decoder("phi3", 3072, 32, 32, 8192, 32064, sliding_window=2047)),
    Known("OLMo-7B", HUB, decoder("olmo", 4096, 32, 32, 11008, 50304, torch_dtype="float32")),
    Known("OLMoE-1B-7B", HUB, decoder(
        "olmoe", 2048, 16, 16, 1024, 50304, num_experts=64, num_experts_per_tok=8,
    )),
    Known("Command-R", HUB, decoder("cohere", 8192, 40, 64, 22528, 256000, torch_dtype="float16")),
    Known("StableLM-3B-4E1T", HUB, decoder("stablelm", 2560, 32, 32, 6912, 50304)),
    Known("Falcon-7B", HUB, falcon(4544, 32, 71)),
    Known("Falcon-40B", HUB, falcon(8192, 60, 128, new_decoder_architecture=True, num_kv_heads=8)),
    Known("MPT-7B", HUB, mpt(4096, 32, 32, 50432, 2048)),
    Known("MPT-30B", HUB, mpt(7168, 48, 64, 50432, 8192)),
    Known("MPT-13B-benchmark", FOUNDRY, foundry(5120, 40, 40)),
    Known("MPT-30B-benchmark", FOUNDRY, foundry(7168, 48, 56)),
    Known("MPT-70B-benchmark", FOUNDRY, foundry(8192, 80, 64)),
    Known("PaLM-540B", "PaLM paper (2204.02311), Table 1; its block is Command R's, with one key and value", decoder(
        "cohere", 18432, 118, 48, 73728, 256000, num_key_value_heads=1, head_dim=256, max_position_embeddings=2048,
    )),
    Known("Gopher-280B", "Gopher paper (2112.11446), Table 1; weights of relative positions as its size needs", decoder(
        "gopher", 16384, 80, 128, 65536, 32000,
    )),
    Known("Chinchilla-70B", "2203.15556, Table 4; weights of relative positions as its size needs", decoder(
        "gopher", 8192, 80, 64, 32768, 32000,
    )),
    Known("BERT-base", "BERT paper (1810.04805), section 3; with its pooler", bert(768, 12, 12)),
    Known("BERT-large", "BERT paper (1810.04805), section 3; with its pooler", bert(1024, 24, 16)),
    Known("RoBERTa-base", HUB + "; with its pooler", roberta(768, 12, 12)),
    Known("RoBERTa-large", HUB + "; with its pooler", roberta(1024, 24, 16)),
    Known("DistilBERT-base", HUB, {
        "model_type": "distilbert", "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "vocab_size": 30522,
    }),
    Known("T5-small", "T5 paper (1910.10683), section 2.3 and 3.7", t5(512, 6, 8, 64, 2048)),
    Known("T5-base", "T5 paper (1910.10683), section 2.3 and 3.7", t5(768, 12, 12, 64, 3072)),
    Known("T5-large", "T5 paper (1910.10683), section 2.3 and 3.7", t5(1024, 24, 16, 64, 4096)),
    Known("T5-3B", "T5 paper (1910.10683), section 2.3 and 3.7", t5(1024, 24, 32, 128, 16384)),
    Known("T5-11B", "T5 paper (1910.10683), section 2.3 and 3.7", t5(1024, 24, 128, 128, 65536)),
    Known("BART-large", HUB, {
        "model_type": "bart", "d_model": 1024, "encoder_layers": 12, "decoder_layers": 12, "vocab_size": 50265,
        "encoder_attention_heads": 16, "decoder_attention_heads": 16, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096,
    }),
    Known("ViT-B/16", "ViT paper (2010.11929), Table 1", vit(768, 12, 12, 16)),
    Known("ViT-B/32", "ViT paper (2010.11929), Table 1", vit(768, 12, 12, 32)),
    Known("ViT-L/16", "ViT paper (2010.11929), Table 1", vit(1024, 24, 16, 16)),
    Known("ViT-H/14", "ViT paper (2010.11929), Table 1", vit(1280, 32, 16, 14)),
    Known("ResNet-18", "1512.03385, Table 1; strides as in torchvision", resnet((2, 2, 2, 2), basic=True)),
    Known("ResNet-34", "1512.03385, Table 1; strides as in torchvision", resnet((3, 4, 6, 3), basic=True)),
    Known("ResNet-50", "1512.03385, Table 1; strides as in torchvision", resnet((3, 4, 6, 3))),
    Known("ResNet-101", "1512.03385, Table 1; strides as in torchvision", resnet((3, 4, 23, 3))),
    Known("ResNet-152", "1512.03385, Table 1; strides as in torchvision", resnet((3, 8, 36, 3))),
)
# fmt: on

# Other names they go by.
ALSO = {
    "gpt2small": "GPT-2", "gpt2124m": "GPT-2", "gpt3": "GPT-3-175B", "gpt3small": "GPT-3-125M", "bloom": "BLOOM-176B",
    "gptneox": "GPT-NeoX-20B", "palm": "PaLM-540B", "chinchilla": "Chinchilla-70B", "gopher": "Gopher-280B",
    "deepseekv3671b": "DeepSeek-V3", "deepseekr1": "DeepSeek-V3", "llama30b": "LLaMA-33B", "t53b": "T5-3B",
    "phi3mini4k": "Phi-3-mini", "dbrx132b": "DBRX", "bertbaseuncased": "BERT-base", "bertlargeuncased": "BERT-large",
}  # fmt: skip


def names() -> tuple[str, ...]:
    """Of all that are bundled."""
    return tuple(known.name for known in KNOWN)


def plain(name: str) -> str:
    """A name without case and punctuation but for a decimal point, without its owner and without the library it is saved for.

    >>> plain("meta-llama/Llama-3.1-8B-hf"), plain("ViT-B/16")
    ('llama3.18b', 'vitb16')
    """
    owner, _, rest = name.rpartition("/")
    kept = rest if owner and len(rest) > 2 else name
    kept = re.sub(r"(?<![0-9])\.|\.(?![0-9])|[^a-z0-9.]", "", kept.lower())
    return kept.removesuffix("hf")


def find(name: str) -> Known | None:
    """One by its name; without its decimal point too, where no other is called so."""
    wanted = plain(name)
    wanted = plain(ALSO.get(wanted, wanted))
    for spelled in (plain, _bare):
        fitting = [known for known in KNOWN if spelled(known.name) == wanted]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _bare(name: str) -> str:
    return plain(name).replace(".", "")


def closest(name: str) -> tuple[str, ...]:
    """Names like this one."""
    all_names = {plain(known.name): known.name for known in KNOWN}
    return tuple(
        all_names[near] for near in difflib.get_close_matches(plain(name), all_names, n=5, cutoff=0.6)
    )
