"""Traces a call without computing it: its operators, their cost, and its memory.

`trace(prepare, device)` returns them.

Its tensors are fake: they have a shape, a dtype and a device, and no values. Small tensors of integers are real,
so that code that looks at indices or lengths runs as it would; code that looks at computed values cannot be traced.
"""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)

from harness.cost.trace.mode import FakeMode, easy_initialization
from harness.cost.trace.recorder import Recorder
from harness.errors import PlumblineError, UsageError, one_line
from harness.records import Cost, Operator, Trace
from harness.workload import Call

__all__ = ["Traced", "UntraceableError", "trace"]


class UntraceableError(UsageError):
    """A call cannot be traced without computing it; the text is one line with the reason."""


class Traced(NamedTuple):
    """A trace and its operators, those alike counted together."""

    trace: Trace
    operators: tuple[Operator, ...]

    @property
    def cost(self) -> Cost:
        """The trace as a cost: the sum over its operators, and the peak of its memory."""
        phases = self.trace.phases
        return Cost(
            flops=sum(phase.flops for phase in phases),
            elementwise_flops=sum(phase.elementwise_flops for phase in phases),
            masked_flops=sum(phase.masked_flops for phase in phases),
            recomputed_flops=sum(phase.recomputed_flops for phase in phases),
            bytes_read=sum(phase.bytes_read for phase in phases),
            bytes_written=sum(phase.bytes_written for phase in phases),
            memory_bytes=self.trace.footprint.total,
        )


def trace(
    prepare: Callable[[torch.device], Call],
    device: torch.device,
    context: AbstractContextManager[object] | None = None,
    *,
    first: bool = True,
) -> Traced:
    """Traces one call of what `prepare` makes, on fake tensors of the device; nothing is computed.

    Phases are found by themselves: what the autograd engine runs is backward, what an optimizer's `step` runs is optimizer. A
    forward operator run by the autograd engine is one that is computed again (activation checkpointing). With `first` a call
    before the traced one finds what is saved for the backward pass, and lets an optimizer make its state.

    Raises:
        UntraceableError: the code reads computed values, or an operator has no rule for fake tensors.
    """
    recorder = Recorder()
    with ExitStack() as stack:
        stack.enter_context(context or nullcontext())
        stack.enter_context(easy_initialization())
        stack.enter_context(_quiet())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for hook in recorder.hooks():
            stack.callback(hook.remove)
        stack.enter_context(FakeMode(recorder.saw))
        stack.enter_context(recorder.masks)
        stack.enter_context(_no_collection())
        try:
            call = prepare(device)
            saved = recorder.saved_by(call) if first else 0
            recorder.begin()
            with recorder.host.counting():
                output = call()
            recorder.end()
            del output
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise UntraceableError(f"it looks at values that it computes ({_operator(error)})") from error
        except UnsupportedOperatorException as error:
            raise UntraceableError(
                f"an operator has no rule for fake tensors ({_operator(error)})"
            ) from error
        except (PlumblineError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise UntraceableError(one_line(error)) from error
    return Traced(*recorder.traced(saved))


def _operator(error: Exception) -> str:
    return str(getattr(error, "func", "") or error)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collects reference cycles at fixed moments, or the peak of a step would vary."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _quiet() -> Iterator[None]:
    """What goes wrong on fake tensors is raised, and need not be logged as well."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
