"""Refuses layouts and recipes that cannot be, in one line that names the field."""

from harness.errors import UsageError
from harness.plan.work import Lengths
from harness.records.architecture import OPTIMIZERS, PRECISIONS, Architecture, Layout, Recipe


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
