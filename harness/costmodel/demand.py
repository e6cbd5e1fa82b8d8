"""The work of operators, in the terms of their models, and the time of the framework around them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.optimize import nnls

from harness.costmodel.kinds import (
    BACKWARD,
    BATCHED_GEMM,
    CONVOLUTIONS,
    GEMM,
    MATRIX,
    NORMALIZATION,
    REDUCTION,
    SOFTMAX,
    base_of,
    kind_of,
    shape_of,
)
from harness.records import CaseReplay, Framework, Operator, Replayed, Trace

# Each thread of torch's loops over elements on a CPU gets at least this many (at::internal::GRAIN_SIZE): fewer threads work on
# smaller tensors.
GRAIN = 32768
# A fused attention kernel skips masked pairs by whole blocks of keys (512 on a CPU: kvSplitSize of torch's
# FlashAttentionKernel.cpp). Along the diagonal it computes masked pairs of this many keys.
BLOCK = 512
# A shared cache evicts more and more operands: none below its size, all beyond this many times its size.
FAR = 4.0


# An operator that was measured alone: name, inputs, outputs.
Key = tuple[str, tuple[str, ...], tuple[str, ...]]


class Demand(NamedTuple):
    """The work of one call, averaged over equal calls.

    `far_bytes` are those of `moved_bytes` that come from memory, `mapped_bytes` those that the allocator maps again. `fraction` of all
    threads work on it, `made` counts the elements of its result, `inner` is the size by which libraries choose a kernel.
    """

    flops: float
    moved_bytes: float
    far_bytes: float
    mapped_bytes: float = 0.0
    fraction: float = 1.0
    made: int = 0
    inner: int = 0
    name: str = ""


def demand_of(operator: Operator, far_bytes: int, threads: int) -> Demand:
    """The demand of an operator. FLOPs are matrix FLOPs where there are any (recomputed and masked ones included), else elementwise FLOPs.

    Bytes last used more than `far_bytes` ago come partly from memory, those of `FAR` times as long ago completely. What is written there
    is read first (write-allocate). On an accelerator `threads` is 1: all of it works on every operator.
    """
    matrix = operator.flops + operator.recomputed_flops
    if operator.masked_flops:
        matrix += round(operator.masked_flops * min(1.0, BLOCK / _keys(operator)))
    moved = operator.bytes_read + operator.bytes_written
    touched = sum(reads + writes for _, reads, writes in operator.reuse)
    far = 0.0
    for place, reads, writes in operator.reuse:
        fraction = _far_fraction(place, far_bytes)
        far += fraction * (reads + 2 * writes)
    scale = moved / touched if touched else 0.0
    return Demand(
        flops=float(matrix or operator.elementwise_flops),
        moved_bytes=float(moved),
        far_bytes=scale * far,
        mapped_bytes=operator.mapped_bytes / operator.count,
        fraction=_fraction(operator, threads),
        made=sum(math.prod(shape_of(operand)) for operand in operator.outputs[:1]),
        inner=_inner(operator, kind_of(operator)),
        name=operator.name.rstrip("_"),
    )


def _inner(operator: Operator, kind: str) -> int:
    """The size by which libraries choose a kernel: rows of a product, pixels of a convolution's result, length of a reduced row."""
    shapes = [shape for operand in operator.inputs if len(shape := shape_of(operand)) > 1]
    if base_of(kind) in {GEMM, BATCHED_GEMM}:
        return shapes[0][-2] if shapes else 0
    if base_of(kind) in CONVOLUTIONS:
        made = operator.inputs[0] if kind.endswith(BACKWARD) else operator.outputs[0]
        return math.prod(shape_of(made)[2:])
    if base_of(kind) in {SOFTMAX, NORMALIZATION, REDUCTION}:
        return shapes[0][-1] if shapes else 0
    return 0


def _keys(operator: Operator) -> int:
    """The number of keys: the longest sequence of an operand of four dimensions."""
    shapes = (shape_of(operand) for operand in operator.inputs)
    return max((shape[-2] for shape in shapes if len(shape) == 4), default=BLOCK)


def _far_fraction(place: int, far_bytes: int) -> float:
    """The fraction that comes from memory of what was last used 2^place bytes ago (three quarters of that on average)."""
    octaves = place + math.log2(0.75) - math.log2(far_bytes)
    return min(1.0, max(0.0, octaves / math.log2(FAR)))


