"""Models of kept libraries, by name and size, with random weights; nothing is downloaded.

Images: AlexNet ("One weird trick", arXiv 1404.5997), VGG-16 (1409.1556) and Inception-v3 (1512.00567) from pytorchcv; ResNet
(1512.03385) and ViT (2010.11929) from transformers. Text: BERT (1810.04805), GPT-2, T5 (1910.10683), Llama (2307.09288)
and Mixtral (2401.04088) from transformers, with torch's fused attention. No dropout anywhere, as large models are trained.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported, UsageError
from harness.models.subject import Subject

if TYPE_CHECKING:
    import torch

    from harness.workload import Call

CLASSES = 1000
HEAD_SIZE = 64
EXPERTS, EXPERTS_A_TOKEN = 4, 2
Sizes = Mapping[str, int]


def build(architecture: str, sizes: Sizes, device: torch.device, *, loss: str = "cross_entropy") -> Subject:
    """A model on a device, with random inputs and labels of the sizes given.

    Images take `batch` and `image` (pixels a side); text takes `batch`, `sequence`, `width`, `depth` and `vocabulary`;
    the MLP `batch`, `inputs`, `width`, `depth` (hidden layers) and `classes`. `loss` is the MLP's, `cross_entropy` or `mse`.

    Raises:
        UsageError: no such architecture.
        Unsupported: its library is not installed.
    """
    import torch  # noqa: PLC0415 - the front door loads none

    if architecture not in ARCHITECTURES:
        raise UsageError(f"unknown architecture {architecture!r}: one of {', '.join(ARCHITECTURES)}")
    with torch.device(device):
        if architecture == "mlp":
            return _mlp(sizes, loss)
        return ARCHITECTURES[architecture](sizes)


def decoding(architecture: str, sizes: Sizes, device: torch.device, *, dtype: str) -> Call:
    """One token more for each sequence of a batch, with the keys and values of `cached` tokens before it in a cache.

    The cache is cut back to its length after each call, so that all calls do the same.
    """
    import torch  # noqa: PLC0415

    from harness.models.steps import narrowed  # noqa: PLC0415

    subject = build(architecture, {**sizes, "sequence": sizes["cached"]}, device)
    narrowed(subject, dtype)
    model = subject.model.eval()
    prompt = subject.named["input_ids"]
    token = prompt[:, :1].clone()
    with torch.inference_mode():
        cache = model(input_ids=prompt, use_cache=True).past_key_values

    def call() -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = model(input_ids=token, past_key_values=cache, use_cache=True).logits
            cache.crop(-1)
        return logits

    return call


def _transformers() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise Unsupported("it needs transformers: pip install 'plumbline-bench[models]'") from error
    library.utils.logging.set_verbosity_error()  # random weights are meant
    return library


def _pytorchcv(module: str) -> Any:
    try:
        return importlib.import_module(f"pytorchcv.models.{module}")
    except ImportError as error:
        raise Unsupported("it needs pytorchcv: pip install 'plumbline-bench[models]'") from error


def _mlp(sizes: Sizes, loss: str = "cross_entropy") -> Subject:
    """Linear layers with ReLU between them."""
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    widths = [sizes["inputs"], *[sizes["width"]] * sizes["depth"], sizes["classes"]]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    x = torch.randn(sizes["batch"], sizes["inputs"])
    if loss == "mse":
        target = torch.randn(sizes["batch"], sizes["classes"])
        return Subject(model, (x,), {}, lambda y: nn.functional.mse_loss(y, target))
    return Subject(model, (x,), {}, _classifying(sizes["batch"], sizes["classes"]))


def _classifying(batch: int, classes: int) -> Callable[[Any], torch.Tensor]:
    import torch  # noqa: PLC0415

    labels = torch.randint(classes, (batch,))
    return lambda logits: torch.nn.functional.cross_entropy(logits, labels)


def _pixels(sizes: Sizes) -> torch.Tensor:
    import torch  # noqa: PLC0415

    return torch.randn(sizes["batch"], 3, sizes["image"], sizes["image"])


def _pooled(module: str, name: str, side: int) -> Callable[[Sizes], Subject]:
    """A network that ends in a head for `side` x `side` positions: an adaptive pool before it takes images of other sizes."""

    def made(sizes: Sizes) -> Subject:
        from torch import nn  # noqa: PLC0415

        model = getattr(_pytorchcv(module), name)(num_classes=CLASSES)
        for part in model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        if hasattr(model.features, "final_pool"):
            model.features.final_pool = nn.AdaptiveAvgPool2d(side)
        else:
            model.features.add_module("final_pool", nn.AdaptiveAvgPool2d(side))
        return Subject(model, (_pixels(sizes),), {}, _classifying(sizes["batch"], CLASSES))

    return made


def _image(config: Callable[[Any, Sizes], Any], kind: str) -> Callable[[Sizes], Subject]:
    def made(sizes: Sizes) -> Subject:
        import torch  # noqa: PLC0415

        library = _transformers()
        model = getattr(library, kind)(config(library, sizes))
        labels = torch.randint(CLASSES, (sizes["batch"],))
        return Subject(
            model, (), {"pixel_values": _pixels(sizes), "labels": labels}, training_only=("labels",)
        )

    return made


def _text(config: Callable[[Any, Sizes], Any], kind: str) -> Callable[[Sizes], Subject]:
    def made(sizes: Sizes) -> Subject:
        import torch  # noqa: PLC0415

        library = _transformers()
        model = getattr(library, kind)(config(library, sizes))
        ids = torch.randint(sizes["vocabulary"], (sizes["batch"], sizes["sequence"]))
        named = {"input_ids": ids, "labels": ids}
        if model.config.is_encoder_decoder:
            named["decoder_input_ids"] = ids
        return Subject(model, (), named, training_only=("labels",))

    return made


def _resnet18(library: Any, _: Sizes) -> Any:
    return library.ResNetConfig(
        num_labels=CLASSES,
        layer_type="basic",
        depths=[2, 2, 2, 2],
        hidden_sizes=[64, 128, 256, 512],
        embedding_size=64,
    )


def _resnet50(library: Any, _: Sizes) -> Any:
    return library.ResNetConfig(num_labels=CLASSES)


def _heads(sizes: Sizes) -> int:
    return max(1, sizes["width"] // HEAD_SIZE)


def _vit(library: Any, sizes: Sizes) -> Any:
    return library.ViTConfig(
        hidden_size=sizes["width"],
        intermediate_size=4 * sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=_heads(sizes),
        image_size=sizes["image"],
        num_labels=CLASSES,
        attn_implementation="sdpa",
    )


def _bert(library: Any, sizes: Sizes) -> Any:
    return library.BertConfig(
        hidden_size=sizes["width"],
        intermediate_size=4 * sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=_heads(sizes),
        vocab_size=sizes["vocabulary"],
        max_position_embeddings=max(512, sizes["sequence"]),
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )


def _gpt2(library: Any, sizes: Sizes) -> Any:
    return library.GPT2Config(
        n_embd=sizes["width"],
        n_layer=sizes["depth"],
        n_head=_heads(sizes),
        vocab_size=sizes["vocabulary"],
        n_positions=max(1024, sizes["sequence"] + 1),
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="sdpa",
    )


def _t5(library: Any, sizes: Sizes) -> Any:
    return library.T5Config(
        d_model=sizes["width"],
        d_ff=4 * sizes["width"],
        d_kv=HEAD_SIZE,
        num_layers=sizes["depth"],
        num_heads=_heads(sizes),
        vocab_size=sizes["vocabulary"],
        dropout_rate=0.0,
        use_cache=False,
        decoder_start_token_id=0,
    )


def _llama(library: Any, sizes: Sizes) -> Any:
    return library.LlamaConfig(**_llama_like(sizes))


def _mixtral(library: Any, sizes: Sizes) -> Any:
    return library.MixtralConfig(
        **_llama_like(sizes),
        num_local_experts=EXPERTS,
        num_experts_per_tok=EXPERTS_A_TOKEN,
    )


def _llama_like(sizes: Sizes) -> dict[str, Any]:
    heads = _heads(sizes)
    return {
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
        "attn_implementation": "sdpa",
    }


ARCHITECTURES: dict[str, Callable[[Sizes], Subject]] = {
    "mlp": _mlp,
    "alexnet": _pooled("alexnet", "alexnetb", 6),
    "vgg16": _pooled("vgg", "vgg16", 7),
    "inception_v3": _pooled("inceptionv3", "inceptionv3", 1),
    "resnet18": _image(_resnet18, "ResNetForImageClassification"),
    "resnet50": _image(_resnet50, "ResNetForImageClassification"),
    "vit": _image(_vit, "ViTForImageClassification"),
    "bert": _text(_bert, "BertForMaskedLM"),
    "gpt2": _text(_gpt2, "GPT2LMHeadModel"),
    "t5": _text(_t5, "T5ForConditionalGeneration"),
    "llama": _text(_llama, "LlamaForCausalLM"),
    "mixtral": _text(_mixtral, "MixtralForCausalLM"),
}
