"""The estimated time of a call, and the errors of the estimates on held-out steps.

An estimate is the sum over the operators of a call and the framework around them. The interval adds three errors: that of each operator
by its own, one that all operators of a kind share, and the speed of the machine, which all of them share.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness import stats
from harness.costmodel.demand import alone_in, at_hand, demand_of, dtype_of, framework_seconds, key_of
from harness.costmodel.kinds import MATRIX, base_of, kind_of
from harness.costmodel.operator_models import seconds_of
from harness.records import (
    Accuracy,
    CaseAccuracy,
    CaseReplay,
    CostModel,
    Estimate,
    KindAccuracy,
    Operator,
    OperatorModel,
    Part,
    Result,
    Run,
    Trace,
    Validation,
)

PAGE_BYTES = 4096
# Half of a 90% interval in standard deviations.
NINETY = 1.645
# The relative error of the framework's time, as a standard deviation.
FRAMEWORK_ERROR = 0.4
# The errors of a kind without a model of its own, and of an operator beyond the calibrated range.
UNKNOWN, BEYOND = 0.6, 0.2
# Beyond this factor of the largest calibrated demand an operator is extrapolated.
MARGIN = 2.0
# The residual of a model of fewer cases is unreliable.
FEW = 3
# The median of shorter calls contains no disturbance of the machine; that of calls longer than the second contains all of it.
DODGES, SUFFERS = 5e-4, 2e-2
# The error of the summation itself, with each operator known: docs/pages/explanation/measured/steps.md.
SUMMATION = 0.10


def threads_of(model: CostModel) -> int:
    """The threads that share an operator: only on a CPU a loop is divided by a grain."""
    return model.threads if model.device == "cpu" else 1


def priced(model: CostModel, operator: Operator) -> tuple[float, OperatorModel | None]:
    """The seconds of one call, and the model of its kind; None where the model of another kind was used."""
    kind, dtype = kind_of(operator), dtype_of(operator)
    own = model.model(kind, dtype)
    if own is None and base_of(kind) not in MATRIX:
        own = model.model(kind, "float32")  # bytes are bytes
    fitted = own or _borrowed(model, kind, dtype)
    if fitted is None:
        return 0.0, None
    demand = demand_of(operator, model.far_bytes, threads_of(model))
    return seconds_of(fitted, demand) + demand.mapped_bytes / PAGE_BYTES * model.fault_seconds, own


def _borrowed(model: CostModel, kind: str, dtype: str) -> OperatorModel | None:
    forward = model.model(base_of(kind), dtype) or model.model(kind, "float32")
    if forward is not None:
        return forward
    similar = "gemm" if base_of(kind) in MATRIX else "elementwise"
    return model.model(similar, dtype) or model.model(similar, "float32") or next(iter(model.models), None)


@dataclass
class _Kind:
    """The operators of one kind in a call: their seconds, the variance of their own errors, and the error that they share."""

    seconds: float = 0.0
    variance: float = 0.0
    shared: float = 0.0
    extrapolated: bool = False
    uncalibrated: bool = False

    def add(self, seconds: float, fitted: OperatorModel | None, operator: Operator) -> None:
        """Adds an operator with its error."""
        own, shared = UNKNOWN, UNKNOWN
        if fitted is None:
            self.uncalibrated = True
        else:
            own = fitted.residual if fitted.cases >= FEW else max(fitted.residual, UNKNOWN)
            shared = own / math.sqrt(fitted.cases)
            if _beyond(fitted, operator):
                self.extrapolated = True
                shared += BEYOND
        self.seconds += seconds
        self.variance += (own * seconds) ** 2
        self.shared += shared * seconds


def _beyond(model: OperatorModel, operator: Operator) -> bool:
    flops = operator.flops + operator.recomputed_flops or operator.elementwise_flops
    moved = operator.bytes_read + operator.bytes_written
    return bool(model.most_flops and flops > MARGIN * model.most_flops) or moved > MARGIN * model.most_bytes


def _exposed(seconds: float) -> float:
    """The fraction of the machine's mean disturbance that the median of calls of such a length contains."""
    if seconds <= DODGES:
        return 0.0
    return min(1.0, math.log(seconds / DODGES) / math.log(SUFFERS / DODGES))


