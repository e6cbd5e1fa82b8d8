"""Scaled-dot-product attention, fused: the forward and backward passes of every backend.

The core is two products, Q K^T and P V: 2 (d + dv) FLOPs for each pair of a query and a key. A causal mask halves
the pairs; `masked_flops` are the others. The backward pass has four products (dV, dP, dQ, dK), and
computes Q K^T again: 2.5 times the forward in hardware, 2 times as model FLOPs (Dao et al., FlashAttention-2,
arXiv 2307.08691, counts the same). Fewer heads of keys and values (grouped-query) change bytes, not FLOPs.

For each pair: scale, running maximum, subtract, exponential, sum and rescale, six elementwise FLOPs; in the
backward pass, exponential of the difference, subtract, multiply, scale, six again with the sums.
"""

from collections.abc import Callable
from typing import NamedTuple

from harness.cost.operators.call import FORMULAS, OperatorCall, Work

VECTOR_PER_PAIR = 6


class Shape(NamedTuple):
    """Attention by its sizes: batch times heads, queries, keys, and the depth of keys and of values."""

    heads: int
    queries: int
    keys: int
    depth: int
    value_depth: int


def causal_pairs(queries: int, keys: int) -> int:
    """Pairs under torch's causal mask, aligned to the top left: query i attends to keys 0..i.

    >>> causal_pairs(4, 4), causal_pairs(2, 5), causal_pairs(5, 2)
    (10, 3, 9)
    """
    square = min(queries, keys)
    return square * (square + 1) // 2 + max(0, queries - keys) * keys


def last_aligned_pairs(queries: int, keys: int) -> int:
    """Pairs under a causal mask aligned to the bottom right: the last query attends to all keys.

    >>> last_aligned_pairs(4, 4), last_aligned_pairs(2, 5), last_aligned_pairs(5, 2)
    (10, 9, 3)
    """
    square = min(queries, keys)
    return square * (square + 1) // 2 + max(0, keys - queries) * queries


def core(
    shape: Shape,
    *,
    causal: bool,
    backward: bool = False,
    count: Callable[[int, int], int] = causal_pairs,
) -> Work:
    """The work of fused attention; `count` gives the pairs of queries and keys that a causal mask leaves."""
    everything = shape.heads * shape.queries * shape.keys
    pairs = shape.heads * count(shape.queries, shape.keys) if causal else everything
    both = 2 * (shape.depth + shape.value_depth) * (2 if backward else 1)
    return Work(
        flops=pairs * both,
        masked_flops=(everything - pairs) * both,
        recomputed_flops=2 * pairs * shape.depth if backward else 0,
        elementwise_flops=VECTOR_PER_PAIR * pairs,
    )


def _shape(call: OperatorCall, *, heads_last: bool = False) -> Shape:
    query, key, value = (call[name].shape for name in ("query", "key", "value"))
    if heads_last:  # (batch, length, heads, depth)
        query, key, value = ((b, h, s, d) for b, s, h, d in (query, key, value))
    return Shape(query[0] * query[1], query[2], key[2], query[3], value[3])


@FORMULAS.of(
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
def forward(call: OperatorCall) -> Work:
    """Forward; query, key and value are (batch, heads, length, depth)."""
    return core(_shape(call), causal=bool(call.get("is_causal")))


@FORMULAS.of(
    "_scaled_dot_product_flash_attention_backward",
    "_scaled_dot_product_flash_attention_for_cpu_backward",
    "_scaled_dot_product_efficient_attention_backward",
    "_scaled_dot_product_cudnn_attention_backward",
    "_scaled_dot_product_fused_attention_overrideable_backward",
)
def backward(call: OperatorCall) -> Work:
    """Backward; the same shapes."""
    return core(_shape(call), causal=bool(call.get("is_causal")), backward=True)


@FORMULAS.of("_flash_attention_forward")
def flash_forward(call: OperatorCall) -> Work:
    """Forward of (batch, length, heads, depth), or of sequences packed into (total, heads, depth)."""
    if len(call["query"].shape) == 3:
        return _packed(call, backward=False)
    return core(_shape(call, heads_last=True), causal=bool(call.get("is_causal")))


@FORMULAS.of("_flash_attention_backward")
def flash_backward(call: OperatorCall) -> Work:
    """Backward of the same."""
    if len(call["query"].shape) == 3:
        return _packed(call, backward=True)
    return core(_shape(call, heads_last=True), causal=bool(call.get("is_causal")), backward=True)


@FORMULAS.of("_efficient_attention_forward")
def efficient_forward(call: OperatorCall) -> Work:
    """Forward of (batch, length, heads, depth), or of sequences packed into a batch of one."""
    return _efficient(call, backward=False)


@FORMULAS.of("_efficient_attention_backward")
def efficient_backward(call: OperatorCall) -> Work:
    """Backward of the same."""
    return _efficient(call, backward=True)


def _efficient(call: OperatorCall, *, backward: bool) -> Work:
    """`custom_mask_type` is 1 for a causal mask aligned to the top left, 2 for the bottom right."""
    shape = _shape(call, heads_last=True)
    ends, most_queries, most_keys = call["cu_seqlens_q"], call["max_seqlen_q"], call["max_seqlen_k"]
    if ends is not None and most_queries and most_keys:
        sequences = (ends.numel - 1) * call["query"].shape[2]
        shape = shape._replace(heads=sequences, queries=most_queries, keys=most_keys)
    kind = call["custom_mask_type"]
    count = last_aligned_pairs if kind == 2 else causal_pairs
    return core(shape, causal=kind != 0, backward=backward, count=count)


def _packed(call: OperatorCall, *, backward: bool) -> Work:
    """Sequences packed into (total, heads, depth): their lengths are data, so each counts as the longest can be.

    Exact where all have the same length.
    """
    query, value = call["query"].shape, call["value"].shape
    sequences = call["cum_seq_q"].numel - 1
    longest = (min(call["max_q"], query[0]), min(call["max_k"], value[0]))
    shape = Shape(sequences * query[1], *longest, query[2], value[2])
    return core(shape, causal=bool(call.get("is_causal")), backward=backward)
