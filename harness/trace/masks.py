"""Causal attention that a backend takes apart into products: which products are its, and the share of pairs that count.

A fused kernel is told of the mask; the products it is otherwise made of are not, and compute every pair. As model FLOPs
both are the same: half the pairs.
"""

from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from harness.predict.operators import causal_pairs

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

    def share(self, name: str) -> Fraction | None:
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
        end, share = self._regions[place]
        return share if number < end else None


def _is_causal(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return bool(args[5] if len(args) > 5 else kwargs.get("is_causal"))
