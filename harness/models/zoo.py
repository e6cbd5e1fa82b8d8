"""Models of maintained libraries, by name and size, with random weights; nothing is downloaded.

Images: AlexNet ("One weird trick", arXiv 1404.5997), VGG-16 (1409.1556) and Inception-v3 (1512.00567) from pytorchcv; ResNet
(1512.03385) and ViT (2010.11929) from transformers. Text: BERT (1810.04805), GPT-2, T5 (1910.10683), Llama (2307.09288)
and Mixtral (2401.04088) from transformers, with torch's fused attention. No dropout anywhere, as large models are trained.
"""

from __future__ import annotations

import importlib
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from harness.errors import Unsupported, UsageError, one_line, pip_install
from harness.models.shapes import CLASSES, Sizes, configuration
from harness.models.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

    from harness.plan.work import Lengths
    from harness.workload import Call


def build(architecture: str, sizes: Sizes, device: torch.device, *, loss: str = "cross_entropy") -> Subject:
    """A model on a device, with random inputs and labels of the sizes given.

    Images take `batch` and `image` (pixels a side); text takes `batch`, `sequence`, `width`, `depth` and `vocabulary`;
    the MLP `batch`, `inputs`, `width`, `depth` (hidden layers) and `classes`. `loss` is the MLP's, `cross_entropy` or `mse`.

    Raises:
        UsageError: no such architecture.
        Unsupported: its library is not installed.
    """
    import torch  # noqa: PLC0415 - the public API loads no torch

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

    from harness.models.training import narrowed  # noqa: PLC0415

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
        raise Unsupported(f"needs transformers: {pip_install('models')}") from error
    library.utils.logging.set_verbosity_error()  # random weights are meant
    return library


def _pytorchcv(module: str) -> Any:
    try:
        return importlib.import_module(f"pytorchcv.models.{module}")
    except ImportError as error:
        raise Unsupported(f"needs pytorchcv: {pip_install('models')}") from error


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


def _described(name: str, sizes: Sizes) -> tuple[Any, Any]:
    """The library, and its configuration of a model; attention by torch's fused kernel where the family has it."""
    library = _transformers()
    fields = dict(configuration(name, sizes) or {})
    if name not in {"resnet18", "resnet50", "t5"}:
        fields["attn_implementation"] = "sdpa"
    return library, library.AutoConfig.for_model(**fields)


def _image(name: str) -> Callable[[Sizes], Subject]:
    def made(sizes: Sizes) -> Subject:
        import torch  # noqa: PLC0415

        library, config = _described(name, sizes)
        model = getattr(library, config.architectures[0])(config)
        labels = torch.randint(CLASSES, (sizes["batch"],))
        return Subject(
            model, (), {"pixel_values": _pixels(sizes), "labels": labels}, training_only=("labels",)
        )

    return made


def _text(name: str) -> Callable[[Sizes], Subject]:
    def made(sizes: Sizes) -> Subject:
        import torch  # noqa: PLC0415

        library, config = _described(name, sizes)
        model = getattr(library, config.architectures[0])(config)
        ids = torch.randint(sizes["vocabulary"], (sizes["batch"], sizes["sequence"]))
        named = {"input_ids": ids, "labels": ids}
        if model.config.is_encoder_decoder:
            named["decoder_input_ids"] = ids
        return Subject(model, (), named, training_only=("labels",))

    return made


ARCHITECTURES: dict[str, Callable[[Sizes], Subject]] = {
    "mlp": _mlp,
    "alexnet": _pooled("alexnet", "alexnetb", 6),
    "vgg16": _pooled("vgg", "vgg16", 7),
    "inception_v3": _pooled("inceptionv3", "inceptionv3", 1),
    "resnet18": _image("resnet18"),
    "resnet50": _image("resnet50"),
    "vit": _image("vit"),
    "bert": _text("bert"),
    "gpt2": _text("gpt2"),
    "t5": _text("t5"),
    "llama": _text("llama"),
    "mixtral": _text("mixtral"),
}


# The names of the number of layers.
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Its names for a decoder, where an encoder has its own.
SECOND_DEPTHS = ("num_decoder_layers", "decoder_layers")
_HEADS = (
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForMaskedLM",
    "AutoModelForImageClassification",
)


def depth_of(config: Mapping[str, Any]) -> int | None:
    """The number of layers; None where the configuration has none under a known name."""
    return next((int(config[name]) for name in DEPTHS if isinstance(config.get(name), int)), None)


def configured(
    config: Mapping[str, Any], lengths: Lengths, depth: int | None = None
) -> Callable[[], Subject]:
    """A function that makes the model of a configuration, with random weights and a random batch.

    `depth` replaces the number of layers.

    Raises:
        UsageError: transformers is not installed, or does not know such a model.
    """
    try:
        library = _transformers()
    except Unsupported as error:
        raise UsageError(f"cannot estimate a time on this machine: {error}") from error
    # Training starts from weights in float32, whatever the stored dtype.
    values = {name: value for name, value in config.items() if name not in {"dtype", "torch_dtype"}}
    values |= {"use_cache": False}
    kind = str(values.pop("model_type", ""))
    if depth is not None:
        values |= {name: depth for name in (*DEPTHS, *SECOND_DEPTHS) if name in values}
    try:
        described = library.AutoConfig.for_model(kind, **values)
    except Exception as error:
        raise UsageError(f"transformers cannot read this configuration: {one_line(error)}") from error
    return lambda: _subject(library, described, lengths)


def _subject(library: Any, described: Any, lengths: Lengths) -> Subject:
    import torch  # noqa: PLC0415 - the public API loads no torch

    model = _model(library, described)
    if getattr(described, "image_size", None) or hasattr(described, "hidden_sizes"):
        side = getattr(described, "image_size", None) or 224
        pixels = torch.randn(lengths.batch, getattr(described, "num_channels", 3), side, side)
        labels = torch.randint(described.num_labels, (lengths.batch,))
        return Subject(model, (), {"pixel_values": pixels, "labels": labels}, training_only=("labels",))
    ids = torch.randint(described.vocab_size, (lengths.batch, lengths.source))
    named = {"input_ids": ids, "labels": ids}
    if described.is_encoder_decoder:
        target = torch.randint(described.vocab_size, (lengths.batch, lengths.target))
        named = {"input_ids": ids, "decoder_input_ids": target, "labels": target}
    return Subject(model, (), named, training_only=("labels",))


def _model(library: Any, described: Any) -> Any:
    """By its own class where the configuration names one, else by the first head that there is one of."""
    names = [*(described.architectures or ()), *_HEADS]
    for name in names:
        kind = getattr(library, name, None)
        if kind is None:
            continue
        try:
            made = kind(described) if not name.startswith("Auto") else kind.from_config(described)
        except ValueError:
            continue  # no such head for this family
        else:
            return made
    raise UsageError(f"transformers has no model with a head for {described.model_type!r}")
