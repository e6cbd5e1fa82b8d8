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
from torch.profiler import ProfilerActivity, profile, record_function

from harness.workload import Call, phases_of


class Weighed(NamedTuple):
    """A call that ran once, what it returned, and the peak of tensor bytes alive meanwhile.

    `phases`: the peak of each of its phases. `allocated_bytes`, `reserved_bytes`: what a caching allocator rounded
    that up to, and what it took from the device.
    """

    call: Call
    output: object
    peak_bytes: int | None
    phases: dict[str, int]
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None


_WINDOW = "plumbline: a phase whose memory is measured: "


def weigh_on_cpu(prepare: Callable[[torch.device], Call]) -> Weighed:
    """Runs a call once under the profiler; its inputs count, what lived before `prepare` does not."""
    # The profiler's library reports its start and stop on standard error otherwise.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    gc.collect()  # what is let go in the window must have been made in it
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call = prepare(torch.device("cpu"))
        gc.collect(1)
        output = None
        for name, phase in phases_of(call).items():
            with record_function(_WINDOW + name):
                result = phase()
            output = output if result is None else result
            del result
    events = profiler.profiler.kineto_results.events() if profiler.profiler else []
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
    return Weighed(call, output, max(phases.values()), {name: phases[name] for name in phases_of(call)})


def weigh_on_cuda(prepare: Callable[[torch.device], Call], device: torch.device) -> Weighed:
    """Runs a call once; its inputs count, what lived before `prepare` does not."""

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
    return Weighed(call, output, max(phases.values()), phases, blocks, reserved)
