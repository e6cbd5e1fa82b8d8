"""The messages between a runner and its workers: frozen structs, one reply to each request.

A worker may send any number of `Note`s before its reply.
"""

import msgspec

from harness.records import (
    Case,
    Cost,
    Environment,
    Failed,
    MemoryLevel,
    Operator,
    Peaks,
    Replayed,
    Samples,
    Sampling,
    Skipped,
    Trace,
)


class Message(msgspec.Struct, frozen=True, tag=True):
    """The base class of all messages."""


class Open(Message, frozen=True, tag=True):
    """Open a device with a number of threads. Answered by `Opened`."""

    device: str
    threads: int


class Describe(Message, frozen=True, tag=True):
    """Describe the machine; `arguments` are those of the command. Answered by `Described`."""

    arguments: tuple[str, ...]


class PeakScope(msgspec.Struct, frozen=True):
    """The peaks that a selection of cases can use; None stands for all of them.

    `working_set_bytes` is the largest working set: memory levels that are much larger serve no case.
    """

    dtypes: frozenset[str] | None = None
    threads: frozenset[int] | None = None
    working_set_bytes: int | None = None


class MeasurePeaks(Message, frozen=True, tag=True):
    """Measure one round of the peaks in `scope`. Answered by `Measured`.

    `levels` are the memory levels of an earlier round, if there was one.
    """

    levels: tuple[MemoryLevel, ...] = ()
    scope: PeakScope = PeakScope()


class AskFree(Message, frozen=True, tag=True):
    """Report the free memory. Answered by `Free`."""


class AskModules(Message, frozen=True, tag=True):
    """List the modules loaded from below a folder, without the interpreter's own. Answered by `Modules`."""

    directory: str


class Prepare(Message, frozen=True, tag=True):
    """Make the tensors of a case, call it once, warm it up. Answered by `Prepared`, `Declined` or `Spoiled`.

    `pickled` is the workload; its class is in the module `module`, loaded from `path`. `with_memory` also measures its
    peak memory; otherwise `set_bytes` is the value of another worker. `capture` tries a graph where the device has them.
    `slow_seconds` makes each call longer, to prove that a slowdown is detected.
    """

    case: str
    pickled: bytes
    module: str
    path: str | None
    sampling: Sampling
    threads: int
    with_memory: bool = True
    set_bytes: int | None = None
    capture: bool = True
    slow_seconds: float = 0.0


class TraceCase(Message, frozen=True, tag=True):
    """Trace a case on fake tensors, as in `Prepare`. Answered by `TracedCase`."""

    case: str
    pickled: bytes
    module: str
    path: str | None


class TakeBlock(Message, frozen=True, tag=True):
    """One block of samples of a prepared case, on the logical CPU `cpu` if it is given. Answered by `Taken`."""

    case: str
    view: str
    calls: int
    samples: int
    threads: int
    cpu: int | None = None


class Replay(Message, frozen=True, tag=True):
    """Time the operators of a prepared case one by one, for about `seconds`. Answered by `ReplayTaken`."""

    case: str
    seconds: float
    threads: int


class Release(Message, frozen=True, tag=True):
    """Free a case if it is prepared, or all cases (None). Answered by `Done`."""

    case: str | None


Request = (
    Open | Describe | MeasurePeaks | AskFree | AskModules | TraceCase | Prepare | TakeBlock | Replay | Release
)


class Opened(Message, frozen=True, tag=True):
    """The device is open. `usable_cores`: physical cores the process may keep busy; `uuid`: the card's, for NVML."""

    usable_cores: int
    uuid: str | None


class Described(Message, frozen=True, tag=True):
    """The environment of the machine."""

    environment: Environment


class Measured(Message, frozen=True, tag=True):
    """A round of peaks."""

    peaks: Peaks


class Free(Message, frozen=True, tag=True):
    """The free memory in bytes."""

    free_bytes: int


