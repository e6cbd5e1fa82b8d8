"""What the framework takes beside its operators: Python, the dispatch from it, views, the autograd engine.

From blocks too small to compute anything, whose operators were measured one by one beside them: what is left is the framework. Its code and its objects
take room in the caches too, so the same blocks are measured once more with data passing through between them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from harness.records import Framework, Operator, Trace

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
    hot = [one for one in chains if touched(one.operators) <= HOT_BYTES]
    cold = [one for one in chains if touched(one.operators) > HOT_BYTES]
    return tuple(_solved(several) for several in (hot, cold) if several)


def _solved(chains: Sequence[Chain]) -> Framework:
    """Least squares of relative errors, none below zero."""
    rows = np.array([[count / one.seconds for count in counted(one.trace, one.operators)] for one in chains])
    rest = np.array([1.0 - one.alone / one.seconds for one in chains])
    host, operator, view, backward = map(float, nnls(rows, rest)[0])
    size = math.exp(float(np.mean([math.log(max(1, touched(one.operators))) for one in chains])))
    return Framework(round(size), host, operator, view, backward)


def counted(trace: Trace, operators: Sequence[Operator]) -> tuple[int, int, int, int]:
    """Function calls of Python, operators and views that it calls, and operators that the autograd engine runs."""
    in_front = [one for one in operators if one.phase != "backward"]
    return (
        sum(phase.host_calls for phase in trace.phases),
        sum(one.count for one in in_front if one.kernel),
        sum(one.count for one in in_front if not one.kernel),
        sum(one.count for one in operators if one.phase == "backward"),
    )


def touched(operators: Sequence[Operator]) -> int:
    """The distinct bytes a step goes through: the longest reuse distance of anything."""
    return max((1 << place for one in operators for place, *_ in one.reuse), default=0)


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
