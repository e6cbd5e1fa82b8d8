"""Published models against what the trace finds in them: parameters exactly, FLOPs to the source's own rounding."""

import csv
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from harness.cost.trace import Traced, trace

CPU = torch.device("cpu")
TABLE = Path(__file__).parent / "reference_cases.csv"
ROWS = list(csv.DictReader(TABLE.read_text().splitlines()))

Inputs = dict[str, torch.Tensor]


class Model(NamedTuple):
    """How a library builds a model, and an input of one image or one sequence; without one, nothing runs."""

    build: Callable[[], Any]
    inputs: Callable[[], Inputs] | None = None


def image(size: int = 224) -> Callable[[], Inputs]:
    return lambda: {"x": torch.randn(1, 3, size, size)}


def pixels() -> Inputs:
    return {"pixel_values": torch.randn(1, 3, 224, 224)}


def tokens(length: int) -> Callable[[], Inputs]:
    return lambda: {"input_ids": torch.zeros(1, length, dtype=torch.long)}


def cnn(module: str, name: str, size: int = 224) -> Model:
    """A network of pytorchcv."""

    def build() -> Any:
        return getattr(pytest.importorskip(f"pytorchcv.models.{module}"), name)()

    return Model(build, image(size))


def hugging(name: str, config: str, inputs: Callable[[], Inputs] | None = None, **sizes: Any) -> Model:
    """A network of transformers, from the sizes of its publication."""

    def build() -> Any:
        transformers = pytest.importorskip("transformers")
        return getattr(transformers, name)(getattr(transformers, config)(**sizes))

    return Model(build, inputs)


def vit(width: int, layers: int, heads: int, patch: int) -> Model:
    return hugging(
        "ViTForImageClassification",
        "ViTConfig",
        pixels,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        patch_size=patch,
        num_labels=1000,
    )


