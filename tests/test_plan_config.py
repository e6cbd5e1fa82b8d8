"""Models from their configurations: against transformers' own, torch's counter, and published numbers."""

import csv
import json
import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from harness.errors import UsageError
from harness.plan.config import find, names, read
from harness.plan.families import FAMILIES
from harness.plan.work import Lengths, forward
from harness.records.architecture import Architecture

TABLE = Path(__file__).parent / "reference_cases.csv"
ROWS = list(csv.DictReader(TABLE.read_text().splitlines()))

Config = dict[str, Any]


def written(folder: Path, config: object) -> str:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return str(folder)


TEXT = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 88, "vocab_size": 103,
}  # fmt: skip
SHORT = {"n_embd": 48, "n_layer": 3, "n_head": 6, "vocab_size": 103, "n_positions": 40}
MOE = {"num_experts": 6, "num_experts_per_tok": 3}
LATENT = {
    "moe_intermediate_size": 20, "n_routed_experts": 8, "num_experts_per_tok": 3, "q_lora_rank": 24, "kv_lora_rank": 16,
    "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 10, "n_group": 2, "topk_group": 2, "num_key_value_heads": 6, "pad_token_id": None,
    "bos_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
T5 = {"d_model": 48, "d_kv": 10, "d_ff": 70, "num_layers": 3, "num_heads": 6, "vocab_size": 103}
BART = {
    "d_model": 48, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "decoder_attention_heads": 6,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 96, "vocab_size": 103, "max_position_embeddings": 60,
}  # fmt: skip
IMAGE = {
    "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 88, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
STAGES = {"hidden_sizes": [32, 64, 64, 128], "depths": [2, 1, 3, 1], "image_size": 64}

# Each family with the choices its configuration has, one of them at a time and some together.
VARIANTS: dict[str, tuple[Config, list[Config]]] = {
    "llama": (TEXT, [
        {}, {"num_key_value_heads": 2}, {"num_key_value_heads": 1, "head_dim": 16}, {"tie_word_embeddings": True},
        {"attention_bias": True}, {"mlp_bias": True, "attention_bias": True, "num_key_value_heads": 3},
        {"architectures": ["LlamaModel"]}, {"architectures": ["LlamaForSequenceClassification"], "num_labels": 5, "pad_token_id": 0},
    ]),
    "mistral": (TEXT, [
        {"num_key_value_heads": 2}, {"num_key_value_heads": 3, "head_dim": 24, "sliding_window": None},
        {"sliding_window": 5, "num_key_value_heads": 6},
    ]),
    "mixtral": (TEXT | {"num_key_value_heads": 2}, [
        {}, {"num_local_experts": 16, "num_experts_per_tok": 4}, {"num_local_experts": 1, "num_experts_per_tok": 1},
        {"num_local_experts": 2, "num_experts_per_tok": 2, "head_dim": 12}, {"tie_word_embeddings": True},
    ]),
    "qwen2": (TEXT | {"num_key_value_heads": 2}, [
        {}, {"tie_word_embeddings": True}, {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ]),
    "qwen2_moe": (TEXT | MOE | {
        "num_key_value_heads": 2, "moe_intermediate_size": 20, "shared_expert_intermediate_size": 36,
    }, [{}, {"mlp_only_layers": [0]}, {"decoder_sparse_step": 2}, {"qkv_bias": False}]),
    "qwen3": (TEXT | {"num_key_value_heads": 2, "head_dim": 20}, [
        {}, {"attention_bias": True}, {"tie_word_embeddings": True, "head_dim": 8},
    ]),
    "qwen3_moe": (TEXT | MOE | {"num_key_value_heads": 2, "head_dim": 20, "moe_intermediate_size": 20}, [
        {}, {"attention_bias": True}, {"mlp_only_layers": [1]}, {"decoder_sparse_step": 2},
    ]),
    "gemma": (TEXT | {"num_key_value_heads": 1, "head_dim": 32}, [
        {}, {"attention_bias": True}, {"tie_word_embeddings": False},
    ]),
    "gemma2": (TEXT | {"num_key_value_heads": 2, "head_dim": 32}, [{}, {"sliding_window": 6}]),
    "gemma3_text": (TEXT | {"num_key_value_heads": 2, "head_dim": 32}, [{}, {"sliding_window_pattern": 2}]),
    "phi3": (TEXT | {"pad_token_id": None}, [{}, {"num_key_value_heads": 2}, {"tie_word_embeddings": True}]),
    "olmo": (TEXT, [{}, {"num_key_value_heads": 2, "attention_bias": True}]),
    "olmo2": (TEXT, [{}, {"num_key_value_heads": 2}, {"attention_bias": True}]),
    "olmoe": (TEXT | MOE, [{}, {"num_key_value_heads": 2}, {"tie_word_embeddings": True}]),
    "stablelm": (TEXT | {"num_key_value_heads": 6}, [
        {}, {"use_qkv_bias": True}, {"qk_layernorm": True, "num_key_value_heads": 2}, {"use_parallel_residual": True},
    ]),
    "cohere": (TEXT, [
        {}, {"num_key_value_heads": 2, "attention_bias": True}, {"use_qk_norm": True, "num_key_value_heads": 3},
        {"tie_word_embeddings": False}, {"head_dim": 16, "num_key_value_heads": 1},
    ]),
    "starcoder2": (TEXT | {"num_key_value_heads": 2}, [{}, {"use_bias": False}, {"tie_word_embeddings": False}]),
    "phi": (TEXT, [{}, {"qk_layernorm": True}, {"num_key_value_heads": 2}]),
    "gpt_oss": (TEXT | {"num_key_value_heads": 2, "head_dim": 10, "num_local_experts": 6, "num_experts_per_tok": 2}, [
        {}, {"attention_bias": False}, {"tie_word_embeddings": True, "sliding_window": 4},
    ]),
    "deepseek_v2": (TEXT | LATENT | {"n_group": 1, "topk_group": 1}, [
        {}, {"first_k_dense_replace": 1}, {"q_lora_rank": None}, {"attention_bias": True, "n_shared_experts": 1},
        {"mlp_bias": True, "first_k_dense_replace": 3},
    ]),
    "deepseek_v3": (TEXT | LATENT, [
        {"first_k_dense_replace": 1}, {"first_k_dense_replace": 0, "n_shared_experts": 2}, {"q_lora_rank": None},
        {"attention_bias": True},
    ]),
    "gpt2": (SHORT, [
        {}, {"n_inner": 70}, {"tie_word_embeddings": False}, {"architectures": ["GPT2Model"]},
        {"architectures": ["GPT2ForSequenceClassification"], "num_labels": 3, "pad_token_id": 0},
    ]),
    "gpt_bigcode": (SHORT, [{}, {"multi_query": False}]),
    "gptj": (SHORT | {"rotary_dim": 4}, [{}, {"tie_word_embeddings": True}, {"n_inner": 70}]),
    "gpt_neo": ({
        "hidden_size": 48, "num_layers": 4, "num_heads": 6, "vocab_size": 103, "max_position_embeddings": 40,
        "attention_types": [[["global", "local"], 2]], "window_size": 4,
    }, [{}, {"intermediate_size": 70}, {"attention_types": [[["global"], 3], [["local"], 1]]}]),
    "gpt_neox": (TEXT, [{}, {"attention_bias": False}, {"tie_word_embeddings": True}]),
    "opt": ({key: value for key, value in TEXT.items() if key != "intermediate_size"} | {"ffn_dim": 88}, [
        {}, {"word_embed_proj_dim": 20}, {"enable_bias": False}, {"layer_norm_elementwise_affine": False},
        {"do_layer_norm_before": False}, {"_remove_final_layer_norm": True, "max_position_embeddings": 30},
        {"tie_word_embeddings": False},
    ]),
    "bloom": ({"hidden_size": 48, "n_layer": 3, "n_head": 6, "vocab_size": 103}, [{}, {"tie_word_embeddings": False}]),
    "falcon": ({"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "vocab_size": 103}, [
        {}, {"bias": True}, {"multi_query": False}, {"parallel_attn": False, "alibi": True}, {"ffn_hidden_size": 70},
        {"new_decoder_architecture": True, "num_kv_heads": 2}, {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1},
    ]),
    "mpt": ({"d_model": 48, "n_layers": 3, "n_heads": 6, "vocab_size": 103}, [{}, {"tie_word_embeddings": False}]),
    "dbrx": ({
        "d_model": 48, "n_layers": 2, "n_heads": 6, "vocab_size": 103, "attn_config": {"kv_n_heads": 2, "clip_qkv": 8},
        "ffn_config": {"ffn_hidden_size": 24, "moe_num_experts": 5, "moe_top_k": 2},
    }, [{}]),
    "bert": (TEXT, [
        {}, {"architectures": ["BertForMaskedLM"]}, {"architectures": ["BertForPreTraining"]},
        {"architectures": ["BertForSequenceClassification"], "num_labels": 4},
        {"architectures": ["BertForTokenClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}},
        {"architectures": ["BertForQuestionAnswering"]}, {"type_vocab_size": 5, "max_position_embeddings": 30},
        {"architectures": ["BertForMaskedLM"], "tie_word_embeddings": False},
    ]),
    "roberta": (TEXT, [
        {}, {"architectures": ["RobertaForMaskedLM"]},
        {"architectures": ["RobertaForMaskedLM"], "tie_word_embeddings": False}, {"architectures": ["RobertaForSequenceClassification"]},
    ]),
    "distilbert": ({"dim": 48, "n_layers": 3, "n_heads": 6, "hidden_dim": 88, "vocab_size": 103}, [
        {}, {"architectures": ["DistilBertForMaskedLM"]}, {"architectures": ["DistilBertForSequenceClassification"]},
    ]),
    "electra": (TEXT | {"embedding_size": 20}, [
        {}, {"embedding_size": 48}, {"architectures": ["ElectraForMaskedLM"]}, {"architectures": ["ElectraForPreTraining"]},
        {"architectures": ["ElectraForSequenceClassification"]},
    ]),
    "modernbert": (TEXT | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}, [
        {}, {"architectures": ["ModernBertForMaskedLM"]}, {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
        {"architectures": ["ModernBertForMaskedLM"], "decoder_bias": False, "classifier_bias": True},
        {"architectures": ["ModernBertForSequenceClassification"], "num_labels": 4}, {"local_attention": 6},
    ]),
    "t5": (T5, [
        {}, {"num_decoder_layers": 5}, {"feed_forward_proj": "gated-gelu"}, {"relative_attention_num_buckets": 8},
        {"architectures": ["T5Model"]},
    ]),
    "mt5": (T5, [{}, {"feed_forward_proj": "relu"}]),
    "bart": (BART, [{}, {"architectures": ["BartModel"]}]),
    "vit": (IMAGE, [
        {}, {"num_labels": 7}, {"qkv_bias": False}, {"image_size": [32, 48], "patch_size": [8, 4]}, {"image_size": 37},
        {"architectures": ["ViTModel"], "pooler_output_size": 20}, {"num_channels": 1},
    ]),
    "deit": (IMAGE, [
        {"architectures": ["DeiTForImageClassification"]}, {"architectures": ["DeiTForImageClassificationWithTeacher"], "num_labels": 7},
        {"architectures": ["DeiTModel"]},
    ]),
    "resnet": (STAGES, [
        {}, {"layer_type": "basic"}, {"downsample_in_first_stage": True}, {"downsample_in_bottleneck": True},
        {"num_labels": 9, "embedding_size": 32, "num_channels": 1}, {"architectures": ["ResNetModel"], "image_size": 50},
    ]),
    "convnext": (STAGES, [{}, {"layer_scale_init_value": 0.0}, {"architectures": ["ConvNextModel"]}, {"patch_size": 2}]),
}  # fmt: skip


def cases(*kinds: str) -> list[Any]:
    """Every family's every choice, or those of some families."""
    return [
        pytest.param(kind, base | change, id=f"{kind}-{place}")
        for kind, (base, changes) in VARIANTS.items()
        for place, change in enumerate(changes)
        if not kinds or kind in kinds
    ]


IMAGES = ("vit", "deit", "resnet", "convnext")
BESIDE = ("t5", "mt5", "bart")
ENCODERS = ("bert", "roberta", "distilbert", "electra", "modernbert")


def twin(kind: str, config: Config, **how: str) -> torch.nn.Module:
    """The model transformers makes of the same configuration."""
    transformers = pytest.importorskip("transformers")
    known = {key: value for key, value in config.items() if key != "architectures"}
    if kind in ("resnet", "convnext"):
        known.pop("image_size", None)
    if kind == "dbrx":
        known["attn_config"] = transformers.models.dbrx.configuration_dbrx.DbrxAttentionConfig(
            **known["attn_config"]
        )
        known["attn_config"].rope_theta = 1e4
    described = transformers.AutoConfig.for_model(kind, **known)
    if "architectures" in config:
        made = getattr(transformers, config["architectures"][0])
    elif kind in IMAGES:
        made = transformers.AutoModelForImageClassification
    elif kind in BESIDE:
        made = transformers.AutoModelForSeq2SeqLM
    else:
        made = transformers.AutoModel if kind in ENCODERS else transformers.AutoModelForCausalLM
    module: torch.nn.Module
    if hasattr(made, "from_config"):
        module = made.from_config(described, **how)
    else:
        module = made._from_config(described, **how)
    return module.eval().requires_grad_(requires_grad=False)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("kind", "config"), cases())
def test_parameters_are_those_of_transformers(kind: str, config: Config, tmp_path: Path) -> None:
    with torch.device("meta"):
        module = twin(kind, config)

    assert read(written(tmp_path, {"model_type": kind} | config)).parameters == parameters(module)


@pytest.mark.parametrize("kind", VARIANTS)
def test_defaults_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    """What a text part leaves out is taken from its family; so is all of it, where it leaves out all."""
    config: Config = {"attn_config": {}} if kind == "dbrx" else {}
    config |= {"architectures": ["DeiTForImageClassification"]} if kind == "deit" else {}
    with torch.device("meta"):
        module = twin(kind, config)
    sparse = {"model_type": "llava", "text_config": {"model_type": kind} | config}

    assert read(written(tmp_path, sparse)).parameters == parameters(module)


def test_every_family_is_tried() -> None:
    """But Gopher, which nobody released."""
    assert set(VARIANTS) == set(FAMILIES) - {"gopher"}


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what torch's own formulas say of each product, without following modules, which takes longer than the model."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        # An outer product (angles of rotary positions) is no matrix work here.
        if packet in flop_registry and not (packet is torch.ops.aten.bmm and args[0].shape[-1] == 1):
            self.flops += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def counted(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> int:
    with Counter() as counter, torch.no_grad():
        module(**inputs)
    return int(counter.flops)


def inputs_of(kind: str, config: Config) -> tuple[dict[str, torch.Tensor], Lengths]:
    """A small batch for a model, and how long it is."""
    if kind in IMAGES:
        size = config["image_size"]
        sides = size if isinstance(size, list) else [size, size]
        return {"pixel_values": torch.randn(2, config.get("num_channels", 3), *sides)}, Lengths(2, 0)
    tokens = torch.randint(3, 100, (2, 9))
    if kind in BESIDE:
        return {"input_ids": tokens, "decoder_input_ids": tokens[:, :7]}, Lengths(2, 9, 7)
    return {"input_ids": tokens}, Lengths(2, 9)


def working() -> list[Any]:
    """Those that do other work than their family's first: a bias or a tie does none."""
    idle = ("bias", "tie_word_embeddings", "affine", "layer_norm", "type_vocab_size", "sliding", "window")
    return [
        case
        for case in cases()
        if case.id is not None
        and (
            case.id.endswith("-0")
            or not all(any(word in field for word in idle) for field in changed(case.id))
        )
    ]


def changed(identity: str) -> Config:
    kind, _, place = identity.rpartition("-")
    return VARIANTS[kind][1][int(place)]


@pytest.mark.parametrize(("kind", "config"), working())
def test_forward_flops_are_those_of_torchs_counter(kind: str, config: Config, tmp_path: Path) -> None:
    """Attention composed of products, which counts every pair; experts one by one, which counts what each is sent."""
    model = read(written(tmp_path, {"model_type": kind} | config))
    how = {} if kind in ("resnet", "convnext") else {"attn_implementation": "eager"}
    if model.experts:
        how["experts_implementation"] = "eager"
    inputs, lengths = inputs_of(kind, config)
    if model.tokens is not None:
        lengths = Lengths(lengths.batch, model.tokens)

    assert forward(model, lengths).flops_dense == counted(twin(kind, config, **how), inputs)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["llama", "qwen3_moe", "deepseek_v3", "t5", "opt"])
def test_random_sizes(kind: str, seed: int, tmp_path: Path) -> None:
    """Parameters at whatever sizes; what is shared out stays divisible."""
    chance = random.Random(f"{kind} {seed}")
    base, changes = VARIANTS[kind]
    config = base | chance.choice(changes)
    factor = {key: chance.randint(1, 5) for key in config}
    heads = next(key for key in ("num_attention_heads", "num_heads") if key in config)
    for key, value in config.items():
        if type(value) is int and key not in (
            "n_group",
            "topk_group",
            "bos_token_id",
            "eos_token_id",
            "num_labels",
            heads,
        ):
            config[key] = value * factor[key]
    if "num_key_value_heads" in config:
        config["num_key_value_heads"] = base.get("num_key_value_heads", config[heads])
    if "num_experts_per_tok" in config:
        config["num_experts_per_tok"] = 3
    config.pop("max_window_layers", None)
    with torch.device("meta"):
        module = twin(kind, config)

    assert read(written(tmp_path, {"model_type": kind} | config)).parameters == parameters(module)


# What publications and the models' pages state, to the unit.
STATED = {
    "GPT-2": 124_439_808, "GPT-2-medium": 354_823_168, "GPT-2-large": 774_030_080, "GPT-2-XL": 1_557_611_200,
    "LLaMA-7B": 6_738_415_616, "LLaMA-33B": 32_528_943_616, "LLaMA-65B": 65_285_660_672,
    "Llama-2-7B": 6_738_415_616, "Llama-2-13B": 13_015_864_320, "Llama-2-70B": 68_976_648_192,
    "Llama-3-8B": 8_030_261_248, "Llama-3-70B": 70_553_706_496, "Llama-3.1-405B": 405_853_388_800,
    "Llama-3.2-1B": 1_235_814_400, "Llama-3.2-3B": 3_212_749_824,
    "Mistral-7B": 7_241_732_096, "Mixtral-8x7B": 46_702_792_704, "Mixtral-8x22B": 140_620_634_112,
    "Qwen2.5-0.5B": 494_032_768, "Qwen2.5-7B": 7_615_616_512, "Qwen2.5-72B": 72_706_203_648,
    "Qwen1.5-MoE-A2.7B": 14_315_784_192, "Qwen3-8B": 8_190_735_360, "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen3-235B-A22B": 235_093_634_560, "Gemma-2B": 2_506_172_416, "Gemma-7B": 8_537_680_896,
    "Gemma-2-2B": 2_614_341_888, "Gemma-2-9B": 9_241_705_984, "Gemma-2-27B": 27_227_128_320,
    "DeepSeek-V2": 235_741_434_880, "gpt-oss-20b": 20_914_757_184, "gpt-oss-120b": 116_829_156_672,
    "DBRX": 131_596_523_520, "Phi-2": 2_779_683_840, "Phi-3-mini": 3_821_079_552, "OLMo-7B": 6_888_095_744,
    "OLMoE-1B-7B": 6_919_161_856, "Command-R": 34_980_831_232, "StableLM-3B-4E1T": 2_795_443_200,
    "Falcon-7B": 6_921_720_704, "Falcon-40B": 41_303_293_952, "MPT-7B": 6_649_286_656,
    "OPT-125M": 125_239_296, "OPT-350M": 331_196_416, "OPT-13B": 12_853_473_280, "GPT-J-6B": 6_050_882_784,
    "BLOOM-560M": 559_214_592, "BLOOM-7B1": 7_069_016_064, "BLOOM-176B": 176_247_271_424,
    "GPT-NeoX-20B": 20_554_567_680, "Pythia-6.9B": 6_857_302_016, "Pythia-12B": 11_846_072_320,
    "T5-small": 60_506_624, "T5-base": 222_903_552, "T5-large": 737_668_096, "T5-3B": 2_851_598_336,
    "T5-11B": 11_307_321_344, "BERT-base": 109_482_240, "BERT-large": 335_141_888, "RoBERTa-base": 124_645_632,
    "RoBERTa-large": 355_359_744, "DistilBERT-base": 66_362_880, "ViT-B/16": 86_567_656, "ViT-H/14": 632_045_800,
    "ResNet-18": 11_689_512, "ResNet-152": 60_192_808,
}  # fmt: skip


@pytest.mark.parametrize(("name", "stated"), STATED.items())
def test_published_models_have_the_parameters_stated(name: str, stated: int) -> None:
    assert read(name).parameters == stated


@pytest.mark.parametrize(
    ("kind", "hidden", "layers", "heads", "inner", "stated"),
    [
        ("t5", 768, 12, 12, 2048, 247_577_856),  # Flan-T5-base
        ("t5", 4096, 24, 64, 10240, 11_135_332_352),  # Flan-T5-XXL
        ("mt5", 512, 8, 6, 1024, 300_176_768),  # mT5-small
    ],
)
def test_a_head_that_is_not_tied(  # noqa: PLR0913, PLR0917
    kind: str, hidden: int, layers: int, heads: int, inner: int, stated: int, tmp_path: Path
) -> None:
    """As in the checkpoints of T5's version 1.1 and mT5, whose configurations say so; transformers 5 would tie it."""
    config = {
        "model_type": kind, "d_model": hidden, "d_kv": 64, "d_ff": inner, "num_layers": layers, "num_heads": heads,
        "vocab_size": {"t5": 32128, "mt5": 250112}[kind], "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
    }  # fmt: skip

    assert read(written(tmp_path, config)).parameters == stated


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("DeepSeek-V3", 671e9, 37e9),
        ("DeepSeek-V2", 236e9, 21e9),
        ("Mixtral-8x7B", 46.7e9, 12.9e9),
        ("Qwen3-235B-A22B", 235e9, 22e9),
        ("DBRX", 132e9, 36e9),
        ("OLMoE-1B-7B", 6.9e9, 1.3e9),
        ("PaLM-540B", 540e9, 540e9),
        ("Gopher-280B", 280e9, 280e9),
        ("Chinchilla-70B", 70e9, 70e9),
        ("MT-NLG-530B", 530e9, 530e9),
        ("GPT-3-175B", 174.6e9, 174.6e9),
        ("OPT-175B", 175e9, 175e9),
    ],
)
def test_published_models_have_about_the_sizes_of_their_papers(
    name: str, total: float, active: float
) -> None:
    model = read(name)

    assert model.parameters == pytest.approx(total, rel=5e-3)
    assert model.active_parameters == pytest.approx(active, rel=2e-2)


def test_gpt_oss_leaves_its_table_out_of_what_is_active() -> None:
    """5.13 and 3.61 billion, by its model card."""
    for name, stated in (("gpt-oss-120b", 5.13e9), ("gpt-oss-20b", 3.61e9)):
        model = read(name)
        assert model.active_parameters - model.embedding_parameters == pytest.approx(stated, rel=2e-3)


def rows(unit: str, *quantities: str) -> list[Any]:
    """Rows of the table about a model that is bundled."""
    found = [row for row in ROWS if row["unit"] == unit and row["quantity"].startswith(quantities)]
    return [
        pytest.param(row, id=f"{row['id']}-{row['model_or_case'].replace(' ', '_')}")
        for row in found
        if find(bundled(row["model_or_case"]))
    ]


def bundled(name: str) -> str:
    """The table's names for what is bundled under another."""
    names = {
        "ResNet-50 (HF)": "ResNet-50",
        "vit_b_16": "ViT-B/16",
        "vit_b_32": "ViT-B/32",
        "vit_l_16": "ViT-L/16",
    }
    return names.get(name, name.removesuffix(" small").replace("Megatron GPT", "Megatron"))


@pytest.mark.parametrize("row", rows("count", "parameters"))
def test_rows_of_parameters(row: dict[str, str]) -> None:
    assert read(bundled(row["model_or_case"])).parameters == int(row["value"])


@pytest.mark.parametrize("row", rows("1e9", "parameters"))
def test_rows_of_megatron(row: dict[str, str]) -> None:
    """The publication's formula leaves the final norm out."""
    model = read(bundled(row["model_or_case"]))
    width, layers = model.hidden, model.layers

    assert (
        model.parameters == 12 * layers * width**2 + 13 * layers * width + (51200 + 2048) * width + 2 * width
    )
    assert round(model.parameters / 1e9, 1) == float(row["value"])


@pytest.mark.parametrize("row", rows("GMAC", "forward GMAC"))
def test_rows_of_multiply_adds(row: dict[str, str]) -> None:
    model = read(bundled(row["model_or_case"]))
    found = forward(model, Lengths(1, model.tokens or 0)).flops_dense

    stated = Decimal(row["value"])
    assert (Decimal(found) / 2 / 10**9).quantize(stated) == stated


@pytest.mark.parametrize("row", rows("B", "KV cache"))
def test_rows_of_caches(row: dict[str, str]) -> None:
    caches = read(bundled(row["model_or_case"])).caches

    assert 2 * sum(cache.layers * cache.width for cache in caches) == int(row["value"])


# Rows R184 to R186 (mosaicml/llm-foundry's table of throughput names the parameters), and R200.
@pytest.mark.parametrize(
    ("name", "stated"),
    [("MPT-13B", 12_853_954_560), ("MPT-30B", 29_975_214_080), ("MPT-70B", 64_862_437_376)],
)
def test_rows_of_llm_foundry(name: str, stated: int) -> None:
    assert read(f"{name}-benchmark").parameters == stated


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("Llama-2-7B", 512),
        ("Llama-2-13B", 800),
        ("Llama-3-8B", 128),
        ("Llama-3-70B", 320),
        ("Llama-3.1-405B", 504),
        ("GPT-3-175B", 4608),
    ],
)
def test_cache_of_a_token(name: str, kib: int) -> None:
    """Keys and values, in 16 bits."""
    assert 2 * sum(cache.layers * cache.width for cache in read(name).caches) == kib * 1024