class Modules(Message, frozen=True, tag=True):
    """The modules' files, relative to the folder; and the file of each top-level package that lies elsewhere."""

    files: tuple[str, ...]
    packages: dict[str, str] = {}


class TracedCase(Message, frozen=True, tag=True):
    """The operators and cost of a case; or `untraced`, the reason why they are unknown."""

    cost: Cost | None = None
    trace: Trace | None = None
    operators: tuple[Operator, ...] = ()
    items: dict[str, int] = {}
    fused: bool = False
    untraced: str | None = None

    def applied(self, case: Case) -> Case:
        """The case with its traced cost."""
        return msgspec.structs.replace(
            case,
            cost=self.cost,
            trace=self.trace,
            untraced=self.untraced,
            items=case.items or self.items,
            dtype=(self.trace.dtype if self.trace else "") or case.dtype,
            fused=case.fused or self.fused,
        )

    def checking(self, case: Case) -> Case:
        """The case, whose cost is a closed form, with the traced cost if every operator was counted."""
        whole = self.trace is not None and not self.trace.unknown
        return msgspec.structs.replace(case, counted=self.cost if whole else None)


class ReplayTaken(Message, frozen=True, tag=True):
    """The time of each operator; `untimed` calls have none."""

    operators: tuple[Replayed, ...] = ()
    untimed: int = 0


class PreparedView(Message, frozen=True, tag=True):
    """A view that can be measured: the time of a call, calls a sample, how many sets of tensors."""

    name: str
    seconds: float
    calls: int
    rotations: int = 1
    cold: bool | None = None


class Prepared(Message, frozen=True, tag=True):
    """The case can be measured. `missing` holds the views that it lacks, with the reasons.

    `first_call_seconds` is None where that call measured memory, which takes longer. `joules_per_call` comes from the
    process that measures memory, where the device counts energy. `phase_bytes` and `phase_seconds` hold the peak memory
    and the time of each phase of a call that has several. `allocated_bytes`, `reserved_bytes`: see `Measurement`.
    """

    views: tuple[PreparedView, ...]
    first_call_seconds: float | None
    preheat_seconds: float
    timer_cost_seconds: float
    peak_memory_bytes: int | None
    joules_per_call: float | None
    missing: dict[str, str]
    phase_bytes: dict[str, int] = {}
    phase_seconds: dict[str, float] = {}
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None


class Declined(Message, frozen=True, tag=True):
    """The case cannot be measured."""

    outcome: Skipped | Failed


class Spoiled(Message, frozen=True, tag=True):
    """The case's calls could not be captured into a graph, and this process is unusable."""

    reason: str


class Taken(Message, frozen=True, tag=True):
    """The samples of a block. `block_seconds` is the time to take them, `elapsed_seconds` includes the calls before."""

    samples: Samples
    block_seconds: float
    elapsed_seconds: float


class Done(Message, frozen=True, tag=True):
    """The request is done."""


class Note(Message, frozen=True, tag=True):
    """A text that names what is being measured."""

    text: str


class Refused(Message, frozen=True, tag=True):
    """The request is impossible; the text is one line for the user."""

    text: str


class Broken(Message, frozen=True, tag=True):
    """An error of the worker itself: the last line of its traceback."""

    text: str


Reply = (
    Opened
    | Described
    | Measured
    | Free
    | Modules
    | TracedCase
    | Prepared
    | Declined
    | Spoiled
    | Taken
    | ReplayTaken
    | Done
    | Note
    | Refused
    | Broken
)


_encode = msgspec.msgpack.Encoder().encode
_request = msgspec.msgpack.Decoder(Request)
_reply = msgspec.msgpack.Decoder(Reply)


def encoded(message: Message) -> bytes:
    """The bytes of a message."""
    return _encode(message)


def request_in(data: bytes) -> Request:
    """The request in a message."""
    decoded: Request = _request.decode(data)
    return decoded


def reply_in(data: bytes) -> Reply:
    """The reply in a message."""
    decoded: Reply = _reply.decode(data)
    return decoded
