"""`plumbline predict`: what the user's own model needs, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from harness import store
from harness.errors import RecordError, UsageError
from harness.models import Subject, forward, load, training
from harness.predict import roofline
from harness.records import Case, Ceilings, Forecast, Pass, envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from harness.workload import Call

# How many of the latest runs are looked through for ceilings of this machine.
RECENT = 20


def forecast(
    reference: str, *, device: str = "auto", optimizer: str = "adamw", dtype: str = "float32", results: Path
) -> Forecast:
    """Traces an inference pass and a training step; times are bounds from this machine's ceilings, where a run has them.

    Raises:
        UsageError: no such model, optimizer or precision, or a model that cannot be followed without computing.
    """
    from harness.measure.device import named  # noqa: PLC0415 - loads torch

    name, threads = named(device)
    make = load(reference)
    items: dict[str, int] = {}

    def subject() -> Subject:
        made = make()
        items.update(made.items)
        return made

    run, ceilings = _ceilings(results, name)
    inference = _pass(lambda where: forward(subject(), where, dtype=dtype), name, reference)
    step = _pass(
        lambda where: training(trainable(subject(), reference), where, optimizer=optimizer, dtype=dtype),
        name,
        reference,
    )
    return Forecast(
        model=reference,
        device=name,
        threads=threads,
        optimizer=optimizer,
        dtype=dtype,
        items=items,
        forward=_bounded(inference, ceilings, threads),
        train=_bounded(step, ceilings, threads),
        run=run,
    )


def trainable(subject: Subject, reference: str) -> Subject:
    """The same.

    Raises:
        UsageError: no parameter of the model takes a gradient.
    """
    if not any(one.requires_grad for one in subject.model.parameters()):
        raise UsageError(f"{reference} has no parameter that takes a gradient: there is nothing to train")
    return subject


def _pass(prepare: Callable[[torch.device], Call], device: str, reference: str) -> Pass:
    import torch  # noqa: PLC0415

    from harness.trace import UntraceableError, trace  # noqa: PLC0415

    where = torch.device(device)

    def on_device(place: torch.device) -> Call:
        with torch.device(place):
            return prepare(place)

    try:
        traced = trace(on_device, where)
    except UntraceableError as error:
        raise UsageError(f"{reference} cannot be traced: {error}") from error
    return Pass(traced.cost, traced.trace)


def _bounded(one: Pass, ceilings: Ceilings, threads: int) -> Pass:
    case = Case("", "", "", "", {}, cost=one.cost, trace=one.trace)
    return msgspec.structs.replace(one, prediction=roofline.predict(case, ceilings, threads))


def _ceilings(results: Path, device: str) -> tuple[str | None, Ceilings]:
    """The ceilings of the latest run on this machine and device."""
    from harness.measure.environment import capture  # noqa: PLC0415 - loads torch

    runs = sorted((path.parent for path in results.glob(f"*/{store.HEADER}")), reverse=True)[:RECENT]
    host = capture(device).host.id if runs else ""
    for folder in runs:
        try:
            header = store.load(folder).header
        except RecordError:
            continue
        if header.ceilings and (header.environment.host.id, header.settings.device) == (host, device):
            return header.id, envelope(header.ceilings)
    return None, Ceilings()
