"""Workloads: what can be measured, and its cost. This module contains no time and imports no torch."""

from __future__ import annotations

import ast
import hashlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from functools import cache
from textwrap import dedent
from typing import TYPE_CHECKING, ClassVar, Protocol, overload

from harness.records import Case, Cost, Scalar, Series

if TYPE_CHECKING:
    import torch

Call = Callable[[], "torch.Tensor"]
"""One execution of a workload on tensors made beforehand; returns its output."""


class Step:
    """A call of several phases in order, such as forward, backward and optimizer.

    Each phase is also timed and counted separately. The output is the last one that a phase returns.
    """

    def __init__(self, **phases: Callable[[], torch.Tensor | None]) -> None:
        """Takes the phases by name, in their order."""
        self.phases = phases

    def __call__(self) -> torch.Tensor:
        """Runs all phases and returns the output."""
        outputs = [phase() for phase in self.phases.values()]
        return next(output for output in reversed(outputs) if output is not None)


def phases_of(call: Call) -> dict[str, Callable[[], torch.Tensor | None]]:
    """The phases of a call; a call without phases is one phase named `call`."""
    return call.phases if isinstance(call, Step) else {"call": call}


PROFILES = ("quick", "standard", "full")

# Bytes of one element. TF32 is float32 in memory: only the multiplication is narrower.
ITEM_BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1, "float64": 8}


