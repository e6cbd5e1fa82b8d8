"""Times the operators of a call one by one, directly after the call itself.

The call runs once in a dispatch mode that records each operator. New operands get the same shapes, strides and dtypes;
those of integers keep their values. Each distinct operator is then timed on new operands.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from harness import stats
from harness.cost.trace.mode import decomposed, is_composite, named, span
from harness.cost.trace.observation import operator_of, touches
from harness.measure.devices.base import Device
from harness.measure.timer import QuickTiming, Timer
from harness.records import Operator, Replayed

# Sampling of one operator.
TIMING = QuickTiming(
    warmup_seconds=0.001, seconds=0.004, least_samples=3, most_samples=64, min_sample_seconds=1e-4
)
# The first timing of an operator: its length, and the most calls in it.
FIRST_TIMING_SECONDS, MOST_CALLS = 2e-4, 50
# Integer operands up to this many elements keep their values, as they may be indices.
MOST_KEPT = 1 << 22


@dataclass
class _Seen:
    """A distinct operator: how often it was called, and how to call it again."""

    operator: Operator
    run: Callable[[], Callable[[], object]]
    count: int = 0


class _OperatorRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators of a call while it runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: dict[tuple[object, ...], _Seen] = {}
        self.foreign = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if is_composite(func):  # inference does not take it apart, and a trace does
            with self:
                return decomposed(func, args, kwargs)
        if not touches(func) or func.namespace in {"prim", "profiler"}:
            return func(*args, **kwargs)
        if func.namespace != "aten":  # of a library: it may need particular values
            self.foreign += 1
            return func(*args, **kwargs)
        again = tree_map(_stand_in, (args, kwargs))
        result = func(*args, **kwargs)
        operator = operator_of(func, named(func, args, kwargs), result, "", again=False)
        strides = tuple(
            leaf.stride() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)
        )
        scalars = tuple(leaf for leaf in tree_leaves((args, kwargs)) if not isinstance(leaf, torch.Tensor))
        key = (operator.name, operator.inputs, operator.outputs, strides, str(scalars))
        if key not in self.seen:
            self.seen[key] = _Seen(operator, _runner(func, *again))
        self.seen[key].count += 1
        return result


@dataclass
class _StandIn:
    """The layout of a tensor, to make it again; `kept` holds its values where they matter."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    elements: int
    kept: torch.Tensor | None

    def made(self) -> torch.Tensor:
        """A tensor of values between 0.5 and 1, so that roots are real and quotients finite."""
        if self.kept is not None:
            return self.kept.clone()
        base = torch.empty(self.elements, dtype=self.dtype, device=self.device)
        if self.dtype.is_floating_point or self.dtype.is_complex:
            base.uniform_(0.5, 1.0) if base.is_floating_point() else base.fill_(1.0)
        else:
            base.zero_()
        return base.as_strided(self.shape, self.stride)


def _stand_in(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    exact = not (value.is_floating_point() or value.is_complex())
    kept = value.detach().clone() if exact and value.numel() <= MOST_KEPT else None
    elements = span(value) // value.element_size() if value.numel() else 0
    reach = 1 + sum((n - 1) * abs(s) for n, s in zip(value.shape, value.stride(), strict=True))
    return _StandIn(
        tuple(value.shape),
        value.stride(),
        value.dtype,
        value.device,
        max(elements, reach) if elements else 0,
        kept,
    )


def _runner(func: Any, args: Any, kwargs: Any) -> Callable[[], Callable[[], object]]:
    def make() -> Callable[[], object]:
        def real(value: Any) -> Any:
            return value.made() if isinstance(value, _StandIn) else value

        made, named_made = tree_map(real, (args, kwargs))
        return lambda: func(*made, **named_made)

    return make


def replay(
    call: Callable[[], object],
    device: Device,
    context: Callable[[], AbstractContextManager[object]],
    seconds: float,
) -> tuple[tuple[Replayed, ...], int]:
    """Times the operators of a call one by one within `seconds`; also returns how many calls were not timed.

    Those that take longest by a first timing come first.
    """
    with context():
        recorder = _OperatorRecorder()
        with recorder:
            call()
    device.synchronize()
    until = time.perf_counter() + seconds
    tried: list[tuple[float, _Seen]] = []
    untimed = recorder.foreign
    with context(), torch.no_grad():
        for seen in recorder.seen.values():
            first_seconds = _first_timing(seen, device) if time.perf_counter() < until else None
            if first_seconds is None:
                untimed += seen.count
            else:
                tried.append((first_seconds, seen))
        timer = Timer(device)
        tried.sort(key=lambda pair: -pair[0] * pair[1].count)
        timed = [_timed(seen, first, timer if time.perf_counter() < until else None) for first, seen in tried]
    return tuple(timed), untimed


def _first_timing(seen: _Seen, device: Device) -> float | None:
    """A first timing by the host's clock; None where the operator fails on new operands."""
    try:
        run = seen.run()
        first = _seconds(run, 1, device)
        several = max(1, min(MOST_CALLS, int(FIRST_TIMING_SECONDS / max(first, 1e-9))))
        return min(first, _seconds(run, several, device))
    except Exception:  # noqa: BLE001 - an operator that needs more than shapes is left out, and counted
        return None


def _seconds(run: Callable[[], object], calls: int, device: Device) -> float:
    began = device.host_seconds()
    for _ in range(calls):
        run()
    device.synchronize()
    return (device.host_seconds() - began) / calls


def _timed(seen: _Seen, first: float, timer: Timer | None) -> Replayed:
    seconds = first
    with suppress(Exception):  # it ran before; an error now costs only the second timing
        if timer is not None:
            seconds = stats.median(timer.quick_samples(seen.run(), TIMING).trusted_seconds)
    operator = seen.operator
    return Replayed(operator.name, operator.inputs, operator.outputs, seen.count, seconds)