def value(identity: str) -> int:
    return next(int(row["value"]) for row in ROWS if row["id"] == identity)


def test_rows_of_forward_flops() -> None:
    gpt2 = forward(read("GPT-2"), Lengths(1, 1024))
    attention = 4 * 12 * 1024**2 * 768

    assert forward(read("BERT-base"), Lengths(1, 128)).flops_dense == value("R075")
    assert gpt2.flops_dense == value("R070")
    assert gpt2.flops_dense - gpt2.flops == attention - attention * 1025 // 2048
    assert (
        value("R072") - 3 * gpt2.flops_dense == 6 * 1024 * 25 * 768
    )  # nanoGPT's N has the weights of 25 norms


def test_rows_that_are_there() -> None:
    """A row that stops being found is a row that stops being tested."""
    counts = [
        len(rows(*which)) for which in (("count", "parameters"), ("1e9", "parameters"), ("GMAC", "forward"))
    ]
    assert all(found >= least for found, least in zip(counts, (18, 7, 5), strict=True))
    assert len(rows("B", "KV cache")) >= 3


def test_windows_and_caches_follow_the_layers(tmp_path: Path) -> None:
    """Gemma 2: every other layer sees, and keeps, no more than its window."""
    config = {"model_type": "gemma2", "sliding_window": 6} | TEXT | {"num_key_value_heads": 2, "head_dim": 32}
    model = read(written(tmp_path, config))

    assert [(core.count, core.window) for core in model.cores] == [(2, 6), (1, None)]
    assert [(cache.layers, cache.width, cache.window) for cache in model.caches] == [
        (2, 128, 6),
        (1, 128, None),
    ]


