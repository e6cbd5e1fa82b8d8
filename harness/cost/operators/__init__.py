"""The cost of each aten operator, by one small function from shapes alone.

Sources: a product of (m, k) and (k, n) is mkn multiply-adds, two FLOPs each (Golub and Van Loan, Matrix
Computations); what else is counted, and where other tools count otherwise, stands with each formula.
Elementwise FLOPs are those of a plain implementation, an exponential or a square root counting as one.
"""

from harness.cost.operators import (  # noqa: F401 - each fills the table
    attention,
    convolution,
    elementwise,
    indexing,
    matrix,
    reductions,
)
from harness.cost.operators.attention import causal_pairs
from harness.cost.operators.call import FORMULAS, Operand, OperatorCall, Work
from harness.cost.operators.elementwise import FREE

__all__ = [
    "FORMULAS",
    "Operand",
    "OperatorCall",
    "Work",
    "causal_pairs",
    "is_free",
    "work_of",
]


def is_free(name: str) -> bool:
    """Whether an operator touches no element: it makes a view, or memory nobody has written yet."""
    return name in FREE


def work_of(call: OperatorCall) -> Work | None:
    """The work of a call; None where no formula covers the operator.

    An operator that works element by element and has no formula of its own counts one elementwise FLOP
    for each element it writes.
    """
    formula = FORMULAS.get(call.name)
    if formula is not None:
        work = formula(call)
    elif call.pointwise:
        work = Work(elementwise_flops=sum(write.numel for write in call.writes))
    else:
        return None
    if any("complex" in read.dtype for read in call.reads):
        work = work._replace(flops=4 * work.flops)  # a complex multiply-add is four real ones
    return work._replace(
        bytes_read=_bytes(call.reads) if work.bytes_read is None else work.bytes_read,
        bytes_written=_bytes(call.writes) if work.bytes_written is None else work.bytes_written,
    )


def moved_by(call: OperatorCall) -> Work:
    """The bytes of a call no formula covers."""
    return Work(bytes_read=_bytes(call.reads), bytes_written=_bytes(call.writes))


def _bytes(operands: tuple[Operand, ...]) -> int:
    return sum(operand.nbytes for operand in operands)
