"""`count`: what code does, in FLOPs, bytes, kernels and memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import units
from harness.api import Shown
from harness.cost.trace.live import LiveCount
from harness.records import Operator, Trace

if TYPE_CHECKING:
    import pandas as pd

# How many operators a table on a screen has.
SHOWN = 8


@dataclass(frozen=True)
class OperatorTotal:
    """All calls of one operator: how many, and what they do together in FLOPs and bytes."""

    name: str
    calls: int
    flops: int
    flops_dense: int
    elementwise_flops: int
    bytes_moved: int
    known: bool


class Count(Shown):
    """What the code in a block did. It can be read in the block, too: it is then what was done so far."""

    def __init__(self, live: LiveCount) -> None:
        self._live = live

    @property
    def trace(self) -> Trace:
        """All of it by phase: forward, backward, optimizer."""
        return self._live.trace

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Each kind of call, with its operands."""
        return self._live.operators

    @property
    def flops(self) -> int:
        """Matrix FLOPs; a multiply-add is 2, a causal mask counts half, what is computed again does not count."""
        return sum(phase.flops for phase in self.trace.phases)

    @property
    def flops_dense(self) -> int:
        """Matrix FLOPs with masks ignored."""
        return self.flops + sum(phase.masked_flops for phase in self.trace.phases)

    @property
    def hardware_flops(self) -> int:
        """Matrix FLOPs with those that are computed again, as by checkpointing."""
        return self.flops + sum(phase.recomputed_flops for phase in self.trace.phases)

    @property
    def elementwise_flops(self) -> int:
        """Elementwise FLOPs, reductions included."""
        return sum(phase.elementwise_flops for phase in self.trace.phases)

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written, each operand of an operator once."""
        return sum(phase.bytes_read + phase.bytes_written for phase in self.trace.phases)

    @property
    def kernels(self) -> int:
        """Calls of operators that touch elements: on a GPU, about as many kernels."""
        return self.trace.kernels

    @property
    def peak_memory_bytes(self) -> int:
        """Bytes of tensors alive at the peak, those that the code is given included."""
        return max((phase.peak_bytes for phase in self.trace.phases), default=0)

    @property
    def unknown(self) -> dict[str, int]:
        """The calls of operators that no formula covers, by name: their FLOPs are missing."""
        return self._live.uncounted

    @property
    def by_operator(self) -> tuple[OperatorTotal, ...]:
        """The sums of each operator, the one with the most work first."""
        several: dict[str, list[Operator]] = {}
        for operator in self.operators:
            if operator.kernel:
                several.setdefault(operator.name, []).append(operator)
        totals = [_total(name, group) for name, group in several.items()]
        return tuple(sorted(totals, key=lambda one: (one.flops_dense, one.bytes_moved), reverse=True))

    def frame(self) -> "pd.DataFrame":
        """The sums of each operator as a DataFrame."""
        import pandas as pd  # noqa: PLC0415 - half a second

        return pd.DataFrame(list(self.by_operator), columns=list(OperatorTotal.__dataclass_fields__))

    def _shown(self) -> tuple[str, Sequence[tuple[str, str]]]:
        title = (
            f"{units.work(self.flops)}, {units.work(self.elementwise_flops)} elementwise, "
            f"{units.size(self.bytes_moved)} moved, {self.kernels} kernels, peak {units.size(self.peak_memory_bytes)}"
        )
        totals = self.by_operator
        rows = [
            (
                one.name,
                f"{one.calls} calls, {units.work(one.flops or one.elementwise_flops)}, {units.size(one.bytes_moved)}",
            )
            for one in totals[:SHOWN]
        ]
        if len(totals) > SHOWN:
            rows.append(("...", f"{len(totals) - SHOWN} operators more: see by_operator"))
        if self.unknown:
            rows.append(("unknown", f"no formula for {', '.join(sorted(self.unknown))}: FLOPs are missing"))
        return title, rows


def _total(name: str, group: Sequence[Operator]) -> OperatorTotal:
    flops = sum(one.count * one.flops for one in group)
    return OperatorTotal(
        name=name,
        calls=sum(one.count for one in group),
        flops=flops,
        flops_dense=flops + sum(one.count * one.masked_flops for one in group),
        elementwise_flops=sum(one.count * one.elementwise_flops for one in group),
        bytes_moved=sum(one.count * (one.bytes_read + one.bytes_written) for one in group),
        known=all(one.known for one in group),
    )


@contextmanager
def count() -> Iterator[Count]:
    """Counts the FLOPs, bytes, kernels and memory of the torch code in a block, which runs as ever.

    Compiled functions run uncompiled meanwhile, so that their operators can be seen. Code in other threads is not
    counted, backward passes are.

    Returns:
        A context manager that gives a `Count`: `flops`, `flops_dense`, `elementwise_flops` (FLOPs), `bytes_moved`,
        `peak_memory_bytes` (bytes), `kernels`, `unknown` (operators without a formula), `by_operator`, `frame()`.

    >>> import torch
    >>> with count() as c:
    ...     y = torch.ones(4, 8) @ torch.ones(8, 16)
    >>> c.flops, c.bytes_moved, c.peak_memory_bytes, c.unknown
    (1024, 1536, 896, {})
    """
    live = LiveCount()
    with live.counting():
        yield Count(live)
