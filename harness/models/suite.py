"""The suite of the user's own models: `plumbline bench --model module:function`. One case of inference, one of training."""

import re
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from harness.models.own import load
from harness.models.subject import Subject
from harness.models.training import forward, precision_of, training
from harness.workload import Bench, Call, Sweep, Workload


@dataclass(frozen=True)
class Own(Workload):
    """A model by reference, in inference."""

    reference: str
    dtype: str

    capturable = False
    _made: ClassVar[dict[str, tuple[dict[str, int], bool]]] = {}

    @property
    def family(self) -> str:
        """The use of the model."""
        return "inference"

    def __str__(self) -> str:
        """`inference-module.function-float32`."""
        words = [re.sub(r"[^\w.]+", ".", self.reference).strip("."), self.dtype]
        return "-".join([self.family, *words])

    def items(self) -> dict[str, int]:
        """The items of a batch; known once the model was made."""
        return self._made.get(self.reference, ({}, False))[0]

    @property
    def fused(self) -> bool:
        """Whether the model is compiled; known once it was made."""
        return self._made.get(self.reference, ({}, False))[1]

    def context(self) -> AbstractContextManager[object]:
        """Float32 means IEEE, on a GPU too."""
        return precision_of(self.dtype)

    def subject(self, device: torch.device) -> Subject:
        """The model and its inputs on a device, made on the device that the function or the caller names."""
        with torch.device(device):
            made = load(self.reference)()
        compiled = isinstance(made.model, torch._dynamo.OptimizedModule)  # noqa: SLF001 - what torch.compile returns
        self._made[self.reference] = (made.items, compiled)
        return made.to(device)

    def prepare(self, device: torch.device) -> Call:
        """The model in evaluation mode."""
        return forward(self.subject(device), dtype=self.dtype)


@dataclass(frozen=True)
class OwnTraining(Own):
    """A model by reference, in training."""

    stateful = True

    optimizer: str

    @property
    def family(self) -> str:
        """The use of the model."""
        return "train"

    def __str__(self) -> str:
        """`train-module.function-float32-adamw`."""
        return f"{super().__str__()}-{self.optimizer}"

    def prepare(self, device: torch.device) -> Call:
        """The model after one step."""
        subject = self.subject(device)
        subject.check_trainable(self.reference)
        return training(subject, device, optimizer=self.optimizer, dtype=self.dtype)


def workloads(references: list[str]) -> Sweep:
    """Each model in inference and in training; in bfloat16 too from the standard profile on."""
    cases = {
        dtype: [
            case
            for reference in references
            for case in (Own(reference, dtype), OwnTraining(reference, dtype, "adamw"))
        ]
        for dtype in ("float32", "bfloat16")
    }
    return Sweep(quick=cases["float32"], standard=cases["bfloat16"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The models named on the command line."""
    sweep = workloads(metafunc.config.getoption("plumbline_model"))
    metafunc.module.WORKLOADS = sweep
    metafunc.parametrize("workload", sweep, ids=str)


def test_model(workload: Own, bench: Bench) -> None:
    """Measures one model."""
    bench(workload)


def check(references: tuple[str, ...]) -> None:
    """Rejects references that name no model, before anything is measured.

    Raises:
        UsageError: it cannot be imported, or returns something else than a model and its inputs.
    """
    from harness.cost.trace import UntraceableError, trace  # noqa: PLC0415 - only for models of one's own

    for reference in references:
        with suppress(UntraceableError):  # it may still run; its case says why it has no prediction
            trace(Own(reference, "float32").prepare, torch.device("cpu"), first=False)
