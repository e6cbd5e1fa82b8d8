"""`predict`: what a model needs for one batch, before anything runs."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from harness import units
from harness.api import Shown
from harness.cost.trace import Traced, UntraceableError, trace
from harness.errors import Unsupported, UsageError
from harness.measure.devices.base import named
from harness.measure.prediction import Machine
from harness.models.own import subject_of
from harness.models.subject import Subject
from harness.models.training import forward, precision_of, training
from harness.records import Pass
from harness.store import DEFAULT_RESULTS
from harness.workload import Call


@dataclass(frozen=True, repr=False)
class PassPrediction(Shown):
    """What one pass of a model needs: an inference pass, or a training step. FLOPs, bytes, seconds."""

    name: str
    record: Pass

    @property
    def flops(self) -> int:
        """Matrix FLOPs."""
        return self.record.cost.flops

    @property
    def flops_dense(self) -> int:
        """Matrix FLOPs with masks ignored."""
        return self.record.cost.flops_dense

    @property
    def hardware_flops(self) -> int:
        """Matrix FLOPs with those that are computed again."""
        return self.record.cost.hardware_flops

    @property
    def elementwise_flops(self) -> int:
        """Elementwise FLOPs."""
        return self.record.cost.elementwise_flops

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written, each operand of an operator once."""
        return self.record.cost.bytes_moved

    @property
    def kernels(self) -> int:
        """Calls of operators that touch elements."""
        return self.record.trace.kernels

    @property
    def peak_memory_bytes(self) -> int:
        """Bytes of tensors at the peak, parameters and inputs included."""
        return self.record.cost.memory_bytes

    @property
    def peak_memory_by_phase(self) -> dict[str, int]:
        """The same for each phase: forward, backward, optimizer."""
        return {phase.phase: phase.peak_bytes for phase in self.record.trace.phases}

    @property
    def seconds_at_least(self) -> float | None:
        """The roofline's lower bound on the time; None where no run of this machine has measured peaks."""
        return self.record.prediction.seconds

    @property
    def seconds(self) -> float | None:
        """The estimated time; None where this machine was not calibrated (`plumbline calibrate`)."""
        return self.record.estimate.seconds if self.record.estimate else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 90% interval of the estimated time, in seconds."""
        estimate = self.record.estimate
        return (estimate.low, estimate.high) if estimate else None

    @property
    def unknown(self) -> dict[str, int]:
        """The calls of operators that no formula covers, by name: their FLOPs are missing."""
        return self.record.trace.unknown

    @property
    def time(self) -> str:
        """The time in words: estimated, at least, or why it is not known."""
        parts = []
        if self.seconds is not None and self.interval is not None:
            low, high = map(units.seconds, self.interval)
            parts.append(f"{units.seconds(self.seconds)} (90% interval {low} to {high})")
        if self.seconds_at_least is not None:
            parts.append(f"at least {units.seconds(self.seconds_at_least)}")
        return ", ".join(parts) or "not known: `plumbline calibrate` measures what estimates need"

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        peaks = ", ".join(f"{name} {units.size(peak)}" for name, peak in self.peak_memory_by_phase.items())
        rows = [
            (
                "work",
                f"{units.work(self.flops)}, {units.work(self.elementwise_flops)} elementwise, {units.size(self.bytes_moved)} moved",
            ),
            ("memory", f"{units.size(self.peak_memory_bytes)} at the peak ({peaks})"),
            ("time", self.time),
        ]
        if self.unknown:
            rows.append(("unknown", f"no formula for {', '.join(sorted(self.unknown))}: FLOPs are missing"))
        return self.name, rows


@dataclass(frozen=True, repr=False)
class ModelPrediction(Shown):
    """What a model needs, before anything runs.

    `inference` and `training` (None where nothing can be trained) have the FLOPs, bytes, memory and time of a pass.
    """

    model: str
    parameters: int
    device: str
    threads: int
    dtype: str
    optimizer: str
    inference: PassPrediction
    training: PassPrediction | None

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        title = f"{self.model}: {self.parameters:,} parameters, {self.dtype}, {self.optimizer}, {self.device}"
        rows = []
        for one in (self.inference, self.training):
            if one is not None:
                _, lines = one._shown()  # noqa: SLF001 - of the same kind
                rows += [(f"{one.name}, {label}", text) for label, text in lines]
        return title, rows


def predict(  # noqa: PLR0913 - the options of a prediction, each once
    model: torch.nn.Module,
    inputs: Any,
    *,
    loss: Callable[[Any], torch.Tensor] | None = None,
    optimizer: str = "adamw",
    dtype: str = "float32",
    device: str | None = None,
    results: str | Path = DEFAULT_RESULTS,
) -> ModelPrediction:
    """Predicts what a model needs for one batch, in inference and in training. Nothing is computed, and the model stays as it is.

    Args:
        model: The model; on the `meta` device, too.
        inputs: One batch: a tensor, a sequence of arguments, or a mapping of keyword arguments.
        loss: A function from the model's output to a scalar. None: the output's own `loss`, a scalar output itself,
            or the mean of its squares.
        optimizer: `sgd`, `momentum`, `adam` or `adamw`.
        dtype: `float32`, or `bfloat16` (by autocast in training).
        device: A device such as `cuda:0`; None: that of the model.
        results: The folder of runs, for the time on this machine.

    Returns:
        A `ModelPrediction`: `parameters`, `inference` and `training`, each with `flops`, `bytes_moved`,
        `peak_memory_bytes`, `peak_memory_by_phase`, and `seconds` where this machine is calibrated.

    Raises:
        UsageError: an argument is not allowed, or the model looks at values that it computes.

    >>> import torch
    >>> prediction = predict(torch.nn.Linear(16, 4), torch.ones(8, 16), results="nowhere")
    >>> prediction.parameters, prediction.inference.flops, prediction.training.flops
    (68, 1024, 2048)
    """
    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"predict(model): {type(model).__name__} is not a torch.nn.Module")
    if not isinstance(inputs, torch.Tensor | Mapping | list | tuple):
        raise UsageError(
            f"predict(inputs): {type(inputs).__name__} is not a batch; write a tensor, a tuple of arguments, or a dict by name"
        )
    name = type(model).__name__
    place, threads = named(device or _device_of(model), torch.get_num_threads())
    machine = Machine(Path(results), place, threads, dtype)

    def prepared(make: Callable[[Subject, torch.device], Call]) -> PassPrediction:
        def prepare(where: torch.device) -> Call:
            with where:
                made = subject_of(lambda: _fake((model, inputs), loss, where), name)
            holder = torch.nn.Module()
            holder.add_module("model", made.model)  # tells the trace of modules that were copied
            return make(made, where)

        try:
            traced: Traced = trace(prepare, torch.device(place), precision_of(dtype))
        except UntraceableError as error:
            raise UsageError(f"{name} cannot be traced: {error}") from error
        known = Pass(traced.cost, traced.trace)
        return PassPrediction(make.__name__.strip("_"), machine.bounded(known, traced.operators))

    def _inference(subject: Subject, _: torch.device) -> Call:
        return forward(subject, dtype=dtype)

    def _training(subject: Subject, where: torch.device) -> Call:
        subject.check_trainable(name)
        return training(subject, where, optimizer=optimizer, dtype=dtype)

    inference = prepared(_inference)
    try:
        trained = prepared(_training)
    except Unsupported:
        trained = None  # every parameter is frozen
    return ModelPrediction(
        model=name,
        parameters=inference.record.trace.parameters,
        device=place,
        threads=threads,
        dtype=dtype,
        optimizer=optimizer,
        inference=inference,
        training=trained,
    )


def _device_of(model: torch.nn.Module) -> str:
    """That of the first parameter or buffer; "auto" without any, and for the device that holds no values."""
    first = next((one for several in (model.parameters(), model.buffers()) for one in several), None)
    return "cpu" if first is None or first.device.type in {"cpu", "meta"} else str(first.device)


def _fake(given: Any, loss: Any, where: torch.device) -> tuple[Any, ...]:
    """A copy of a model and its inputs with tensors that the tracer makes: none of their values is copied, or changed."""
    model, inputs = given
    tensors = [*model.parameters(), *model.buffers(), *tree_leaves(inputs)]
    memo: dict[int, Any] = {
        id(one): _stand_in(one, where) for one in tensors if isinstance(one, torch.Tensor)
    }
    copied = copy.deepcopy((model, inputs), memo)
    return copied if loss is None else (*copied, loss)


def _stand_in(tensor: torch.Tensor, where: torch.device) -> torch.Tensor:
    if tensor.device.type != "meta" and not tensor.is_floating_point() and not tensor.is_complex():
        return tensor.detach().to(where, copy=True)  # small ones keep their values: lengths, positions, masks
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=where)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(made, tensor.requires_grad)
    return made.requires_grad_(tensor.requires_grad)
