"""What a forward pass keeps for the backward one: as the published formula has it, and as modules of transformers do on torch.

The formula is that of Korthikanti et al. 2022 (arXiv 2205.05198, section 4): per layer s b h (34 + 5 a s / h) bytes at two bytes an element, which counts the inputs of every operation and the masks of dropout. It is taken apart here
into tensors, so that it holds for other sizes of elements, without dropout, with fused attention, grouped heads, gates and experts. What an implementation keeps differs: `TALLIES` counts its tensors.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from harness.plan.work import Lengths
from harness.records.architecture import Architecture, Core, Layout, Parts, Per, Recipe, Recompute

FORMULA = "Korthikanti et al. 2022, arXiv 2205.05198, section 4"
FLOAT32 = 4
# What is kept of each query where attention is fused: the logarithm of the sum of its exponentials, in float32.
LOG_SUM = 4


class Way(StrEnum):
    """How activations are counted: by the published formula, or by the tensors that modules of transformers keep."""

    PUBLISHED = "published"
    IMPLEMENTATION = "implementation"


@dataclass(frozen=True)
class Tally:
    """How many tensors a layer keeps, by their width, in the dtype that is computed in where nothing else is said.

    `hidden`: inputs of products, as wide as the model; `residual`: of the residual stream, which autocast leaves in float32; `upcast`: always in
    float32; `widened`: float32 copies of what is narrower; `copies`: what autocast casts once more than needed. `queries` are as wide as all
    heads, `keys` pairs of keys and values. `inner` and `gated`: as wide as the feed-forward block inside, without and with a gate. `head_norms`:
    queries and keys are normalised. `float_scores`: attention that is not fused has its softmax in float32. `always_scores`: it never is
    fused; `biased`: self-attention never is, and computes in float32; `float_heads`: where it
    is not, its queries and keys are float32; `capped`: scores pass a hyperbolic tangent. `sent`: tensors of each token and expert. `masks`: of dropout on the
    residual stream. `ends`, `residual_ends` and `float_ends`: tensors as wide as the model before and after the layers, by their dtype.
    """

    hidden: int = 2
    residual: int = 2
    upcast: int = 0
    widened: int = 0
    copies: int = 0
    queries: int = 2
    keys: Fraction = Fraction(1)
    inner: int = 2
    gated: int = 4
    head_norms: bool = False
    float_scores: bool = True
    always_scores: bool = False
    biased: bool = False
    float_heads: bool = False
    capped: bool = False
    sent: int = 2
    masks: int = 2
    ends: int = 1
    residual_ends: int = 1
    float_ends: int = 0


_LLAMA = Tally(upcast=2, copies=3, masks=0, float_ends=1)
_QWEN3 = replace(_LLAMA, head_norms=True)
_BERT = Tally(copies=2, float_scores=False, ends=4)
_VIT = Tally(copies=2)

# Counted with torch.autograd.graph.saved_tensors_hooks on torch 2.13 and transformers 5.23, each storage once, without parameters.
TALLIES = {
    "gpt2": Tally(inner=5, float_scores=False),  # tanh-GELU of single operations
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": _BERT,
    "vit": _VIT,
    "deit": _VIT,
    "opt": Tally(copies=2, inner=1),  # ReLU's result is the next product's input
    "bloom": Tally(always_scores=True, residual_ends=2),
    "gpt_neox": Tally(
        residual=1, queries=4, keys=Fraction(3, 2)
    ),  # one fused tensor stays beside its rotated parts
    "phi3": Tally(upcast=2, queries=4, keys=Fraction(3, 2), float_ends=1),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "mixtral": _LLAMA,
    "qwen3": _QWEN3,
    "qwen3_moe": _QWEN3,
    "gemma": Tally(residual=0, upcast=4, copies=3, masks=0, residual_ends=0, float_ends=2),
    "gemma2": Tally(
        residual=0,
        upcast=8,
        copies=3,
        always_scores=True,
        capped=True,
        masks=0,
        residual_ends=0,
        float_ends=2,
    ),
    "bart": Tally(copies=2),
    "mpt": Tally(always_scores=True),
    "phi": Tally(hidden=1, residual=1, queries=3, inner=5, copies=3),
    "gpt_neo": Tally(inner=5, copies=2, always_scores=True, float_heads=True),
    "gptj": Tally(hidden=1, residual=1, inner=5, copies=3, always_scores=True, float_heads=True),
    "stablelm": Tally(queries=3, copies=3, masks=0),
    "olmo": Tally(residual=0, upcast=2, copies=3, masks=0, residual_ends=0, float_ends=1),
    "olmoe": _QWEN3,
    "cohere": Tally(hidden=1, residual=0, upcast=3, copies=4, masks=0, residual_ends=0, float_ends=3),
    "qwen2_moe": replace(_LLAMA, hidden=3),
    "t5": Tally(residual=4, widened=2, copies=3, inner=1, gated=7, biased=True, ends=2, residual_ends=2),
}


@dataclass(frozen=True)
class Kept:
    """Bytes on one device of one stage: of its layers (None: not known), of embedding and last norm, of the logits, and for a while of what is computed again and of the logits' gradient."""

    layers: int | None
    ends: int
    logits: int
    temporaries: int


