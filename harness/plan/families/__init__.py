"""Families of models: the parts of a model, from the fields of its configuration.

The family is found by `model_type`, or by the class in `architectures` where the type is missing.
"""

from collections.abc import Callable

from harness.plan.families import decoders, encoders, vision
from harness.plan.families.fields import Fields
from harness.records.architecture import Architecture

Build = Callable[[Fields], Architecture]

_OTHERS: tuple[Build, ...] = (
    decoders.deepseek_v2, decoders.deepseek_v3, encoders.bart, encoders.bert, encoders.distilbert,
    encoders.electra, encoders.modernbert, encoders.mt5, encoders.roberta, encoders.t5, vision.convnext,
    vision.deit, vision.resnet, vision.vit,
)  # fmt: skip
_BUILDS = {kind: decoders.decoder(kind) for kind in decoders.FAMILIES}
_BUILDS |= {build.__name__: build for build in _OTHERS}
FAMILIES: dict[str, Build] = dict(sorted(_BUILDS.items()))

# The same model under another type.
ALSO = {
    "camembert": "roberta",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl_text": "qwen2",
    "refinedweb": "falcon",
    "refinedwebmodel": "falcon",
    "xlm-roberta": "roberta",
}

# Prefixes of class names that are not the type without its underscores.
CLASSES = {"deit": "deit", "gemma3_text": "gemma3", "roberta": "xlmroberta"}

# The family of the text part of these models, where the configuration does not name it.
TEXT = {"gemma3": "gemma3_text", "llava": "llama", "paligemma": "gemma"}


def family(fields: Fields) -> str:
    """The family of a configuration.

    Raises:
        UsageError: neither the type nor the class is known.
    """
    known = f"an architecture known here ({', '.join(FAMILIES)})"
    named = fields.values.get("model_type")
    if named is not None:
        if not isinstance(named, str):
            raise fields.wrong("model_type", named, "a word")
        kind = ALSO.get(named.lower(), named.lower())
        if kind not in FAMILIES:
            raise fields.wrong("model_type", named, known)
        return kind
    classes = fields.rows("architectures")
    if not classes:
        raise fields.fault(f"model_type is missing, and architectures too; {known} is needed")
    fitting = _of_class(str(classes[0]))
    if fitting is None:
        raise fields.wrong("architectures", classes[0], known.replace("an", "a class of an", 1))
    return fitting


def _of_class(name: str) -> str | None:
    """The longest type that a class's name begins with: `LlamaForCausalLM` is Llama's.

    >>> _of_class("LlamaForCausalLM"), _of_class("GPT2LMHeadModel"), _of_class("Qwen2MoeForCausalLM"), _of_class("XLMRobertaModel")
    ('llama', 'gpt2', 'qwen2_moe', 'roberta')
    """
    low = name.lower()
    prefixes = {kind.replace("_", "").replace("-", ""): kind for kind in FAMILIES}
    prefixes |= {prefix: kind for kind, prefix in CLASSES.items()}
    fitting = [
        prefix
        for prefix in prefixes
        if low.startswith(prefix) and low[len(prefix) :].startswith(("for", "model", "lmhead"))
    ]
    return prefixes[max(fitting, key=len)] if fitting else None
