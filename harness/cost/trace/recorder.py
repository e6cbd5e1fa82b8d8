"""Records each operator, parameter and optimizer of a traced call, and sums them up."""

import gc
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._pytree import tree_leaves

from harness.cost.trace.mode import HostCalls, NotCounted, WeakTensors, span
from harness.cost.trace.observation import CausalAttention, masked, operator_of, touches
from harness.cost.trace.timeline import Spans, Timeline, Uses
from harness.records import MAPPED_BYTES, PHASES, Operator, PhaseWork, Stratum, Trace
from harness.workload import Call

FORWARD, BACKWARD, OPTIMIZER = PHASES


@dataclass
class Recorder:
    """The record of a trace in progress."""

    timeline: Timeline = field(default_factory=Timeline)
    counts: Counter[Operator] = field(default_factory=Counter)
    reuse: dict[Operator, Uses] = field(default_factory=dict)
    mapped: Counter[Operator] = field(default_factory=Counter)
    host: HostCalls = field(default_factory=HostCalls)
    host_calls: Counter[str] = field(default_factory=Counter)
    masks: CausalAttention = field(default_factory=CausalAttention)
    foreign: int = 0
    recording: bool = False
    in_optimizer: bool = False
    seen: WeakTensors = field(default_factory=WeakTensors)
    whole_backward: dict[int, bool] = field(default_factory=dict)
    modules: weakref.WeakSet[torch.nn.Module] = field(default_factory=weakref.WeakSet)
    optimizers: list[Any] = field(default_factory=list)

    def hooks(self) -> Iterable[Any]:
        """Registers torch's hooks for parameters, buffers and optimizers; the caller removes them."""

        def keep(module: torch.nn.Module, *_: object) -> None:
            self.modules.add(module)

        def keep_all(parent: object, name: str, module: torch.nn.Module | None) -> None:
            del parent, name
            if module is not None:  # a copy of a module registers nothing itself
                self.modules.update(module.modules())

        yield register_module_parameter_registration_hook(keep)
        yield register_module_buffer_registration_hook(keep)
        yield register_module_module_registration_hook(keep_all)
        yield register_optimizer_step_pre_hook(self._optimizer_begins)
        yield register_optimizer_step_post_hook(self._optimizer_ends)

    def _optimizer_begins(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        if all(optimizer is not known for known in self.optimizers):
            self.optimizers.append(optimizer)
        self._claim()  # now the gradients are there
        self.in_optimizer = True

    def _optimizer_ends(self, *_: object) -> None:
        self.in_optimizer = False

    def _claim(self) -> None:
        """Sets the categories of the tensors of modules and optimizers."""
        with NotCounted():
            self._claim_all()

    def _claim_all(self) -> None:
        parameters = self._parameters()
        self.timeline.claim(parameters, "parameters")
        self.timeline.claim(self._of_modules("_buffers"), "buffers")
        self.timeline.claim(
            (parameter.grad for parameter in parameters if parameter.grad is not None), "gradients"
        )
        states = [leaf for optimizer in self.optimizers for leaf in tree_leaves(dict(optimizer.state))]
        self.timeline.claim((leaf for leaf in states if isinstance(leaf, torch.Tensor)), "optimizer")

    def _parameters(self) -> list[torch.Tensor]:
        """The parameters of modules and optimizers, and further ones that an operator used."""
        groups = [group["params"] for optimizer in self.optimizers for group in optimizer.param_groups]
        return [
            *self._of_modules("_parameters"),
            *(parameter for group in groups for parameter in group),
            *self.seen,
        ]

    def _of_modules(self, kind: str) -> list[torch.Tensor]:
        """The modules' own parameters or buffers at this moment."""
        tensors = [tensor for module in self.modules for tensor in getattr(module, kind).values()]
        return [tensor for tensor in tensors if tensor is not None]

    def saved_by(self, call: Call) -> int:
        """Runs a call, and returns the bytes that its forward pass saves for the backward one."""
        pieces = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if self._phase()[0] == FORWARD:  # in the backward pass it is kept for a moment
                piece = self.timeline.saw(tensor)
                pieces[id(piece)] = piece
            return tensor.detach()  # a result that keeps itself would never go

        try:
            with saved_tensors_hooks(pack, lambda tensor: tensor):
                call()
        except RuntimeError as error:
            if "saved tensor hooks" not in str(error):
                raise
            pieces.clear()  # torch.func takes none: what is saved is not known
            call()
        self._claim()
        return sum(
            piece.nbytes for piece in pieces.values() if piece.category not in {"parameters", "buffers"}
        )

    def begin(self) -> None:
        """Starts the traced call."""
        self._claim()
        self.in_optimizer = False
        gc.collect(1)  # what was made since is young
        self.timeline.begin()
        self.foreign = self.timeline.foreign_bytes()
        self.recording = True

    def end(self) -> None:
        """Ends the traced call, while its output is alive."""
        self.host_calls[self.timeline.phase or FORWARD] += self.host.take()
        self._claim()
        if self.timeline.phase == FORWARD:
            self.timeline.forward_ends()
        self.recording = False
        self.timeline.stop()

    def saw(self, func: Any, arguments: dict[str, Any], result: Any) -> None:
        """One operator."""
        if func.namespace == "profiler":
            return
        for leaf in tree_leaves(list(arguments.values())):
            if isinstance(leaf, torch.nn.Parameter):
                self.seen.update([leaf])
                self.timeline.claim([leaf], "parameters")
        phase, again = self._phase()
        if self.recording:
            self.host_calls[phase] += self.host.take()
            if phase != FORWARD and self.timeline.phase == FORWARD:
                self.timeline.forward_ends()
            self.timeline.enter(phase)
        mapped = self._made(func, result)
        uses = self._uses(func, arguments, result)
        if self.recording:
            operator = operator_of(func, arguments, result, phase, again=again)
            if operator.scratch_bytes:
                self.timeline.passing(operator.scratch_bytes)
            fraction = self.masks.fraction(operator.name)
            operator = masked(operator, fraction) if fraction else operator
            self.counts[operator] += 1
            known = self.reuse.setdefault(operator, {})
            for place, (reads, writes) in uses.items():
                before = known.get(place, (0, 0))
                known[place] = (before[0] + reads, before[1] + writes)
            self.mapped[operator] += mapped

    def _uses(self, func: Any, arguments: dict[str, Any], result: Any) -> Uses:
        if not touches(func):
            return {}
        changed = {argument.name for argument in func._schema.arguments if argument.is_out}  # noqa: SLF001
        read = [value for name, value in arguments.items() if name not in changed]
        return self.timeline.uses(_spans(read), _spans([result]))

    def _made(self, func: Any, result: Any) -> int:
        """Records the results of an operator; returns how many of their bytes were newly mapped."""
        mapped = 0
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and (_makes(func) or self.timeline.knows(leaf)):
                known = self.timeline.knows(leaf)
                nbytes = self.timeline.saw(leaf, made=True).nbytes
                mapped += nbytes if nbytes >= MAPPED_BYTES and not known else 0
        return mapped

    def _phase(self) -> tuple[str, bool]:
        """The phase, and whether a forward operator is computed again in the backward pass."""
        task = torch._C._current_graph_task_id()  # noqa: SLF001 - only the engine itself knows
        if task == -1:
            # A closure that an optimizer calls computes gradients; the optimizer itself does not.
            inside = self.in_optimizer and not torch.is_grad_enabled()
            return (OPTIMIZER if inside else FORWARD), False
        # Where even the first operator of a backward pass may have a gradient (create_graph), all of them may: then nothing
        # is recomputed. Otherwise only checkpointed operators are.
        all_of_it = self.whole_backward.setdefault(task, torch.is_grad_enabled())
        return BACKWARD, torch.is_grad_enabled() and not all_of_it

    def traced(self, saved: int) -> tuple[Trace, tuple[Operator, ...]]:
        """The sums, and the operators, those alike counted together."""
        operators = tuple(
            msgspec.structs.replace(
                operator,
                count=count,
                reuse=tuple((k, *bytes_of) for k, bytes_of in sorted(self.reuse[operator].items())),
                mapped_bytes=self.mapped[operator],
            )
            for operator, count in self.counts.items()
        )
        peaks = self.timeline.peaks()
        phases = tuple(
            _phase_work(name, operators, peaks.get(name, 0), self.host_calls[name])
            for name in PHASES
            if name in peaks
        )
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
            foreign_bytes=self.foreign,
            unknown=dict(unknown),
        )
        return summary, operators

    def _parameter_count(self) -> int:
        parameters = self._parameters()
        pieces = {id(self.timeline.saw(parameter)): parameter.numel() for parameter in parameters}
        return sum(pieces.values())