@dataclass(frozen=True)
class Workload(ABC):
    """One operator at one size. A subclass adds sizes and parameters as fields.

    Only `prepare` is required. Without `cost`, a call is traced before it runs; its cost is the sum over its operators.
    Integer fields are sizes. All other fields but `dtype` are parameters, `bool` included.
    """

    capturable: ClassVar[bool] = True
    """Whether a call can be captured into a graph; a call that waits for the device cannot."""

    stateful: ClassVar[bool] = False
    """Whether a call depends on Python state of the call before, such as an optimizer's step or the length of a cache.
    Such a call is not captured into a graph, and not repeated on further sets of tensors."""

    calibrates: ClassVar[bool] = False
    """Whether the cost model is calibrated with it. Whole models are held out: they validate the cost model."""

    effort: ClassVar[float] = 1.0
    """The fraction of a profile's sampling time that is spent on this workload."""

    @property
    def family(self) -> str:
        """The operator's name and first part of the id; by default the class name in lower case."""
        return type(self).__name__.lower()

    @property
    def sizes(self) -> dict[str, int]:
        """The integer fields, in the order of their declaration; `bool` is a parameter."""
        return {
            f.name: value
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), int) and not isinstance(value, bool)
        }

    @property
    def parameters(self) -> dict[str, Scalar]:
        """The fields that are neither sizes nor `dtype`, by name; without those that do not take part in comparison."""
        values = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.compare and f.name not in self.sizes and f.name != "dtype"
        }
        return {
            name: value if isinstance(value, bool | float) else str(value) for name, value in values.items()
        }

    def __str__(self) -> str:
        """The stable id: family, dtype and parameters, then sizes, joined by dashes.

        It contains no `=` and no spaces, so that `pytest -k` takes it without quotes.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        words = [str(value) for value in values.values() if not isinstance(value, int)]
        named = [f"{name}{value}" for name, value in values.items() if isinstance(value, int)]
        return "-".join([self.family, *words, *named])

    def without(self, size: str) -> str:
        """The id without one size: the common name of the cases of a sweep in that size."""
        value = f"{size}{self.sizes[size]}"
        return "-".join(part for part in str(self).split("-") if part != value)

    @abstractmethod
    def prepare(self, device: torch.device) -> Call:
        """Makes all tensors on the device and returns the call to time.

        Fill inputs with random data: zeros draw less power and run faster on a GPU.

        Args:
            device: where the tensors are made and the call runs.

        Returns:
            A function without arguments that returns its output tensor.

        Raises:
            Unsupported: the device cannot run this workload; the case is recorded as skipped, with the reason.
        """

    def cost(self) -> Cost | None:
        """The cost of one call in closed form; None: the call is traced."""
        return None

    @property
    def fused(self) -> bool:
        """Whether a compiler may fuse operators; their traffic and temporaries are then no lower bounds."""
        return False

    def items(self) -> dict[str, int]:
        """Numbers of items that one call processes, by unit such as samples or tokens; their rates are reported."""
        return {}

    def working_set_bytes(self) -> int | None:
        """The bytes that a call uses repeatedly; they decide which memory level bounds it."""
        cost = self.cost()
        return None if cost is None else cost.bytes_moved

    def series(self) -> Series | None:
        """The sweep that this size belongs to, with its theoretical exponent."""
        return None

    def on_threads(self) -> int | None:
        """The number of threads of this workload; None: that of the run."""
        return None

    def context(self) -> AbstractContextManager[object]:
        """A context in which the calls run, such as a precision switch."""
        return nullcontext()

    def describe(self, suite: str) -> Case:
        """The record of the workload that is stored."""
        return Case(
            id=str(self),
            suite=suite,
            family=self.family,
            dtype=str(getattr(self, "dtype", "")),
            sizes=self.sizes,
            parameters=self.parameters,
            cost=self.cost(),
            working_set_bytes=self.working_set_bytes(),
            series=self.series(),
            items=self.items(),
            fused=self.fused,
            calibrates=self.calibrates,
            threads=self.on_threads(),
            source=source_of(type(self)),
        )


@cache
def source_of(kind: type[Workload]) -> str | None:
    """Hash (16 hex digits) of the code of a workload's class and its base classes up to `Workload`.

    The syntax tree is hashed without docstrings: neither they nor comments and layout matter. None where the source cannot be read.
    """
    kinds = kind.__mro__[: kind.__mro__.index(Workload)]
    try:
        trees = [ast.parse(dedent(inspect.getsource(kind))) for kind in kinds]
    except (OSError, TypeError, SyntaxError):
        return None
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256("\n".join(map(ast.dump, trees)).encode()).hexdigest()[:16]


class Sweep(Sequence[Workload]):
    """The workloads of a suite in three profiles; each profile includes the profile before it.

    It is a sequence of all workloads, for `pytest.mark.parametrize`.
    """

    def __init__(
        self,
        quick: Iterable[Workload],
        standard: Iterable[Workload] = (),
        full: Iterable[Workload] = (),
    ) -> None:
        """Takes the workloads that each profile adds; a repeated workload belongs to its first profile."""
        self._profile: dict[Workload, str] = {}
        for profile, workloads in zip(PROFILES, (quick, standard, full), strict=True):
            for workload in workloads:
                self._profile.setdefault(workload, profile)
        self._workloads = tuple(self._profile)

    def __len__(self) -> int:
        return len(self._workloads)

    @overload
    def __getitem__(self, index: int) -> Workload: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Workload]: ...
    def __getitem__(self, index: int | slice) -> Workload | Sequence[Workload]:
        return self._workloads[index]

    def includes(self, workload: Workload, profile: str) -> bool:
        """Whether a profile measures a workload."""
        return PROFILES.index(self._profile[workload]) <= PROFILES.index(profile)


class Bench(Protocol):
    """The `bench` fixture: measures a workload, records it, and passes the samples to pytest-benchmark."""

    def __call__(self, workload: Workload) -> None:
        """Measures a workload; skips or fails the test where it has no measurement."""


def check_positive(workload: Workload) -> None:
    """Refuses sizes below 1; for `__post_init__`.

    Raises:
        ValueError: names the field, its value and what is allowed.
    """
    for name, value in workload.sizes.items():
        if value < 1:
            raise ValueError(f"{type(workload).__name__}.{name} is {value}: a size is at least 1")


def check_dtype(dtype: str) -> None:
    """Refuses a dtype of unknown element size; for `__post_init__`.

    Raises:
        ValueError: names the dtype and the known dtypes.
    """
    check_one_of("dtype", dtype, ITEM_BYTES)


def check_one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Refuses a value that is not among those allowed; for `__post_init__`.

    >>> check_one_of("mask", "causal", ("full", "causal"))

    Raises:
        ValueError: names the field, its value and the allowed values.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}: one of {', '.join(map(str, allowed))}")


def powers_of_two(first: int, last: int) -> list[int]:
    """The powers of two from `first` to `last`, both included.

    >>> powers_of_two(64, 512)
    [64, 128, 256, 512]
    """
    return [1 << k for k in range(first.bit_length() - 1, last.bit_length()) if first <= 1 << k <= last]