def estimate(model: CostModel, case: str, trace: Trace, operators: Sequence[Operator]) -> Estimate:
    """The time of a traced call, with a 90% interval."""
    kinds: dict[str, _Kind] = {}
    for operator in operators:
        if operator.kernel:
            each, fitted = priced(model, operator)
            kinds.setdefault(kind_of(operator), _Kind()).add(each * operator.count, fitted, operator)
    framework = framework_seconds(model.framework, trace, operators)
    kernels = sum(kind.seconds for kind in kinds.values())
    # On an accelerator the host works ahead: the slower of the two sets the pace.
    undisturbed = kernels + framework if model.device == "cpu" else max(kernels, framework)
    disturbance = undisturbed * (model.disturbance - 1.0) * _exposed(undisturbed)
    seconds = undisturbed + disturbance
    variance = (
        sum(kind.variance for kind in kinds.values())
        + sum(kind.shared**2 for kind in kinds.values())
        + (FRAMEWORK_ERROR * framework) ** 2
        + (math.hypot(SUMMATION, model.noise) * seconds) ** 2
    )
    error = NINETY * math.sqrt(variance) / seconds if seconds else 0.0
    parts = [Part(name, kind.seconds) for name, kind in kinds.items()]
    parts += [Part("framework", framework), Part("disturbance", disturbance)]
    return Estimate(
        case=case,
        seconds=seconds,
        low=seconds * math.exp(-error),
        high=seconds * math.exp(error),
        parts=tuple(sorted(parts, key=lambda part: -part.seconds)),
        extrapolated=tuple(name for name, kind in kinds.items() if kind.extrapolated),
        uncalibrated=tuple(name for name, kind in kinds.items() if kind.uncalibrated),
    )


MODEL, ROOFLINE, SCALED, REPLAY = "cost model", "roofline", "roofline x scalar", "replay"


def validated(run: Run, model: CostModel, estimates: Sequence[Estimate]) -> tuple[Validation, ...]:
    """The held-out steps of each suite, with the errors of the cost model and of simpler predictions."""
    known = {estimate.case: estimate for estimate in estimates}
    suites: dict[str, list[Result]] = {}
    for result in run.measured:
        if result.case.held_out and result.case.id in known:
            suites.setdefault(result.case.suite, []).append(result)
    return tuple(_validation(run, model, results, known) for results in suites.values())


def _validation(
    run: Run, model: CostModel, results: Sequence[Result], estimates: dict[str, Estimate]
) -> Validation:
    cases = tuple(
        _case(result, estimates[result.case.id], _scaled(result, results), run.replays.get(result.case.id))
        for result in results
    )
    ways: dict[str, Callable[[CaseAccuracy], float | None]] = {
        MODEL: lambda case: case.estimated,
        ROOFLINE: lambda case: case.roofline,
        SCALED: lambda case: case.scaled,
        REPLAY: lambda case: case.replayed,
    }
    accuracies = (_accuracy(way, cases, prediction) for way, prediction in ways.items())
    return Validation(
        suite=results[0].case.suite,
        cases=cases,
        ways=tuple(accuracy for accuracy in accuracies if accuracy is not None),
        coverage=sum(case.inside for case in cases) / len(cases),
        kinds=_by_kind(run, model, results),
    )


def _case(
    result: Result, estimate: Estimate, scaled: float | None, replay: CaseReplay | None
) -> CaseAccuracy:
    measured = result.measurement.median if result.measurement else math.nan
    return CaseAccuracy(
        case=result.case.id,
        measured=measured,
        estimated=estimate.seconds,
        inside=estimate.low <= measured <= estimate.high,
        roofline=result.prediction.seconds if result.prediction else None,
        scaled=scaled,
        replayed=sum(operator.count * operator.seconds for operator in replay.operators)
        if replay and not replay.untimed
        else None,
    )


def _scaled(result: Result, results: Iterable[Result]) -> float | None:
    """The roofline of a case times the median of measured over bound in the other cases."""
    bound = result.prediction.seconds if result.prediction else None
    ratios = [1.0 / r.efficiency for r in results if r.case.id != result.case.id and r.efficiency]
    return bound * stats.median(ratios) if bound and ratios else None


def _accuracy(
    way: str, cases: Sequence[CaseAccuracy], prediction: Callable[[CaseAccuracy], float | None]
) -> Accuracy | None:
    errors = {
        case.case: seconds / case.measured - 1.0
        for case in cases
        if (seconds := prediction(case)) is not None
    }
    if not errors:
        return None
    worst = max(errors, key=lambda case: abs(errors[case]))
    return Accuracy(
        way=way,
        cases=len(errors),
        mape=sum(map(abs, errors.values())) / len(errors),
        bias=stats.median(list(errors.values())),
        worst=errors[worst],
        worst_case=worst,
    )


def _by_kind(run: Run, model: CostModel, results: Iterable[Result]) -> tuple[KindAccuracy, ...]:
    """The models against the operators of the steps, each measured alone repeatedly on the same operands."""
    kinds: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        replay = run.replays.get(result.case.id)
        alone = alone_in(replay) if replay else {}
        for operator in run.operators.get(result.case.id, ()):
            seconds = alone.get(key_of(operator))
            if operator.kernel and seconds:
                error = priced(model, at_hand(operator))[0] / seconds - 1.0
                kinds.setdefault(kind_of(operator), []).append((operator.count * seconds, error))
    rows = []
    for kind, errors in kinds.items():
        total = sum(seconds for seconds, _ in errors)
        rows.append(
            KindAccuracy(
                kind=kind,
                operators=len(errors),
                seconds=total,
                mape=sum(seconds * abs(error) for seconds, error in errors) / total,
                bias=sum(seconds * error for seconds, error in errors) / total,
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.seconds))
