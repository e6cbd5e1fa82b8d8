"""The demand curves: what a model needs as its size, its data, its sequence, its batch or its devices grow."""

import math
from collections.abc import Callable, Sequence
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
# So much of the layers may be unlike the others, as the first of some mixtures, which have no experts.
_UNLIKE = 1 / 8


@dataclass(frozen=True)
class _Axis:
    """What is swept: its value in the question, how far below and above that curves go, the step that keeps a layout possible, and the question at another value."""

    at: float
    below: float
    above: float
    step: int
    changed: Callable[[Question, int], Question]


def sweep(
    asked: Question, over: str, points: int = 9, low: float | None = None, high: float | None = None
) -> Sweep:
    """What the question needs at values that are even in the logarithm, between two ends that follow from it where they are not given.

    Values are whole, those of layers, batch and devices between the ends such that the layout divides them; equal ones are one point. A point that cannot be says why.

    Raises:
        UsageError: there is no such sweep of this model, or no such range.
    """
    axis = _axis(asked, over)
    if not 2 <= points <= MOST_POINTS:
        raise UsageError(f"points {points}: 2 or more, up to {MOST_POINTS}")
    first = _end("low", low, _near(axis.at * axis.below, axis.step))
    last = _end("high", high, _near(axis.at * axis.above, axis.step))
    if first >= last:
        raise UsageError(f"low {first}: below high, {last}")
    found = tuple(_point(asked, axis, value) for value in spread(first, last, points, axis.step))
    swept = Sweep(
        model=asked.model.name,
        over=over,
        unit="samples" if asked.samples else "tokens",
        points=found,
        assumptions=tuple(_assumptions(asked, over, last)),
    )
    return msgspec.structs.replace(swept, growth=growth(swept))


def spread(low: int, high: int, points: int, step: int = 1) -> tuple[int, ...]:
    """Whole numbers even in the logarithm: the ends as they are, multiples of a step between them, each once.

    >>> spread(1, 64, 7), spread(1, 4, 9), spread(8, 64, 4, step=8)
    ((1, 2, 4, 8, 16, 32, 64), (1, 2, 3, 4), (8, 16, 32, 64))
    """
    ratio = high / low
    between = (_near(low * ratio ** (place / (points - 1)), step) for place in range(1, points - 1))
    return tuple(dict.fromkeys((low, *(value for value in between if low < value < high), high)))


def growth(swept: Sweep) -> dict[str, Growth]:
    """The exponents of each curve at both of its ends."""
    found = {}
    for curve in CURVES:
        known = [
            (swept.place(point), height) for point in swept.possible if (height := getattr(point, curve))
        ]
        slopes = [
            math.log(after / before) / math.log(right / left)
            for (left, before), (right, after) in pairwise(known)
            if right > left
        ]
        if slopes:
            found[curve] = Growth(slopes[0], slopes[-1])
    return found


def deeper(model: Architecture, layers: int) -> Architecture:
    """The same model with another number of layers, its width kept.

    A part of which there are as many as layers, or a multiple, grows with them, but for what there is once more or once less (a last norm, a first layer unlike the others); one of every second layer, or of any other share, keeps its share, rounded. Tables and heads stay as they are.
    """
    return msgspec.structs.replace(
        model,
        layers=layers,
        parts=tuple(_grown(part, model.layers, layers) for part in model.parts),
        cores=tuple(
            msgspec.structs.replace(core, count=count)
            for core, count in zip(
                model.cores, _shared([core.count for core in model.cores], model.layers, layers), strict=True
            )
        ),
        caches=tuple(
            msgspec.structs.replace(cache, layers=count)
            for cache, count in zip(
                model.caches,
                _shared([cache.layers for cache in model.caches], model.layers, layers),
                strict=True,
            )
        ),
    )


def _grown(part: Parts, before: int, layers: int) -> Parts:
    if _once(part, before):
        return part
    return msgspec.structs.replace(part, count=_more(part.count, before, layers))


def _more(count: int, before: int, layers: int) -> int:
    """A multiple of the layers, or of half of them as where an encoder has one half and a decoder the other, and so many beside; else a share."""
    for halves in (1, 2):
        times = round(halves * count / before)
        beside = count - times * before / halves
        if abs(beside) <= max(halves, _UNLIKE * before):
            return max(0, round(times * layers / halves + beside))
    return round(count * layers / before)


def _once(part: Parts, layers: int) -> bool:
    """Whether a model has it as often whatever its layers: tables, heads, and what there is a few times in many layers."""
    if part.embedding or part.component == HEAD:
        return True
    return part.count < layers and part.count <= max(1, _UNLIKE * layers)


