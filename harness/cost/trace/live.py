"""Counts what code does while it really runs: the records of a trace, from real tensors."""

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.cost.trace.mode import decomposed, is_composite, named
from harness.cost.trace.recorder import Recorder
from harness.cost.trace.timeline import Piece, Timeline
from harness.records import PHASES, Operator, Trace


class LiveTimeline(Timeline):
    """Memory of real tensors. What the code is given was there from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self._watches: list[weakref.finalize[Any, Any]] = []

    def _piece(self, nbytes: int, *, made: bool) -> Piece:
        piece = super()._piece(nbytes, made=made)
        if not made:
            piece.born = None
        return piece

    def _watch(self, storage: torch.UntypedStorage, key: int, piece: Piece) -> None:
        watch = weakref.finalize(storage, self._gone, key, piece)
        watch.atexit = False
        self._watches.append(watch)

    def stop(self) -> None:
        """The code is over: lets go of its tensors, and counts what it was given from the beginning."""
        super().stop()
        for watch in self._watches:
            watch.detach()
        given = [event for event in self._events if event[1].foreign and event[2] > 0]
        others = [event for event in self._events if not (event[1].foreign and event[2] > 0)]
        self._events = [*((PHASES[0], piece, change) for _, piece, change in given), *others]


class LiveMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs each operator as it is, and counts it. One that cannot be counted is named, and disturbs nothing."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder
        self.uncounted: Counter[str] = Counter()
        self.devices: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: that would load the compiler, which takes longer than most of what is counted."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One operator."""
        del types
        kwargs = kwargs or {}
        if func.namespace == "prim":  # questions to a tensor, not operators
            return func(*args, **kwargs)
        if is_composite(func):
            with self:
                return decomposed(func, args, kwargs)
        if func is not torch.ops.aten.lift_fresh.default:  # what that is given was made a moment ago
            self._count(func, lambda: self._given(args, kwargs))
        result = func(*args, **kwargs)
        self.devices.update(
            {str(leaf.device) for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)}
        )
        self._count(func, lambda: self._recorder.saw(func, named(func, args, kwargs), result))
        return result

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor):
                self._recorder.timeline.saw(leaf)

    def _count(self, func: Any, count: Callable[[], object]) -> None:
        """Counts, without an error of its own: sparse tensors and subclasses have no storage that could be asked."""
        try:
            count()
        except (RuntimeError, NotImplementedError, TypeError, AttributeError):
            self.uncounted[str(func).removeprefix("aten.")] += 1


class LiveCount:
    """What code did so far: a trace, and its operators."""

    def __init__(self) -> None:
        self._recorder = Recorder(timeline=LiveTimeline())
        self._mode = LiveMode(self._recorder)
        self._over: tuple[Trace, tuple[Operator, ...]] | None = None

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts all operators of this thread meanwhile, and those of its backward passes. Compiled functions run uncompiled."""
        with ExitStack() as stack:
            if "torch._dynamo" in sys.modules:  # without it nothing can be compiled
                stack.enter_context(torch.compiler.set_stance("force_eager"))
            for hook in self._recorder.hooks():
                stack.callback(hook.remove)
            self._recorder.begin()
            stack.enter_context(self._mode)
            stack.enter_context(self._recorder.masks)
            try:
                yield
            finally:
                self._recorder.end()
                self._over = self._traced()

    @property
    def trace(self) -> Trace:
        """The sums over all operators, and the memory."""
        return (self._over or self._traced())[0]

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators, those alike counted together."""
        return (self._over or self._traced())[1]

    @property
    def devices(self) -> dict[str, int]:
        """How many operators made something on each device."""
        return dict(self._mode.devices)

    @property
    def uncounted(self) -> dict[str, int]:
        """The calls of operators that no formula covers, or that could not be counted."""
        return dict(Counter(self.trace.unknown) + self._mode.uncounted)

    def _traced(self) -> tuple[Trace, tuple[Operator, ...]]:
        return self._recorder.traced(saved=0)
