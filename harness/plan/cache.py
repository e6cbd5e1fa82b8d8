"""Keys and values: what a decoder keeps of the tokens it has seen, in bytes."""

import math
from fractions import Fraction

from harness.plan.work import Lengths
from harness.records.architecture import Architecture, Cache, Per
from harness.records.layout import Layout

# Bytes of an element; sub-byte ones are packed, their scales left out.
ELEMENTS = {
    "float32": Fraction(4),
    "tf32": Fraction(4),
    "bfloat16": Fraction(2),
    "float16": Fraction(2),
    "float8": Fraction(1),
    "int8": Fraction(1),
    "int4": Fraction(1, 2),
}


def bytes_per_token(model: Architecture, dtype: str = "bfloat16") -> int:
    """What one token more of one sequence takes while it is inside every window: 2 L k d elements, k heads of keys, d wide; a latent's width where that is kept instead.

    Beside an encoder that is a token of the target.
    """
    side = _side(model)
    width = sum(cache.layers * cache.width for cache in model.caches if cache.of is side)
    return math.ceil(ELEMENTS[dtype] * width)


def bytes_of(
    model: Architecture, batch: int, tokens: int, dtype: str = "bfloat16", source: int | None = None
) -> int:
    """What `batch` sequences of so many tokens take; layers with a window keep no more than it. A source beside them is as long, if nothing else is said."""
    if _side(model) is Per.TARGET:
        lengths = Lengths(batch, tokens if source is None else source, tokens)
    else:
        lengths = Lengths(batch, tokens)
    return math.ceil(ELEMENTS[dtype] * batch * sum(_elements(cache, lengths) for cache in model.caches))


def on_device(model: Architecture, lengths: Lengths, layout: Layout, dtype: str = "bfloat16") -> int:
    """The share of one device of its replica's sequences: heads of keys are split by tensor parallelism, layers by stages; a latent is whole on every device of a stage."""
    each = sum(
        (
            Fraction(_elements(cache, lengths), 1 if _latent(model, cache) else layout.tensor)
            for cache in model.caches
        ),
        start=Fraction(0),
    )
    return math.ceil(ELEMENTS[dtype] * Fraction(lengths.batch, layout.data * layout.pipeline) * each)


def _side(model: Architecture) -> Per:
    """Whose tokens a decoder writes."""
    return Per.TARGET if any(cache.of is Per.TARGET for cache in model.caches) else Per.SOURCE


def _elements(cache: Cache, lengths: Lengths) -> int:
    tokens = lengths.length(cache.of)
    return cache.layers * cache.width * (tokens if cache.window is None else min(cache.window, tokens))


def _latent(model: Architecture, cache: Cache) -> bool:
    """Whether a layer keeps less than the keys and values of its heads."""
    core = model.cores[0]
    return cache.width < model.kv_heads * (core.key_width + core.value_width)
