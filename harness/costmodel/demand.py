"""What one operator asks of the machine, in the terms of its model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

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
from harness.records import Framework, Operator, Trace

# Each thread of torch's loops over elements on a CPU gets at least so many (at::internal::GRAIN_SIZE): smaller tensors
# are worked on by fewer threads.
GRAIN = 32768
# A fused attention kernel leaves out masked pairs by whole blocks of keys (512 on a CPU: kvSplitSize of torch's
# FlashAttentionKernel.cpp): along the diagonal so many pairs are computed in vain.
BLOCK = 512
# A cache that others use too lets go of more and more: from its share on, up to so many times as much.
FAR = 4.0


class Demand(NamedTuple):
    """One call, on average over all alike: FLOPs, bytes moved, those of them that come from memory, bytes mapped anew.

    `share` is the part of all threads that work on it, `made` the elements of what it makes, `inner` the size by which
    libraries choose a kernel, `name` the operator's.
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
    """FLOPs are matrix FLOPs where there are any, with those computed again or in vain; else elementwise FLOPs.

    Bytes last used longer ago than `far_bytes` come from memory, the more of them the longer ago, up to `FAR` times as long; what is written there
    is read first (write-allocate). On an accelerator, `threads` is 1: all of it works on everything.
    """
    matrix = operator.flops + operator.recomputed_flops
    if operator.masked_flops:
        matrix += round(operator.masked_flops * min(1.0, BLOCK / _keys(operator)))
    round_spread = operator.bytes_read + operator.bytes_written
    touched = sum(reads + writes for _, reads, writes in operator.reuse)
    far = 0.0
    for place, reads, writes in operator.reuse:
        fraction = _far_fraction(place, far_bytes)
        far += fraction * (reads + 2 * writes)
    scale = round_spread / touched if touched else 0.0
    return Demand(
        flops=float(matrix or operator.elementwise_flops),
        moved_bytes=float(round_spread),
        far_bytes=scale * far,
        mapped_bytes=operator.mapped_bytes / operator.count,
        fraction=_fraction(operator, threads),
        made=sum(math.prod(shape_of(operand)) for operand in operator.outputs[:1]),
        inner=_inner(operator, kind_of(operator)),
        name=operator.name.rstrip("_"),
    )


def _inner(operator: Operator, kind: str) -> int:
    """The rows of a product, the pixels of an image that a convolution makes, and the length of the rows that others work on.

    By these libraries choose between kernels.
    """
    shapes = [shape for one in operator.inputs if len(shape := shape_of(one)) > 1]
    if base_of(kind) in {GEMM, BATCHED_GEMM}:
        return shapes[0][-2] if shapes else 0
    if base_of(kind) in CONVOLUTIONS:
        made = operator.inputs[0] if kind.endswith(BACKWARD) else operator.outputs[0]
        return math.prod(shape_of(made)[2:])
    if base_of(kind) in {SOFTMAX, NORMALIZATION, REDUCTION}:
        return shapes[0][-1] if shapes else 0
    return 0


def _keys(operator: Operator) -> int:
    """The length of the sequence that is attended to: that of the longest operand of four dimensions."""
    shapes = (shape_of(operand) for operand in operator.inputs)
    return max((shape[-2] for shape in shapes if len(shape) == 4), default=BLOCK)


def _far_fraction(place: int, far_bytes: int) -> float:
    """Of what was last used when 2^place bytes had been since, on average three quarters of that."""
    octaves = place + math.log2(0.75) - math.log2(far_bytes)
    return min(1.0, max(0.0, octaves / math.log2(FAR)))


def _fraction(operator: Operator, threads: int) -> float:
    if threads == 1 or base_of(kind_of(operator)) in MATRIX:
        return 1.0
    sizes = (math.prod(shape_of(operand)) for operand in (*operator.inputs, *operator.outputs))
    return min(threads, max(1, math.ceil(max(sizes, default=0) / GRAIN))) / threads


def dtype_of(operator: Operator) -> str:
    """That of the first floating-point operand, or of what it makes; empty where there is none."""
    made = (output.split("[")[0] for output in operator.outputs)
    return operator.dtype or next((name for name in made if "float" in name), "")


# A step that touches no more than this leaves the framework in the cache of its core.
HOT_BYTES = 1 << 20


class Chain(NamedTuple):
    """A step of little blocks: its trace, its operators, what it takes and what its operators take alone, in seconds."""

    trace: Trace
    operators: tuple[Operator, ...]
    seconds: float
    alone: float


def frameworks(chains: Sequence[Chain]) -> tuple[Framework, ...]:
    """What the framework takes while all is in the cache, and while data pass through, as far as chains tell."""
    hot = [chain for chain in chains if touched(chain.operators) <= HOT_BYTES]
    cold = [chain for chain in chains if touched(chain.operators) > HOT_BYTES]
    return tuple(_solved(several) for several in (hot, cold) if several)


def _solved(chains: Sequence[Chain]) -> Framework:
    """Least squares of relative errors, none below zero."""
    rows = np.array(
        [[count / chain.seconds for count in counted(chain.trace, chain.operators)] for chain in chains]
    )
    rest = np.array([1.0 - chain.alone / chain.seconds for chain in chains])
    host, operator, view, backward = map(float, nnls(rows, rest)[0])
    size = math.exp(float(np.mean([math.log(max(1, touched(chain.operators))) for chain in chains])))
    return Framework(round(size), host, operator, view, backward)


def counted(trace: Trace, operators: Sequence[Operator]) -> tuple[int, int, int, int]:
    """Function calls of Python, operators and views that it calls, and operators that the autograd engine runs."""
    in_front = [operator for operator in operators if operator.phase != "backward"]
    return (
        sum(phase.host_calls for phase in trace.phases),
        sum(one.count for one in in_front if one.kernel),
        sum(one.count for one in in_front if not one.kernel),
        sum(operator.count for operator in operators if operator.phase == "backward"),
    )


def touched(operators: Sequence[Operator]) -> int:
    """The distinct bytes a step goes through: the longest reuse distance of anything."""
    return max((1 << place for operator in operators for place, *_ in operator.reuse), default=0)


def framework_seconds(known: Sequence[Framework], trace: Trace, operators: Sequence[Operator]) -> float:
    """What the framework takes of a step: between hot and cold by the logarithm of the bytes it touches."""
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
    sizes = [math.log(max(HOT_BYTES, one.touched_bytes)) for one in known]
    return float(np.interp(math.log(max(1, touched(operators))), sizes, prices))
