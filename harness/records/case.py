"""What is measured: a workload as a fact, apart from the code that runs it."""

from harness.records.base import Record


class Cost(Record, frozen=True):
    """What one call asks of the machine, from closed forms.

    A multiply-add is two FLOPs. `flops` are matrix-like (what a tensor core or an FMA pipe of a
    GEMM does); `vector_flops` are elementwise and reductions, kept apart because another unit
    does them at another rate. Bytes are compulsory traffic: each operand moved once, no
    write-allocate. `memory_bytes` is the predicted peak of tensor memory while the call runs,
    its inputs and outputs included.
    """

    bytes_read: int
    bytes_written: int
    memory_bytes: int
    flops: int = 0
    vector_flops: int = 0

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
    """One workload at one size: everything analysis needs to know about it without its code."""

    id: str
    suite: str
    family: str
    dtype: str
    sizes: dict[str, int]
    cost: Cost | None = None
    working_set_bytes: int | None = None
    series: Series | None = None
