"""What a call was found to do before it ran: its operators, their work, and its memory over time."""

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
    vector_flops: int = 0
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
    vector_flops: int
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
    vector_flops: int
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
