"""`plumbline predict`: what the user's own model needs, before anything runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from harness import store
from harness.cost import roofline
from harness.cost.trace import Traced, UntraceableError, trace
from harness.costmodel import estimate
from harness.errors import Unsupported, UsageError
from harness.measure.devices.base import named
from harness.measure.environment.capture import capture
from harness.models.configured import configured, depth_of
from harness.models.precision import precision_of
from harness.models.suite import Own, OwnTraining
from harness.models.training import training
from harness.records import (
    Case,
    CostModel,
    Estimate,
    Forecast,
    Header,
    Operator,
    Pass,
    Peaks,
    Trace,
    envelope,
)
from harness.records.architecture import Recompute
from harness.records.plan import FlopCount, TimeNeed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.plan.options import Question
    from harness.workload import Workload


def forecast(
    reference: str, *, device: str = "auto", optimizer: str = "adamw", dtype: str = "float32", results: Path
) -> Forecast:
    """Traces an inference pass and a training step; times are bounds from this machine's peaks, where a run has them.

    Raises:
        UsageError: no such model, optimizer or precision, or a model that cannot be followed without computing.
    """
    name, threads = named(device)
    machine = Machine(results, name, threads)
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


class Machine:
    """What earlier runs tell of this machine and device: the peaks of the latest, and the latest cost model."""

    def __init__(self, results: Path, device: str, threads: int) -> None:
        host = capture(device).host.id if results.is_dir() else ""
        self.threads = threads

        def here(header: Header) -> bool:
            settings = header.settings
            return (header.environment.host.id, settings.device) == (host, device) and bool(header.peaks)

        def calibrated(header: Header) -> bool:
            return here(header) and header.settings.threads == threads and header.cost_model is not None

        latest, learned = store.latest(results, here), store.latest(results, calibrated)
        self.run = latest.id if latest else None
        self.peaks = envelope(latest.peaks) if latest else Peaks()
        self.model: CostModel | None = learned.cost_model if learned else None

    def said(self, one: Pass, operators: tuple[Operator, ...]) -> Pass:
        """The pass with its least time and its expected time, as far as they are known."""
        case = Case("", "", "", "", {}, cost=one.cost, trace=one.trace)
        expected = None
        if self.model is not None:
            expected = estimate(self.model, "", one.trace, operators)
        return msgspec.structs.replace(
            one, prediction=roofline.predict(case, self.peaks, self.threads), estimate=expected
        )


# Up to so many layers all are traced; a deeper model is, at these two depths.
WHOLE, SHALLOW, DEEPER = 8, 2, 4
HOUR = 3600.0


@dataclass(frozen=True)
class Local:
    """What a run knows of its machine."""

    header: Header
    model: CostModel


def local(header: Header) -> Local:
    """The models of a run.

    Raises:
        UsageError: it has none.
    """
    if header.cost_model is None:
        raise UsageError(f"run {header.id} calibrated nothing: `plumbline calibrate` makes one that does")
    return Local(header, header.cost_model)


def time_here(
    asked: Question, config: Mapping[str, Any], machine: Local, flops: FlopCount
) -> tuple[TimeNeed, tuple[str, ...]]:
    """The time on the machine of a run, with its interval; and what was assumed.

    Raises:
        UsageError: the model cannot be built or traced, or is asked for on several devices.
    """
    if asked.dtype not in {"float32", "bfloat16"}:
        raise UsageError(f"--dtype {asked.dtype}: on a run's machine float32 or bfloat16")
    if asked.layout.recompute is not Recompute.NONE:
        raise UsageError(
            f"--recompute {asked.layout.recompute.value}: a run's models price the model as transformers has it, without"
        )
    if asked.layout.devices > 1:
        raise UsageError(
            f"--devices {asked.layout.devices}: the models of a run are those of one machine; name a device with --on for more"
        )
    said, depth = step(asked, config, machine)
    steps = asked.tokens / asked.tokens_per_batch
    settings = machine.header.settings
    peak = envelope(machine.header.peaks).compute_peak(asked.dtype, settings.threads)
    best_rate = peak.flops_per_second if peak else None
    found = TimeNeed(
        seconds=said.seconds * steps,
        low=said.low * steps,
        high=said.high * steps,
        tokens_per_second=asked.tokens_per_batch / said.seconds,
        device_hours=said.seconds * steps / HOUR,
        step_seconds=said.seconds,
        mfu=flops.train_total / (said.seconds * steps * best_rate) if best_rate else None,
        hfu=None,
        mfu_dense=flops.train_total_dense / (said.seconds * steps * best_rate) if best_rate else None,
        on=f"run {machine.header.id}",
        extrapolated=bool(said.extrapolated or said.uncalibrated),
    )
    return found, tuple(_assumed(said, machine, depth))


def step(asked: Question, config: Mapping[str, Any], machine: Local) -> tuple[Estimate, int | None]:
    """A training step's expected time with its 90 % interval; and the model's depth, where two others were traced instead."""
    device = torch.device("cpu" if machine.model.device == "cpu" else machine.model.device)
    depth = depth_of(config)
    if depth is None or depth <= WHOLE:
        traced = _traced(asked, config, device, None)
        return estimate(machine.model, asked.model.name, traced.trace, traced.operators), None
    shallow, deeper = (_traced(asked, config, device, layers) for layers in (SHALLOW, DEEPER))
    operators = extrapolated(shallow.operators, deeper.operators, depth)
    return estimate(
        machine.model, asked.model.name, _grown(shallow.trace, deeper.trace, depth), operators
    ), depth


def _traced(asked: Question, config: Mapping[str, Any], device: torch.device, depth: int | None) -> Traced:
    made = configured(config, asked.lengths, depth)
    dtype = asked.dtype

    def prepare(where: torch.device) -> Any:
        with where:
            subject = made()
        return training(subject.to(where), where, optimizer=asked.recipe.optimizer, dtype=dtype)

    try:
        return trace(prepare, device, precision_of(dtype))
    except UntraceableError as error:
        raise UsageError(f"{asked.model.name} cannot be traced: {error}") from error


def extrapolated(
    shallow: tuple[Operator, ...], deeper: tuple[Operator, ...], depth: int
) -> tuple[Operator, ...]:
    """The operators of a model of a depth, from those of two shallower ones."""
    before = {_kind(one): one for one in shallow}
    found = []
    for one in deeper:
        other = before.get(_kind(one))
        count = _line(other.count if other else 0, one.count, depth)
        if count > 0:
            grown = {
                "count": count,
                "mapped_bytes": _line(other.mapped_bytes if other else 0, one.mapped_bytes, depth),
                "reuse": _reuse(other.reuse if other else (), one.reuse, depth),
            }
            found.append(msgspec.structs.replace(one, **grown))
    return tuple(found)


def _kind(operator: Operator) -> tuple[object, ...]:
    return (operator.name, operator.phase, operator.inputs, operator.outputs, operator.dtype)


def _line(shallow: int, deeper: int, depth: int) -> int:
    """What a straight line through two depths is at another; never below zero."""
    return max(0, round(shallow + (deeper - shallow) * (depth - SHALLOW) / (DEEPER - SHALLOW)))


def _reuse(
    shallow: tuple[tuple[int, int, int], ...], deeper: tuple[tuple[int, int, int], ...], depth: int
) -> tuple[tuple[int, int, int], ...]:
    known = {place: (read, written) for place, read, written in shallow}
    grown = [
        (
            place,
            _line(known.get(place, (0, 0))[0], read, depth),
            _line(known.get(place, (0, 0))[1], written, depth),
        )
        for place, read, written in deeper
    ]
    return tuple(one for one in grown if one[1] or one[2])


def _grown(shallow: Trace, deeper: Trace, depth: int) -> Trace:
    """The deeper trace, with the calls of Python that a model of a depth makes."""
    before = {phase.phase: phase for phase in shallow.phases}
    phases = tuple(
        msgspec.structs.replace(
            phase, host_calls=_line(before[phase.phase].host_calls, phase.host_calls, depth)
        )
        if phase.phase in before
        else phase
        for phase in deeper.phases
    )
    return msgspec.structs.replace(deeper, phases=phases)


def _assumed(said: Estimate, machine: Local, depth: int | None) -> list[str]:
    told = [
        f"The training step of transformers' own model, traced, by the models calibrated in {machine.model.run}; the interval is of 90 %."
    ]
    if depth is not None:
        told.append(
            f"Traced with {SHALLOW} and {DEEPER} layers, and continued in a straight line to {depth}."
        )
    if said.extrapolated:
        told.append(f"Extrapolated, larger than anything calibrated: {', '.join(said.extrapolated)}.")
    if said.uncalibrated:
        told.append(f"No model of their own have {', '.join(said.uncalibrated)}.")
    if not math.isfinite(said.seconds):
        raise UsageError("the models give no finite time")
    return told
