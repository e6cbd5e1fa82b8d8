"""The mode under which a call is traced: it sees each operator, and lets fake tensors stand for real ones."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Integer tensors up to this many elements are computed for real: token ids, positions, lengths, masks.
MOST_REAL = 1 << 20

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd  # noqa: SLF001 - the key has no public name

Seen = Callable[[Any, dict[str, Any], Any], None]
"""Hears of an operator, its arguments by name, and its result."""


class FakeMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs operators on fake tensors, and on real ones where they are small and of integers."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._seen = seen

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One operator."""
        del types
        kwargs = kwargs or {}
        if func.namespace == "prim":  # questions to a tensor, not operators
            return func(*args, **kwargs)
        if func.has_kernel_for_dispatch_key(_COMPOSITE):
            with (
                self
            ):  # made of others: they are what runs. Autograd takes it apart before, inference does not.
                return func.decompose(*args, **kwargs)
        result = self._run(func, args, kwargs)
        self._seen(func, named(func, args, kwargs), result)
        return result

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if tensors and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            if all(_stays_real(tensor) for tensor in tensors):
                return func(*args, **kwargs)
        elif func is torch.ops.aten._grouped_mm.default:  # noqa: SLF001 - an operator's name
            return _grouped_mm(*args, **kwargs)
        with self._fake:
            result = func(*args, **kwargs)
        if not tensors and isinstance(result, torch.Tensor) and _stays_real(result):
            return func(*args, **kwargs)  # made of numbers alone, and now with values
        return result


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
    found = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    found.update(zip((argument.name for argument in schema), args, strict=False))
    return found | kwargs


@contextmanager
def easy_initialization() -> Iterator[None]:
    """Lets `trunc_normal_` do nothing: it draws again until all values lie within bounds, and here are none."""

    def untouched(tensor: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        del args, kwargs
        return tensor

    with patch.object(torch.nn.init, "_no_grad_trunc_normal_", untouched):
        yield


def span(tensor: torch.Tensor) -> int:
    """The bytes of memory a tensor's elements lie in: fewer than its elements where it is expanded."""
    held = math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride != 0)
    return held * tensor.element_size()
