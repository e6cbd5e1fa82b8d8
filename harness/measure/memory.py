"""Peak memory of one call, measured apart from its time.

CPU: the profiler's allocation events give the peak of tensor bytes exactly (checked against a
malloc-level tracer to 0.04 % on whole training steps; resident-set methods were off by up to
32 %). CUDA: the caching allocator's own peak of requested bytes, before rounding to blocks.
"""

import gc
import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import torch
from torch.autograd.profiler import profile, record_function

from harness.workload import Call, phases_of


class MeasuredMemory(NamedTuple):
    """A call that ran once, its output, and the peak of tensor bytes that were alive during it.

    `phases` holds the peak of each phase. `allocated_bytes` is the peak as a caching allocator rounds it, and
    `reserved_bytes` is what the allocator took from the device.
    """

    call: Call
    output: object
    peak_bytes: int | None
    phases: dict[str, int]
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None


_WINDOW = "plumbline: a phase whose memory is measured: "


def measure_memory_on_cpu(prepare: Callable[[torch.device], Call]) -> MeasuredMemory:
    """Runs a call once under the profiler; its inputs count, tensors made before `prepare` do not."""
    # The profiler's library reports its start and stop on standard error otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    gc.collect()  # memory that is freed in the window must have been allocated in it
    # Not `torch.profiler.profile`: it loads torch's compiler, which takes seconds.
    with profile(use_kineto=True, profile_memory=True) as profiler:
        call = prepare(torch.device("cpu"))
        gc.collect(1)
        output = None
        for name, phase in phases_of(call).items():
            with record_function(_WINDOW + name):
                result = phase()
            output = output if result is None else result
            del result
    events = profiler.kineto_results.events() if profiler.kineto_results else []
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    times = [at for at, _ in changes]
    alive = list(accumulate((size for _, size in changes), initial=0))
    phases = {
        event.name().removeprefix(_WINDOW): max(
            alive[bisect_left(times, event.start_ns()) : bisect_right(times, event.end_ns()) + 1]
        )
        for event in events
        if event.name().startswith(_WINDOW)
    }
    return MeasuredMemory(
        call, output, max(phases.values()), {name: phases[name] for name in phases_of(call)}
    )


def measure_memory_on_cuda(prepare: Callable[[torch.device], Call], device: torch.device) -> MeasuredMemory:
    """Runs a call once; its inputs count, tensors made before `prepare` do not."""

    def read(what: str) -> int:
        return int(torch.cuda.memory_stats(device).get(what, 0))

    requested, allocated = read("requested_bytes.all.current"), read("allocated_bytes.all.current")
    call = prepare(device)
    output = None
    phases, blocks, reserved = {}, 0, 0
    for name, phase in phases_of(call).items():
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        result = phase()
        output = output if result is None else result
        del result
        torch.cuda.synchronize(device)
        phases[name] = read("requested_bytes.all.peak") - requested
        blocks = max(blocks, read("allocated_bytes.all.peak") - allocated)
        reserved = max(reserved, read("reserved_bytes.all.peak"))
    return MeasuredMemory(call, output, max(phases.values()), phases, blocks, reserved)
