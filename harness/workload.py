"""What can be measured, and what it should cost. Never sees a time, and loads no torch."""

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

from harness.records import Case, Cost, Series

if TYPE_CHECKING:
    import torch

Call = Callable[[], "torch.Tensor"]
"""One execution of a workload on tensors made beforehand; returns its output."""


class Step:
    """A call of several phases, one after the other, such as forward, backward and optimizer.

    Each is timed and weighed apart from the others too. The output is the last that a phase returns.
    """

    def __init__(self, **phases: Callable[[], torch.Tensor | None]) -> None:
        """The phases in their order, by name."""
        self.phases = phases

    def __call__(self) -> torch.Tensor:
        """All of them."""
        outputs = [phase() for phase in self.phases.values()]
        return next(output for output in reversed(outputs) if output is not None)


def phases_of(call: Call) -> dict[str, Callable[[], torch.Tensor | None]]:
    """The phases of a call; one that has none is a phase of its own."""
    return call.phases if isinstance(call, Step) else {"call": call}


PROFILES = ("quick", "standard", "full")

# Bytes of one element. TF32 is float32 in memory: only the multiplication is narrower.
ITEM_BYTES = {"float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1, "float64": 8}


@dataclass(frozen=True)
class Workload(ABC):
    """One operator at one size. A subclass adds its sizes as fields and says what a call costs.

    Only `prepare` is required: where there is no `cost`, a call is traced before it runs, and costs what its
    operators cost.
    """

    capturable: ClassVar[bool] = True
    """Whether a call can be captured into a graph; one that waits for the device cannot."""

    stateful: ClassVar[bool] = False
    """Whether a call depends on what Python remembers of the one before, such as an optimizer's step or the length of
    a cache: it cannot be captured into a graph, and is not repeated on further sets of tensors."""

    calibrates: ClassVar[bool] = False
    """Whether the cost model learns from it. Whole models never do: they are what it is tried on."""

    effort: ClassVar[float] = 1.0
    """The fraction of a profile's sampling time that is spent on it."""

    @property
    def family(self) -> str:
        """The operator's name, first part of the id: the class name in lower case."""
        return type(self).__name__.lower()

    @property
    def sizes(self) -> dict[str, int]:
        """The integer fields, in the order of their declaration."""
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), int)}

    def __str__(self) -> str:
        """The stable id: family, dtype and other words, then sizes, joined by dashes.

        It needs no quoting in `pytest -k`: no `=`, no spaces.
        """
        words = [str(v) for f in fields(self) if not isinstance(v := getattr(self, f.name), int)]
        return "-".join([self.family, *words, *(f"{name}{value}" for name, value in self.sizes.items())])

    def without(self, size: str) -> str:
        """The id without one size: what the cases of a sweep in that size have in common."""
        value = f"{size}{self.sizes[size]}"
        return "-".join(part for part in str(self).split("-") if part != value)

    @abstractmethod
    def prepare(self, device: torch.device) -> Call:
        """Makes all tensors on the device and returns the call to time.

        Fill inputs with random data: zeros draw less power and run faster on a GPU.

        Raises:
            Unsupported: the device cannot do this; recorded as skipped, with the reason.
        """

    def cost(self) -> Cost | None:
        """What one call costs in closed form."""
        return None

    @property
    def fused(self) -> bool:
        """Whether a compiler may fuse operators: their traffic and their temporaries then bound nothing."""
        return False

    def items(self) -> dict[str, int]:
        """What one call processes, by unit, where its rate is worth telling: samples, tokens."""
        return {}

    def working_set_bytes(self) -> int | None:
        """The bytes a call touches again and again: decides which memory level bounds it."""
        cost = self.cost()
        return None if cost is None else cost.bytes_moved

    def series(self) -> Series | None:
        """The sweep this size belongs to, with the exponent theory gives it."""
        return None

    def on_threads(self) -> int | None:
        """The threads it wants, whatever those of the run are; None: those of the run."""
        return None

    def context(self) -> AbstractContextManager[object]:
        """What must hold while calls run, such as a precision switch."""
        return nullcontext()

    def describe(self, suite: str) -> Case:
        """The workload as a fact to store."""
        return Case(
            id=str(self),
            suite=suite,
            family=self.family,
            dtype=str(getattr(self, "dtype", "")),
            sizes=self.sizes,
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
    """16 hex digits that stand for the code of a workload's class and of those it inherits from, up to `Workload`.

    Of the syntax tree: neither comments nor layout matter. None where there is no source to read.
    """
    kinds = kind.__mro__[: kind.__mro__.index(Workload)]
    try:
        trees = [ast.dump(ast.parse(dedent(inspect.getsource(kind)))) for kind in kinds]
    except (OSError, TypeError, SyntaxError):
        return None
    return hashlib.sha256("\n".join(trees).encode()).hexdigest()[:16]


class Sweep(Sequence[Workload]):
    """The workloads of a suite in three profiles; each profile adds to the one before it.

    Iterating gives all of them, so it stands where a list stands in `pytest.mark.parametrize`.
    """

    def __init__(
        self,
        quick: Iterable[Workload],
        standard: Iterable[Workload] = (),
        full: Iterable[Workload] = (),
    ) -> None:
        """Later profiles may repeat workloads of earlier ones: the earliest counts."""
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
        """Whether a profile measures this workload."""
        return PROFILES.index(self._profile[workload]) <= PROFILES.index(profile)


class Bench(Protocol):
    """The `bench` fixture: measures a workload, records it, and hands the samples to pytest-benchmark."""

    def __call__(self, workload: Workload) -> None:
        """Skips or fails the test where there is nothing to hand over."""


def check_positive(workload: Workload) -> None:
    """Refuses sizes below one; for `__post_init__`.

    Raises:
        ValueError: names the field, its value and what is allowed.
    """
    for name, value in workload.sizes.items():
        if value < 1:
            raise ValueError(f"{type(workload).__name__}.{name} is {value}: a size is at least 1")


def check_dtype(dtype: str) -> None:
    """Refuses a dtype the harness has no size for; for `__post_init__`.

    Raises:
        ValueError: names the dtype and those that are known.
    """
    if dtype not in ITEM_BYTES:
        raise ValueError(f"unknown dtype {dtype!r}: one of {', '.join(ITEM_BYTES)}")


def powers_of_two(first: int, last: int) -> list[int]:
    """The powers of two from `first` to `last`, both included.

    >>> powers_of_two(64, 512)
    [64, 128, 256, 512]
    """
    return [1 << k for k in range(first.bit_length() - 1, last.bit_length()) if first <= 1 << k <= last]
