"""Activations, which a forward pass keeps for the backward one: by the published formula, and as modules of transformers keep them on torch.

The formula is that of Korthikanti et al. 2022 (arXiv 2205.05198, section 4): per layer s b h (34 + 5 a s / h) bytes at two bytes an element. It counts the
inputs of every operation and the masks of dropout. Here it is split into tensors, so that it holds for other sizes of elements, without dropout, with fused
attention, grouped heads, gates and experts. An implementation keeps other tensors: `TALLIES` counts them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from harness.plan.work import HEAD, Lengths
from harness.records.architecture import Architecture, Core, Layout, Parts, Per, Recipe, Recompute

FORMULA = "Korthikanti et al. 2022, arXiv 2205.05198, section 4"
FLOAT32 = 4
# Bytes kept of each query where attention is fused: the logarithm of the sum of its exponentials, in float32.
LOG_SUM = 4


class Way(StrEnum):
    """The count of activations: by the published formula, or of the tensors that modules of transformers keep."""

    PUBLISHED = "published"
    IMPLEMENTATION = "implementation"


@dataclass(frozen=True)
class Tally:
    """The numbers of tensors that a layer keeps, by their width; their dtype is that of the computation unless another is named.

    As wide as the model: `hidden`, inputs of products; `residual`, of the residual stream, which autocast leaves in float32; `upcast`, always in
    float32; `widened`, float32 copies of narrower tensors; `copies`, which autocast casts once more than needed; `masks`, of dropout on the residual
    stream. `ends`, `residual_ends` and `float_ends` are the same before and after the layers, by their dtype.
    `queries` are as wide as all heads, `keys` are pairs of keys and values. `inner` and `gated` are as wide as the feed-forward block inside, without
    and with a gate. `sent` is tensors of each token and expert.
    Flags: `head_norms`: queries and keys are normalized. `float_scores`: attention that is not fused has its softmax in float32. `always_scores`: no
    attention is fused. `biased`: self-attention is not fused, and computes in float32. `float_heads`: queries and keys are float32 where attention is
    not fused. `capped`: scores pass a hyperbolic tangent.
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
_GEMMA = Tally(residual=0, upcast=4, copies=3, masks=0, residual_ends=0, float_ends=2)
_BERT = Tally(copies=2, float_scores=False, ends=4)
_VIT = Tally(copies=2)

# Counted with torch.autograd.graph.saved_tensors_hooks on torch 2.13 and transformers 5.23, each storage once, without parameters. The numbers follow from
# no formula: they depend on which operations a module composes and which of their inputs autograd keeps.
TALLIES = {
    "gpt2": Tally(inner=5, float_scores=False),  # tanh-GELU of single operations
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": _BERT,
    "vit": _VIT,
    "deit": _VIT,
    "opt": Tally(copies=2, inner=1),  # ReLU's result is the next product's input
    "bloom": Tally(always_scores=True, residual_ends=2),
    "gpt_neox": Tally(residual=1, queries=4, keys=Fraction(3, 2)),  # a fused tensor, and its rotated parts
    "phi3": Tally(upcast=2, queries=4, keys=Fraction(3, 2), float_ends=1),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "mixtral": _LLAMA,
    "qwen3": _QWEN3,
    "qwen3_moe": _QWEN3,
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, upcast=8, always_scores=True, capped=True),
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
    """Bytes on one device of one stage: of its layers (None: not known), of embedding and last norm, and of the logits.

    `temporaries` are recomputed activations and the gradient of the logits.
    """

    layers: int | None
    ends: int
    logits: int
    temporaries: int


