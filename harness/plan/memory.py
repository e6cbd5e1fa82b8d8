"""The memory that a model needs on each device, in training and in inference, in bytes.

States (parameters, gradients, optimizer) follow exactly from the parts of the model; `activations` counts activations. Rounding by the allocator, the memory of
libraries and fragmentation come on top.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

from harness.plan.activations import FORMULA, TALLIES, Kept, Way, kept, output
from harness.plan.parallelism import check_layout, check_recipe
from harness.plan.work import HEAD, Lengths
from harness.records.architecture import Architecture, Cache, Layout, Parts, Per, Recipe, Recompute
from harness.records.base import Record

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
    """The cache of one more token of one sequence, inside every window: 2 L k d elements, for k heads of keys, d wide; or the width of a latent.

    In a model with two stacks it is a token of the target.
    """
    side = _side(model)
    width = sum(cache.layers * cache.width for cache in model.caches if cache.of is side)
    return math.ceil(ELEMENTS[dtype] * width)


def bytes_of(
    model: Architecture, batch: int, tokens: int, dtype: str = "bfloat16", source: int | None = None
) -> int:
    """The cache of `batch` sequences of `tokens` each; layers with a window keep no more than it. A source is as long unless its length is given."""
    if _side(model) is Per.TARGET:
        lengths = Lengths(batch, tokens if source is None else source, tokens)
    else:
        lengths = Lengths(batch, tokens)
    return math.ceil(ELEMENTS[dtype] * batch * sum(_elements(cache, lengths) for cache in model.caches))


def on_device(model: Architecture, lengths: Lengths, layout: Layout, dtype: str = "bfloat16") -> int:
    """The part of the cache on one device: tensor parallelism splits heads of keys, stages split layers, a latent is whole on every device of a stage."""
    each = Fraction(0)
    for cache in model.caches:
        each += Fraction(_elements(cache, lengths), 1 if _latent(model, cache) else layout.tensor)
    return math.ceil(ELEMENTS[dtype] * Fraction(lengths.batch, layout.data * layout.pipeline) * each)


def _side(model: Architecture) -> Per:
    """The side whose tokens a decoder writes."""
    return Per.TARGET if any(cache.of is Per.TARGET for cache in model.caches) else Per.SOURCE


def _elements(cache: Cache, lengths: Lengths) -> int:
    tokens = lengths.length(cache.of)
    return cache.layers * cache.width * (tokens if cache.window is None else min(cache.window, tokens))


def _latent(model: Architecture, cache: Cache) -> bool:
    """Whether a layer keeps less than the keys and values of all its heads."""
    core = model.cores[0]
    return cache.width < model.kv_heads * (core.key_width + core.value_width)


ZERO = "Rajbhandari et al. 2020 (ZeRO), arXiv 1910.02054, section 5"
TENSOR = "Shoeybi et al. 2019 (Megatron-LM), arXiv 1909.08053, section 3"


class Memory(Record, frozen=True):
    """Bytes on one device of one pipeline stage.

    `ends` is what embedding and last norm keep. `temporaries` are alive at the fullest moment only: a recomputed layer, the gradient of the
    logits, casts of weights, a gathered layer. `activations` None: no formula is known, and the total is without them.
    """

    parameters: int
    gradients: int
    optimizer: int
    activations: int | None
    ends: int = 0
    logits: int = 0
    temporaries: int = 0
    cache: int = 0
    stage: int = 0
    assumptions: tuple[str, ...] = ()

    @property
    def states(self) -> int:
        """Parameters, gradients and optimizer."""
        return self.parameters + self.gradients + self.optimizer

    @property
    def passing(self) -> int:
        """The memory of a pass, without the states."""
        return (self.activations or 0) + self.ends + self.logits + self.temporaries + self.cache

    @property
    def total(self) -> int:
        """The memory if gradients have buffers that stay."""
        return self.states + self.passing

    @property
    def peak(self) -> int:
        """The memory if gradients are freed after each step: all gradients and all activations are never alive together."""
        return self.parameters + self.optimizer + max(self.gradients, self.passing)


def memory(
    model: Architecture,
    recipe: Recipe,
    layout: Layout,
    lengths: Lengths,
    way: Way = Way.PUBLISHED,
    stage: int = 0,
) -> Memory:
    """The memory of training on each device of a pipeline stage; `lengths` are of the whole batch.

    Raises:
        UsageError: the layout or the recipe is not possible.
    """
    check_recipe(recipe)
    check_layout(model, layout, lengths)
    own = parameters(model, layout, stage)
    keeps = kept(model, recipe, layout, lengths, way, stage)
    sizes = recipe.bytes
    return Memory(
        parameters=_fraction(own * sizes.weights, layout, 3),
        gradients=_fraction(own * sizes.gradients, layout, 2),
        optimizer=_fraction(own * recipe.optimizer_bytes, layout, 1),
        activations=keeps.layers,
        ends=keeps.ends,
        logits=keeps.logits,
        temporaries=keeps.temporaries + own * sizes.casts + _gathered(model, recipe, layout, own),
        stage=stage,
        assumptions=tuple(_assumptions(model, recipe, layout, way, keeps)),
    )


def fullest(
    model: Architecture, recipe: Recipe, layout: Layout, lengths: Lengths, way: Way = Way.PUBLISHED
) -> Memory:
    """The memory of the first or the last stage, whichever needs more: one has most micro-batches in flight, the other the logits."""
    stages = sorted({0, layout.pipeline - 1})
    return max(
        (memory(model, recipe, layout, lengths, way, stage) for stage in stages), key=lambda need: need.total
    )


def parameters(model: Architecture, layout: Layout, stage: int = 0) -> int:
    """The parameters on a device of a stage, before ZeRO.

    Layers are divided evenly among the stages. Embeddings, and parts that are there once, are on the first stage; the head is on the last, where a tied
    one is a second copy of its table. Tensor parallelism splits matrices, experts and the table of tokens; norms, routers and positions are whole on
    each device. So are up to `hidden` biases of each part, which is slightly too many for queries and keys.
    """
    return math.ceil(sum((_on_stage(part, model, layout, stage) for part in model.parts), start=Fraction(0)))


def inference_memory(
    model: Architecture,
    lengths: Lengths,
    layout: Layout | None = None,
    dtype: str = "bfloat16",
    cache_dtype: str = "",
) -> Memory:
    """The memory of inference on each device of the first stage: weights, keys and values, and the activations of one pass over all tokens.

    Raises:
        UsageError: the layout is not possible.
    """
    over = layout or Layout(flash=True)
    check_layout(model, over, lengths)
    samples = Lengths(over.microbatch or lengths.batch // over.data, lengths.source, lengths.target)
    return Memory(
        parameters=math.ceil(parameters(model, over) * ELEMENTS[dtype]),
        gradients=0,
        optimizer=0,
        activations=_one_pass(model, over, samples, dtype) if model.cores else None,
        logits=_last_logits(model, over, samples),
        cache=on_device(model, lengths, over, cache_dtype or dtype),
        assumptions=(
            f"Weights are {dtype}, keys and values {cache_dtype or dtype}, without the scales of quantised ones.",
            "Activations are those of the widest operation of one layer, for all tokens in one pass. Logits are those of the last position, in float32.",
            "Every replica of data parallelism has all weights.",
        ),
    )


def _on_stage(part: Parts, model: Architecture, layout: Layout, stage: int) -> Fraction:
    """The parameters of a part, or of its copies, on one device of a stage."""
    last, first = stage == layout.pipeline - 1, stage == 0
    if part.component == HEAD:
        table = part.flops // 2
        second = table if layout.pipeline > 1 and part.parameters < table else 0
        return int(last) * part.count * (_split(part, model, layout) + Fraction(second, layout.tensor))
    if part.embedding or (part.count == 1 and model.layers > 1):
        return int(first) * part.count * _split(part, model, layout)
    return part.count * _split(part, model, layout) / layout.pipeline


def _split(part: Parts, model: Architecture, layout: Layout) -> Fraction:
    whole = _whole(part, model)
    return whole + Fraction(part.parameters - whole, layout.tensor)


def _whole(part: Parts, model: Architecture) -> int:
    """The parameters of a part that every device of tensor parallelism has."""
    if part.embedding:
        rows = model.vocabulary * model.hidden
        return part.parameters % rows if rows and part.parameters >= rows else part.parameters
    if part.active is not None and part.active < part.parameters:
        return 0
    if part.component == "router":
        return part.parameters
    biases = max(0, part.parameters - part.flops // 2)
    return min(biases, model.hidden) if part.flops else biases


def _fraction(size: int, layout: Layout, stage: int) -> int:
    """The bytes on a device of states that ZeRO divides among replicas from this stage on, rounded up."""
    return -(-size // layout.data) if layout.zero >= stage else size


def _gathered(model: Architecture, recipe: Recipe, layout: Layout, own: int) -> int:
    """The weights of a layer that ZeRO 3 gathers while it is computed."""
    if layout.zero < 3 or layout.data == 1 or not model.layers:
        return 0
    return -(-own * recipe.bytes.weights * layout.pipeline // model.layers)


def _one_pass(model: Architecture, layout: Layout, lengths: Lengths, dtype: str) -> int:
    """The residual stream, its normalised copy, and the wider of attention and feed-forward block, of one layer."""
    core = model.cores[0]
    tokens = max(lengths.of(Per.SOURCE), lengths.of(Per.TARGET))
    longest = max(lengths.source, lengths.target)
    heads = Fraction(1, layout.tensor)
    attention = 2 * core.heads * core.key_width + (model.kv_heads or core.heads) * (
        core.key_width + core.value_width
    )
    scores = 0 if layout.flash else 2 * core.heads * longest
    inner = model.intermediate * max(1, model.experts_per_token) * (3 if model.gated else 2)
    widest = max(attention + scores, inner) * heads + 2 * Fraction(model.hidden)
    return math.ceil(max(ELEMENTS[dtype], Fraction(2)) * tokens * widest)


def _last_logits(model: Architecture, layout: Layout, lengths: Lengths) -> int:
    if layout.pipeline > 1 or not model.hidden:
        return 0
    head = output(model)
    scores = head.flops // (2 * model.hidden) if head else 0
    return -(-4 * scores * lengths.batch // layout.tensor)


def _assumptions(model: Architecture, recipe: Recipe, layout: Layout, way: Way, keeps: Kept) -> Iterator[str]:
    sizes = recipe.bytes
    master = ", with a master copy of the weights" if sizes.master else ""
    yield (
        f"States: {sizes.weights} bytes a parameter of weights, {sizes.gradients} of gradients,"
        f" {recipe.optimizer_bytes} of optimizer ({recipe.optimizer}{master})."
    )
    yield from _activation_assumptions(model, recipe, layout, way, keeps)
    if sizes.casts:
        yield f"Autocast keeps {sizes.casts} bytes a parameter of cast weights for a step."
    if layout.zero and layout.data > 1:
        yield f"ZeRO {layout.zero} over {layout.data} replicas ({ZERO})."
    if layout.tensor > 1:
        yield f"Matrices are split {layout.tensor} ways, norms are whole on each device ({TENSOR})."
    if layout.pipeline > 1 and layout.microbatch is None:
        yield "The pipeline is full; one forward pass is followed by one backward pass."
    elif layout.pipeline > 1:
        yield "The pipeline holds the micro-batches of the batch, at most one a stage; one forward pass is followed by one backward pass."
    yield "Allocator rounding, fragmentation and the memory of libraries come on top."


def _activation_assumptions(
    model: Architecture, recipe: Recipe, layout: Layout, way: Way, keeps: Kept
) -> Iterator[str]:
    family = model.family or "this family"
    if keeps.layers is None:
        yield f"Activations are not known: no formula for {family}; the total is without them."
        return
    if way is Way.PUBLISHED:
        yield f"Activations by the published formula ({FORMULA}), {recipe.bytes.compute} bytes an element."
    elif model.family in TALLIES:
        yield f"Activations as {model.family} of transformers 5 keeps them on torch 2.13."
    else:
        block = "Llama's, as it has a gate" if model.gated else "BERT's"
        yield f"Activations: blocks of {family} are assumed to keep the same tensors as {block}."
    yield "Dropout keeps masks of a byte." if recipe.dropout else "No dropout."
    if layout.recompute is Recompute.SELECTIVE:
        yield "Attention's core is computed again in the backward pass."
        return
    yield f"Attention's probabilities are {'never ' if layout.flash else ''}stored."
    if layout.recompute is Recompute.FULL:
        yield "Every layer is computed again from its input in the backward pass."
