"""What a runner and its workers say to each other: frozen structs, one reply to each request.

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
    """The root of all that is said."""


class Open(Message, frozen=True, tag=True):
    """Take this device, with so many threads. Answered by `Opened`."""

    device: str
    threads: int


class Describe(Message, frozen=True, tag=True):
    """What is this machine? `arguments` are those of the command. Answered by `Described`."""

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
    """How much memory is free? Answered by `Free`."""


class AskModules(Message, frozen=True, tag=True):
    """Which modules were loaded from below this folder, those of the interpreter apart? Answered by `Modules`."""

    directory: str


class Prepare(Message, frozen=True, tag=True):
    """Make the tensors of a case, try it once, warm it up. Answered by `Prepared`, `Declined` or `Spoiled`.

    `pickled` is the workload; its class is in the module `module`, loaded from `path`. `weigh`: tell its peak
    memory too; else `set_bytes` is what another worker found. `capture`: try a graph, where there are any. `slow_seconds` makes each call so much longer, to prove that a slowdown is found.
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
    """One block of samples of a prepared case, on one logical CPU if `cpu` says so. Answered by `Taken`."""

    case: str
    view: str
    calls: int
    samples: int
    threads: int
    cpu: int | None = None


class Replay(Message, frozen=True, tag=True):
    """Time the operators of a prepared case one by one, for about so many seconds. Answered by `ReplayTaken`."""

    case: str
    seconds: float
    threads: int


class Release(Message, frozen=True, tag=True):
    """Let go of a case, if it is there, or of all (None). Answered by `Done`."""

    case: str | None


Request = (
    Open | Describe | MeasurePeaks | AskFree | AskModules | TraceCase | Prepare | TakeBlock | Replay | Release
)


class Opened(Message, frozen=True, tag=True):
    """The device is taken. `usable_cores`: physical cores the process may keep busy; `uuid`: the card's, for NVML."""

    usable_cores: int
    uuid: str | None


class Described(Message, frozen=True, tag=True):
    """This is the machine."""

    environment: Environment


class Measured(Message, frozen=True, tag=True):
    """These are the peaks."""

    peaks: Peaks


class Free(Message, frozen=True, tag=True):
    """So much memory is free, in bytes."""

    free_bytes: int


class Modules(Message, frozen=True, tag=True):
    """These, by the paths of their files from that folder on; and the file of each top-level package that lies elsewhere."""

    files: tuple[str, ...]
    packages: dict[str, str] = {}


class TracedCase(Message, frozen=True, tag=True):
    """What the case does and costs; or `untraced`, why that cannot be told beforehand."""

    cost: Cost | None = None
    trace: Trace | None = None
    operators: tuple[Operator, ...] = ()
    items: dict[str, int] = {}
    fused: bool = False

    def applied(self, case: Case) -> Case:
        """The case with what was found of it."""
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
        """The case, which says its cost itself, with what was counted beside it, if everything was."""
        whole = self.trace is not None and not self.trace.unknown
        return msgspec.structs.replace(case, counted=self.cost if whole else None)

    untraced: str | None = None


class ReplayTaken(Message, frozen=True, tag=True):
    """What each of them takes; of so many calls nothing is known."""

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
    """The case can be measured. `missing` says of the views that cannot be had, why.

    `first_call_seconds` is None where that call was memory, which takes longer. `joules_per_call`: where the
    device counts energy, by the process that weighs. `phase_bytes` and `phase_seconds`: the peak memory and the
    time of each phase of a call that has several. `allocated_bytes`, `reserved_bytes`: see `Measurement`.
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
    """The case's calls could not be captured into a graph, and this process is good for nothing any more."""

    reason: str


class Taken(Message, frozen=True, tag=True):
    """The samples of a block. `block_seconds` is what taking them took, `elapsed_seconds` that and the calls before."""

    samples: Samples
    block_seconds: float
    elapsed_seconds: float


class Done(Message, frozen=True, tag=True):
    """It is done."""


class Note(Message, frozen=True, tag=True):
    """What is being measured right now."""

    text: str


class Refused(Message, frozen=True, tag=True):
    """The user asked for what cannot be had; the text is one line for the user."""

    text: str


class Broken(Message, frozen=True, tag=True):
    """The worker itself is at fault: the last line of its traceback."""

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
    """A message for the wire."""
    return _encode(message)


def request_in(data: bytes) -> Request:
    """What was asked."""
    decoded: Request = _request.decode(data)
    return decoded


def reply_in(data: bytes) -> Reply:
    """What was answered."""
    decoded: Reply = _reply.decode(data)
    return decoded
