"""`plumbline predict`: what the user's own model needs, before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import torch

from harness import store
from harness.calibrate import estimate
from harness.errors import Unsupported, UsageError
from harness.measure.device import named
from harness.measure.environment import capture
from harness.models.suite import Own, OwnTraining
from harness.predict import roofline
from harness.records import Case, Ceilings, CostModel, Forecast, Header, Operator, Pass, envelope
from harness.trace import UntraceableError, trace

if TYPE_CHECKING:
    from pathlib import Path

    from harness.workload import Workload


def forecast(
    reference: str, *, device: str = "auto", optimizer: str = "adamw", dtype: str = "float32", results: Path
) -> Forecast:
    """Traces an inference pass and a training step; times are bounds from this machine's ceilings, where a run has them.

    Raises:
        UsageError: no such model, optimizer or precision, or a model that cannot be followed without computing.
    """
    name, threads = named(device)
    machine = _Machine(results, name, threads)
    step = OwnTraining(reference, dtype, optimizer)
    inference = _pass(Own(reference, dtype), name, reference)
    try:
        training = machine.said(*_pass(step, name, reference))
    except Unsupported:
        training = None  # every parameter is frozen
    return Forecast(
        model=reference,
        device=name,
        threads=threads,
        optimizer=optimizer,
        dtype=dtype,
        items=step.items(),
        forward=machine.said(*inference),
        train=training,
        run=machine.run,
        calibrated_in=machine.model.run if machine.model else None,
    )


def _pass(workload: Workload, device: str, reference: str) -> tuple[Pass, tuple[Operator, ...]]:
    try:
        traced = trace(workload.prepare, torch.device(device), workload.context())
    except UntraceableError as error:
        raise UsageError(f"{reference} cannot be traced: {error}") from error
    return Pass(traced.cost, traced.trace), traced.operators


class _Machine:
    """What earlier runs tell of this machine and device: the ceilings of the latest, and the latest cost model."""

    def __init__(self, results: Path, device: str, threads: int) -> None:
        host = capture(device).host.id if results.is_dir() else ""
        self.threads = threads

        def here(header: Header) -> bool:
            settings = header.settings
            return (header.environment.host.id, settings.device) == (host, device) and bool(header.ceilings)

        def calibrated(header: Header) -> bool:
            return here(header) and header.settings.threads == threads and header.cost_model is not None

        latest, learned = store.latest(results, here), store.latest(results, calibrated)
        self.run = latest.id if latest else None
        self.ceilings = envelope(latest.ceilings) if latest else Ceilings()
        self.model: CostModel | None = learned.cost_model if learned else None

    def said(self, one: Pass, operators: tuple[Operator, ...]) -> Pass:
        """The pass with its least time and its expected time, as far as they are known."""
        case = Case("", "", "", "", {}, cost=one.cost, trace=one.trace)
        expected = None
        if self.model is not None:
            expected = estimate(self.model, "", one.trace, operators)
        return msgspec.structs.replace(
            one, prediction=roofline.predict(case, self.ceilings, self.threads), estimate=expected
        )
