"""Traces a call: `trace(prepare, device)` gives what it does, operator by operator, and what memory it takes."""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._pytree import tree_leaves

from harness.errors import PlumblineError, one_line
from harness.predict.operators import Operand, OperatorCall, Work, is_free, moved_by, work_of
from harness.records import PHASES, Cost, Operator, PhaseWork, Stratum, Trace
from harness.trace.mode import FakeMode, easy_initialization, span
from harness.trace.timeline import Timeline
from harness.workload import Call

FORWARD, BACKWARD, OPTIMIZER = PHASES


class UntraceableError(PlumblineError):
    """A call cannot be followed without computing it; one line that says why."""


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
            vector_flops=sum(phase.vector_flops for phase in phases),
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
    """Follows one call of what `prepare` makes, on fake tensors of the device; nothing is computed.

    Phases are found by themselves: what the autograd engine runs is backward, what an optimizer's `step` runs is optimizer. A
    forward operator run by the autograd engine is one that is computed again (activation checkpointing). With `first` a call
    before the traced one finds what is saved for the backward pass, and lets an optimizer make its state.

    Raises:
        UntraceableError: the code looks at computed values, or an operator has no rule for fake tensors.
    """
    recorder = _Recorder()
    with ExitStack() as stack:
        stack.enter_context(context or nullcontext())
        stack.enter_context(easy_initialization())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for hook in recorder.hooks():
            stack.callback(hook.remove)
        stack.enter_context(FakeMode(recorder.saw))
        try:
            call = prepare(device)
            saved = recorder.saved_by(call) if first else 0
            recorder.begin()
            output = call()
            recorder.end()
            del output
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise UntraceableError(f"it looks at values that it computes ({_operator(error)})") from error
        except UnsupportedOperatorException as error:
            raise UntraceableError(
                f"an operator has no rule for fake tensors ({_operator(error)})"
            ) from error
        except PlumblineError:
            raise
        except Exception as error:
            raise UntraceableError(one_line(error)) from error
    return recorder.traced(saved)


def _operator(error: Exception) -> str:
    return str(getattr(error, "func", "") or error)