def gpt2(width: int, layers: int, inputs: Callable[[], Inputs] | None = None, **other: int) -> Model:
    heads = {1600: 25}.get(width, width // 64)
    return hugging(
        "GPT2LMHeadModel", "GPT2Config", inputs, n_embd=width, n_layer=layers, n_head=heads, **other
    )


def megatron(width: int, layers: int) -> Model:
    return gpt2(width, layers, vocab_size=51200, n_positions=2048)


def t5(width: int, layers: int, heads: int, head_width: int, hidden: int) -> Model:
    return hugging(
        "T5ForConditionalGeneration",
        "T5Config",
        d_model=width,
        num_layers=layers,
        num_heads=heads,
        d_kv=head_width,
        d_ff=hidden,
        vocab_size=32128,
    )


def llama(
    width: int, layers: int, hidden: int, *, key_heads: int | None = None, vocabulary: int = 32000
) -> Model:
    return hugging(
        "LlamaForCausalLM",
        "LlamaConfig",
        hidden_size=width,
        num_hidden_layers=layers,
        intermediate_size=hidden,
        num_attention_heads=width // 128,
        num_key_value_heads=key_heads or width // 128,
        vocab_size=vocabulary,
    )


def bert(width: int, layers: int) -> Model:
    return hugging(
        "BertModel",
        "BertConfig",
        tokens(128),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        vocab_size=30522,
    )


# ResNets, their stride in the 3x3 convolution, are the variants with a `b` of pytorchcv; those without have it in the
# 1x1, as in the first publication (3.858 GMAC in place of 4.089). AlexNet `b` is the one of "One weird trick".
MODELS = {
    "densenet121": cnn("densenet", "densenet121"),
    "efficientnet_b0": cnn("efficientnet", "efficientnet_b0"),
    "inception_v3": cnn("inceptionv3", "inceptionv3", 299),
    "mobilenet_v2": cnn("mobilenetv2", "mobilenetv2b_w1"),
    "resnet18": cnn("resnet", "resnet18"),
    "resnet34": cnn("resnet", "resnet34"),
    "resnet50": cnn("resnet", "resnet50b"),
    "resnet101": cnn("resnet", "resnet101b"),
    "resnext50_32x4d": cnn("resnext", "resnext50_32x4d"),
    "vgg16": cnn("vgg", "vgg16"),
    "alexnet": cnn("alexnet", "alexnetb"),
    "mobilenet_v3_large": cnn("mobilenetv3", "mobilenetv3_large_w1"),
    "vit_b_16": vit(768, 12, 12, 16),
    "vit_b_32": vit(768, 12, 12, 32),
    "vit_l_16": vit(1024, 24, 16, 16),
    "ResNet-50 (HF)": hugging("ResNetForImageClassification", "ResNetConfig", pixels, num_labels=1000),
    "GPT-2 small": gpt2(768, 12, tokens(1024)),
    "GPT-2 medium": gpt2(1024, 24),
    "GPT-2 large": gpt2(1280, 36),
    "GPT-2 XL": gpt2(1600, 48),
    "T5-small": t5(512, 6, 8, 64, 2048),
    "T5-base": t5(768, 12, 12, 64, 3072),
    "T5-large": t5(1024, 24, 16, 64, 4096),
    "T5-3B": t5(1024, 24, 32, 128, 16384),
    "T5-11B": t5(1024, 24, 128, 128, 65536),
    "Llama-2-7B": llama(4096, 32, 11008),
    "Llama-2-70B": llama(8192, 80, 28672, key_heads=8),
    "Llama-3-8B": llama(4096, 32, 14336, key_heads=8, vocabulary=128256),
    "Llama-3-70B": llama(8192, 80, 28672, key_heads=8, vocabulary=128256),
    "Llama-3.1-405B": llama(16384, 126, 53248, key_heads=8, vocabulary=128256),
    "BERT-base": bert(768, 12),
    "BERT-large": bert(1024, 24),
    "Megatron GPT 3.6B": megatron(3072, 30),
    "Megatron GPT 7.5B": megatron(4096, 36),
    "Megatron GPT 39.1B": megatron(8192, 48),
    "Megatron GPT 76.1B": megatron(10240, 60),
    "Megatron GPT 310.1B": megatron(16384, 96),
    "Megatron GPT 529.6B": megatron(20480, 105),
    "Megatron GPT 1008.0B": megatron(25600, 128),
    "Mistral-7B": hugging(
        "MistralForCausalLM", "MistralConfig",
        vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8,
    ),
    "Mixtral-8x7B": hugging(
        "MixtralForCausalLM", "MixtralConfig",
        vocab_size=32000, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, num_local_experts=8,
    ),
    "OPT-13B": hugging(
        "OPTForCausalLM", "OPTConfig",
        vocab_size=50272, hidden_size=5120, ffn_dim=20480, num_hidden_layers=40, num_attention_heads=40,
        word_embed_proj_dim=5120,
    ),
}  # fmt: skip

# Parameters that the publication's network has and the library's has not.
MISSING_PARAMETERS = {
    # The auxiliary classifier: a 1x1 convolution to 128 channels and a 5x5 to 768, each with a batch norm, then 1000 classes.
    "inception_v3": (768 * 128 + 2 * 128) + (128 * 768 * 5 * 5 + 2 * 768) + (768 * 1000 + 1000),
    "mobilenet_v2": 1000,  # the classifier's bias
}


@cache
def traced(name: str) -> Traced:
    """A forward pass in evaluation. Nothing is allocated, so the largest model is traced as the smallest."""
    model = MODELS[name]

    def prepare(_: torch.device) -> Callable[[], torch.Tensor]:
        module = model.build().eval()
        inputs = model.inputs() if model.inputs else None

        def call() -> torch.Tensor:
            with torch.no_grad():
                if inputs is not None:
                    module(**inputs)
            return torch.zeros(())

        return call

    return trace(prepare, CPU, first=False)


def rows(unit: str, *quantities: str) -> list[Any]:
    found = [row for row in ROWS if row["unit"] == unit and row["quantity"].startswith(quantities)]
    return [pytest.param(row, id=f"{row['id']}-{row['model_or_case'].replace(' ', '_')}") for row in found]


@pytest.mark.parametrize("row", rows("count", "parameters"))
def test_parameters(row: dict[str, str]) -> None:
    name = row["model_or_case"]

    assert traced(name).trace.parameters + MISSING_PARAMETERS.get(name, 0) == int(row["value"])


@pytest.mark.parametrize("row", rows("1e9", "parameters"))
def test_parameters_of_megatron_to_the_tables_rounding(row: dict[str, str]) -> None:
    """By the formula of the publication, and the final norm that it leaves out."""
    name = row["model_or_case"]
    found = traced(name).trace.parameters
    width, layers = SIZES[name]

    assert found == 12 * layers * width**2 + 13 * layers * width + (51200 + 2048) * width + 2 * width
    assert round(found / 1e9, 1) == float(row["value"])


SIZES = {
    "Megatron GPT 3.6B": (3072, 30), "Megatron GPT 7.5B": (4096, 36), "Megatron GPT 39.1B": (8192, 48),
    "Megatron GPT 76.1B": (10240, 60), "Megatron GPT 310.1B": (16384, 96), "Megatron GPT 529.6B": (20480, 105),
    "Megatron GPT 1008.0B": (25600, 128),
}  # fmt: skip


@pytest.mark.parametrize("row", rows("GMAC", "forward GMAC"))
def test_multiply_adds(row: dict[str, str]) -> None:
    found = traced(row["model_or_case"])
    published = Decimal(row["value"])

    assert not found.trace.unknown
    assert (Decimal(found.cost.flops_dense) / 2 / 10**9).quantize(published) == published


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [
        ("resnet18", 11_689_512, 1.814),
        ("resnet101", 44_549_160, 7.801),
        ("vgg16", 138_357_544, 15.47),
        ("alexnet", 61_100_840, 0.714),
    ],
)
def test_other_networks_of_torchvision(name: str, parameters: int, gmac: float) -> None:
    """Numbers of torchvision's documentation."""
    found = traced(name)

    assert found.trace.parameters == parameters
    assert found.cost.flops_dense / 2e9 == pytest.approx(gmac, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("BERT-large", 335_141_888),
        ("T5-large", 737_668_096),
        ("Mistral-7B", 7_241_732_096),
        ("Mixtral-8x7B", 46_702_792_704),
        ("Llama-3-8B", 8_030_261_248),
        ("OPT-13B", 12_853_473_280),
    ],
)
def test_other_networks_of_transformers(name: str, parameters: int) -> None:
    """Numbers of the networks' publications."""
    assert traced(name).trace.parameters == parameters


