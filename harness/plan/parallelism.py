"""Layouts over several devices: which are possible, what their devices send in training, and how long that takes.

A message of n bytes takes alpha + n / beta (Hockney 1994; Thakur, Rabenseifner and Gropp 2005 for the collectives). Alpha and beta are measured or
stated. Nothing is assumed of how much of it hides behind compute.
"""

from dataclasses import dataclass

from harness.errors import UsageError
from harness.plan.work import Lengths
from harness.records.architecture import OPTIMIZERS, PRECISIONS, Architecture, Layout, Recipe

ZERO = "Rajbhandari et al. 2020 (ZeRO), arXiv 1910.02054, section 7"


def check_recipe(recipe: Recipe) -> None:
    """Refuses an unknown precision or optimizer.

    Raises:
        UsageError: one is unknown.
    """
    if recipe.precision not in PRECISIONS:
        raise UsageError(f"precision {recipe.precision!r}: one of {', '.join(PRECISIONS)}")
    if recipe.optimizer not in OPTIMIZERS:
        raise UsageError(f"optimizer {recipe.optimizer!r}: one of {', '.join(OPTIMIZERS)}")


def check_layout(model: Architecture, layout: Layout, lengths: Lengths | None = None) -> None:
    """Refuses a layout that the model, or a batch of these lengths, cannot have.

    Raises:
        UsageError: one line that names the field and what is allowed.
    """
    _check_sizes(layout)
    _check_tensor(model, layout)
    _check_pipeline(model, layout)
    if lengths is not None:
        _check_batch(layout, lengths)


def _check_sizes(layout: Layout) -> None:
    for field in ("devices", "tensor", "pipeline", "interleave", "microbatch"):
        size = getattr(layout, field)
        if size is not None and size < 1:
            raise UsageError(f"{field} {size}: 1 or more")
    if layout.zero not in {0, 1, 2, 3}:
        raise UsageError(f"zero {layout.zero}: 0, 1, 2 or 3")
    factors, parts = f"tensor {layout.tensor} x pipeline {layout.pipeline}", layout.tensor * layout.pipeline
    if layout.devices % parts:
        raise UsageError(f"devices {layout.devices}: a multiple of {factors} = {parts}")
    if layout.data < 1:
        raise UsageError(f"data {layout.data}: 1 or more")
    if layout.devices != layout.data * parts:
        raise UsageError(f"devices {layout.devices}: data {layout.data} x {factors} = {layout.data * parts}")


def _check_tensor(model: Architecture, layout: Layout) -> None:
    if layout.sequence_parallel and layout.tensor == 1:
        raise UsageError("sequence_parallel: needs tensor parallelism, 2 or more")
    if layout.tensor == 1:
        return
    if not model.heads:
        raise UsageError(f"tensor {layout.tensor}: 1, as {model.name or 'the model'} has no heads to split")
    for field, heads in (("heads", model.heads), ("kv_heads", model.kv_heads or model.heads)):
        if heads % layout.tensor:
            raise UsageError(f"tensor {layout.tensor}: a divisor of {field} {heads}")


def _check_pipeline(model: Architecture, layout: Layout) -> None:
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


def _check_batch(layout: Layout, lengths: Lengths) -> None:
    for field, size in (("batch", lengths.batch), ("sequence", lengths.source)):
        if size < 1:
            raise UsageError(f"{field} {size}: 1 or more")
    if lengths.target < 0:
        raise UsageError(f"target {lengths.target}: 0 or more")
    passes = layout.data * (layout.microbatch or 1)
    if lengths.batch % passes:
        by = f"data {layout.data}" + (f" x microbatch {layout.microbatch}" if layout.microbatch else "")
        raise UsageError(f"batch {lengths.batch}: a multiple of {by} = {passes}")


@dataclass(frozen=True)
class Link:
    """What one device can send: a message's latency in seconds, bytes/s in one direction, and their source."""

    alpha: float
    beta: float
    source: str

    def __post_init__(self) -> None:
        if self.alpha < 0 or self.beta <= 0:
            raise UsageError("a link needs a latency of zero or more and a bandwidth above zero")

    def message(self, size: float) -> float:
        """The time of one message.

        >>> Link(alpha=5e-6, beta=25e9, source="stated").message(25e6)
        0.001005
        """
        return self.alpha + size / self.beta


