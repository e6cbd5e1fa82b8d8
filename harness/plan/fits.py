"""What fits into the memory of a device: the largest batch, the longest context, the fewest devices."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec

from harness.errors import UsageError
from harness.plan.activations import Way
from harness.plan.memory import Memory, fullest, inference_memory
from harness.plan.work import Lengths
from harness.records.architecture import OPTIMIZERS, PRECISIONS, Architecture, Layout, Recipe
from harness.units import size as shown


def check_recipe(recipe: Recipe) -> None:
    """Whether precision and optimizer are known.

    Raises:
        UsageError: one is not.
    """
    if recipe.precision not in PRECISIONS:
        raise UsageError(f"precision {recipe.precision!r}: one of {', '.join(PRECISIONS)}")
    if recipe.optimizer not in OPTIMIZERS:
        raise UsageError(f"optimizer {recipe.optimizer!r}: one of {', '.join(OPTIMIZERS)}")


def check_layout(model: Architecture, layout: Layout, lengths: Lengths | None = None) -> None:
    """Whether a model, and a batch where one is given, can be laid out so.

    Raises:
        UsageError: it cannot; the text names the field and what is allowed.
    """
    _sizes(layout)
    _product(layout)
    _tensor(model, layout)
    _pipeline(model, layout)
    if lengths is not None:
        _batch(layout, lengths)


def _sizes(layout: Layout) -> None:
    sizes = {
        "devices": layout.devices,
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "interleave": layout.interleave,
        "microbatch": 1 if layout.microbatch is None else layout.microbatch,
    }
    for field, size in sizes.items():
        if size < 1:
            raise UsageError(f"{field} {size}: 1 or more")
    if layout.zero not in {0, 1, 2, 3}:
        raise UsageError(f"zero {layout.zero}: 0, 1, 2 or 3")


def _product(layout: Layout) -> None:
    parts = layout.tensor * layout.pipeline
    if layout.devices % parts:
        raise UsageError(
            f"devices {layout.devices}: a multiple of tensor {layout.tensor} x pipeline {layout.pipeline} = {parts}"
        )
    if layout.data < 1:
        raise UsageError(f"data {layout.data}: 1 or more")
    if layout.devices != layout.data * parts:
        raise UsageError(
            f"devices {layout.devices}: data {layout.data} x tensor {layout.tensor} x pipeline {layout.pipeline}"
            f" = {layout.data * parts}"
        )


def _tensor(model: Architecture, layout: Layout) -> None:
    if layout.sequence_parallel and layout.tensor == 1:
        raise UsageError("sequence_parallel: needs tensor parallelism, 2 or more")
    if layout.tensor == 1:
        return
    if not model.heads:
        raise UsageError(
            f"tensor {layout.tensor}: 1, as {model.name or 'the model'} has no heads to be split by"
        )
    for field, heads in (("heads", model.heads), ("kv_heads", model.kv_heads or model.heads)):
        if heads % layout.tensor:
            raise UsageError(f"tensor {layout.tensor}: a divisor of {field} {heads}")


def _pipeline(model: Architecture, layout: Layout) -> None:
    stages, chunks = layout.pipeline, layout.interleave
    if stages == 1:
        if chunks > 1:
            raise UsageError(f"interleave {chunks}: 1 without a pipeline of 2 stages or more")
        return
    if stages > model.layers:
        raise UsageError(f"pipeline {stages}: no more stages than layers, {model.layers}")
    if model.layers % (stages * chunks):
        raise UsageError(
            f"pipeline {stages} x interleave {chunks} = {stages * chunks}: a divisor of layers {model.layers}"
        )


def _batch(layout: Layout, lengths: Lengths) -> None:
    for field, size in (("batch", lengths.batch), ("sequence", lengths.source)):
        if size < 1:
            raise UsageError(f"{field} {size}: 1 or more")
    if lengths.target < 0:
        raise UsageError(f"target {lengths.target}: 0 or more")
    passes = layout.data * (layout.microbatch or 1)
    if lengths.batch % passes:
        by = f"data {layout.data}" + (f" x microbatch {layout.microbatch}" if layout.microbatch else "")
        raise UsageError(f"batch {lengths.batch}: a multiple of {by} = {passes}")


# No batch, context or cluster that is asked for is larger.
MOST = 2**40
MOST_DEVICES = 2**16
# Tensor parallelism stays inside a node (Narayanan et al. 2021, arXiv 2104.04473, section 3).
NODE = 8


@dataclass(frozen=True)
class Use:
    """A model in use: in training by a recipe, or, with none, in inference with weights and cache in `dtype`."""

    model: Architecture
    recipe: Recipe | None
    lengths: Lengths
    layout: Layout
    way: Way = Way.PUBLISHED
    dtype: str = "bfloat16"

    def memory(self) -> Memory:
        """What it needs on its fullest device."""
        if self.recipe is None:
            return inference_memory(self.model, self.lengths, self.layout, self.dtype)
        return fullest(self.model, self.recipe, self.layout, self.lengths, self.way)


@dataclass(frozen=True)
class Fit:
    """The most or the fewest that fit, with the memory that takes and how it is laid out; `value` None: none, and `reason` says why."""

    value: int | None
    reason: str
    memory: Memory | None = None
    layout: Layout | None = None


def largest_batch(use: Use, capacity: int) -> Fit:
    """The most samples of a batch, over all replicas; a given micro-batch stays as it is, and in a pipeline no more than its stages are in flight."""
    layout = use.layout
    unit = layout.data * (layout.microbatch or 1)
    samples = use.lengths

    def at(count: int) -> Use:
        return replace(use, lengths=Lengths(count * unit, samples.source, samples.target))

    return _most(at, capacity, unit, "sample on each replica")


def longest_context(use: Use, capacity: int) -> Fit:
    """The most tokens of a sample, of an encoder's source where a decoder stands beside it; where positions end, the reason says so."""
    samples = use.lengths

    def at(count: int) -> Use:
        return replace(use, lengths=Lengths(samples.batch, count, samples.target))

    if use.model.tokens is not None:
        return Fit(None, f"a sample of {use.model.name or 'this model'} always has {use.model.tokens} tokens")
    found = _most(at, capacity, 1, "token")
    end = use.model.context
    if found.value is not None and end is not None and found.value > end:
        return replace(found, reason=f"memory allows it, but the model's positions end at {end}")
    return found


