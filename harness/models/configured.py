"""Models of transformers as a configuration describes them, with random weights: nothing is downloaded."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, one_line, pip_install
from harness.models.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.plan.work import Lengths

# What families call their number of layers.
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# A decoder's beside an encoder's.
SECOND_DEPTHS = ("num_decoder_layers", "decoder_layers")
_HEADS = (
    "AutoModelForCausalLM",
    "AutoModelForSeq2SeqLM",
    "AutoModelForMaskedLM",
    "AutoModelForImageClassification",
)


def depth_of(config: Mapping[str, Any]) -> int | None:
    """How many layers it has; None where the configuration does not say under a name that is known."""
    return next((int(config[name]) for name in DEPTHS if isinstance(config.get(name), int)), None)


def configured(
    config: Mapping[str, Any], lengths: Lengths, depth: int | None = None
) -> Callable[[], Subject]:
    """A function that makes the model, of another depth if one is given, and a random batch.

    Raises:
        UsageError: transformers is not installed, or does not know such a model.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        library = importlib.import_module("transformers")
    except ImportError as error:
        raise UsageError(f"a time on this machine needs transformers: {pip_install('models')}") from error
    library.logging.set_verbosity_error()
    # Whatever it is stored in, it is trained from weights in float32.
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
    import torch  # noqa: PLC0415 - the front door loads none

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
