"""What fits into the memory of a device: the largest batch, the longest context, the fewest devices."""

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

    Everything else of the layout stays as it is; of layouts of as many devices the one with fewest stages, then least tensor parallelism, is taken. Replicas help where ZeRO or a smaller fraction of the batch does.
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
