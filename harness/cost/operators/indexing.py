"""Reading and writing by index: no FLOPs but the additions of a scatter; bytes of the rows that are touched.

A gather reads what it returns, not the whole table. The gradient of an embedding is dense: the
whole table is filled with zeros, then rows are added to it.
"""

from collections.abc import Sequence
from math import prod

from harness.cost.operators.call import FORMULAS, Operand, OperatorCall, Work


def _index_bytes(call: OperatorCall) -> int:
    for name in ("indices", "index", "mask"):
        index = call.get(name)
        if isinstance(index, Operand):
            return index.nbytes
        if isinstance(index, Sequence):
            return sum(item.nbytes for item in index if isinstance(item, Operand))
    return 0


@FORMULAS.of(
    "embedding", "index", "gather", "index_select", "take", "take_along_dim", "masked_select", "_unsafe_index"
)
def gather(call: OperatorCall) -> Work:
    """Rows read, rows written; of a table smaller than what is returned, no more than the table."""
    table = call.get("weight") or call["self"]
    most = table.nbytes if isinstance(table, Operand) else call.out.nbytes
    return Work(bytes_read=_index_bytes(call) + min(call.out.nbytes, most))


@FORMULAS.of("embedding_dense_backward")
def embedding_backward(call: OperatorCall) -> Work:
    """An addition for each element of the gradient; the table is written whole."""
    return Work(0, call["grad_output"].numel)


@FORMULAS.of("_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(call: OperatorCall) -> Work:
    """Rows are added up as they are read."""
    table: Operand = call["weight"]
    rows = call["indices"].numel * table.shape[1]
    return Work(0, rows, bytes_read=_index_bytes(call) + min(rows * table.item_bytes, table.nbytes))


@FORMULAS.of("_embedding_bag_dense_backward", "_embedding_bag_backward")
def embedding_bag_backward(call: OperatorCall) -> Work:
    """Each row gets the gradient of its bag."""
    return Work(0, call["indices"].numel * call["grad"].shape[-1])


@FORMULAS.of(
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "index_add",
    "index_reduce",
    "index_put",
    "_index_put_impl",
    "_unsafe_index_put",
    "index_copy",
    "index_fill",
    "masked_scatter",
)
def scatter(call: OperatorCall) -> Work:
    """Rows read and written; where they are added, read before, and an addition each.

    A variant that does not work in place copies the whole table first.
    """
    touched = _touched(call)
    rows = touched * call["self"].item_bytes
    source = next(
        (v for name in ("src", "source", "values") if isinstance(v := call.get(name), Operand)), None
    )
    given = min(rows, source.nbytes) if source else 0
    adds = call.name.rstrip("_") in {"scatter_add", "scatter_reduce", "index_add", "index_reduce"} or bool(
        call.get("accumulate") or call.get("reduce")
    )
    copied = 0 if call.name.endswith("_") else call.out.nbytes
    return Work(
        elementwise_flops=touched if adds else 0,
        bytes_read=_index_bytes(call) + given + rows * adds + copied,
        bytes_written=rows + copied,
    )


def _touched(call: OperatorCall) -> int:
    """Elements of the table that are written; a mask counts whole, as it may be true everywhere."""
    table: Operand = call["self"]
    if "indices" in call.arguments:
        return _chosen(table.shape, call["indices"])
    if "mask" in call.arguments:
        return table.numel
    index: Operand = call["index"]
    if call.name.startswith("index_"):  # whole slices of one dimension
        return index.numel * table.numel // max(1, table.shape[call["dim"]] if table.shape else 1)
    return index.numel


def _chosen(shape: tuple[int, ...], indices: Sequence[Operand | None]) -> int:
    """Elements that `table[indices]` names: indices broadcast, dimensions without one are taken whole."""
    whole, at, together = 1, 0, 1
    for index in indices:
        if index is None:
            whole *= shape[at]
            at += 1
        else:
            together = max(together, index.numel)
            at += len(index.shape) if index.dtype == "bool" else 1
    return together * whole * prod(shape[at:])


@FORMULAS.of("embedding_renorm")
def renorm(call: OperatorCall) -> Work:
    """Rows that are too long are shortened: square, add, and one multiplication for each element."""
    elements = call["indices"].numel * call["self"].shape[1]
    rows = elements * call["self"].item_bytes
    return Work(0, 3 * elements, bytes_read=call["indices"].nbytes + rows, bytes_written=rows)


@FORMULAS.of("nonzero", "nonzero_static", "isin")
def nonzero(_: OperatorCall) -> Work:
    """Finds places; no arithmetic."""
    return Work()


@FORMULAS.of("nll_loss_forward", "nll_loss2d_forward")
def nll_loss(call: OperatorCall) -> Work:
    """One value of each row is picked, negated and added up."""
    target: Operand = call["target"]
    picked = target.numel * call["self"].item_bytes
    return Work(0, 2 * target.numel, bytes_read=target.nbytes + picked)


@FORMULAS.of("nll_loss_backward", "nll_loss2d_backward")
def nll_loss_backward(call: OperatorCall) -> Work:
    """All is filled with zeros, and one element of each row is set."""
    target: Operand = call["target"]
    return Work(0, target.numel, bytes_read=target.nbytes + call["grad_output"].nbytes)
