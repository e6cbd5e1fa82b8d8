"""Demand curves: the demand of a model as its size, its data, its sequence, its batch or its devices grow."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import msgspec

from harness.errors import UsageError
from harness.plan import answer
from harness.plan.memory import fullest
from harness.plan.options import MOST, Question
from harness.plan.work import HEAD, Lengths
from harness.records.architecture import Architecture, Parts
from harness.records.plan import Growth, Sweep, SweepPoint

MOST_POINTS = 10_000
CURVES = (
    "forward",
    "forward_per_token",
    "train_total",
    "train_total_dense",
    "memory",
    "activations",
    "kv_cache",
    "seconds",
)
# The fraction of the layers that may differ from the others, as the first of some mixtures, which have no experts.
_UNLIKE = 1 / 8


@dataclass(frozen=True)
class _Axis:
    """The quantity of a sweep: its value in the question, the range of the curves around it, the step that keeps a layout possible, and the question at another value."""

    at: float
    below: float
    above: float
    step: int
    changed: Callable[[Question, int], Question]


def sweep(
    question: Question, over: str, points: int = 9, low: float | None = None, high: float | None = None
) -> Sweep:
    """The demand at values that are even in the logarithm, between two ends that follow from the question if they are not given.

    Values are whole; between the ends, those of layers, batch and devices are such that the layout divides them. Equal values are one point. A point
    that is not possible has a reason.

    Raises:
        UsageError: there is no such sweep of this model, or no such range.
    """
    axis = _axis(question, over)
    if not 2 <= points <= MOST_POINTS:
        raise UsageError(f"points {points}: 2 or more, up to {MOST_POINTS}")
    first = _end("low", low, _near(axis.at * axis.below, axis.step))
    last = _end("high", high, _near(axis.at * axis.above, axis.step))
    if first >= last:
        raise UsageError(f"low {first}: below high, {last}")
    swept = Sweep(
        model=question.model.name,
        over=over,
        unit="samples" if question.samples else "tokens",
        points=tuple(_point(question, axis, value) for value in spread(first, last, points, axis.step)),
        assumptions=tuple(_assumptions(question, over, last)),
    )
    return msgspec.structs.replace(swept, growth=growth(swept))


def spread(low: int, high: int, points: int, step: int = 1) -> tuple[int, ...]:
    """Whole numbers even in the logarithm: the two ends, and multiples of a step between them, each once.

    >>> spread(1, 64, 7), spread(1, 4, 9), spread(8, 64, 4, step=8)
    ((1, 2, 4, 8, 16, 32, 64), (1, 2, 3, 4), (8, 16, 32, 64))
    """
    ratio = high / low
    between = (_near(low * ratio ** (place / (points - 1)), step) for place in range(1, points - 1))
    return tuple(dict.fromkeys((low, *(value for value in between if low < value < high), high)))


def growth(swept: Sweep) -> dict[str, Growth]:
    """The exponents of each curve at both of its ends."""
    exponents = {}
    for curve in CURVES:
        known = [(swept.place(point), y) for point in swept.possible if (y := getattr(point, curve))]
        slopes = [
            math.log(after / before) / math.log(right / left)
            for (left, before), (right, after) in pairwise(known)
            if right > left
        ]
        if slopes:
            exponents[curve] = Growth(slopes[0], slopes[-1])
    return exponents


def deeper(model: Architecture, layers: int) -> Architecture:
    """The same model with another number of layers, its width kept.

    A part that is there as often as layers, or a multiple of it, grows with them; a few more or fewer (a last norm, a first layer unlike the others)
    stay. A part of every second layer, or of another fraction of them, keeps its fraction, rounded. Tables and heads stay as they are.
    """

    def counts(before: list[int]) -> list[int]:
        """The counts as fractions of the layers, rounded so that their sum stays consistent."""
        ends = [round(end * layers / model.layers) for end in accumulate(before, initial=0)]
        return [end - start for start, end in pairwise(ends)]

    cores = counts([core.count for core in model.cores])
    caches = counts([cache.layers for cache in model.caches])
    return msgspec.structs.replace(
        model,
        layers=layers,
        parts=tuple(_grown(part, model.layers, layers) for part in model.parts),
        cores=tuple(
            msgspec.structs.replace(core, count=n) for core, n in zip(model.cores, cores, strict=True)
        ),
        caches=tuple(
            msgspec.structs.replace(cache, layers=n) for cache, n in zip(model.caches, caches, strict=True)
        ),
    )


def _grown(part: Parts, before: int, layers: int) -> Parts:
    if _once(part, before):
        return part
    return msgspec.structs.replace(part, count=_more(part.count, before, layers))


def _more(count: int, before: int, layers: int) -> int:
    """A multiple of the layers, or of half of them (an encoder has one half, a decoder the other), and a rest; else a fraction."""
    for halves in (1, 2):
        times = round(halves * count / before)
        rest = count - times * before / halves
        if abs(rest) <= max(halves, _UNLIKE * before):
            return max(0, round(times * layers / halves + rest))
    return round(count * layers / before)


def _once(part: Parts, layers: int) -> bool:
    """Whether the number of a part does not depend on the layers: tables, heads, and parts that are there a few times in many layers."""
    if part.embedding or part.component == HEAD:
        return True
    return part.count < layers and part.count <= max(1, _UNLIKE * layers)


def _point(question: Question, axis: _Axis, value: int) -> SweepPoint:
    try:
        changed = axis.changed(question, value)
        need = fullest(changed.model, changed.recipe, changed.layout, changed.lengths)
        flops = answer.flops_of(changed)
        time = answer.time_of(changed, flops)
        cache = answer.cache_of(changed)
    except UsageError as error:
        return SweepPoint(value, reason=str(error))
    timed = ("seconds", "low", "high", "tokens_per_second", "mfu")
    return SweepPoint(
        value=value,
        parameters=changed.model.parameters,
        batch=changed.lengths.batch,
        forward=flops.forward,
        forward_per_token=flops.forward_per_token,
        train_total=flops.train_total,
        train_total_dense=flops.train_total_dense,
        memory=need.total,
        activations=need.activations,
        kv_cache=cache.total,
        **({name: getattr(time, name) for name in timed} if time else {}),
    )


def _axis(question: Question, over: str) -> _Axis:
    layout, lengths = question.layout, question.lengths
    axes = {
        "size": _Axis(question.model.layers, 1 / 4, 16, max(1, layout.pipeline * layout.interleave), _sized),
        "tokens": _Axis(question.tokens, 1 / 100, 100, 1, _tokens),
        "sequence": _Axis(lengths.source, 1 / 8, 8, 1, _longer),
        "batch": _Axis(lengths.batch, 1, 64, max(1, layout.data * (layout.microbatch or 1)), _batched),
        "devices": _Axis(layout.devices, 1, 1024, max(1, layout.tensor * layout.pipeline), _replicated),
    }
    if over not in axes:
        raise UsageError(f"over {over[:40]!r}: one of {', '.join(axes)}")
    model = question.model
    if over == "size" and not (model.layers and model.cores):
        raise UsageError(f"over size: {model.name or 'this model'} has no alike layers to have more of")
    if over == "sequence" and model.tokens is not None:
        raise UsageError(
            f"over sequence: a sample of {model.name or 'this model'} always has {model.tokens} tokens"
        )
    if over == "sequence" and not model.cores:
        raise UsageError(f"over sequence: {model.name or 'this model'} has no sequence")
    return axes[over]


def _end(name: str, given: float | None, usual: int) -> int:
    if given is None:
        return usual
    if not (math.isfinite(given) and given == int(given) and 1 <= given <= MOST):
        raise UsageError(f"{name} {given}: a whole number from 1 to {MOST:.0e}")
    return int(given)


def _near(value: float, step: int) -> int:
    """The closest multiple of a step, at least one; halves round up."""
    return max(1, math.floor(value / step + 0.5)) * step


def _sized(question: Question, value: int) -> Question:
    return replace(question, model=deeper(question.model, value))


def _tokens(question: Question, value: int) -> Question:
    return replace(question, tokens=float(value))


def _longer(question: Question, value: int) -> Question:
    """A target stays in proportion to its source."""
    own = question.lengths
    target = max(1, round(own.target * value / own.source)) if own.target else 0
    return replace(question, lengths=Lengths(own.batch, value, target))


def _batched(question: Question, value: int) -> Question:
    return replace(question, lengths=replace(question.lengths, batch=value))


def _replicated(question: Question, value: int) -> Question:
    """More replicas, and the next batch that they divide."""
    layout = question.layout
    data = value // (layout.tensor * layout.pipeline)
    each = max(1, data * (layout.microbatch or 1))
    batch = -(-question.lengths.batch // each) * each
    return replace(
        question,
        layout=msgspec.structs.replace(layout, devices=value, data=data),
        lengths=replace(question.lengths, batch=batch),
    )


def _assumptions(question: Question, over: str, last: int) -> Iterator[str]:
    lengths, layout, model = question.lengths, question.layout, question.model
    fixed = {
        "tokens": f"{question.tokens:.3g} {'samples' if question.samples else 'tokens'} of training",
        "sequence": "" if question.samples else f"{lengths.source} tokens a sample",
        "batch": "" if over == "devices" else f"a batch of {lengths.batch}",
        "devices": f"{layout.devices} device" + "s" * (layout.devices > 1),
    }
    same = ", ".join(text for name, text in fixed.items() if text and name != over)
    yield f"Everything else is as in the question: {same}."
    if over == "size":
        yield f"The same model with more or fewer than its {model.layers} layers, of the same width: parts, attention and caches of layers grow with them."
        yield "A part that only a fraction of the layers has keeps its fraction, rounded."
        once = dict.fromkeys(part.component for part in model.parts if _once(part, model.layers))
        if once:
            yield f"Parts whose number does not depend on the layers: {', '.join(once)}."
    if over == "sequence" and model.context is not None and last > model.context:
        yield f"{model.name or 'The model'} is made for {model.context} tokens; beyond, only the demand is counted."
    if over == "sequence" and lengths.target:
        yield "The target grows in proportion to the source."
    if over == "devices":
        yield f"More devices are more replicas, tensor {layout.tensor} x pipeline {layout.pipeline} each."
        yield f"A batch of {lengths.batch}, or the next larger one that the replicas divide."
    yield "Exponents are slopes in logarithms between neighbours, at the lower and at the upper end."