@dataclass(frozen=True)
class Traffic:
    """What one device sends: messages one after the other, and the bytes of all of them."""

    messages: int
    sent: float

    def seconds(self, link: Link) -> float:
        """The time, if nothing else uses the link."""
        return self.messages * link.alpha + self.sent / link.beta

    def times(self, often: int) -> "Traffic":
        """The same traffic several times."""
        return Traffic(self.messages * often, self.sent * often)

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.messages + other.messages, self.sent + other.sent)


NOTHING = Traffic(0, 0.0)


def reduce_scatter(size: float, devices: int) -> Traffic:
    """A ring's: n - 1 messages of a part each; `size` is the whole of what is reduced."""
    return _ring(size, devices, 1)


def all_gather(size: float, devices: int) -> Traffic:
    """A ring's: as much as a reduce-scatter; `size` is the whole of what every device has afterwards."""
    return _ring(size, devices, 1)


def all_reduce(size: float, devices: int) -> Traffic:
    """A ring's: a reduce-scatter and an all-gather, 2 (n - 1) / n of the size from each device.

    >>> all_reduce(8e9, 8)
    Traffic(messages=14, sent=14000000000.0)
    """
    return _ring(size, devices, 2)


def _ring(size: float, devices: int, rounds: int) -> Traffic:
    if devices < 1 or size < 0:
        raise UsageError(f"a collective needs one device or more and no negative size: {devices}, {size}")
    return Traffic(rounds * (devices - 1), rounds * (devices - 1) / devices * size)


def data_parallel(
    parameters: float,
    devices: int,
    *,
    stage: int,
    element: int = 2,
    weight: int | None = None,
    passes: int = 1,
) -> Traffic:
    """The traffic of a step: gradients are reduced and parameters gathered.

    Plain data parallelism and ZeRO 1 and 2 move 2 psi elements, ZeRO 3 moves 3 psi (parameters once more, gathered in the forward and again in the
    backward pass), times (n - 1) / n for a ring. It is one collective each here; in buckets there are more messages. `element` is the size of
    gradients, `weight` that of weights where gathered ones have another size. Gradients are kept whole until the last micro-batch; weights that
    ZeRO 3 divides are gathered for each of `passes`.

    >>> [round(data_parallel(1e9, 1024, stage=stage).sent / 2e9, 2) for stage in (0, 1, 2, 3)]
    [2.0, 2.0, 2.0, 3.0]
    """
    if stage not in {0, 1, 2, 3}:
        raise UsageError(f"ZeRO stage {stage}: 0, 1, 2 or 3")
    size = element if weight is None or stage == 0 else weight
    gathered = all_gather(parameters * size, devices).times(2 * passes if stage == 3 else 1)
    return reduce_scatter(parameters * element, devices) + gathered


def tensor_parallel(
    tokens: float, hidden: int, layers: int, devices: int, *, element: int = 2, gathered_again: bool = False
) -> Traffic:
    """The traffic of a micro-batch: four all-reduces of tokens x hidden a layer, two forward and two backward.

    With sequence parallelism each is an all-gather and a reduce-scatter instead, which send as much in as many messages. Layers that are computed
    again in full repeat the two of the forward pass (Shoeybi et al. 2019, arXiv 1909.08053, section 3; Korthikanti et al. 2022, arXiv 2205.05198,
    section 4.2.2).
    """
    each = all_reduce(tokens * hidden * element, devices)
    return each.times(layers * (6 if gathered_again else 4))


def pipeline(
    tokens: float, hidden: int, micro_batches: int, *, stages: int, chunks: int = 1, element: int = 2
) -> Traffic:
    """The traffic of a step between neighbours, for a stage in the middle.

    Tokens x hidden forward and as much back for each micro-batch, `chunks` times where stages are interleaved (Narayanan et al. 2021, arXiv
    2104.04473, section 3.2).
    """
    if stages < 2:
        return NOTHING
    return Traffic(2, 2 * tokens * hidden * element).times(micro_batches * chunks)
