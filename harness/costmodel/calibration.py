"""Calibrates the cost model with the operators of a run that were measured alone."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from harness import stats
from harness.costmodel.demand import Chain, demand_of, dtype_of, frameworks
from harness.costmodel.kinds import ELEMENTWISE, MATRIX, base_of, kind_of
from harness.costmodel.operator_models import Measured, Roof, fit_model, misfit, seconds_of
from harness.records import (
    CaseReplay,
    CostModel,
    Measurement,
    Operator,
    OperatorModel,
    Peaks,
    Replayed,
    Result,
    Run,
)

# Where a machine has no measured peaks to begin with: a slow one, and so dull models.
ORDINARY = Roof(1e10, 2e10, 1e10)
# Elementwise FLOPs have no peak: a thread does about one in a cycle at least, an accelerator some thousands.
ELEMENTWISE_FLOPS, ELEMENTWISE_FLOPS_OF_ACCELERATORS = 5e9, 1e13
PAGE_BYTES = 4096
# By so many powers of two may the last cache be smaller than told.
OCTAVES = 5
ORDINARY_CACHE = 1 << 25

Alone = Sequence[tuple[Operator, Result]]
Key = tuple[str, tuple[str, ...], tuple[str, ...]]


def calibrated(run: Run) -> CostModel | None:
    """The cost model of a run; None where nothing in it calibrates.

    What a run that calibrates in part says nothing of (`bench calibration -k gemm`, a run cut off) is as an earlier one left it.
    """
    alone: list[tuple[Operator, Result]] = []
    chains: list[Result] = []
    for result in run.measured:
        kernels = [one for one in run.operators.get(result.case.id, ()) if one.kernel]
        if not result.case.calibrates:
            continue
        if len(kernels) == 1 and kernels[0].count == 1:
            alone.append((kernels[0], result))
        elif result.case.trace is not None and result.case.id in run.replays:
            chains.append(result)
    earlier = run.header.cost_model
    if not alone:
        return earlier
    model = _of_operators(run, alone)
    if earlier is not None:
        known = {(model.kind, model.dtype) for model in model.models}
        kept = tuple(model for model in earlier.models if (model.kind, model.dtype) not in known)
        model = msgspec.structs.replace(
            model,
            models=tuple(sorted((*model.models, *kept), key=lambda model: (model.kind, model.dtype))),
            framework=earlier.framework,
        )
    found = frameworks([_chain(run, model, result) for result in chains])
    return msgspec.structs.replace(model, framework=found or model.framework)


def _of_operators(run: Run, alone: Alone) -> CostModel:
    model = CostModel(
        run=run.header.id,
        device=run.header.settings.device,
        threads=run.header.settings.threads,
        far_bytes=ORDINARY_CACHE,
        models=(),
        noise=_noise(result for _, result in alone),
        disturbance=_disturbance(result for _, result in alone),
    )
    model = msgspec.structs.replace(model, far_bytes=_far_bytes(model, alone, run.peaks))
    kinds = _by_kind(model, alone)
    fault = _fault_seconds(kinds) if model.device == "cpu" else 0.0
    models = tuple(
        fit_model(kind, dtype, _without_faults(cases, fault), roof_of(run.peaks, kind, dtype, model))
        for (kind, dtype), cases in sorted(kinds.items())
    )
    return msgspec.structs.replace(model, models=models, fault_seconds=fault)


def _chain(run: Run, model: CostModel, result: Result) -> Chain:
    """Each operator as it was measured alone beside the chain, with what its model says that distance adds.

    On an accelerator what the host takes is the wall's time: kernels run meanwhile.
    """
    trace, measurement = result.case.trace, result.measurement
    if trace is None or measurement is None:
        raise ValueError(result.case.id)
    operators = run.operators[result.case.id]
    if model.device != "cpu":
        return Chain(trace, operators, _wall(measurement), 0.0)
    alone = alone_in(run.replays[result.case.id])
    total = 0.0
    for operator in operators:
        if operator.kernel:
            there, here = priced(model, operator)[0], priced(model, at_hand(operator))[0]
            total += operator.count * (alone.get(key_of(operator), here) + max(0.0, there - here))
    return Chain(trace, operators, measurement.median, total)


def _wall(measurement: Measurement) -> float:
    return next((view.median for view in measurement.views if view.name == "wall"), measurement.median)


def at_hand(operator: Operator) -> Operator:
    """The same with all its operands in the cache, as when it is called again and again."""
    own = (operator.bytes_read + operator.bytes_written).bit_length()
    reuse = tuple((min(place, own), reads, writes) for place, reads, writes in operator.reuse)
    return msgspec.structs.replace(operator, reuse=reuse)


def key_of(operator: Operator | Replayed) -> Key:
    """What tells operators apart that were measured alone."""
    return operator.name, operator.inputs, operator.outputs


def alone_in(replay: CaseReplay) -> dict[Key, float]:
    """The seconds of a call of each operator; of those that lie differently in memory on average."""
    counts: dict[Key, int] = {}
    seconds: dict[Key, float] = {}
    for operator in replay.operators:
        key = key_of(operator)
        counts[key] = counts.get(key, 0) + operator.count
        seconds[key] = seconds.get(key, 0.0) + operator.count * operator.seconds
    return {key: seconds[key] / counts[key] for key in counts}


def _by_kind(model: CostModel, alone: Alone) -> dict[tuple[str, str], list[Measured]]:
    kinds: dict[tuple[str, str], list[Measured]] = {}
    for operator, result in alone:
        if result.measurement is not None:
            demand = demand_of(operator, model.far_bytes, _workers(model))
            case = Measured(result.case.id, demand, result.measurement.median)
            kinds.setdefault((kind_of(operator), dtype_of(operator)), []).append(case)
    return kinds


def _far_bytes(model: CostModel, alone: Alone, peaks: Peaks) -> int:
    """How long ago an operand may have been used to be in a cache still: what explains the elementwise operators best.

    The last cache may be shared, with other machines even, and is then smaller than it says.
    """
    told = [level.capacity_bytes for level in peaks.levels if level.capacity_bytes is not None]
    largest = max(told, default=ORDINARY_CACHE)
    simple = [pair for pair in alone if kind_of(pair[0]) == ELEMENTWISE]
    best, found = math.inf, largest
    for smaller in range(OCTAVES):
        tried = msgspec.structs.replace(model, far_bytes=largest >> smaller)
        cost = sum(
            misfit(cases, roof_of(peaks, kind, dtype, model))
            for (kind, dtype), cases in _by_kind(tried, simple).items()
        )
        if cost < best:  # of equals the largest
            best, found = cost, tried.far_bytes
    return found


def priced(model: CostModel, operator: Operator) -> tuple[float, OperatorModel | None]:
    """The seconds of one call, and the model they are from: None where another kind's had to do."""
    kind, dtype = kind_of(operator), dtype_of(operator)
    own = model.model(kind, dtype)
    if own is None and base_of(kind) not in MATRIX:
        own = model.model(kind, "float32")  # bytes are bytes
    fitted = own or _borrowed(model, kind, dtype)
    if fitted is None:
        return 0.0, None
    demand = demand_of(operator, model.far_bytes, _workers(model))
    return seconds_of(fitted, demand) + demand.mapped_bytes / PAGE_BYTES * model.fault_seconds, own