def kept(
    model: Architecture, recipe: Recipe, layout: Layout, lengths: Lengths, way: Way, stage: int = 0
) -> Kept:
    """The activations on one device at the fullest moment of a step; `lengths` are of the whole batch."""
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
    """The number of layers whose activations a stage holds at once, over all micro-batches.

    One forward, one backward: stage i of p holds p - i micro-batches of L / p layers, the first all L. Interleaved with m chunks the first holds
    L (1 + (p - 1) / (p m)) (Korthikanti et al. 2022, arXiv 2205.05198, section 4.2.3; Narayanan et al. 2021, arXiv 2104.04473, section 2.2). A
    pipeline is full where `passes`, the micro-batches of a step, are not given.

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
    """The tally of the family of a model, or of the closest kind of block."""
    return TALLIES.get(model.family, _LLAMA if model.gated else _BERT)


@dataclass(frozen=True)
class _Heads:
    """Elements of attention in one pass over all layers; `rows` are queries times heads. Masked pairs are stored like others."""

    queries: int
    contexts: int
    keys: int
    wide_keys: int
    key_rows: int
    scores: int
    rows: int


def _heads(model: Architecture, cores: Iterable[Core], lengths: Lengths) -> _Heads:
    sums = [0] * 7
    for core in cores:
        queries, keys = core.count * lengths.of(core.queries), core.count * lengths.of(core.keys)
        shared = min(model.kv_heads or core.heads, core.heads)
        sizes = (
            queries * core.heads * core.key_width,
            queries * core.heads * core.value_width,
            keys * shared * (core.key_width + core.value_width),
            keys * core.heads * (core.key_width + core.value_width),
            keys * shared * core.key_width,
            queries * core.heads * lengths.length(core.keys),
            queries * core.heads,
        )
        sums = [before + size for before, size in zip(sums, sizes, strict=True)]
    return _Heads(*sums)


def _residual(model: Architecture, lengths: Lengths, *, crossed: bool) -> int:
    """Elements of the residual stream before self-attention, or before cross-attention, of all layers."""
    cores = (core for core in model.cores if (core.queries is not core.keys) is crossed)
    return model.hidden * sum(core.count * lengths.of(core.queries) for core in cores)


def _feed_forward(model: Architecture, lengths: Lengths) -> tuple[int, int]:
    """Elements inside feed-forward blocks, from the FLOPs of their products; and those of the tokens that are sent to experts."""
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
        """Bytes of an element of what is computed."""
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
        """Whether the published formula counts."""
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
        """The logits that are kept, and their gradient for a while.

        Four bytes each by the formula; a library keeps them in their own dtype, and their logarithms for the loss in float32 (decoders).
        """
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

    @property
    def hidden(self) -> int:
        """Elements of the residual stream before self-attention, of all layers."""
        return _residual(self.model, self.lengths, crossed=False)

    def layers(self) -> tuple[Fraction, Fraction]:
        """Bytes over all layers without recomputation: without attention's probabilities, and those."""
        whole, split, scores = self._formula() if self.published else self._counted(tally(self.model))
        linear = Fraction(whole) / self.layout.sequence_split + Fraction(split) / self.layout.tensor
        return linear, Fraction(scores, self.layout.tensor)

    def _formula(self) -> tuple[int, int, int]:
        """Bytes that tensor parallelism leaves whole, bytes that it splits, and the probabilities.

        Of a layer: norms 4, attention's input 2, queries, keys, values and output 8, inputs of the block 2 and 16, masks 2: 34 bytes s b h;
        probabilities 5 a s / h.
        """
        element, mask = self.element, int(self.recipe.dropout)
        inner, sent = _feed_forward(self.model, self.lengths)
        crossed = _residual(self.model, self.lengths, crossed=True)
        heads = _heads(self.model, self.model.cores, self.lengths)
        whole = (4 * element + 2 * mask) * self.hidden + (2 * element + mask) * crossed + 2 * element * sent
        split = heads.queries + heads.keys + heads.contexts + inner * (4 if self.model.gated else 2)
        scores = 0 if self.layout.flash else (2 * element + 1 if mask else element) * heads.scores
        return whole, element * split, scores

    def _counted(self, own: Tally) -> tuple[Fraction, Fraction, int]:
        """The same by a tally."""
        element, mask = self.element, int(self.recipe.dropout)
        inner, sent = _feed_forward(self.model, self.lengths)
        wide = self.hidden + Fraction(_residual(self.model, self.lengths, crossed=True), 2)
        size = own.hidden * element + own.residual * self.residual + own.upcast * FLOAT32
        size += own.widened * FLOAT32 * (element < FLOAT32)
        size += own.copies * element * self.autocast + own.masks * mask
        split, scores = self._attention(own)
        split += inner * element * (own.gated if self.model.gated else own.inner)
        return size * wide + own.sent * element * sent, split, scores

    def _attention(self, own: Tally) -> tuple[Fraction, int]:
        """Queries, keys and values; and attention's probabilities where it is not fused."""
        element, fused = self.element, self.layout.flash and not own.always_scores
        heads = _heads(self.model, self.model.cores, self.lengths)
        normalized = (element + FLOAT32) * (heads.queries + heads.key_rows) * own.head_norms
        if fused and own.biased:
            return self._biased()
        if fused:
            split = element * (heads.queries * (own.queries - 1) + heads.contexts + own.keys * heads.keys)
            return Fraction(split + normalized + LOG_SUM * heads.rows), 0
        split = Fraction(element * (heads.queries + heads.contexts + heads.wide_keys) + normalized)
        if own.float_heads:
            split += max(0, FLOAT32 - element) * (heads.queries + heads.wide_keys // 2)
        size = element * (1 + own.capped)
        if (own.float_scores or self.autocast) and element < FLOAT32:
            size += FLOAT32
        if self.recipe.dropout:
            size += element + 1
        return split, size * heads.scores

    def _biased(self) -> tuple[Fraction, int]:
        """Self-attention with a learned bias is composed of products in float32; cross-attention is fused."""
        cores = self.model.cores
        own = _heads(self.model, (core for core in cores if core.queries is core.keys), self.lengths)
        cross = _heads(self.model, (core for core in cores if core.queries is not core.keys), self.lengths)
        split = FLOAT32 * (own.queries + own.wide_keys) + self.element * own.contexts
        split += self.element * (cross.queries + cross.contexts + cross.keys)
        return Fraction(split + LOG_SUM * cross.rows), FLOAT32 * own.scores


def _layers(each: _Pass, held: Fraction) -> tuple[Fraction | None, Fraction]:
    """Bytes of the layers that are held, and those of one layer that is recomputed."""
    model, layout = each.model, each.layout
    if not model.cores or not model.layers:
        return None, Fraction(0)
    linear, scores = each.layers()
    if layout.recompute is Recompute.NONE:
        return (linear + scores) * held / model.layers, Fraction(0)
    if layout.recompute is Recompute.SELECTIVE:
        return linear * held / model.layers, scores / model.layers
    inputs = Fraction(each.residual * each.hidden)
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
    """The product that scores every token of a vocabulary: of the parts of a head the largest."""
    heads = [part for part in model.parts if part.component == HEAD and part.flops and model.hidden]
    return max(heads, key=lambda part: part.flops, default=None)


def _up(size: Fraction) -> int:
    return -(-size.numerator // size.denominator)
