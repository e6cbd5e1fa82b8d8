"""The work of the host: how many functions Python calls while a traced call runs.

A model of small operators is bound by its own Python code and by torch's modules, and no shape tells of that. The traced call runs the very
same code, so its calls can be counted; how long one takes is calibrated.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

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
        """The calls since it was asked last."""
        count, self._count = self._count, 0
        return count

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts meanwhile."""
        before = sys.getprofile()
        self._count = 0
        sys.setprofile(self._hear)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _hear(self, frame: FrameType, event: str, argument: Any) -> None:
        del argument
        if event not in {"call", "c_call"}:
            return
        name = frame.f_code.co_filename
        if name not in self._skipped:
            self._skipped[name] = any(part in name for part in _OURS)
        if not self._skipped[name]:
            self._count += 1


class NotCounted:
    """What runs meanwhile is no work of the traced call."""

    def __enter__(self) -> None:
        self._before = sys.getprofile()
        sys.setprofile(None)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)