def fewest_devices(use: Use, capacity: int, most: int = MOST_DEVICES) -> Fit:
    """The smallest number of devices that one batch fits on, over layouts with tensor parallelism up to 8, stages that divide the layers, and replicas that divide the batch.

    Everything else of the layout stays as it is; of layouts of as many devices the one with fewest stages, then least tensor parallelism, is taken. Replicas help where ZeRO or a smaller share of the batch does.
    """
    least: Memory | None = None
    for layout in sorted(_layouts(use, most), key=lambda one: (one.devices, one.pipeline, one.tensor)):
        try:
            need = replace(use, layout=layout).memory()
        except UsageError:
            continue
        refused = _unknown(need)
        if refused:
            return Fit(None, refused)
        if need.total <= capacity:
            return Fit(layout.devices, "", need, layout)
        if least is None or need.total < least.total:
            least = need
    if least is None:
        return Fit(None, "no layout divides heads, layers and batch")
    return Fit(
        None, f"no layout of up to {most} devices: the leanest needs {shown(least.total)} on each", least
    )


def _most(at: Callable[[int], Use], capacity: int, unit: int, what: str) -> Fit:
    """The largest count that fits, found by halving: what is needed grows with it."""
    one = at(1)
    check_layout(one.model, one.layout, one.lengths)
    first = one.memory()
    refused = _unknown(first)
    if refused:
        return Fit(None, refused)
    if first.total > capacity:
        return Fit(
            None, f"one {what} needs {shown(first.total)}, and there are {shown(capacity)}", first, one.layout
        )
    low, high = 1, 2
    while high < MOST and at(high).memory().total <= capacity:
        low, high = high, 2 * high
    if high >= MOST:
        return Fit(
            None,
            f"any: what it needs does not grow with it, {shown(first.total)} with one",
            first,
            one.layout,
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).memory().total <= capacity else (low, middle)
    found = at(low)
    return Fit(low * unit, "", found.memory(), found.layout)


def _unknown(need: Memory) -> str:
    """Why nothing can be said, where nothing can."""
    if need.activations is None:
        return "activations are not known: no formula for this family"
    return ""


def _layouts(use: Use, most: int) -> Iterator[Layout]:
    """Those that can be, by their sizes."""
    model, given = use.model, use.layout
    batch = use.lengths.batch // (given.microbatch or 1)
    for tensor in (1, 2, 4, NODE):
        if tensor > 1 and (model.heads % tensor or (model.kv_heads or 1) % tensor or not model.heads):
            continue
        for stages in _divisors(model.layers // given.interleave, most // tensor) if model.layers else (1,):
            for data in _divisors(batch, most // (tensor * stages)):
                yield msgspec.structs.replace(
                    given,
                    devices=tensor * stages * data,
                    tensor=tensor,
                    pipeline=stages,
                    data=data,
                    sequence_parallel=given.sequence_parallel and tensor > 1,
                    interleave=given.interleave if stages > 1 else 1,
                )


def _divisors(number: int, most: int) -> tuple[int, ...]:
    return tuple(divisor for divisor in range(1, min(number, most) + 1) if number % divisor == 0)