def kept(
    model: Architecture, recipe: Recipe, layout: Layout, lengths: Lengths, way: Way, stage: int = 0
) -> Kept:
    """What one device keeps at the fullest moment of a step; `lengths` are of the whole batch."""
    samples = layout.microbatch or lengths.batch // layout.data
    once = Lengths(samples, lengths.source, lengths.target)
    passes = lengths.batch // (layout.data * samples) if layout.microbatch else None
    each = _Pass(model, recipe, layout, once, way)
    held = held_layers(layout, model.layers, passes, stage)
    layers, again = _layers(each, held)
    ends = _mask_of_embedding(each, passes) if stage == 0 else Fraction(0)
    logits = gradient = Fraction(0)
    if stage == layout.pipeline - 1:
        ends += each.ends
        logits, gradient = each.logits
    return Kept(
        layers=None if layers is None else _up(layers),
        ends=_up(ends),
        logits=_up(logits),
        temporaries=_up(again + gradient),
    )


def held_layers(layout: Layout, layers: int, passes: int | None, stage: int = 0) -> Fraction:
    """How many layers' activations a stage holds at once, each micro-batch's apart.

    One forward, one backward: stage i of p holds p - i micro-batches of L / p layers, the first all L. Interleaved with m chunks the first holds
    L (1 + (p - 1) / (p m)) (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.3; Narayanan et al. 2021, arXiv 2104.04473, section 2.2). A
    pipeline is taken as full where `passes`, the micro-batches of a step, are not given.

    >>> held_layers(Layout(pipeline=8, interleave=3), 96, None), held_layers(Layout(pipeline=8), 96, None, stage=7)
    (Fraction(124, 1), Fraction(12, 1))
    """
    stages, chunks = layout.pipeline, layout.interleave
    behind = stages - stage - 1
    filled = behind + 1 if chunks == 1 else 2 * behind + (chunks - 1) * stages + 1
    if passes is not None:
        filled = min(filled, passes * chunks)
    return Fraction(filled * layers, stages * chunks)


def tally(model: Architecture) -> Tally:
    """That of its family, or of the closest kind of block."""
    return TALLIES.get(model.family, _LLAMA if model.gated else _BERT)


@dataclass(frozen=True)
class _Stack:
    """Elements of one pass, over all layers: tokens times how wide each tensor is; `rows` are queries times heads."""

    hidden: int
    crossed: int
    inner: int
    sent: int
    queries: int
    contexts: int
    keys: int
    wide_keys: int
    key_rows: int
    scores: int
    rows: int


def _stack(model: Architecture, lengths: Lengths) -> _Stack:
    own = [core for core in model.cores if core.queries is core.keys]
    cross = [core for core in model.cores if core.queries is not core.keys]
    inner, sent = _feed_forward(model, lengths)
    return _Stack(
        hidden=model.hidden * sum(core.count * lengths.of(core.queries) for core in own),
        crossed=model.hidden * sum(core.count * lengths.of(core.queries) for core in cross),
        inner=inner,
        sent=sent,
        **_attention(model, model.cores, lengths),
    )


