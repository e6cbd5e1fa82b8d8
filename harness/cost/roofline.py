"""The roofline: the least time a call can take, from its cost and the machine's measured peaks.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009; with one bandwidth peak per memory level.
"""

import msgspec

from harness.records import Case, Cost, Peaks, Prediction, Trace


def predict(case: Case, peaks: Peaks, threads: int) -> Prediction:
    """The lower bound on a call's time, as far as the machine has peaks for it.

    Compute: matrix FLOPs, those computed again included, over the highest rate any code reached in this dtype
    on this many threads. Memory: compulsory bytes over the best bandwidth of the level that can hold the
    working set. Elementwise FLOPs have no measured peak and bound nothing.
    """
    if case.trace is not None:
        prediction = _of_trace(case.trace, peaks, threads)
        return msgspec.structs.replace(prediction, memory_seconds=None) if case.fused else prediction
    if case.cost is None:
        return Prediction()
    return _of_cost(case.cost, case.dtype, case.working_set_bytes or case.cost.bytes_moved, peaks, threads)


def _of_cost(cost: Cost, dtype: str, working_set: int, peaks: Peaks, threads: int) -> Prediction:
    compute = peaks.compute_peak(dtype, threads) if cost.flops else None
    level = peaks.level_of(working_set)
    memory = peaks.bandwidth_peak(level.name, threads) if level else None
    return Prediction(
        compute_seconds=cost.hardware_flops / compute.flops_per_second if compute else None,
        memory_seconds=cost.bytes_moved / memory.bytes_per_second if memory else None,
        flops_per_second=compute.flops_per_second if compute else None,
        bytes_per_second=memory.bytes_per_second if memory else None,
        level=level.name if level else None,
    )


def _of_trace(trace: Trace, peaks: Peaks, threads: int) -> Prediction:
    """A sequence of operators: the sum over them, each with the peaks of its dtype and of the level its operands fit into.

    What no peak is known for adds nothing: the sum stays a lower bound. The rates and the level are those of the part that takes longest.
    """
    compute: dict[str, float] = {}
    memory: dict[str, float] = {}
    rates: dict[str, float] = {}
    for stratum in trace.strata:
        level = peaks.level_of(stratum.operand_bytes)
        bandwidth = peaks.bandwidth_peak(level.name, threads) if level else None
        rate = peaks.compute_peak(stratum.dtype, threads) if stratum.flops else None
        if level is not None and bandwidth is not None:
            rates[level.name] = bandwidth.bytes_per_second
            seconds = stratum.bytes_moved / bandwidth.bytes_per_second
            memory[level.name] = memory.get(level.name, 0.0) + seconds
        if rate is not None:
            rates[stratum.dtype] = rate.flops_per_second
            seconds = stratum.flops / rate.flops_per_second
            compute[stratum.dtype] = compute.get(stratum.dtype, 0.0) + seconds
    dtype = max(compute, key=lambda name: compute[name], default=None)
    slowest = max(memory, key=lambda name: memory[name], default=None)
    return Prediction(
        compute_seconds=sum(compute.values()) or None,
        memory_seconds=sum(memory.values()) or None,
        flops_per_second=rates[dtype] if dtype else None,
        bytes_per_second=rates[slowest] if slowest else None,
        level=slowest,
    )
