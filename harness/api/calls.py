"""Calls of the user's functions as workloads, and where they are measured: in this process, or by fresh workers."""

import gc
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import msgspec
import torch

from harness.cost.trace import Traced
from harness.cost.trace.live import LiveCount
from harness.errors import UsageError, one_line
from harness.measure.batch import Order
from harness.measure.devices import base as devices
from harness.measure.handler import Handler
from harness.measure.peaks import microkernel
from harness.measure.pickling import pack_workload
from harness.measure.pool import WorkerPool
from harness.measure.protocol import Note, Prepare, Reply, Request
from harness.measure.timer import QuickTiming, Timer
from harness.records import Pass, Sampling
from harness.workload import Call, Workload

if TYPE_CHECKING:
    from harness.measure.prediction import Machine

# A case that takes this many times its sampling time has failed; a worker needs seconds to start and to load.
LIMIT_FACTOR, LEAST_LIMIT_SECONDS = 100.0, 120.0
# So many blocks of each process fit into the sampling time.
BLOCKS = 16
# Sides of the square products whose best rate is a quick peak, and how long each is timed.
QUICK_SIDES = {"cpu": (512, 1024)}
QUICK_SIDES_OF_AN_ACCELERATOR = (4096, 8192)
QUICK_PEAK = QuickTiming(warmup_seconds=0.02, seconds=0.06, least_samples=3)
QUICK_DTYPES = ("float64", "float32", "bfloat16", "float16")
# A name, what is called, and its arguments.
Function = tuple[str, Any, tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class FunctionCall(Workload):
    """A function with its arguments. `plain`: its result is a tensor that a worker accepts as it is."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False

    # Nobody can tell what a function remembers of the call before.
    stateful: ClassVar[bool] = True
    capturable: ClassVar[bool] = False

    @property
    def family(self) -> str:
        """What it is."""
        return "function"

    @property
    def sizes(self) -> dict[str, int]:
        """None."""
        return {}

    def __str__(self) -> str:
        """The name of the function."""
        return self.name

    @property
    def call(self) -> Callable[[], Any]:
        """The function bound to its arguments."""
        return partial(self.function, *self.args, **self.named) if self.args or self.named else self.function

    def prepare(self, device: torch.device) -> Call:
        """The call; one that returns something else than a healthy tensor returns a token in its place."""
        call = self.call
        if self.plain:
            return call
        token = torch.zeros((), device=device)

        def returning_token() -> torch.Tensor:
            call()
            return token

        return returning_token


class Place(NamedTuple):
    """Where a call is measured."""

    device: str
    threads: int


def name_of(function: Callable[..., Any]) -> str:
    """Names a function for results.

    >>> name_of(name_of), name_of(partial(name_of, 1)), name_of(lambda: 1), name_of(torch.mm)
    ('name_of', 'name_of', '<lambda>', 'mm')
    """
    while isinstance(function, partial):
        function = function.func
    if inspect.isbuiltin(function):
        return function.__name__  # its qualified name has a class in it that nobody can write
    name = getattr(function, "__qualname__", type(function).__name__)
    return str(name).rpartition("<locals>.")[2]


def checked(what: str, function: object) -> None:
    """Refuses an object that cannot be called, or that returns before its work is done.

    Raises:
        UsageError: names the argument, and what to write instead.
    """
    if isinstance(function, Workload):
        return
    if not callable(function):
        raise UsageError(
            f"{what}: {type(function).__name__} is not callable; write `lambda: f(x)`, or f and its arguments: f, x"
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(
            f"{what}: {name_of(function)} returns before its work is done; pass a function that runs it to its end"
        )


def check_budget(seconds: float, processes: int, threads: int | None) -> None:
    """Refuses impossible durations and counts.

    Raises:
        UsageError: names the argument and what is allowed.
    """
    if not 0.0 < seconds < math.inf:
        raise UsageError(f"seconds={seconds}: write a number above 0, such as 0.5")
    if processes < 1:
        raise UsageError(f"processes={processes}: write 1 (this process), or 2 or more fresh ones")
    if threads is not None and threads < 1:
        raise UsageError(f"threads={threads}: write 1 or more, or None for those that torch uses now")


def counted(
    name: str, function: Any, args: tuple[Any, ...], named: Mapping[str, Any], device: str | None
) -> tuple[Workload, LiveCount]:
    """Runs a function once, and returns it as a workload with the counts of one call.

    Raises:
        UsageError: a `Workload` with arguments. Whatever the function raises, too.
    """
    count = LiveCount()
    if isinstance(function, Workload):
        if args or named:
            raise UsageError(f"{function}: a Workload makes its own tensors; give no arguments beside it")
        where = devices.opened(*devices.named(device or "auto", torch.get_num_threads())).torch_device
        with function.context():
            call = function.prepare(where)
            with count.counting():
                call()
        return function, count
    workload = FunctionCall(name, function, args, named)
    with count.counting():
        output = workload.call()
    return FunctionCall(name, function, args, named, plain=_plain(output, device)), count


def _plain(output: object, device: str | None) -> bool:
    if type(output) is not torch.Tensor or output.layout is not torch.strided or output.is_meta:
        return False
    if device is not None and output.device.type != device.partition(":")[0]:
        return False
    return not output.is_floating_point() or bool(torch.isfinite(output).all())


def place_of(counts: Sequence[LiveCount], device: str | None, threads: int | None) -> Place:
    """Chooses where calls run: the device they use most, unless one is named.

    Raises:
        UsageError: no such device here, or the calls do not use the one that is named.
    """
    used: dict[str, int] = {}
    for count in counts:
        for name, operators in count.devices.items():
            used[name] = used.get(name, 0) + operators
    accelerators = [name for name in used if name not in {"cpu", "meta"}]
    chosen = max(accelerators, key=lambda name: used[name], default="cpu")
    if device is not None and device != "auto":
        if used and device.partition(":")[0] not in {name.partition(":")[0] for name in used}:
            raise UsageError(
                f"device={device!r}: the call uses tensors on {', '.join(sorted(used))}; move them there first"
            )
        chosen = device
    return Place(*devices.named(chosen, threads or torch.get_num_threads()))


def sampling(seconds: float, processes: int) -> Sampling:
    """The protocol of a quick look: `seconds` of samples, all processes together."""
    block = min(0.05, seconds / (BLOCKS * processes))
    return Sampling(
        processes=processes,
        preheat_seconds=0.0,
        warmup_seconds=min(0.1, seconds / 4),
        block_seconds=block,
        max_seconds=seconds,
        min_sample_seconds=min(2e-4, block / 4),
        target_half_width=0.005,
        limit_seconds=max(LEAST_LIMIT_SECONDS, LIMIT_FACTOR * seconds),
    )


class LocalWorker:
    """A worker in this process: it measures the objects themselves."""

    pids: tuple[int, ...] = ()
    printed = b""

    def __init__(self, workloads: Mapping[bytes, Workload]) -> None:
        self._replies: list[Reply] = []
        self._handler = Handler(self._note, lambda key, _module, _path: workloads[key])
        self._open = True

    def _note(self, note: Note) -> None:
        self._replies.append(note)

    def send(self, request: Request) -> None:
        """Answers at once. Memory is known from the count, and weighing it would load a profiler."""
        if isinstance(request, Prepare):
            request = msgspec.structs.replace(request, with_memory=False)
        self._replies.append(self._handler.answer(request))

    def receive(self, limit_seconds: float, meanwhile: Callable[[], object] | None) -> Reply:
        """The reply that waits."""
        del limit_seconds
        if meanwhile:
            meanwhile()
        return self._replies.pop(0)

    def alive(self) -> bool:
        """Until it is closed."""
        return self._open

    def close(self) -> None:
        """Nothing ends."""
        self._open = False


@contextmanager
def opened_pool(
    place: Place, workloads: Sequence[Workload], *, here: bool
) -> Iterator[tuple[WorkerPool, list[Order]]]:
    """Opens a pool of workers, in this process (`here`) or fresh ones, with an order for each workload.

    Raises:
        UsageError: a workload cannot be handed to another process.
    """
    if here:
        local = {str(number).encode(): workload for number, workload in enumerate(workloads)}
        packed: list[tuple[bytes, str, str | None]] = [(key, "", None) for key in local]
        pool = WorkerPool(place.device, place.threads, _quiet, lambda: LocalWorker(local))
    else:
        packed = [pack_workload(workload) for workload in workloads]
        pool = WorkerPool(place.device, place.threads, _quiet)
    orders = [
        Order(f"{number} {workload}", *one, workload.on_threads() or place.threads)
        for number, (workload, one) in enumerate(zip(workloads, packed, strict=True))
    ]
    try:
        yield pool, orders
    finally:
        pool.close()


@contextmanager
def settings_kept() -> Iterator[None]:
    """What measuring changes in this process is as it was afterwards: torch's threads, and what the garbage collector looks at."""
    threads, frozen = torch.get_num_threads(), gc.get_freeze_count()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if not frozen:
            gc.unfreeze()


def _quiet(_: str) -> None:
    pass


class Roof(NamedTuple):
    """What the machine can do for a call at most, as far as it is known: FLOP/s, bytes/s, and where that is from."""

    flops_per_second: float | None
    bytes_per_second: float | None
    source: str


def roof_of(count: LiveCount, place: Place, results: Path) -> Roof:
    """The measured peaks of the newest run of this machine, else a peak that is measured now, in a fraction of a second."""
    trace = count.trace
    stored = _machine(results, place, trace.dtype or "float32", _newest(results))
    if stored is not None and stored.run is not None:
        traced = Traced(trace, count.operators)
        found = stored.bounded(Pass(traced.cost, trace), count.operators).prediction
        if found.flops_per_second or (found.bytes_per_second and not trace.dtype):
            return Roof(found.flops_per_second, found.bytes_per_second, f"run {stored.run}")
    if not trace.dtype:
        return Roof(None, None, "no measured bandwidth of this machine; `plumbline bench` measures it")
    if trace.dtype not in QUICK_DTYPES:
        return Roof(
            None, None, f"no measured peak of {trace.dtype}; `plumbline bench` measures those it knows"
        )
    try:
        return Roof(quick_peak(place, trace.dtype), None, "measured now")
    except Exception as error:  # noqa: BLE001 - a peak that cannot be had costs no measurement
        return Roof(None, None, f"no peak of {trace.dtype}: {one_line(error)}")


def _newest(results: Path) -> str:
    return max((folder.name for folder in results.iterdir()), default="") if results.is_dir() else ""


@lru_cache
def _machine(results: Path, place: Place, dtype: str, newest: str) -> "Machine | None":
    if not newest:
        return None
    from harness.measure.prediction import Machine  # noqa: PLC0415 - loads pytest, which most notebooks do without

    return Machine(results, place.device, place.threads, dtype)


@lru_cache
def quick_peak(place: Place, dtype: str) -> float:
    """The best FLOP/s of a dtype that a square product, or on a CPU a loop of multiply-adds, reaches in a short look."""
    device = devices.opened(*place)
    kind, stored = device.torch_device, getattr(torch, dtype)
    timer = Timer(device)
    rates = []
    for side in QUICK_SIDES.get(kind.type, QUICK_SIDES_OF_AN_ACCELERATOR):
        a, b = (torch.randn(side, side, device=kind).to(stored) for _ in range(2))
        out = torch.empty_like(a)
        seconds = timer.quick_samples(partial(torch.mm, a, b, out=out), QUICK_PEAK).seconds
        rates.append(2 * side**3 / min(seconds))
    if kind.type == "cpu":
        known = microkernel.kernels()
        kernels = [kernel for kernel in known if kernel.dtype == dtype]
        if stored.itemsize == 2:  # what has no instructions of its own may run in float32
            kernels = kernels or [kernel for kernel in known if kernel.dtype == "float32"]
        rates += [microkernel.peak(kernel, place.threads).per_second for kernel in kernels]
    return max(rates)


def label_of(function: Any) -> str:
    """What results call a function or a workload."""
    return str(function) if isinstance(function, Workload) else name_of(function)
