"""Which family a configuration is of: by its `model_type`, or by its class where the type is missing."""

from collections.abc import Callable

from harness.plan.families import (
    encoder,
    encoder_decoder,
    gpt,
    llama,
    mixtures,
)
from harness.plan.families import (
    vision as convolution,
)
from harness.plan.families import (
    vision as image,
)
from harness.plan.families.fields import Fields
from harness.records.architecture import Architecture

Build = Callable[[Fields], Architecture]

FAMILIES: dict[str, Build] = {
    "bart": encoder_decoder.bart,
    "bert": encoder.bert,
    "bloom": gpt.bloom,
    "cohere": llama.cohere,
    "convnext": convolution.convnext,
    "dbrx": mixtures.dbrx,
    "deepseek_v2": mixtures.deepseek_v2,
    "deepseek_v3": mixtures.deepseek_v3,
    "deit": image.deit,
    "distilbert": encoder.distilbert,
    "electra": encoder.electra,
    "falcon": gpt.falcon,
    "gemma": llama.gemma,
    "gemma2": llama.gemma2,
    "gemma3_text": llama.gemma3,
    "gopher": gpt.gopher,
    "gpt2": gpt.gpt2,
    "gpt_bigcode": gpt.gpt_bigcode,
    "gpt_neo": gpt.gpt_neo,
    "gpt_neox": gpt.gpt_neox,
    "gpt_oss": mixtures.gpt_oss,
    "gptj": gpt.gptj,
    "llama": llama.llama,
    "mistral": llama.mistral,
    "mixtral": mixtures.mixtral,
    "modernbert": encoder.modernbert,
    "mpt": gpt.mpt,
    "mt5": encoder_decoder.mt5,
    "olmo": llama.olmo,
    "olmo2": llama.olmo2,
    "olmoe": mixtures.olmoe,
    "opt": gpt.opt,
    "phi": llama.phi,
    "phi3": llama.phi3,
    "qwen2": llama.qwen2,
    "qwen2_moe": mixtures.qwen2_moe,
    "qwen3": llama.qwen3,
    "qwen3_moe": mixtures.qwen3_moe,
    "resnet": convolution.resnet,
    "roberta": encoder.roberta,
    "stablelm": llama.stablelm,
    "starcoder2": llama.starcoder2,
    "t5": encoder_decoder.t5,
    "vit": image.vit,
}

# The same model under another type.
ALSO = {
    "camembert": "roberta",
    "qwen2_5_vl_text": "qwen2",
    "qwen2_vl_text": "qwen2",
    "refinedweb": "falcon",
    "refinedwebmodel": "falcon",
    "xlm-roberta": "roberta",
}

# How the classes of a type are called, where it is not the type without its underscores.
CLASSES = {"deit": "deit", "gemma3_text": "gemma3", "roberta": "xlmroberta"}

# What the text part of these is, where it does not say so itself.
TEXT = {"gemma3": "gemma3_text", "llava": "llama", "paligemma": "gemma"}


def family(fields: Fields) -> str:
    """The type of a configuration, one of those known."""
    named = fields.values.get("model_type")
    if named is not None:
        if not isinstance(named, str):
            raise fields.wrong("model_type", named, "a word")
        found = ALSO.get(named.lower(), named.lower())
        if found in FAMILIES:
            return found
        raise fields.wrong("model_type", named, f"an architecture known here ({', '.join(FAMILIES)})")
    classes = fields.rows("architectures")
    if not classes:
        raise fields.fault(
            f"model_type is missing, and architectures too; an architecture known here is needed ({', '.join(FAMILIES)})"
        )
    fitting = _of_class(str(classes[0]))
    if fitting is None:
        raise fields.wrong(
            "architectures", classes[0], f"a class of an architecture known here ({', '.join(FAMILIES)})"
        )
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