@dataclass
class _Recorder:
    """Hears of each operator and each parameter, and adds them up."""

    timeline: Timeline = field(default_factory=Timeline)
    counts: Counter[Operator] = field(default_factory=Counter)
    recording: bool = False
    in_optimizer: bool = False
    parameters: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    optimizers: list[Any] = field(default_factory=list)

    def hooks(self) -> Iterable[Any]:
        """The hooks of torch that tell of parameters, buffers and optimizers; to be removed."""

        def keep(into: list[Any]) -> Callable[..., None]:
            def hook(module: object, name: str, tensor: torch.Tensor | None) -> None:
                del module, name
                if tensor is not None:
                    into.append(weakref.ref(tensor))

            return hook

        yield register_module_parameter_registration_hook(keep(self.parameters))
        yield register_module_buffer_registration_hook(keep(self.buffers))
        yield register_optimizer_step_pre_hook(self._optimizer_begins)
        yield register_optimizer_step_post_hook(self._optimizer_ends)

    def _optimizer_begins(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        if all(optimizer is not one for one in self.optimizers):
            self.optimizers.append(optimizer)
        self._claim()  # now the gradients are there
        self.in_optimizer = True

    def _optimizer_ends(self, *_: object) -> None:
        self.in_optimizer = False

    def _claim(self) -> None:
        """Says what the tensors are that torch or a module told us of."""
        groups = [group["params"] for optimizer in self.optimizers for group in optimizer.param_groups]
        parameters = [*_alive(self.parameters), *(one for group in groups for one in group)]
        self.timeline.claim(parameters, "parameters")
        self.timeline.claim(_alive(self.buffers), "buffers")
        self.timeline.claim((one.grad for one in parameters if one.grad is not None), "gradients")
        states = [leaf for optimizer in self.optimizers for leaf in tree_leaves(dict(optimizer.state))]
        self.timeline.claim((leaf for leaf in states if isinstance(leaf, torch.Tensor)), "optimizer")

    def saved_by(self, call: Call) -> int:
        """Runs a call, and adds up what its forward pass saves for the backward one, in bytes."""
        pieces = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            piece = self.timeline.saw(tensor)
            pieces[id(piece)] = piece
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            call()
        self._claim()
        return sum(
            piece.nbytes for piece in pieces.values() if piece.category not in {"parameters", "buffers"}
        )

    def begin(self) -> None:
        """The traced call begins."""
        self._claim()
        self.timeline.begin()
        self.recording = True

    def end(self) -> None:
        """It is over, and its output still there."""
        self._claim()
        if self.timeline.phase == FORWARD:
            self.timeline.forward_ends()
        self.recording = False
        self.timeline.stop()

    def saw(self, func: Any, arguments: dict[str, Any], result: Any) -> None:
        """One operator."""
        if func.namespace in {"prim", "profiler"}:
            return
        for leaf in tree_leaves(list(arguments.values())):
            if isinstance(leaf, torch.nn.Parameter):
                self.timeline.claim([leaf], "parameters")
        phase, again = self._phase()
        if self.recording:
            if phase != FORWARD and self.timeline.phase == FORWARD:
                self.timeline.forward_ends()
            self.timeline.phase = phase
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.timeline.saw(leaf)
        if self.recording:
            self.counts[_operator_of(func, arguments, result, phase, again=again)] += 1

    def _phase(self) -> tuple[str, bool]:
        """The phase, and whether a forward operator is computed again in the backward pass."""
        if self.in_optimizer:
            return OPTIMIZER, False
        if torch._C._current_graph_task_id() == -1:  # noqa: SLF001 - only the engine itself knows
            return FORWARD, False
        return BACKWARD, torch.is_grad_enabled()

    def traced(self, saved: int) -> Traced:
        """The sums."""
        operators = tuple(
            msgspec.structs.replace(operator, count=count) for operator, count in self.counts.items()
        )
        peaks = self.timeline.peaks()
        phases = tuple(_phase_work(name, operators, peaks.get(name, 0)) for name in PHASES if name in peaks)
        unknown: Counter[str] = Counter()
        for operator in operators:
            if not operator.known:
                unknown[operator.name] += operator.count
        summary = Trace(
            parameters=self._parameter_count(),
            phases=phases,
            strata=_strata(operators),
            footprint=self.timeline.at_peak(),
            held=self.timeline.held(),
            peak_phase=max(phases, key=lambda phase: phase.peak_bytes).phase if phases else FORWARD,
            saved_bytes=saved,
            unknown=dict(unknown),
        )
        return Traced(summary, operators)

    def _parameter_count(self) -> int:
        groups = [group["params"] for optimizer in self.optimizers for group in optimizer.param_groups]
        parameters = [*_alive(self.parameters), *(one for group in groups for one in group)]
        pieces = {id(self.timeline.saw(one)): one.numel() for one in parameters}
        return sum(pieces.values())


def _alive(references: list[Any]) -> list[torch.Tensor]:
    return [tensor for reference in references if (tensor := reference()) is not None]


def _operator_of(func: Any, arguments: dict[str, Any], result: Any, phase: str, *, again: bool) -> Operator:
    """The operator as a record, with what one call of it costs."""
    name = func._schema.name.removeprefix("aten::")  # noqa: SLF001 - the name formulas go by
    call = _call_of(name, func, arguments, result)
    kernel = not (func.is_view or is_free(name.rstrip("_")))
    work = (work_of(call) or moved_by(call)) if kernel else Work(bytes_read=0, bytes_written=0)
    matrix_dtype = next((one.dtype for one in call.reads if "float" in one.dtype), "")
    return Operator(
        name=name,
        phase=phase,
        inputs=tuple(map(str, call.reads)),
        outputs=tuple(map(str, call.writes)),
        count=1,
        dtype=matrix_dtype,
        flops=0 if again else work.flops,
        vector_flops=work.vector_flops,
        masked_flops=0 if again else work.masked_flops,
        recomputed_flops=work.recomputed_flops + (work.flops if again else 0),
        bytes_read=work.bytes_read or 0,
        bytes_written=work.bytes_written or 0,
        kernel=kernel,
        known=not kernel or work_of(call) is not None,
    )


def _call_of(name: str, func: Any, arguments: dict[str, Any], result: Any) -> OperatorCall:
    schema = {argument.name: argument for argument in func._schema.arguments}  # noqa: SLF001
    written = [n for n in arguments if (info := schema[n].alias_info) is not None and info.is_write]
    only_out = {n for n in written if schema[n].is_out}
    made = _tensors([arguments[n] for n in written])
    made += [one for one in _tensors(result) if not any(_same(one, other) for other in made)]
    return OperatorCall(
        name=name,
        arguments={n: _plain(value) for n, value in arguments.items()},
        reads=_operands(_tensors([value for n, value in arguments.items() if n not in only_out])),
        writes=_operands(made),
        pointwise=torch.Tag.pointwise in func.tags,
    )


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one is other or one.untyped_storage()._cdata == other.untyped_storage()._cdata  # noqa: SLF001


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def _operands(tensors: list[torch.Tensor]) -> tuple[Operand, ...]:
    return tuple(_operand(tensor) for tensor in {id(tensor): tensor for tensor in tensors}.values())


def _operand(tensor: torch.Tensor) -> Operand:
    return Operand(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), span(tensor))


def _plain(value: Any) -> Any:
    """A tensor as an operand, also inside a list; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return _operand(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _phase_work(name: str, operators: tuple[Operator, ...], peak: int) -> PhaseWork:
    mine = [operator for operator in operators if operator.phase == name]

    def total(what: str) -> int:
        return sum(operator.count * getattr(operator, what) for operator in mine)

    return PhaseWork(
        phase=name,
        flops=total("flops"),
        vector_flops=total("vector_flops"),
        masked_flops=total("masked_flops"),
        recomputed_flops=total("recomputed_flops"),
        bytes_read=total("bytes_read"),
        bytes_written=total("bytes_written"),
        kernels=total("kernel"),
        peak_bytes=peak,
    )


def _strata(operators: tuple[Operator, ...]) -> tuple[Stratum, ...]:
    """Operators that touch elements, by matrix dtype and by the size of their operands."""
    found: dict[tuple[str, int], list[Operator]] = {}
    for operator in operators:
        moved = operator.bytes_read + operator.bytes_written
        if operator.kernel:
            found.setdefault((operator.dtype, 1 << max(0, moved - 1).bit_length()), []).append(operator)
    return tuple(
        Stratum(
            dtype=dtype,
            operand_bytes=size,
            flops=sum(one.count * (one.flops + one.recomputed_flops) for one in several),
            vector_flops=sum(one.count * one.vector_flops for one in several),
            bytes_moved=sum(one.count * (one.bytes_read + one.bytes_written) for one in several),
            kernels=sum(one.count for one in several),
        )
        for (dtype, size), several in sorted(found.items())
    )