def test_latent_attention_keeps_one_short_vector() -> None:
    """DeepSeek-V3: 512 + 64 elements a token and layer (2412.19437)."""
    assert [(cache.layers, cache.width) for cache in read("DeepSeek-V3").caches] == [(61, 576)]


@pytest.mark.parametrize("name", names())
def test_every_name_is_found_however_it_is_written(name: str) -> None:
    model = read(name)

    assert (model.name, bool(model.source)) == (name, True)
    for other in (
        name.lower(),
        name.upper(),
        name.replace("-", " "),
        name.replace("-", "").replace("/", "_"),
    ):
        assert read(other) == model


@pytest.mark.parametrize(
    ("written_as", "name"),
    [
        ("meta-llama/Llama-2-7b-hf", "Llama-2-7B"),
        ("gpt2", "GPT-2"),
        ("llama318b", "Llama-3.1-8B"),
        ("opt1.3b", "OPT-1.3B"),
        ("opt13b", "OPT-13B"),
        ("gpt3", "GPT-3-175B"),
        ("vit_b_16", "ViT-B/16"),
    ],
)
def test_other_spellings(written_as: str, name: str) -> None:
    assert read(written_as).name == name


def test_a_file_a_folder_and_the_name_of_either(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    written(folder, {"model_type": "llama", "torch_dtype": "bfloat16"} | TEXT)
    other = tmp_path / "small.json"
    other.write_text((folder / "config.json").read_text())

    models = [read(str(path)) for path in (folder, folder / "config.json", other)]

    assert [model.name for model in models] == ["my-model", "my-model", "small"]
    assert {model.dtype for model in models} == {"bfloat16"}
    assert models[2].source == str(other)


def test_a_class_stands_for_a_type_that_is_missing(tmp_path: Path) -> None:
    kinds = {
        "LlamaForCausalLM": "llama",
        "Qwen3MoeForCausalLM": "qwen3_moe",
        "BertModel": "bert",
        "OlmoModel": "olmo",
    }
    for name, kind in kinds.items():
        assert (
            read(written(tmp_path, {"architectures": [name], "num_key_value_heads": 2} | TEXT)).family == kind
        )


def test_of_several_kinds_of_input_the_text_part_is_read(tmp_path: Path) -> None:
    """It may be sparse: Gemma 3's leaves out what its class has for defaults."""
    text = {"hidden_size": 2560, "num_hidden_layers": 34, "intermediate_size": 10240, "sliding_window": 1024}
    outer = {"model_type": "gemma3", "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 1152}}
    model = read(written(tmp_path, outer | {"text_config": text}))

    assert (model.family, model.heads, model.vocabulary, model.dtype) == (
        "gemma3_text",
        8,
        262208,
        "bfloat16",
    )
    assert "text part" in model.source
    assert model.parameters == 3_880_263_168


LLAMA = {"model_type": "llama"} | TEXT
MIXTRAL = {"model_type": "mixtral", "num_local_experts": 4} | TEXT

BAD: dict[str, tuple[Any, str]] = {
    "not JSON": ("{not json", "not JSON"),
    "nothing": ("", "not JSON"),
    "list": ([1], "an object of fields is needed, not a list"),
    "no type": (TEXT, "model_type is missing"),
    "unknown type": (TEXT | {"model_type": "mamba9"}, 'model_type is "mamba9"; an architecture known here (bart, bert,'),
    "type of wrong type": (TEXT | {"model_type": 3}, "model_type is 3; a word"),
    "unknown class": (TEXT | {"architectures": ["Mamba9ForCausalLM"]}, "architectures"),
    "unknown head": (LLAMA | {"architectures": ["LlamaForDancing"]}, 'architectures is "LlamaForDancing"'),
    "no hidden size": (without := {k: v for k, v in LLAMA.items() if k != "hidden_size"}, "hidden_size is missing; a whole"),
    "null": (without | {"hidden_size": None}, "hidden_size is null; a whole number from 1"),
    "zero": (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers is 0; a whole number from 1"),
    "negative": (LLAMA | {"vocab_size": -5}, "vocab_size is -5"),
    "absurd": (LLAMA | {"hidden_size": 10**30}, "hidden_size is 10000"),
    "absurd layers": (LLAMA | {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; a whole number from 1 to 10000"),
    "text": (LLAMA | {"hidden_size": "4096"}, 'hidden_size is "4096"; a whole number'),
    "fraction": (LLAMA | {"hidden_size": 48.5}, "hidden_size is 48.5"),
    "truth": (LLAMA | {"hidden_size": True}, "hidden_size is True"),
    "flag": (LLAMA | {"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes"; true or false'),
    "heads": (LLAMA | {"num_attention_heads": 7}, "hidden_size 48 is not divisible by num_attention_heads 7"),
    "groups": (LLAMA | {"num_key_value_heads": 4}, "num_attention_heads 6 is not divisible by num_key_value_heads 4"),
    "experts": (MIXTRAL | {"num_key_value_heads": 2, "num_experts_per_tok": 9}, "num_experts_per_tok 9 is more than num_local_experts 4"),
    "dtype": (LLAMA | {"torch_dtype": "float7"}, 'torch_dtype is "float7"; one of float64, float32'),
    "layer types": (LLAMA | {"model_type": "gemma2", "num_key_value_heads": 2, "layer_types": ["full_attention"]}, "layer_types names 1 layers"),
    "kind of layer": (LLAMA | {"model_type": "gemma2", "num_key_value_heads": 2, "layer_types": ["linear"] * 3}, "layer_types"),
    "attention types": ({"model_type": "gpt_neo", "hidden_size": 48, "num_layers": 3, "num_heads": 6, "vocab_size": 9}, "attention_types names 24 layers"),
    "labels": ({"model_type": "vit", "id2label": {"0": "a"}, "num_labels": 3} | IMAGE, "num_labels is 3, but id2label names 1"),
    "patch": ({"model_type": "vit"} | IMAGE | {"patch_size": 64}, "patch_size 64 x 64 is more than image_size"),
    "stages": ({"model_type": "resnet"} | STAGES | {"depths": [1, 2]}, "hidden_sizes has 4 stages, but depths has 2"),
    "depths": ({"model_type": "resnet"} | STAGES | {"depths": [1, 0, 1, 1]}, "depths is [1, 0, 1, 1]"),
    "kind of block": ({"model_type": "resnet"} | STAGES | {"layer_type": "odd"}, 'layer_type is "odd"; one of basic, bottleneck'),
    "text part": ({"model_type": "llava", "text_config": 3}, "text_config is 3; an object"),
    "opt": ({"model_type": "opt"} | TEXT, "ffn_dim is missing"),
    "gpt2": ({"model_type": "gpt2", "n_embd": 50, "n_layer": 2, "n_head": 4, "vocab_size": 9}, "n_embd 50 is not divisible by n_head 4"),
    "heads that are null": (LLAMA | {"num_attention_heads": None}, "num_attention_heads is null"),
    "plain layers": (
        {"model_type": "qwen3_moe", "num_key_value_heads": 2, "mlp_only_layers": [[1]]} | TEXT, "mlp_only_layers is [1]",
    ),
    "no context": (LLAMA | {"max_position_embeddings": 0}, "max_position_embeddings is 0"),
    "scale": ({"model_type": "convnext", "layer_scale_init_value": "x"} | STAGES, 'layer_scale_init_value is "x"'),
    "gpt2 without": ({"model_type": "gpt2", "n_layer": 2, "n_head": 4, "vocab_size": 9}, "n_embd (or hidden_size) is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("config", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_one_line_that_names_file_and_field(
    config: object, message: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, config)
    with pytest.raises(UsageError) as caught:
        read(folder)

    assert message in str(caught.value)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "CONFIG: empty"),
        ("nowhere/config.json", "no such file"),
        ("Llama-2-7", "Llama-2-7B"),
        ("gtp2-xl", "GPT-2-XL"),
        ("zzzzzzzz", "the names are GPT-2,"),
        ("a\0b", "no"),
        ("x" * 5000, "no"),
    ],
)
def test_what_is_not_there_is_one_line(reference: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(reference)

    assert "\n" not in str(caught.value)


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"config\.json: no such file"):
        read(str(tmp_path))


def test_a_file_that_is_no_configuration(tmp_path: Path) -> None:
    deep, binary = tmp_path / "deep.json", tmp_path / "model.bin"
    deep.write_text("[" * 100_000)
    binary.write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(UsageError, match="not a file"):
        read("/dev/null")
    for path in (deep, binary):
        with pytest.raises(UsageError, match="not JSON"):
            read(str(path))


def test_no_torch_is_loaded() -> None:
    """Nor transformers, nor the slow parts of the scientific stack."""
    code = (
        "import sys; from harness.plan.config import read; from harness.plan.work import forward; read('Llama-2-7B');"
        "print([name for name in ('torch', 'transformers', 'scipy', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def total(model: Architecture, of: Callable[[Any], int]) -> int:
    return sum(of(part) for part in model.parts)


@pytest.mark.parametrize("name", names())
def test_parts_add_up(name: str) -> None:
    """A head that is tied has products and no parameters; an expert is active or not."""
    model = read(name)

    assert 0 < model.active_parameters <= model.parameters
    assert model.embedding_parameters < model.parameters
    assert total(model, lambda part: part.count * part.flops) > 0