def _borrowed(model: CostModel, kind: str, dtype: str) -> OperatorModel | None:
    forward = model.model(base_of(kind), dtype) or model.model(kind, "float32")
    if forward is not None:
        return forward
    other = "gemm" if base_of(kind) in MATRIX else "elementwise"
    return model.model(other, dtype) or model.model(other, "float32") or next(iter(model.models), None)


def _workers(model: CostModel) -> int:
    """How many threads may share an operator: a loop on a CPU alone is divided by a grain."""
    return model.threads if model.device == "cpu" else 1


def roof_of(peaks: Peaks, kind: str, dtype: str, model: CostModel) -> Roof:
    """Where models of a kind begin: half of the machine's peaks."""
    matrix = base_of(kind) in MATRIX
    compute = peaks.compute_peak(dtype, model.threads) if matrix else None
    levels = [level.name for level in peaks.levels]
    near = peaks.bandwidth_peak(levels[-2], model.threads) if len(levels) > 1 else None
    far = peaks.bandwidth_peak(levels[-1], model.threads) if levels else None
    flops = compute.flops_per_second / 2 if compute else ORDINARY.flops_per_second
    if not matrix:
        flops = (
            model.threads * ELEMENTWISE_FLOPS if model.device == "cpu" else ELEMENTWISE_FLOPS_OF_ACCELERATORS
        )
    return Roof(
        flops_per_second=flops,
        bytes_per_second=near.bytes_per_second / 2 if near else ORDINARY.bytes_per_second,
        far_bytes_per_second=far.bytes_per_second / 2 if far else ORDINARY.far_bytes_per_second,
    )


def _fault_seconds(kinds: dict[tuple[str, str], list[Measured]]) -> float:
    """What the first touch of a page takes: from cases whose result is mapped anew, against one of the kind that is not."""
    found = []
    for (kind, _), cases in kinds.items():
        plain = [case for case in cases if not case.demand.mapped_bytes and case.demand.moved_bytes]
        if base_of(kind) in MATRIX or not plain:
            continue
        like = max(plain, key=lambda other: other.demand.moved_bytes)
        for case in cases:
            if case.demand.mapped_bytes:
                rest = like.seconds * case.demand.moved_bytes / like.demand.moved_bytes
                found.append((case.seconds - rest) * PAGE_BYTES / case.demand.mapped_bytes)
    return max(0.0, stats.median(found)) if found else 0.0


def _without_faults(cases: list[Measured], fault: float) -> list[Measured]:
    return [
        case._replace(
            seconds=max(case.seconds / 10, case.seconds - case.demand.mapped_bytes / PAGE_BYTES * fault)
        )
        for case in cases
    ]


def _noise(results: Iterable[Result]) -> float:
    """How far processes that did the same work were apart: the standard deviation of a process's logarithm over all cases.

    Their variances are pooled: the median deviation of two processes would be a third too small. One case in ten may be disturbed.
    """
    variances = []
    for result in results:
        if result.measurement is not None:
            medians = [process.median for process in result.measurement.view.processes]
            if len(medians) > 1:
                variances.append(stats.deviation([math.log(median) for median in medians]) ** 2)
    calm = sorted(variances)[: max(1, len(variances) * 9 // 10)]
    return math.sqrt(sum(calm) / len(calm)) if calm else 0.0


def _disturbance(results: Iterable[Result]) -> float:
    """Mean over median of the samples of short calls, in the median process: one that was held up for long tells nothing of the others.

    Neighbours, the hypervisor and interrupts take time from every call alike. The median sample of a millisecond has none of it; a step
    of a tenth of a second has its share each time.
    """
    ratios = [
        process.mean / process.median
        for result in results
        if result.measurement is not None
        for process in result.measurement.view.processes
        if process.mean is not None
    ]
    return max(1.0, stats.median(ratios)) if ratios else 1.0