def _attention(model: Architecture, cores: tuple[Core, ...], lengths: Lengths) -> dict[str, int]:
    """The widths of queries, of keys with values, and the pairs of both; masked pairs are stored like others."""
    sums = dict.fromkeys(("queries", "contexts", "keys", "wide_keys", "key_rows", "scores", "rows"), 0)
    for core in cores:
        asked, seen = core.count * lengths.of(core.queries), core.count * lengths.of(core.keys)
        shared = min(model.kv_heads or core.heads, core.heads)
        sums["queries"] += asked * core.heads * core.key_width
        sums["contexts"] += asked * core.heads * core.value_width
        sums["keys"] += seen * shared * (core.key_width + core.value_width)
        sums["wide_keys"] += seen * core.heads * (core.key_width + core.value_width)
        sums["key_rows"] += seen * shared * core.key_width
        sums["scores"] += asked * core.heads * lengths.length(core.keys)
        sums["rows"] += asked * core.heads
    return sums


def _feed_forward(model: Architecture, lengths: Lengths) -> tuple[int, int]:
    """Elements inside feed-forward blocks, by their products' FLOPs, and those of the tokens that are sent to experts."""
    products = 2 * (3 if model.gated else 2) * model.hidden
    inner = sent = 0
    for part in model.parts:
        if part.component in {"feed-forward", "shared expert", "experts"}:
            tokens = part.count * lengths.of(part.per)
            inner += tokens * part.flops // products
            if part.component == "experts":
                sent += tokens * model.experts_per_token * model.hidden
    return inner, sent


