"""What is measured: a workload as a fact, apart from the code that runs it."""

import msgspec

from harness.records.base import Record
from harness.records.trace import Trace


class Cost(Record, frozen=True):
    """What one call asks of the machine, from closed forms.

    A multiply-add is two FLOPs. `flops` are matrix-like (what a tensor core or an FMA pipe of a
    GEMM does) and honour the mask an operator is told of: causal attention counts the pairs it
    attends to, and `masked_flops` those it does not. `recomputed_flops` repeat work already
    counted (the backward of fused attention, checkpointing). `vector_flops` are elementwise and
    reductions, kept apart because another unit does them at another rate. Bytes are compulsory
    traffic: each operand moved once, no write-allocate. `memory_bytes` is the predicted peak of
    tensor memory while the call runs, its inputs and outputs included.
    """

    bytes_read: int
    bytes_written: int
    memory_bytes: int
    flops: int = 0
    vector_flops: int = 0
    masked_flops: int = 0
    recomputed_flops: int = 0

    @property
    def flops_dense(self) -> int:
        """Matrix FLOPs with masks ignored, as PaLM, nanoGPT and most MFU tables count them."""
        return self.flops + self.masked_flops

    @property
    def hardware_flops(self) -> int:
        """Matrix FLOPs with those that are computed again; over time and peak it is the HFU."""
        return self.flops + self.recomputed_flops

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def arithmetic_intensity(self) -> float:
        """FLOPs (matrix and vector) per byte moved; an upper bound, as the traffic is compulsory."""
        return (self.flops + self.vector_flops) / self.bytes_moved


class Series(Record, frozen=True):
    """The sweep a case belongs to, and what theory says of it.

    At large sizes the time of one call grows as `variable ** exponent`.
    """

    name: str
    variable: str
    size: int
    exponent: float


class Case(Record, frozen=True):
    """One workload at one size: everything analysis needs to know about it without its code.

    `items` is what a call processes besides FLOPs and bytes, by unit: samples, tokens. `trace` is where the
    cost comes from if the workload gives none in closed form; `untraced` says why there is none. `fused`: operators may be compiled into fewer, which move less. `calibrates`: the cost model learns from it. `counted` is what a trace came to, where the cost is given in closed form. `threads`: those it wants, whatever the run's are.
    `source` stands for the code of the workload's class: a case that asks for other work under the same id is another series.
    """

    id: str
    suite: str
    family: str
    dtype: str
    sizes: dict[str, int]
    cost: Cost | None = None
    working_set_bytes: int | None = None
    series: Series | None = None
    items: dict[str, int] = msgspec.field(default_factory=dict)
    trace: Trace | None = None
    untraced: str | None = None
    fused: bool = False
    calibrates: bool = False
    counted: Cost | None = None
    threads: int | None = None
    source: str | None = None

    @property
    def several(self) -> bool:
        """Whether it runs several operators, as they were traced: they can be measured one by one too."""
        return self.trace is not None and self.trace.kernels > 1 and not self.fused

    @property
    def held_out(self) -> bool:
        """Whether the cost model is tried on it: it is more than one operator, and nothing is learned from it."""
        return self.several and not self.calibrates and self.threads is None
