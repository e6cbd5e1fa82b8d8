"""The user's own model: `module:function` or `file.py:function`, a function that returns a model and its inputs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, one_line
from harness.loading import load_file
from harness.models.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

WANTED = "return a model and its inputs (a tensor, a tuple, or a dict by name), and if you like a loss of its output"


def load(reference: str) -> Callable[[], Subject]:
    """A function that makes the model and its inputs; each call makes new ones.

    Raises:
        UsageError: the reference names nothing that can be imported and called.
    """
    where, separator, name = reference.rpartition(":")
    if not separator or not where or not name.isidentifier():
        raise UsageError(f"{reference!r} names no model: write module:function or file.py:function")
    function = getattr(_module(where), name, None)
    if function is None:
        raise UsageError(f"{where} has no {name!r}")
    if not callable(function):
        raise UsageError(f"{reference} is {type(function).__name__}, not a function")
    return lambda: subject_of(function, reference)


def subject_of(function: Callable[[], Any], reference: str) -> Subject:
    """The model and inputs that a function returns.

    Raises:
        UsageError: it returns something else, or fails.
    """
    import torch  # noqa: PLC0415 - the public API loads no torch

    try:
        returned = function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if _is_ours(error):
            raise
        raise UsageError(f"{reference} failed: {one_line(error)}") from error
    if isinstance(returned, Subject):
        return returned
    parts = returned if isinstance(returned, tuple) else ()
    if len(parts) not in {2, 3} or not isinstance(parts[0], torch.nn.Module):
        raise UsageError(f"{reference} returned {_described(returned)}: {WANTED}")
    model, inputs = parts[:2]
    loss = parts[2] if len(parts) == 3 else None
    if loss is not None and not callable(loss):
        raise UsageError(f"{reference} returned {type(loss).__name__} as its loss: {WANTED}")
    if isinstance(inputs, torch.Tensor):
        return Subject(model, (inputs,), {}, loss, items=_items([inputs]))
    if isinstance(inputs, Mapping):
        return Subject(model, (), dict(inputs), loss, items=_items(list(inputs.values())))
    if isinstance(inputs, Sequence) and not isinstance(inputs, str):
        return Subject(model, tuple(inputs), {}, loss, items=_items(list(inputs)))
    raise UsageError(f"{reference} returned {type(inputs).__name__} as its inputs: {WANTED}")


def _is_ours(error: BaseException) -> bool:
    """Whether an error is the tracer's: something depends on computed values."""
    from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: PLC0415

    return isinstance(error, UsageError) or type(error).__module__ == FakeTensorMode.__module__


def _items(inputs: list[Any]) -> dict[str, int]:
    """The first dimension of the first tensor is the batch; integers of two dimensions are tokens."""
    import torch  # noqa: PLC0415

    first = next((value for value in inputs if isinstance(value, torch.Tensor) and value.ndim), None)
    if first is None:
        return {}
    tokens = {"tokens": first.numel()} if first.ndim == 2 and not first.is_floating_point() else {}
    return {"samples": first.shape[0]} | tokens


def _described(returned: Any) -> str:
    if isinstance(returned, tuple):
        return f"({', '.join(type(part).__name__ for part in returned)})"
    return type(returned).__name__


def _module(where: str) -> Any:
    path = Path(where).expanduser().resolve()
    in_file = path.suffix == ".py"
    if in_file and not path.is_file():
        raise UsageError(f"no file {where}")
    try:
        if in_file:
            return load_file(f"_plumbline_own_{path.stem}", path)
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(where)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(f"cannot import {where}: {one_line(error)}") from error
