"""Configurations of the bundled models by architecture and sizes, in the fields of transformers.

Images have 1000 classes; text models have heads of size 64 and no dropout, as large models are trained.
"""

from collections.abc import Callable, Mapping
from typing import Any

CLASSES = 1000
HEAD_SIZE = 64
EXPERTS, EXPERTS_A_TOKEN = 4, 2
Sizes = Mapping[str, int]


def configuration(architecture: str, sizes: Sizes) -> dict[str, Any] | None:
    """The fields of a model's config.json; None for an architecture that transformers lacks."""
    made = SHAPES.get(architecture)
    return None if made is None else made(sizes)


def _heads(sizes: Sizes) -> int:
    return max(1, sizes["width"] // HEAD_SIZE)


def _resnet18(_: Sizes) -> dict[str, Any]:
    return {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "num_labels": CLASSES,
        "layer_type": "basic",
        "depths": [2, 2, 2, 2],
        "hidden_sizes": [64, 128, 256, 512],
        "embedding_size": 64,
    }


def _resnet50(_: Sizes) -> dict[str, Any]:
    return {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "num_labels": CLASSES}


def _vit(sizes: Sizes) -> dict[str, Any]:
    return {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "hidden_size": sizes["width"],
        "intermediate_size": 4 * sizes["width"],
        "num_hidden_layers": sizes["depth"],
        "num_attention_heads": _heads(sizes),
        "image_size": sizes["image"],
        "num_labels": CLASSES,
    }


def _bert(sizes: Sizes) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertForMaskedLM"],
        "hidden_size": sizes["width"],
        "intermediate_size": 4 * sizes["width"],
        "num_hidden_layers": sizes["depth"],
        "num_attention_heads": _heads(sizes),
        "vocab_size": sizes["vocabulary"],
        "max_position_embeddings": max(512, sizes["sequence"]),
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def _gpt2(sizes: Sizes) -> dict[str, Any]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_embd": sizes["width"],
        "n_layer": sizes["depth"],
        "n_head": _heads(sizes),
        "vocab_size": sizes["vocabulary"],
        "n_positions": max(1024, sizes["sequence"] + 1),
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _t5(sizes: Sizes) -> dict[str, Any]:
    return {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "d_model": sizes["width"],
        "d_ff": 4 * sizes["width"],
        "d_kv": HEAD_SIZE,
        "num_layers": sizes["depth"],
        "num_heads": _heads(sizes),
        "vocab_size": sizes["vocabulary"],
        "dropout_rate": 0.0,
        "use_cache": False,
        "decoder_start_token_id": 0,
    }


def _llama(sizes: Sizes) -> dict[str, Any]:
    heads = _heads(sizes)
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": sizes["width"],
        "intermediate_size": -(-8 * sizes["width"] // 3 // 64) * 64,
        "num_hidden_layers": sizes["depth"],
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 4),
        "vocab_size": sizes["vocabulary"],
        "max_position_embeddings": max(4096, sizes["sequence"] + 1),
        "bos_token_id": 0,
        "eos_token_id": 0,
        "use_cache": False,
    }


def _mixtral(sizes: Sizes) -> dict[str, Any]:
    return {
        **_llama(sizes),
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": EXPERTS,
        "num_experts_per_tok": EXPERTS_A_TOKEN,
    }


SHAPES: dict[str, Callable[[Sizes], dict[str, Any]]] = {
    "resnet18": _resnet18,
    "resnet50": _resnet50,
    "vit": _vit,
    "bert": _bert,
    "gpt2": _gpt2,
    "t5": _t5,
    "llama": _llama,
    "mixtral": _mixtral,
}
