"""Calibrates the cost model with the operators that a run measured alone."""

import math
from collections.abc import Iterable, Sequence

import msgspec

from harness import stats
from harness.costmodel.demand import Chain, alone_in, at_hand, demand_of, dtype_of, frameworks, key_of
from harness.costmodel.estimate import PAGE_BYTES, priced, threads_of
from harness.costmodel.kinds import ELEMENTWISE, MATRIX, base_of, kind_of
from harness.costmodel.operator_models import Measured, Roof, fit_model, misfit
from harness.records import (
    CostModel,
    Measurement,
    Operator,
    Peaks,
    Result,
    Run,
)

# The start of a fit on a machine without measured peaks: a slow machine, so conservative models.
ORDINARY = Roof(1e10, 2e10, 1e10)
# Elementwise FLOPs have no measured peak: a thread does at least about one a cycle, an accelerator some thousands.
ELEMENTWISE_FLOPS, ELEMENTWISE_FLOPS_OF_ACCELERATORS = 5e9, 1e13
# The usable last cache may be smaller than reported by up to this many powers of two.
OCTAVES = 5
ORDINARY_CACHE = 1 << 25

Alone = Sequence[tuple[Operator, Result]]


def calibrated(run: Run) -> CostModel | None:
    """The cost model of a run; None without a case that calibrates.

    Kinds of operators that the run did not calibrate (`bench calibration -k gemm`, an interrupted run) keep their earlier model.
    """
    alone: list[tuple[Operator, Result]] = []
    chains: list[Result] = []
    for result in run.measured:
        kernels = [operator for operator in run.operators.get(result.case.id, ()) if operator.kernel]
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
    framework = frameworks([_chain(run, model, result) for result in chains]) or model.framework
    return msgspec.structs.replace(model, framework=framework)


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
    """A chain with the seconds of its operators: measured alone, plus what their models add for operands out of the cache.

    On an accelerator the host's time is that of the wall clock, as kernels run meanwhile.
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
            cold, hot = priced(model, operator)[0], priced(model, at_hand(operator))[0]
            total += operator.count * (alone.get(key_of(operator), hot) + max(0.0, cold - hot))
    return Chain(trace, operators, measurement.median, total)


def _wall(measurement: Measurement) -> float:
    return next((view.median for view in measurement.views if view.name == "wall"), measurement.median)


def _by_kind(model: CostModel, alone: Alone) -> dict[tuple[str, str], list[Measured]]:
    kinds: dict[tuple[str, str], list[Measured]] = {}
    for operator, result in alone:
        if result.measurement is not None:
            demand = demand_of(operator, model.far_bytes, threads_of(model))
            case = Measured(result.case.id, demand, result.measurement.median)
            kinds.setdefault((kind_of(operator), dtype_of(operator)), []).append(case)
    return kinds


def _far_bytes(model: CostModel, alone: Alone, peaks: Peaks) -> int:
    """The reuse distance from which on operands come from memory: the one that explains the elementwise operators best.

    The last cache may be shared, even with other virtual machines, and is then smaller than reported.
    """
    capacities = [level.capacity_bytes for level in peaks.levels if level.capacity_bytes is not None]
    largest = max(capacities, default=ORDINARY_CACHE)
    simple = [pair for pair in alone if kind_of(pair[0]) == ELEMENTWISE]
    best, far_bytes = math.inf, largest
    for smaller in range(OCTAVES):
        tried = msgspec.structs.replace(model, far_bytes=largest >> smaller)
        cost = sum(
            misfit(cases, roof_of(peaks, kind, dtype, model))
            for (kind, dtype), cases in _by_kind(tried, simple).items()
        )
        if cost < best:  # the largest of equals
            best, far_bytes = cost, tried.far_bytes
    return far_bytes


def roof_of(peaks: Peaks, kind: str, dtype: str, model: CostModel) -> Roof:
    """The start of the fits of a kind: half of the machine's peaks."""
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
    """The cost of the first touch of a page: from cases with a mapped result, against the largest of the kind without one."""
    costs = []
    for (kind, _), cases in kinds.items():
        plain = [case for case in cases if not case.demand.mapped_bytes and case.demand.moved_bytes]
        if base_of(kind) in MATRIX or not plain:
            continue
        like = max(plain, key=lambda case: case.demand.moved_bytes)
        for case in cases:
            if case.demand.mapped_bytes:
                rest = like.seconds * case.demand.moved_bytes / like.demand.moved_bytes
                costs.append((case.seconds - rest) * PAGE_BYTES / case.demand.mapped_bytes)
    return max(0.0, stats.median(costs)) if costs else 0.0


def _without_faults(cases: list[Measured], fault: float) -> list[Measured]:
    return [
        case._replace(
            seconds=max(case.seconds / 10, case.seconds - case.demand.mapped_bytes / PAGE_BYTES * fault)
        )
        for case in cases
    ]


def _noise(results: Iterable[Result]) -> float:
    """The standard deviation of the logarithm between processes that did the same work.

    Variances are pooled, as the median deviation of two processes is a third too small. The noisiest tenth of the cases is left out.
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
    """Mean over median of the samples of short calls, in the median process.

    Other programs, the hypervisor and interrupts take time from all calls. The median sample of a millisecond contains none of it; a step
    of a tenth of a second always contains its part.
    """
    ratios = [
        process.mean / process.median
        for result in results
        if result.measurement is not None
        for process in result.measurement.view.processes
        if process.mean is not None
    ]
    return max(1.0, stats.median(ratios)) if ratios else 1.0
