"""The largest batch, the longest context and the fewest devices that fit into the memory of a device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec

from harness.errors import UsageError
from harness.plan.activations import Way
from harness.plan.memory import Memory, fullest, inference_memory
from harness.plan.parallelism import check_layout
from harness.plan.work import Lengths
from harness.records.architecture import Architecture, Layout, Recipe
from harness.units import size as shown

# Above any batch, context or cluster.
MOST = 2**40
MOST_DEVICES = 2**16
# Tensor parallelism stays inside a node (Narayanan et al. 2021, arXiv 2104.04473, section 3).
NODE = 8


@dataclass(frozen=True)
class Use:
    """A model in training by a recipe; or without one in inference, with weights and cache in `dtype`."""

    model: Architecture
    recipe: Recipe | None
    lengths: Lengths
    layout: Layout
    way: Way = Way.PUBLISHED
    dtype: str = "bfloat16"

    def memory(self) -> Memory:
        """The memory on its fullest device."""
        if self.recipe is None:
            return inference_memory(self.model, self.lengths, self.layout, self.dtype)
        return fullest(self.model, self.recipe, self.layout, self.lengths, self.way)


@dataclass(frozen=True)
class Fit:
    """The most or the fewest that fit, with their memory and layout; `value` None: nothing fits, for `reason`."""

    value: int | None
    reason: str
    memory: Memory | None = None
    layout: Layout | None = None


def largest_batch(use: Use, capacity: int) -> Fit:
    """The most samples of a batch, over all replicas; a given micro-batch stays as it is."""
    layout = use.layout
    unit = layout.data * (layout.microbatch or 1)
    samples = use.lengths

    def at(count: int) -> Use:
        return replace(use, lengths=Lengths(count * unit, samples.source, samples.target))

    return _most(at, capacity, unit, "sample on each replica")


def longest_context(use: Use, capacity: int) -> Fit:
    """The most tokens of a sample, of the source in a model with two stacks; `reason` remarks where positions end earlier."""
    samples = use.lengths

    def at(count: int) -> Use:
        return replace(use, lengths=Lengths(samples.batch, count, samples.target))

    if use.model.tokens is not None:
        return Fit(None, f"a sample of {use.model.name or 'this model'} always has {use.model.tokens} tokens")
    fit = _most(at, capacity, 1, "token")
    end = use.model.context
    if fit.value is not None and end is not None and fit.value > end:
        return replace(fit, reason=f"memory allows it, but the model's positions end at {end}")
    return fit


def fewest_devices(use: Use, capacity: int, most: int = MOST_DEVICES) -> Fit:
    """The smallest number of devices that one batch fits on.

    Layouts have tensor parallelism up to 8, stages that divide the layers, and replicas that divide the batch; the rest of the layout stays as it is.
    Of equally many devices, the layout with fewest stages, then least tensor parallelism, is taken. Replicas help by ZeRO or by a smaller batch each.
    """
    least: Memory | None = None
    for layout in sorted(_layouts(use, most), key=lambda laid: (laid.devices, laid.pipeline, laid.tensor)):
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
    reason = f"no layout of up to {most} devices fits: the leanest needs {shown(least.total)} on each"
    return Fit(None, reason, least)


def _most(at: Callable[[int], Use], capacity: int, unit: int, what: str) -> Fit:
    """The largest count that fits, by bisection: memory grows with the count."""
    smallest = at(1)
    check_layout(smallest.model, smallest.layout, smallest.lengths)
    first = smallest.memory()
    refused = _unknown(first)
    if refused:
        return Fit(None, refused)
    if first.total > capacity:
        reason = f"one {what} needs {shown(first.total)}, and there are {shown(capacity)}"
        return Fit(None, reason, first, smallest.layout)
    low, high = 1, 2
    while high < MOST and at(high).memory().total <= capacity:
        low, high = high, 2 * high
    if high >= MOST:
        reason = f"any: memory does not grow with it, {shown(first.total)} with one"
        return Fit(None, reason, first, smallest.layout)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).memory().total <= capacity else (low, middle)
    best = at(low)
    return Fit(low * unit, "", best.memory(), best.layout)


def _unknown(need: Memory) -> str:
    """The reason why nothing is known, or nothing."""
    return "" if need.activations is not None else "activations are not known: no formula for this family"


def _layouts(use: Use, most: int) -> Iterator[Layout]:
    """The layouts that the sizes of the model and of the batch allow."""
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
