"""A worker's handler: answers requests, with one device and its workloads.

An error of a workload is a reply, not an exception. A handler does not depend on processes, so
tests use it with a simulated device in their own process.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from harness.cost.trace import trace
from harness.errors import PlumblineError, one_line
from harness.measure.devices import base as devices
from harness.measure.devices.base import Device, MeasuredMemory, impossible
from harness.measure.environment import capture as environment
from harness.measure.environment.host import on_cpu, usable_physical_cores
from harness.measure.peaks import compute as peaks
from harness.measure.pickling import load_workload, modules_below, packages_beside
from harness.measure.protocol import (
    AskFree,
    AskModules,
    Declined,
    Describe,
    Described,
    Done,
    Free,
    Measured,
    MeasurePeaks,
    Modules,
    Note,
    Open,
    Opened,
    Prepare,
    Prepared,
    PreparedView,
    Refused,
    Release,
    Replay,
    ReplayTaken,
    Reply,
    Request,
    Spoiled,
    TakeBlock,
    Taken,
    TraceCase,
    TracedCase,
)
from harness.measure.replay import replay
from harness.measure.views import CaptureError, MeasuredView, joules_per_call, phase_seconds, views_of
from harness.records import Failed, Skipped
from harness.workload import Call, Workload


@dataclass
class _Case:
    """A case whose tensors are made."""

    workload: Workload
    views: dict[str, MeasuredView]


class Handler:
    """Answers requests with one device and the cases prepared on it."""

    def __init__(
        self, note: Callable[[Note], None], load: Callable[[bytes, str, str | None], Workload] = load_workload
    ) -> None:
        """`load` gives the workload that a request names; by default it unpickles it."""
        self._note, self._load = note, load
        self._cases: dict[str, _Case] = {}
        self._device: Device | None = None

    def answer(self, request: Request) -> Reply:
        """The reply to a request."""
        try:
            return self._answer(request)
        except PlumblineError as error:
            return Refused(str(error))

    def _answer(self, request: Request) -> Reply:  # noqa: C901, PLR0911 - a line for each request
        match request:
            case Open(device=name, threads=threads):
                self._device = devices.opened(name, threads)
                gc.collect()
                gc.freeze()  # loaded objects stay, and no collection needs to scan them
                return Opened(usable_physical_cores(), self._device.uuid)
            case Describe(arguments=arguments):
                sources = environment.Sources(arguments=arguments)
                return Described(environment.capture(self.device.name, sources))
            case MeasurePeaks(levels=levels, scope=scope):
                counts = sorted(scope.threads or self.device.thread_counts())
                measured = peaks.measure_peaks(
                    self.device, lambda text: self._note(Note(text)), counts, levels, scope
                )
                self._release(None)  # the largest buffers of the run: other processes need the room
                return Measured(measured)
            case AskFree():
                return Free(self.device.free_bytes())
            case AskModules(directory=directory):
                return Modules(modules_below(directory), packages_beside(directory))
            case TraceCase():
                return self._trace(request)
            case Prepare():
                return self._prepare(request)
            case TakeBlock():
                return self._take(request)
            case Replay():
                return self._replay(request)
            case Release(case=case):
                self._release(case)
                return Done()

    @property
    def device(self) -> Device:
        """The device that was taken."""
        if self._device is None:
            raise RuntimeError("no device is open")
        return self._device

    def _trace(self, request: TraceCase) -> TracedCase:
        """The traced cost of a case. An error here costs the prediction alone."""
        try:
            workload = self._load(request.pickled, request.module, request.path)
            return trace_case(workload, self.device.torch_device)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a workload raises costs its prediction alone
            return TracedCase(untraced=str(error) if isinstance(error, PlumblineError) else one_line(error))

    def _prepare(self, request: Prepare) -> Prepared | Declined | Spoiled:
        reply: Prepared | Declined | Spoiled
        try:
            self.device.use_threads(request.threads)
            workload = self._load(request.pickled, request.module, request.path)
            self._freeze_modules()
            with workload.context():
                reply = self._first_call(request, workload)
        except CaptureError as error:
            return Spoiled(str(error))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a workload raises is its record
            reply = Declined(_outcome(error))
        if isinstance(reply, Declined):
            self._release(request.case)
        return reply

    def _first_call(self, request: Prepare, workload: Workload) -> Prepared | Declined | Spoiled:
        """One call with a check of its output; then all views."""
        device = self.device
        memory = first = None
        if request.with_memory:
            memory = device.measure_memory(workload.prepare)
            call, output = memory.call, memory.output
        else:
            call = workload.prepare(device.torch_device)
            began = time.perf_counter()
            output = call()
            device.synchronize()
            first = time.perf_counter() - began
        trouble = _wrong_output(output, device.torch_device)
        if trouble is not None:
            return Declined(Failed(reason=trouble))
        if memory is not None:
            memory = memory._replace(output=None)
        del output
        gc.collect()  # now, as it is off while samples are taken
        return self._warmed_up(request, workload, call, memory, first)

    def _warmed_up(
        self,
        request: Prepare,
        workload: Workload,
        call: Call,
        memory: MeasuredMemory | None,
        first: float | None,
    ) -> Prepared:
        device, sampling = self.device, request.sampling
        peak = memory.peak_bytes if memory else None

        def prepare() -> Call:
            return _slowed(workload.prepare(device.torch_device), device, request.slow_seconds)

        views, missing = views_of(
            device,
            prepare,
            _slowed(call, device, request.slow_seconds),
            peak or request.set_bytes,
            capture=request.capture and workload.capturable,
            stateful=workload.stateful,
        )
        self._cases[request.case] = _Case(workload, {view.name: view for view in views})
        began = time.perf_counter()
        least = sampling.preheat_seconds
        for view in views:
            view.warm_up(max(sampling.warmup_seconds, least), least)
            least = 0.0  # the first view has warmed up the device
        preheated = time.perf_counter() - began
        return Prepared(
            views=tuple(
                PreparedView(
                    view.name,
                    view.seconds,
                    view.calls_per_sample(sampling.min_sample_seconds),
                    view.rotations,
                    view.cold,
                )
                for view in views
            ),
            first_call_seconds=first,
            preheat_seconds=preheated,
            timer_cost_seconds=views[0].timer.timer_cost_seconds,
            peak_memory_bytes=peak,
            joules_per_call=joules_per_call(device, views[0]) if request.with_memory else None,
            missing=missing,
            phase_bytes=memory.phases if memory else {},
            phase_seconds=phase_seconds(device, call, views[0]) if request.with_memory else {},
            allocated_bytes=memory.allocated_bytes if memory else None,
            reserved_bytes=memory.reserved_bytes if memory else None,
        )

    def _take(self, request: TakeBlock) -> Taken | Declined:
        device, case = self.device, self._cases[request.case]
        device.use_threads(request.threads)
        view = case.views[request.view]
        began = device.host_seconds()
        try:
            with on_cpu(request.cpu), case.workload.context():
                view.rewarm()
                started = device.host_seconds()
                samples = view.block(request.calls, request.samples)
                ended = device.host_seconds()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - it ran before, and now it does not
            return Declined(_outcome(error))
        return Taken(
            samples=samples,
            block_seconds=ended - started,
            elapsed_seconds=device.host_seconds() - began,
        )

    def _replay(self, request: Replay) -> ReplayTaken:
        device, case = self.device, self._cases[request.case]
        device.use_threads(request.threads)
        headline = next(iter(case.views.values()))
        try:
            return ReplayTaken(*replay(headline.call, device, case.workload.context, request.seconds))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - the case is measured: what explains it is extra
            return ReplayTaken()

    def _release(self, case: str | None) -> None:
        if case is None:
            self._cases.clear()
        else:
            self._cases.pop(case, None)
        gc.collect()
        self._freeze_modules()
        self.device.synchronize()  # a broken context fails here
        self.device.give_back()

    def _freeze_modules(self) -> None:
        """Without a case only modules are left: freezing them saves 50 ms in each collection."""
        if not self._cases:
            gc.freeze()


def trace_case(workload: Workload, device: torch.device) -> TracedCase:
    """The operators and cost of a workload, without computing it.

    Raises:
        UntraceableError: it cannot be followed.
    """
    traced = trace(workload.prepare, device, workload.context())
    if not traced.operators:
        return TracedCase(untraced="it calls no operator")
    return TracedCase(
        traced.cost, traced.trace, traced.operators, items=workload.items(), fused=workload.fused
    )


def _slowed(call: Call, device: Device, seconds: float) -> Call:
    """The call with additional work after it: a slowdown of known size, to prove that it is detected."""
    if not seconds:
        return call

    def slower() -> torch.Tensor:
        output = call()
        device.spend(seconds)
        return output

    return slower


def _outcome(error: BaseException) -> Skipped | Failed:
    """Classifies an error as impossible here or broken; `pytest.skip` skips, as in a test."""
    if [kind.__name__ for kind in type(error).__mro__[:2]] == ["Skipped", "OutcomeException"]:
        return Skipped(reason=str(error))
    reason = impossible(error) if isinstance(error, Exception) else None
    return Skipped(reason=reason) if reason else Failed(reason=one_line(error))


def _wrong_output(output: object, where: torch.device) -> str | None:
    """The reason why an output is wrong: absent, on another device, or not finite."""
    if not isinstance(output, torch.Tensor) or type(output).__name__ == "FakeTensor":
        return f"the call returned {type(output).__name__}, not a tensor"
    if output.device.type != where.type:
        return f"the output is on {output.device}, not on {where}"
    if output.is_complex():
        output = torch.view_as_real(output)
    if output.is_floating_point() and not torch.isfinite(output.flatten()[: 1 << 20].float()).all():
        return "the output holds NaN or infinity"
    return None
