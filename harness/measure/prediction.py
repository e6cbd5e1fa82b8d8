"""Predicts what the user's own model needs, and the time of a plan on this machine."""

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
from harness.models.suite import Own, OwnTraining
from harness.models.training import precision_of, training
from harness.models.zoo import configured, depth_of
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
    machine = Machine(results, name, threads, dtype)
    step = OwnTraining(reference, dtype, optimizer)
    inference = _pass(Own(reference, dtype), name, reference)
    try:
        training = machine.bounded(*_pass(step, name, reference))
    except Unsupported:
        training = None  # every parameter is frozen
    return Forecast(
        model=reference,
        device=name,
        threads=threads,
        optimizer=optimizer,
        dtype=dtype,
        items=step.items(),
        forward=machine.bounded(*inference),
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

    def __init__(self, results: Path, device: str, threads: int, dtype: str) -> None:
        host = capture(device).host.id if results.is_dir() else ""
        self.threads = threads

        def here(header: Header) -> bool:
            settings = header.settings
            return (header.environment.host.id, settings.device) == (host, device) and bool(header.peaks)

        def covers(header: Header) -> bool:
            """A run of few cases measures only the peaks that these need."""
            peaks = envelope(header.peaks)
            bandwidths = (peaks.bandwidth_peak(level.name, threads) for level in peaks.levels)
            return here(header) and all(bandwidths) and peaks.compute_peak(dtype, threads) is not None

        def calibrated(header: Header) -> bool:
            return here(header) and header.settings.threads == threads and header.cost_model is not None

        latest = store.latest(results, covers) or store.latest(results, here)
        learned = store.latest(results, calibrated)
        self.run = latest.id if latest else None
        self.peaks = envelope(latest.peaks) if latest else Peaks()
        self.model: CostModel | None = learned.cost_model if learned else None

    def bounded(self, traced: Pass, operators: tuple[Operator, ...]) -> Pass:
        """The pass with its bound and its estimated time, as far as peaks and cost model are known."""
        case = Case("", "", "", "", {}, cost=traced.cost, trace=traced.trace)
        estimated = None
        if self.model is not None:
            estimated = estimate(self.model, "", traced.trace, operators)
        return msgspec.structs.replace(
            traced, prediction=roofline.predict(case, self.peaks, self.threads), estimate=estimated
        )


# Models of up to WHOLE layers are traced whole; deeper ones at the two other depths.
WHOLE, SHALLOW, DEEPER = 8, 2, 4
HOUR = 3600.0


@dataclass(frozen=True)
class Local:
    """The header and cost model of a run."""

    header: Header
    model: CostModel


def local(header: Header) -> Local:
    """The cost model of a run.

    Raises:
        UsageError: the run has no cost model.
    """
    if header.cost_model is None:
        raise UsageError(f"run {header.id} has no cost model: write `plumbline calibrate` to measure one")
    return Local(header, header.cost_model)


def time_here(
    question: Question, config: Mapping[str, Any], machine: Local, flops: FlopCount
) -> tuple[TimeNeed, tuple[str, ...]]:
    """The time on the machine of a run, with its interval; and what was assumed.

    Raises:
        UsageError: the model cannot be built or traced, or the plan uses several devices.
    """
    if question.dtype not in {"float32", "bfloat16"}:
        raise UsageError(f"--dtype {question.dtype}: the cost model of a run covers float32 and bfloat16")
    if question.layout.recompute is not Recompute.NONE:
        raise UsageError(
            f"--recompute {question.layout.recompute.value}: the cost model of a run covers models without recomputation; leave it out"
        )
    if question.layout.devices > 1:
        raise UsageError(
            f"--devices {question.layout.devices}: a run's cost model covers one device; for more, name a device with --on"
        )
    estimated, depth = step(question, config, machine)
    steps = question.tokens / question.tokens_per_batch
    settings = machine.header.settings
    peak = envelope(machine.header.peaks).compute_peak(question.dtype, settings.threads)
    best_rate = peak.flops_per_second if peak else None
    need = TimeNeed(
        seconds=estimated.seconds * steps,
        low=estimated.low * steps,
        high=estimated.high * steps,
        tokens_per_second=question.tokens_per_batch / estimated.seconds,
        device_hours=estimated.seconds * steps / HOUR,
        step_seconds=estimated.seconds,
        mfu=flops.train_total / (estimated.seconds * steps * best_rate) if best_rate else None,
        hfu=None,
        mfu_dense=flops.train_total_dense / (estimated.seconds * steps * best_rate) if best_rate else None,
        on=f"run {machine.header.id}",
        extrapolated=bool(estimated.extrapolated or estimated.uncalibrated),
    )
    return need, tuple(_assumed(estimated, machine, depth))


def step(question: Question, config: Mapping[str, Any], machine: Local) -> tuple[Estimate, int | None]:
    """A training step's estimated time with its 90% interval; and the model's depth, if two shallower models were traced instead."""
    device = torch.device("cpu" if machine.model.device == "cpu" else machine.model.device)
    depth = depth_of(config)
    if depth is None or depth <= WHOLE:
        traced = _traced(question, config, device, None)
        return estimate(machine.model, question.model.name, traced.trace, traced.operators), None
    shallow, deeper = (_traced(question, config, device, layers) for layers in (SHALLOW, DEEPER))
    operators = extrapolated(shallow.operators, deeper.operators, depth)
    return estimate(
        machine.model, question.model.name, _grown(shallow.trace, deeper.trace, depth), operators
    ), depth


def _traced(question: Question, config: Mapping[str, Any], device: torch.device, depth: int | None) -> Traced:
    made = configured(config, question.lengths, depth)
    dtype = question.dtype

    def prepare(where: torch.device) -> Any:
        with where:
            subject = made()
        return training(subject.to(where), where, optimizer=question.recipe.optimizer, dtype=dtype)

    try:
        return trace(prepare, device, precision_of(dtype))
    except UntraceableError as error:
        raise UsageError(f"{question.model.name} cannot be traced: {error}") from error


def extrapolated(
    shallow: tuple[Operator, ...], deeper: tuple[Operator, ...], depth: int
) -> tuple[Operator, ...]:
    """The operators of a model of a depth, from those of two shallower ones."""
    before = {_kind(operator): operator for operator in shallow}
    extended = []
    for operator in deeper:
        start = before.get(_kind(operator))
        count = _line(start.count if start else 0, operator.count, depth)
        if count > 0:
            grown = {
                "count": count,
                "mapped_bytes": _line(start.mapped_bytes if start else 0, operator.mapped_bytes, depth),
                "reuse": _reuse(start.reuse if start else (), operator.reuse, depth),
            }
            extended.append(msgspec.structs.replace(operator, **grown))
    return tuple(extended)


def _kind(operator: Operator) -> tuple[object, ...]:
    return (operator.name, operator.phase, operator.inputs, operator.outputs, operator.dtype)


def _line(shallow: int, deeper: int, depth: int) -> int:
    """The value at a depth of the straight line through two depths; never below zero."""
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
    return tuple(row for row in grown if row[1] or row[2])


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


def _assumed(estimated: Estimate, machine: Local, depth: int | None) -> list[str]:
    assumptions = [
        f"The time is that of a traced training step of transformers' own model, by the cost model of {machine.model.run}; the interval covers 90%."
    ]
    if depth is not None:
        assumptions.append(
            f"The model was traced with {SHALLOW} and {DEEPER} layers and extrapolated linearly to {depth}."
        )
    if estimated.extrapolated:
        assumptions.append(
            f"Extrapolated, larger than anything calibrated: {', '.join(estimated.extrapolated)}."
        )
    if estimated.uncalibrated:
        assumptions.append(f"Operators without a calibrated model: {', '.join(estimated.uncalibrated)}.")
    if not math.isfinite(estimated.seconds):
        raise UsageError("the cost model gives no finite time")
    return assumptions
