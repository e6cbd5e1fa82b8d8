"""One operator of a trace: its operands and its cost."""

from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import msgspec
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from harness.cost.operators import Operand, OperatorCall, Work, causal_pairs, is_free, moved_by, work_of
from harness.cost.trace.mode import span
from harness.records import Operator

PRODUCTS = frozenset({"mm", "bmm", "baddbmm"})


class CausalAttention(TorchFunctionMode):
    """Notices calls of attention with a causal mask, and which autograd nodes they make."""

    def __init__(self) -> None:
        super().__init__()
        self._now: Fraction | None = None
        self._begins: list[int] = []
        self._regions: list[tuple[int, Fraction]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """One call of torch's interface."""
        del types
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention or not _is_causal(args, kwargs):
            return func(*args, **kwargs)
        query, key = (args[i] if len(args) > i else kwargs[name] for i, name in enumerate(("query", "key")))
        queries, keys = query.shape[-2], key.shape[-2]
        self._now = Fraction(causal_pairs(queries, keys), queries * keys)
        begin = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            return func(*args, **kwargs)
        finally:
            self._begins.append(begin)
            self._regions.append((torch.autograd._get_sequence_nr(), self._now))  # type: ignore[attr-defined]  # noqa: SLF001
            self._now = None

    def fraction(self, name: str) -> Fraction | None:
        """Of the pairs that the operator now running computes, those that count; None where all do."""
        if name not in PRODUCTS:
            return None
        if self._now is not None:
            return self._now
        node: Any = torch._C._current_autograd_node()  # noqa: SLF001
        if node is None:
            return None
        number = node._sequence_nr()  # noqa: SLF001 - the link from a node to the call that made it
        place = bisect_right(self._begins, number) - 1
        if place < 0:
            return None
        end, fraction = self._regions[place]
        return fraction if number < end else None


def _is_causal(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return bool(args[5] if len(args) > 5 else kwargs.get("is_causal"))


def operator_of(func: Any, arguments: dict[str, Any], result: Any, phase: str, *, again: bool) -> Operator:
    """The operator as a record, with the cost of one call."""
    name = func._schema.name.removeprefix("aten::")  # noqa: SLF001 - the name formulas go by
    call = _call_of(name, func, arguments, result)
    kernel = touches(func)
    known = work_of(call) if kernel else Work(bytes_read=0, bytes_written=0)
    work = known or moved_by(call)
    dtype = next((read.dtype for read in call.reads if "float" in read.dtype), "")
    return Operator(
        name=name,
        phase=phase,
        inputs=tuple(map(str, call.reads)),
        outputs=tuple(map(str, call.writes)),
        count=1,
        dtype=dtype,
        flops=0 if again else work.flops,
        elementwise_flops=work.elementwise_flops,
        masked_flops=0 if again else work.masked_flops,
        recomputed_flops=work.recomputed_flops + (work.flops if again else 0),
        bytes_read=work.bytes_read or 0,
        bytes_written=work.bytes_written or 0,
        scratch_bytes=work.scratch_bytes,
        kernel=kernel,
        known=known is not None,
    )


def touches(func: Any) -> bool:
    """Whether an operator touches elements, rather than making a view or memory nobody has written yet."""
    return not (func.is_view or is_free(func._schema.name.removeprefix("aten::").rstrip("_")))  # noqa: SLF001


def masked(operator: Operator, fraction: Fraction) -> Operator:
    """The same, with a fraction of its pairs as FLOPs and the others as masked."""
    counted, again = int(operator.flops * fraction), int(operator.recomputed_flops * fraction)
    rest = operator.flops - counted
    return msgspec.structs.replace(operator, flops=counted, masked_flops=rest, recomputed_flops=again)


def _call_of(name: str, func: Any, arguments: dict[str, Any], result: Any) -> OperatorCall:
    schema = {argument.name: argument for argument in func._schema.arguments}  # noqa: SLF001
    written = [n for n in arguments if (info := schema[n].alias_info) is not None and info.is_write]
    only_out = {n for n in written if schema[n].is_out}
    made = _tensors([arguments[n] for n in written])
    made += [tensor for tensor in _tensors(result) if not any(_same(tensor, other) for other in made)]
    return OperatorCall(
        name=name,
        arguments={n: _plain(value) for n, value in arguments.items()},
        reads=_operands(_tensors([value for n, value in arguments.items() if n not in only_out])),
        writes=_operands(made),
        pointwise=torch.Tag.pointwise in func.tags,
    )


def _same(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    return tensor is other or tensor.untyped_storage()._cdata == other.untyped_storage()._cdata  # noqa: SLF001


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
        return [_plain(item) for item in value]
    return value
