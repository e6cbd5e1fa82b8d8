"""The dispatch mode of a trace: it receives each operator and runs it on fake tensors."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

# What tracing itself calls, and real tensors do not.
_OURS = (
    str(Path(__file__).parent),
    "torch/_subclasses",
    "torch/_compile.py",
    "torch/_dynamo",
    "torch/_library",
    "torch/compiler/",
    "torch/overrides.py",
    "torch/utils/_python_dispatch",
    "weakref.py",
)


class HostCalls:
    """Counts the calls of functions, in Python and from Python."""

    def __init__(self) -> None:
        self._count = 0
        self._skipped: dict[str, bool] = {}

    def take(self) -> int:
        """The calls since the last `take`."""
        count, self._count = self._count, 0
        return count

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts calls in the context."""
        before = sys.getprofile()
        self._count = 0
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        del argument
        if event not in {"call", "c_call"}:
            return
        name = frame.f_code.co_filename
        if name not in self._skipped:
            self._skipped[name] = any(part in name for part in _OURS)
        if not self._skipped[name]:
            self._count += 1


class NotCounted:
    """Leaves what runs inside out of the traced call; the profiler of somebody else stays in place."""

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        if self._counts():
            sys.setprofile(None)

    def __exit__(self, *_: object) -> None:
        if self._counts():
            sys.setprofile(self._before)

    def _counts(self) -> bool:
        return isinstance(getattr(self._before, "__self__", None), HostCalls)


# Integer tensors up to this many elements are computed on real values: token ids, positions, lengths, masks.
MOST_REAL = 1 << 20

# Operators that make tables of numbers, whose values code reads: rates of layers, a causal mask.
TABLES = (torch.ops.aten.full.default, torch.ops.aten.linspace.default)

_KEY = torch._C.DispatchKey  # noqa: SLF001 - it has no public name

Seen = Callable[[Any, dict[str, Any], Any], None]
"""A callback that receives an operator, its arguments by name, and its result."""


class WeakTensors:
    """A set of tensors, as they are (a WeakSet would compare their values)."""

    def __init__(self) -> None:
        self._known = WeakIdKeyDictionary()

    def update(self, tensors: Iterable[torch.Tensor]) -> None:
        """Adds them, as long as they live."""
        for tensor in tensors:
            self._known[tensor] = True

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(list(self._known))

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return tensor in self._known


class FakeMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operators on fake tensors, and on real ones where they are small and of integers."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._seen = seen
        self._tables = WeakTensors()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One operator."""
        del types
        with NotCounted():
            return self._dispatched(func, args, kwargs or {})

    def _dispatched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func.namespace == "prim":  # questions to a tensor, not operators
            return func(*args, **kwargs)
        if is_composite(func):
            # Its parts run instead. Autograd decomposes it before, inference does not.
            with self:
                return decomposed(func, args, kwargs)
        result = self._run(func, args, kwargs)
        self._seen(func, named(func, args, kwargs), result)
        return result

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if tensors and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            tables = any(tensor in self._tables for tensor in tensors)
            if tables or all(_stays_real(tensor) for tensor in tensors):
                made = self._fake_results(func, args, kwargs)
                if all(_stays_real(tensor) or (tables and tensor.numel() <= MOST_REAL) for tensor in made):
                    result = func(*args, **kwargs)
                    return self._table(result) if tables else result
        elif func is torch.ops.aten._grouped_mm.default:  # noqa: SLF001 - an operator's name
            return _grouped_mm(*args, **kwargs)
        with self._fake:
            result = func(*args, **kwargs)
        if not tensors and isinstance(result, torch.Tensor) and _stays_real(result):
            return func(*args, **kwargs)  # made of numbers alone, and now with values
        if func in TABLES and isinstance(result, torch.Tensor) and result.numel() <= MOST_REAL:
            return self._table(func(*args, **kwargs))
        return result

    def _fake_results(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
        """The results of an operator, before memory is allocated; empty where they depend on values."""
        try:
            with self._fake:
                made = func(*args, **kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException):
            return []
        return [leaf for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]

    def _table(self, result: Any) -> Any:
        self._tables.update(leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor))
        return result


def is_composite(func: Any) -> bool:
    """Whether an operator is but a composition of others, with no kernel of its own."""
    kernel = func.has_kernel_for_dispatch_key
    return bool(kernel(_KEY.CompositeImplicitAutograd) and not (kernel(_KEY.CPU) or kernel(_KEY.CUDA)))


def decomposed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs the operators that a composite one is made of."""
    return func._op_dk(_KEY.CompositeImplicitAutograd, *args, **kwargs)  # noqa: SLF001 - as torch itself does


def _stays_real(tensor: torch.Tensor) -> bool:
    exact = not (tensor.is_floating_point() or tensor.is_complex())
    return (exact or tensor.ndim == 0) and tensor.numel() <= MOST_REAL


def _grouped_mm(
    a: torch.Tensor,
    b: torch.Tensor,
    offs: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """The result in every dtype: torch's own rule for fake tensors takes bfloat16 alone."""
    del bias
    shape: tuple[int, ...]
    if a.ndim == b.ndim == 2 and offs is not None:
        shape = (offs.shape[0], a.shape[0], b.shape[1])
    elif a.ndim == 2:
        shape = (a.shape[0], b.shape[-1])
    else:
        shape = (*((a.shape[0],) if b.ndim == 3 else ()), a.shape[1], b.shape[-1])
    return a.new_empty(shape, dtype=out_dtype)


def named(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """An operator's arguments by the names of its schema, defaults included."""
    schema = func._schema.arguments  # noqa: SLF001 - torch has no other way
    values = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    values.update(zip((argument.name for argument in schema), args, strict=False))
    return values | kwargs


@contextmanager
def easy_initialization() -> Iterator[None]:
    """Lets models be made of fake tensors where torch reads values or addresses.

    `trunc_normal_` draws again until all values lie within bounds: here it does nothing. A module that changes its dtype
    swaps tensors, and a copy of a module copies memory: both do so for fake ones by other means.
    """

    def untouched(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        del args, kwargs
        return tensor

    def swap(old: torch.Tensor, new: torch.Tensor) -> None:
        # A module that changes its dtype swaps fake tensors, which torch refuses where there are weak references.
        old.data = new
        if isinstance(old, FakeTensor) and isinstance(new, FakeTensor):
            old.fake_device = new.fake_device

    def copied(self: torch.Tensor, memo: dict[int, Any]) -> Any:
        if not isinstance(self, FakeTensor):
            return deepcopy(self, memo)  # type: ignore[no-untyped-call]
        if id(self) not in memo:  # torch looks at the address of the values
            new = self.detach().clone()
            parameter = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = torch.nn.Parameter(new, self.requires_grad) if parameter else new
        return memo[id(self)]

    deepcopy = torch.Tensor.__deepcopy__
    with (
        patch.object(torch.nn.init, "_no_grad_trunc_normal_", untouched),
        patch.object(torch.utils, "swap_tensors", swap),
        patch.object(torch.Tensor, "__deepcopy__", copied),
    ):
        yield


def span(tensor: torch.Tensor) -> int:
    """The bytes of memory a tensor's elements lie in: fewer than its elements where it is expanded or overlaps itself."""
    if tensor.numel() == 0:
        return 0
    sizes = [(size, abs(stride)) for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    held = math.prod(size for size, stride in sizes if stride)
    reach = 1 + sum((size - 1) * stride for size, stride in sizes)
    return min(held, reach) * tensor.element_size()