@dataclass(frozen=True)
class _Pass:
    """One pass of one micro-batch through all layers, on the devices of one stage."""

    model: Architecture
    recipe: Recipe
    layout: Layout
    lengths: Lengths
    way: Way

    @property
    def element(self) -> int:
        """Bytes."""
        return self.recipe.bytes.compute

    @property
    def autocast(self) -> bool:
        """Whether the residual stream is wider than what is computed in."""
        return self.recipe.bytes.casts > 0

    @property
    def residual(self) -> int:
        """Bytes of an element of the residual stream."""
        return FLOAT32 if self.autocast else self.element

    @property
    def published(self) -> bool:
        """Which way."""
        return self.way is Way.PUBLISHED

    @property
    def ends(self) -> Fraction:
        """The last norm and the input of the head: 2 s b h elements by the formula."""
        if not self.model.cores:
            return Fraction(0)
        head = output(self.model)
        tokens = self.lengths.of(head.per if head else Per.SOURCE)
        if self.published:
            return Fraction(2 * self.element * self.model.hidden * tokens, self.layout.sequence_split)
        own = tally(self.model)
        tokens = self.lengths.tokens if self.lengths.target else tokens
        size = self.element * own.ends + self.residual * own.residual_ends + FLOAT32 * own.float_ends
        return Fraction(size * self.model.hidden * tokens, self.layout.sequence_split)

    @property
    def logits(self) -> tuple[Fraction, Fraction]:
        """Those kept, and for a while their gradient: four bytes each by the formula; a library keeps them in their own dtype, and their logarithms for the loss in float32 (decoders)."""
        head = output(self.model)
        if head is None:
            return Fraction(0), Fraction(0)
        scores = head.flops // (2 * self.model.hidden)
        elements = Fraction(scores * self.lengths.of(head.per), self.layout.tensor)
        if self.published:
            return FLOAT32 * elements, Fraction(0)
        causal = any(core.causal and core.queries is core.keys is Per.SOURCE for core in self.model.cores)
        loss = FLOAT32 if causal or self.autocast else self.element
        return (self.element + loss) * elements, loss * elements

    def layers(self) -> tuple[Fraction, Fraction]:
        """Bytes over all layers without recomputation: without attention's probabilities, and those."""
        stack = _stack(self.model, self.lengths)
        if self.published:
            return self._formula(stack)
        return self._counted(stack, tally(self.model))

    def _formula(self, stack: _Stack) -> tuple[Fraction, Fraction]:
        """Of a layer: norms 4, attention's input 2, queries, keys, values and output 8, inputs of the block 2 and 16, masks 2: 34 bytes s b h; probabilities 5 a s / h."""
        element, mask = self.element, int(self.recipe.dropout)
        whole = (4 * element + 2 * mask) * stack.hidden + (2 * element + mask) * stack.crossed
        whole += 2 * element * stack.sent
        split = stack.queries + stack.keys + stack.contexts + stack.inner * (4 if self.model.gated else 2)
        scores = 0 if self.layout.flash else (2 * element + 1 if mask else element) * stack.scores
        return self._shared(whole, element * split), Fraction(scores, self.layout.tensor)

    def _counted(self, stack: _Stack, own: Tally) -> tuple[Fraction, Fraction]:
        element, mask = self.element, int(self.recipe.dropout)
        narrow = element < FLOAT32
        wide = stack.hidden + Fraction(stack.crossed, 2)
        size = own.hidden * element + own.residual * self.residual + own.upcast * FLOAT32
        size += own.widened * FLOAT32 * narrow + own.copies * element * self.autocast + own.masks * mask
        whole = size * wide + own.sent * element * stack.sent
        inner = stack.inner * element * (own.gated if self.model.gated else own.inner)
        split, scores = self._heads(stack, own)
        return self._shared(whole, split + inner), Fraction(scores, self.layout.tensor)

    def _heads(self, stack: _Stack, own: Tally) -> tuple[Fraction, int]:
        """Queries, keys and values; and attention's probabilities where it is not fused."""
        element, fused = self.element, self.layout.flash and not own.always_scores
        normalised = (element + FLOAT32) * (stack.queries + stack.key_rows) * own.head_norms
        if fused and own.biased:
            return self._biased()
        if fused:
            split = element * (stack.queries * (own.queries - 1) + stack.contexts + own.keys * stack.keys)
            return Fraction(split + normalised + LOG_SUM * stack.rows), 0
        split = Fraction(element * (stack.queries + stack.contexts + stack.wide_keys) + normalised)
        if own.float_heads:
            split += max(0, FLOAT32 - element) * (stack.queries + stack.wide_keys // 2)
        size = element * (1 + own.capped)
        if (own.float_scores or self.autocast) and element < FLOAT32:
            size += FLOAT32
        if self.recipe.dropout:
            size += element + 1
        return split, size * stack.scores

    def _biased(self) -> tuple[Fraction, int]:
        """Self-attention with a learned bias is composed of products in float32; what looks at a source is fused."""
        own = tuple(core for core in self.model.cores if core.queries is core.keys)
        cross = tuple(core for core in self.model.cores if core.queries is not core.keys)
        alone = _attention(self.model, own, self.lengths)
        beside = _attention(self.model, cross, self.lengths)
        split = FLOAT32 * (alone["queries"] + alone["wide_keys"]) + self.element * alone["contexts"]
        split += self.element * (beside["queries"] + beside["contexts"] + beside["keys"])
        return Fraction(split + LOG_SUM * beside["rows"]), FLOAT32 * alone["scores"]

    def _shared(self, whole: Fraction | int, split: Fraction | int) -> Fraction:
        """Bytes on one device: what tensor parallelism splits, and what sequence parallelism alone does."""
        return Fraction(whole) / self.layout.sequence_split + Fraction(split) / self.layout.tensor


def _layers(each: _Pass, held: Fraction) -> tuple[Fraction | None, Fraction]:
    """Bytes of the layers that are held, and those of one layer that are computed again."""
    model, layout = each.model, each.layout
    if not model.cores or not model.layers:
        return None, Fraction(0)
    linear, scores = each.layers()
    if layout.recompute is Recompute.NONE:
        return (linear + scores) * held / model.layers, Fraction(0)
    if layout.recompute is Recompute.SELECTIVE:
        return linear * held / model.layers, scores / model.layers
    inputs = Fraction(each.residual * _stack(model, each.lengths).hidden)
    if not each.published:
        inputs /= layout.sequence_split
    return inputs * held / model.layers, (linear + scores) / model.layers


def _mask_of_embedding(each: _Pass, passes: int | None) -> Fraction:
    """One byte an element of each micro-batch in flight: s b h p / t (section 4.3)."""
    if not each.recipe.dropout or not each.model.cores:
        return Fraction(0)
    flying = each.layout.pipeline if passes is None else min(each.layout.pipeline, passes)
    tokens = each.lengths.tokens if each.lengths.target else each.lengths.of(Per.SOURCE)
    return Fraction(flying * tokens * each.model.hidden, each.layout.sequence_split)


def output(model: Architecture) -> Parts | None:
    """The product that scores every token of a vocabulary; a transform before it has fewer results."""
    heads = [part for part in model.parts if part.component == "head" and part.flops and model.hidden]
    return max(heads, key=lambda part: part.flops, default=None)


def _up(size: Fraction) -> int:
    return -(-size.numerator // size.denominator)
