"""`plumbline predict`: what the user's own model needs, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch

from harness import store
from harness.errors import RecordError, Unsupported, UsageError
from harness.measure.device import named
from harness.measure.environment import capture
from harness.models.suite import Own, OwnTraining
from harness.predict import roofline
from harness.records import Case, Ceilings, Forecast, Pass, envelope
from harness.trace import UntraceableError, trace

if TYPE_CHECKING:
    from pathlib import Path

    from harness.workload import Workload

# How many of the latest runs are looked through for ceilings of this machine.
RECENT = 20


def forecast(
    reference: str, *, device: str = "auto", optimizer: str = "adamw", dtype: str = "float32", results: Path
) -> Forecast:
    """Traces an inference pass and a training step; times are bounds from this machine's ceilings, where a run has them.

    Raises:
        UsageError: no such model, optimizer or precision, or a model that cannot be followed without computing.
    """
    name, threads = named(device)
    run, ceilings = _ceilings(results, name)
    step = OwnTraining(reference, dtype, optimizer)
    inference = _pass(Own(reference, dtype), name, reference)
    try:
        training = _bounded(_pass(step, name, reference), ceilings, threads)
    except Unsupported:
        training = None  # every parameter is frozen
    return Forecast(
        model=reference,
        device=name,
        threads=threads,
        optimizer=optimizer,
        dtype=dtype,
        items=step.items(),
        forward=_bounded(inference, ceilings, threads),
        train=training,
        run=run,
    )


def _pass(workload: Workload, device: str, reference: str) -> Pass:
    try:
        traced = trace(workload.prepare, torch.device(device), workload.context())
    except UntraceableError as error:
        raise UsageError(f"{reference} cannot be traced: {error}") from error
    return Pass(traced.cost, traced.trace)


def _bounded(one: Pass, ceilings: Ceilings, threads: int) -> Pass:
    case = Case("", "", "", "", {}, cost=one.cost, trace=one.trace)
    return msgspec.structs.replace(one, prediction=roofline.predict(case, ceilings, threads))


def _ceilings(results: Path, device: str) -> tuple[str | None, Ceilings]:
    """The ceilings of the latest run on this machine and device."""
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
