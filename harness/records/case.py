"""What is measured: the record of a workload, without the code that runs it."""

import msgspec

from harness.records.base import Record

Scalar = bool | int | float | str
PHASES = ("forward", "backward", "optimizer")
# glibc maps each allocation of this size or more separately, wherever its dynamic threshold is
# (upper bound of M_MMAP_THRESHOLD on 64 bits, mallopt(3)). Each page of it faults at its first use.
MAPPED_BYTES = 32 << 20


class Operator(Record, frozen=True):
    """One kind of operator call in a trace: its name, phase and operands, and how often it occurs.

    `inputs` and `outputs` are written as `float32[8,128]`. FLOPs, bytes and `scratch_bytes` (memory allocated only
    during the call) are of one call. `kernel` is False for views and other calls that touch no element. `known` is
    False where no formula covers the operator; its FLOPs are then missing.

    `reuse` and `mapped_bytes` are of all `count` calls together. `reuse` is the reuse distance of the operands, as
    (k, bytes read, bytes written without being read): at most 2^k bytes, their own included, were touched since their
    last use. `mapped_bytes` are the bytes of results of `MAPPED_BYTES` or more.
    """

    name: str
    phase: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    count: int
    dtype: str
    flops: int = 0
    elementwise_flops: int = 0
    masked_flops: int = 0
    recomputed_flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    scratch_bytes: int = 0
    kernel: bool = True
    known: bool = True
    reuse: tuple[tuple[int, int, int], ...] = ()
    mapped_bytes: int = 0


class CaseOperators(Record, frozen=True):
    """The operators of one traced case."""

    case: str
    operators: tuple[Operator, ...]


class PhaseWork(Record, frozen=True):
    """The work of all operators of one phase, and the peak of live memory during it, in bytes.

    `host_calls` counts the Python function calls of the phase, a measure of the host's work.
    """

    phase: str
    flops: int
    elementwise_flops: int
    masked_flops: int
    recomputed_flops: int
    bytes_read: int
    bytes_written: int
    kernels: int
    peak_bytes: int
    host_calls: int = 0


class Footprint(Record, frozen=True):
    """Bytes of tensors by category at the moment of the peak.

    Parameters, buffers, gradients and optimizer state; inputs made beforehand; activations (made in the forward
    pass and alive at its end); temporaries (the rest).
    """

    parameters: int = 0
    buffers: int = 0
    gradients: int = 0
    optimizer: int = 0
    inputs: int = 0
    activations: int = 0
    temporaries: int = 0

    @property
    def total(self) -> int:
        """The peak: the sum of all categories."""
        return sum(msgspec.structs.astuple(self))


class Stratum(Record, frozen=True):
    """The operators of one dtype whose operands have `operand_bytes` (a power of two) up to twice that.

    The memory level that can feed an operator depends on its operands, not on the whole step.
    """

    dtype: str
    operand_bytes: int
    flops: int
    elementwise_flops: int
    bytes_moved: int
    kernels: int


class Trace(Record, frozen=True):
    """A call as a sum of operators, and its memory.

    `parameters` counts the parameters, frozen ones included. `saved_bytes` is what the forward pass keeps for the
    backward pass, without parameters and buffers. `footprint` is the memory at the peak, which occurs in `peak_phase`;
    `held` is the maximum of each category. `foreign_bytes` of it existed before the preparation. `unknown` counts the
    calls of operators without a formula.
    """

    parameters: int
    phases: tuple[PhaseWork, ...]
    strata: tuple[Stratum, ...]
    footprint: Footprint
    held: Footprint
    peak_phase: str
    saved_bytes: int = 0
    foreign_bytes: int = 0
    unknown: dict[str, int] = msgspec.field(default_factory=dict)

    def phase(self, name: str) -> PhaseWork:
        """A phase by name; all zero where the call has no such phase."""
        nothing = PhaseWork(name, 0, 0, 0, 0, 0, 0, 0, 0)
        return next((phase for phase in self.phases if phase.phase == name), nothing)

    @property
    def dtype(self) -> str:
        """The dtype of most matrix FLOPs; empty where there are no matrix FLOPs."""
        flops: dict[str, int] = {}
        for stratum in self.strata:
            flops[stratum.dtype] = flops.get(stratum.dtype, 0) + stratum.flops
        return max(flops, key=lambda name: flops[name]) if any(flops.values()) else ""

    @property
    def kernels(self) -> int:
        """Number of operator calls that touch elements; on a GPU, about the number of kernels."""
        return sum(phase.kernels for phase in self.phases)


class Cost(Record, frozen=True):
    """The work of one call.

    A multiply-add is 2 FLOPs. `flops` are matrix FLOPs (tensor cores, or FMA units in a GEMM). They honour the mask
    of an operator: causal attention counts attended pairs in `flops` and the others in `masked_flops`.
    `recomputed_flops` repeat counted work (backward of fused attention, checkpointing). `elementwise_flops` are of
    elementwise operators and reductions, which run at another rate. Bytes are compulsory traffic: each operand
    moves once, without write-allocate. `memory_bytes` is the predicted peak of tensor memory during the call,
    inputs and outputs included.
    """

    bytes_read: int
    bytes_written: int
    memory_bytes: int
    flops: int = 0
    elementwise_flops: int = 0
    masked_flops: int = 0
    recomputed_flops: int = 0

    @property
    def flops_dense(self) -> int:
        """Matrix FLOPs with masks ignored, as PaLM, nanoGPT and most MFU tables count them."""
        return self.flops + self.masked_flops

    @property
    def hardware_flops(self) -> int:
        """Matrix FLOPs including recomputed ones; HFU is this over time and peak."""
        return self.flops + self.recomputed_flops

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def arithmetic_intensity(self) -> float:
        """FLOPs (matrix and elementwise) per byte moved; an upper bound, as the traffic is compulsory."""
        return (self.flops + self.elementwise_flops) / self.bytes_moved


class Series(Record, frozen=True):
    """The sweep that a case belongs to, and its theoretical growth.

    At large sizes the time of one call grows as `variable ** exponent`.
    """

    name: str
    variable: str
    size: int
    exponent: float


class Case(Record, frozen=True):
    """One workload at one size: all that analysis needs, without the code.

    `parameters` are the workload's fields that are neither sizes nor dtype, by name. `items` counts what a call
    processes, by unit (samples, tokens). `trace` gives the cost where there is no closed form; `untraced` is the reason
    where there is no trace. `counted` is the traced cost of a case with a closed form. `fused`: operators may be
    compiled into fewer, which move fewer bytes. `calibrates`: the cost model is calibrated with it. `threads`: its own
    number of threads, whatever the run's is. `source` is the hash of the class's code: the same id with other code
    is another series.
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
    parameters: dict[str, Scalar] = msgspec.field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether it runs several operators as traced, so that each can be measured separately."""
        return self.trace is not None and self.trace.kernels > 1 and not self.fused

    @property
    def held_out(self) -> bool:
        """Whether it validates the cost model: several operators, and not used in calibration."""
        return self.several and not self.calibrates and self.threads is None