def _shared(counts: Sequence[int], before: int, layers: int) -> list[int]:
    """The counts as shares of more or fewer layers; rounded so that together they are what they were together."""
    ends = [round(end * layers / before) for end in accumulate(counts, initial=0)]
    return [end - start for start, end in pairwise(ends)]


def _point(asked: Question, axis: _Axis, value: int) -> SweepPoint:
    try:
        changed = axis.changed(asked, value)
        need = fullest(changed.model, changed.recipe, changed.layout, changed.lengths)
        flops = answer.flops_of(changed)
        taken = answer.time_of(changed, flops)
        kept = answer.cache_of(changed)
    except UsageError as error:
        return SweepPoint(value, reason=str(error))
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
        kv_cache=kept.total,
        seconds=taken.seconds if taken else None,
        low=taken.low if taken else None,
        high=taken.high if taken else None,
        tokens_per_second=taken.tokens_per_second if taken else None,
        mfu=taken.mfu if taken else None,
    )


def _axis(asked: Question, over: str) -> _Axis:
    layout, lengths = asked.layout, asked.lengths
    axes = {
        "size": _Axis(asked.model.layers, 1 / 4, 16, max(1, layout.pipeline * layout.interleave), _sized),
        "tokens": _Axis(asked.tokens, 1 / 100, 100, 1, _tokens),
        "sequence": _Axis(lengths.source, 1 / 8, 8, 1, _longer),
        "batch": _Axis(lengths.batch, 1, 64, max(1, layout.data * (layout.microbatch or 1)), _batched),
        "devices": _Axis(layout.devices, 1, 1024, max(1, layout.tensor * layout.pipeline), _replicated),
    }
    if over not in axes:
        raise UsageError(f"over {over[:40]!r}: one of {', '.join(axes)}")
    model = asked.model
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
    """The multiple of a step that is closest, once at the least; halves go up."""
    return max(1, math.floor(value / step + 0.5)) * step


def _sized(asked: Question, value: int) -> Question:
    return replace(asked, model=deeper(asked.model, value))


def _tokens(asked: Question, value: int) -> Question:
    return replace(asked, tokens=float(value))


def _longer(asked: Question, value: int) -> Question:
    """Beside a source a target stays in proportion."""
    own = asked.lengths
    target = max(1, round(own.target * value / own.source)) if own.target else 0
    return replace(asked, lengths=Lengths(own.batch, value, target))


def _batched(asked: Question, value: int) -> Question:
    return replace(asked, lengths=replace(asked.lengths, batch=value))


def _replicated(asked: Question, value: int) -> Question:
    """More replicas, and no fewer samples than the next batch that they divide."""
    layout = asked.layout
    data = value // (layout.tensor * layout.pipeline)
    each = max(1, data * (layout.microbatch or 1))
    batch = -(-asked.lengths.batch // each) * each
    return replace(
        asked,
        layout=msgspec.structs.replace(layout, devices=value, data=data),
        lengths=replace(asked.lengths, batch=batch),
    )


def _assumptions(asked: Question, over: str, last: int) -> list[str]:
    unit = "samples" if asked.samples else "tokens"
    kept = {
        "size": "",
        "tokens": f"{asked.tokens:.3g} {unit} of training",
        "sequence": "" if asked.samples else f"{asked.lengths.source} tokens a sample",
        "batch": f"a batch of {asked.lengths.batch}",
        "devices": f"{asked.layout.devices} device" + "s" * (asked.layout.devices > 1),
    }
    same = [
        text for name, text in kept.items() if text and name != over and (name, over) != ("batch", "devices")
    ]
    said = [f"All else is as asked: {', '.join(same)}.", *_said(asked, over, last)]
    said.append("Exponents are slopes in logarithms between neighbours, at the lower and at the upper end.")
    return said


def _said(asked: Question, over: str, last: int) -> list[str]:
    model = asked.model
    if over == "size":
        fixed = dict.fromkeys(part.component for part in model.parts if _once(part, model.layers))
        return [
            f"The same model with more or fewer than its {model.layers} layers, of the same width: parts, attention and caches that layers have grow with them.",
            "What only a fraction of the layers has keeps its share, rounded.",
            *([f"There as often whatever the layers: {', '.join(fixed)}."] if fixed else []),
        ]
    if over == "sequence":
        longer = model.context is not None and last > model.context
        return [
            *([f"{model.name or 'The model'} is made for {model.context} tokens; beyond, only the demand is counted."] if longer else []),
            *(["The target grows in proportion to the source."] if asked.lengths.target else []),
        ]  # fmt: skip
    if over == "devices":
        return [
            f"More devices are more replicas, tensor {asked.layout.tensor} x pipeline {asked.layout.pipeline} each.",
            f"A batch of {asked.lengths.batch}, or the next larger one that the replicas divide.",
        ]
    return []