def value(identity: str) -> int:
    return next(int(row["value"]) for row in ROWS if row["id"] == identity)


def test_bert_base_on_128_tokens() -> None:
    """24 L S h^2 + 4 L S^2 h for the layers, and 2 h^2 for the pooler."""
    layers, length, width = 12, 128, 768

    found = traced("BERT-base").cost.flops_dense
    assert found == 24 * layers * length * width**2 + 4 * layers * length**2 * width + 2 * width**2
    assert found == value("R075")


def test_gpt2_on_1024_tokens() -> None:
    """The mask ignored, as nanoGPT counts; honoured, attention is 1025 / 2048 of that."""
    cost = traced("GPT-2 small").cost
    layers, length, width, vocabulary = 12, 1024, 768, 50257
    attention = 4 * layers * length**2 * width

    assert cost.flops_dense == value("R070")
    assert cost.flops_dense == 24 * layers * length * width**2 + attention + 2 * length * width * vocabulary
    assert cost.masked_flops == attention - attention * (length + 1) // (2 * length)


def test_palms_formula_counts_the_norms_as_products() -> None:
    """6 N + 12 L H Q T for each token, N without positions: nanoGPT's N has the weights of 25 norms that no product has."""
    length, width = 1024, 768

    forward = traced("GPT-2 small").cost.flops_dense
    assert value("R072") - 3 * forward == 6 * length * 25 * width


@pytest.mark.parametrize("row", rows("B", "KV cache"))
def test_keys_and_values_of_one_token(row: dict[str, str]) -> None:
    """Keys and values, in 16 bits, of each layer."""
    layers, heads = {
        "Llama-2-7B": (32, 32),
        "Llama-3-70B": (80, 8),
        "Llama-3.1-405B": (126, 8),
        "GPT-3 175B": (96, 96),
    }[row["model_or_case"]]

    assert 2 * layers * heads * 128 * 2 == int(row["value"])


def saved(layers: int, kind: str) -> int:
    """What the forward pass of a small network in bfloat16 keeps for the backward one."""
    wide, length = 256, 256
    models = {
        "HF BERT": hugging(
            "BertModel", "BertConfig",
            hidden_size=wide, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=4 * wide,
            vocab_size=512, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        ),
        "HF GPT-2": hugging(
            "GPT2Model", "GPT2Config",
            n_embd=wide, n_layer=layers, n_head=4, vocab_size=512, resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0,
            use_cache=False,  # it would keep copies of keys and values: four bytes more
        ),
        "HF Llama": hugging(
            "LlamaModel", "LlamaConfig",
            hidden_size=wide, num_hidden_layers=layers, num_attention_heads=4, vocab_size=512, use_cache=False,
            intermediate_size=688,  # 8 / 3 of the width, and up to a multiple of 16
        ),
    }  # fmt: skip

    def prepare(_: torch.device) -> Callable[[], torch.Tensor]:
        module = models[kind].build().bfloat16()
        inputs = {"input_ids": torch.zeros(2, length, dtype=torch.long)}

        def call() -> torch.Tensor:
            output: torch.Tensor = module(**inputs).last_hidden_state
            output.sum().backward()  # type: ignore[no-untyped-call]
            return output

        return call

    return trace(prepare, CPU).trace.saved_bytes


@pytest.mark.parametrize("row", rows("B/(s*b*h)", "saved activations"))
def test_activations_of_a_layer(row: dict[str, str]) -> None:
    """What one layer more keeps, for each element of the hidden state."""
    kind = row["model_or_case"].split(" layer")[0]

    per_layer = saved(3, kind) - saved(2, kind)
    assert per_layer / (256 * 2 * 256) == pytest.approx(float(row["value"]), abs=0.06)
