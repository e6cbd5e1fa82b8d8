"""What is measured: a workload as a fact, apart from the code that runs it."""

import msgspec

from harness.records.base import Record

PHASES = ("forward", "backward", "optimizer")
# glibc maps an allocation of so many bytes or more anew each time, whatever its thresholds have moved to
# (M_MMAP_THRESHOLD's upper bound on 64 bits, mallopt(3)): each page of it faults when it is first touched.
MAPPED_BYTES = 32 << 20


class Operator(Record, frozen=True):
    """One kind of operator call in a trace: its name, phase and operands, and how often it occurs.

    `inputs` and `outputs` are written as `float32[8,128]`. The work is that of one call. `kernel` is False for views and
    whatever else touches no element; `scratch_bytes` is memory taken only while it runs; `known` is False where no formula covers the operator: its FLOPs are missing then.

    Of all its `count` calls together: `reuse` tells how long ago their operands were used, as (k, bytes read, bytes written
    without being read): they were last touched when 2^k bytes or fewer, themselves included, had been since. `mapped_bytes` are in results
    of `MAPPED_BYTES` or more.
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
    """All operators of one phase together, and the most memory that was alive during it, in bytes.

    `host_calls` are the functions that Python calls meanwhile: what the host has to do beside them.
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
        """All of them: the peak."""
        return sum(msgspec.structs.astuple(self))


class Stratum(Record, frozen=True):
    """The operators of one dtype that read or write `operand_bytes` or more, up to twice that; a power of two.

    Which memory level could feed an operator depends on its operands, not on the whole step.
    """

    dtype: str
    operand_bytes: int
    flops: int
    elementwise_flops: int
    bytes_moved: int
    kernels: int


class Trace(Record, frozen=True):
    """A call as a sum of operators, and its memory.

    `parameters` is their number, those of a frozen part included. `saved_bytes` is what the forward pass keeps for the
    backward one, parameters and buffers apart. `footprint` is the memory at its peak, which `peak_phase` sets;
    `held` is what each category takes at most. `foreign_bytes` of it were there before anything was prepared. `unknown` counts the calls of operators without a formula.
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
        """A phase by name; all zero where the call has none."""
        nothing = PhaseWork(name, 0, 0, 0, 0, 0, 0, 0, 0)
        return next((phase for phase in self.phases if phase.phase == name), nothing)

    @property
    def dtype(self) -> str:
        """That of most matrix FLOPs; empty where there are none."""
        flops: dict[str, int] = {}
        for stratum in self.strata:
            flops[stratum.dtype] = flops.get(stratum.dtype, 0) + stratum.flops
        return max(flops, key=lambda name: flops[name]) if any(flops.values()) else ""

    @property
    def kernels(self) -> int:
        """Operator calls that touch elements: on a GPU, about as many kernels."""
        return sum(phase.kernels for phase in self.phases)


class Cost(Record, frozen=True):
    """What one call asks of the machine, from closed forms.

    A multiply-add is two FLOPs. `flops` are matrix-like (what a tensor core or an FMA pipe of a
    GEMM does) and honour the mask an operator is told of: causal attention counts the pairs it
    attends to, and `masked_flops` those it does not. `recomputed_flops` repeat work already
    counted (the backward of fused attention, checkpointing). `elementwise_flops` are elementwise and
    reductions, kept apart because another unit does them at another rate. Bytes are compulsory
    traffic: each operand moved once, no write-allocate. `memory_bytes` is the predicted peak of
    tensor memory while the call runs, its inputs and outputs included.
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
        """Matrix FLOPs with those that are computed again; over time and peak it is the HFU."""
        return self.flops + self.recomputed_flops

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written

    @property
    def arithmetic_intensity(self) -> float:
        """FLOPs (matrix and vector) per byte moved; an upper bound, as the traffic is compulsory."""
        return (self.flops + self.elementwise_flops) / self.bytes_moved


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