def _makes(func: Any) -> bool:
    """Whether an operator allocates memory; a view of an unknown tensor is of a real tensor's fake."""
    return not func.is_view or func is torch.ops.aten.lift_fresh.default


def _spans(values: list[Any]) -> Spans:
    """The tensors among them, and how many bytes of each."""
    for leaf in tree_leaves(values):
        if isinstance(leaf, torch.Tensor):
            yield leaf, span(leaf)


def _phase_work(name: str, operators: tuple[Operator, ...], peak: int, host_calls: int) -> PhaseWork:
    of_phase = [operator for operator in operators if operator.phase == name]

    def total(what: str) -> int:
        return sum(operator.count * getattr(operator, what) for operator in of_phase)

    return PhaseWork(
        phase=name,
        flops=total("flops"),
        elementwise_flops=total("elementwise_flops"),
        masked_flops=total("masked_flops"),
        recomputed_flops=total("recomputed_flops"),
        bytes_read=total("bytes_read"),
        bytes_written=total("bytes_written"),
        kernels=total("kernel"),
        peak_bytes=peak,
        host_calls=host_calls,
    )


def _strata(operators: tuple[Operator, ...]) -> tuple[Stratum, ...]:
    """Operators that touch elements, by matrix dtype and by the size of their operands."""
    strata: dict[tuple[str, int], list[Operator]] = {}
    for operator in operators:
        # No less than one of them lies in memory at once; rounded down, so that the level is never one too far out.
        moved = max(operator.bytes_read, operator.bytes_written)
        if operator.kernel:
            strata.setdefault((operator.dtype, 1 << max(1, moved).bit_length() - 1), []).append(operator)
    return tuple(
        Stratum(
            dtype=dtype,
            operand_bytes=size,
            flops=sum(operator.count * (operator.flops + operator.recomputed_flops) for operator in several),
            elementwise_flops=sum(operator.count * operator.elementwise_flops for operator in several),
            bytes_moved=sum(
                operator.count * (operator.bytes_read + operator.bytes_written) for operator in several
            ),
            kernels=sum(operator.count for operator in several),
        )
        for (dtype, size), several in sorted(strata.items())
    )