def _fraction(operator: Operator, threads: int) -> float:
    if threads == 1 or base_of(kind_of(operator)) in MATRIX:
        return 1.0
    sizes = (math.prod(shape_of(operand)) for operand in (*operator.inputs, *operator.outputs))
    return min(threads, max(1, math.ceil(max(sizes, default=0) / GRAIN))) / threads


def dtype_of(operator: Operator) -> str:
    """The dtype of the first floating-point operand or result; empty without one."""
    made = (output.split("[")[0] for output in operator.outputs)
    return operator.dtype or next((name for name in made if "float" in name), "")


def at_hand(operator: Operator) -> Operator:
    """The operator with all its operands in the cache, as when it is called repeatedly."""
    own = (operator.bytes_read + operator.bytes_written).bit_length()
    reuse = tuple((min(place, own), reads, writes) for place, reads, writes in operator.reuse)
    return msgspec.structs.replace(operator, reuse=reuse)


def key_of(operator: Operator | Replayed) -> Key:
    """The identity of an operator that was measured alone."""
    return operator.name, operator.inputs, operator.outputs


def alone_in(replay: CaseReplay) -> dict[Key, float]:
    """The mean seconds of a call of each operator."""
    counts: dict[Key, int] = {}
    seconds: dict[Key, float] = {}
    for operator in replay.operators:
        key = key_of(operator)
        counts[key] = counts.get(key, 0) + operator.count
        seconds[key] = seconds.get(key, 0.0) + operator.count * operator.seconds
    return {key: seconds[key] / counts[key] for key in counts}


# A step that touches no more than this keeps the framework's code in the cache of its core.
HOT_BYTES = 1 << 20


class Chain(NamedTuple):
    """A step of small blocks: its seconds, and those that its operators take alone."""

    trace: Trace
    operators: tuple[Operator, ...]
    seconds: float
    alone: float


def frameworks(chains: Sequence[Chain]) -> tuple[Framework, ...]:
    """The framework's costs while its code stays in the cache, and while data evict it, as far as there are chains of either."""
    hot = [chain for chain in chains if touched(chain.operators) <= HOT_BYTES]
    cold = [chain for chain in chains if touched(chain.operators) > HOT_BYTES]
    return tuple(_solved(group) for group in (hot, cold) if group)


def _solved(chains: Sequence[Chain]) -> Framework:
    """Non-negative least squares of relative errors."""
    rows = np.array(
        [[count / chain.seconds for count in counted(chain.trace, chain.operators)] for chain in chains]
    )
    rest = np.array([1.0 - chain.alone / chain.seconds for chain in chains])
    host, operator, view, backward = map(float, nnls(rows, rest)[0])
    size = math.exp(float(np.mean([math.log(max(1, touched(chain.operators))) for chain in chains])))
    return Framework(round(size), host, operator, view, backward)


def counted(trace: Trace, operators: Sequence[Operator]) -> tuple[int, int, int, int]:
    """The counts of Python calls, of operators and views called from Python, and of operators run by the autograd engine."""
    in_front = [operator for operator in operators if operator.phase != "backward"]
    return (
        sum(phase.host_calls for phase in trace.phases),
        sum(operator.count for operator in in_front if operator.kernel),
        sum(operator.count for operator in in_front if not operator.kernel),
        sum(operator.count for operator in operators if operator.phase == "backward"),
    )


def touched(operators: Sequence[Operator]) -> int:
    """The distinct bytes a step touches: its longest reuse distance."""
    return max((1 << place for operator in operators for place, *_ in operator.reuse), default=0)


def framework_seconds(known: Sequence[Framework], trace: Trace, operators: Sequence[Operator]) -> float:
    """The framework's seconds in a step, interpolated between hot and cold by the logarithm of the touched bytes."""
    if not known:
        return 0.0
    counts = counted(trace, operators)
    prices = [
        sum(
            count * price
            for count, price in zip(counts, (f.host, f.operator, f.view, f.backward), strict=True)
        )
        for f in known
    ]
    sizes = [math.log(max(HOT_BYTES, f.touched_bytes)) for f in known]
    return float(np.interp(math.log(max(1, touched(operators))), sizes, prices))
