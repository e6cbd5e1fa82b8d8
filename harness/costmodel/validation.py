"""Held-out steps against what was said of them, beside what a person would otherwise use."""

import math
from collections.abc import Callable, Iterable, Sequence

from harness import stats
from harness.costmodel.calibration import alone_in, at_hand, key_of, priced
from harness.costmodel.kinds import kind_of
from harness.records import (
    Accuracy,
    CaseReplay,
    CostModel,
    Estimate,
    Judged,
    KindAccuracy,
    Result,
    Run,
    Validation,
)

MODEL, ROOFLINE, SCALED, REPLAY = "cost model", "roofline", "roofline x scalar", "replay"


def validated(run: Run, model: CostModel, estimates: Sequence[Estimate]) -> tuple[Validation, ...]:
    """For each suite of whole models in a run: each case, and each way to predict over all of them."""
    said = {estimate.case: estimate for estimate in estimates}
    suites: dict[str, list[Result]] = {}
    for result in run.measured:
        if result.case.held_out and result.case.id in said:
            suites.setdefault(result.case.suite, []).append(result)
    return tuple(_of_suite(run, model, suite, results, said) for suite, results in suites.items())


def _of_suite(
    run: Run, model: CostModel, suite: str, results: Sequence[Result], said: dict[str, Estimate]
) -> Validation:
    cases = tuple(
        _judged(result, said[result.case.id], _scaled(result, results), run.replays.get(result.case.id))
        for result in results
    )
    ways: list[tuple[str, Callable[[Judged], float | None]]] = [
        (MODEL, lambda one: one.estimated),
        (ROOFLINE, lambda one: one.roofline),
        (SCALED, lambda one: one.scaled),
        (REPLAY, lambda one: one.replayed),
    ]
    accuracies = (_accuracy(way, cases, predicted) for way, predicted in ways)
    return Validation(
        suite=suite,
        cases=cases,
        ways=tuple(accuracy for accuracy in accuracies if accuracy is not None),
        coverage=sum(case.inside for case in cases) / len(cases),
        kinds=_by_kind(run, model, results),
    )


def _judged(result: Result, said: Estimate, scaled: float | None, replay: CaseReplay | None) -> Judged:
    measured = result.measurement.median if result.measurement else math.nan
    whole = replay is not None and not replay.untimed
    return Judged(
        case=result.case.id,
        measured=measured,
        estimated=said.seconds,
        inside=said.low <= measured <= said.high,
        roofline=result.prediction.seconds if result.prediction else None,
        scaled=scaled,
        replayed=sum(operator.count * operator.seconds for operator in replay.operators)
        if whole and replay
        else None,
    )


def _scaled(result: Result, results: Iterable[Result]) -> float | None:
    """The roofline times how far it is off in the other cases: the median of measured over bound."""
    mine = result.prediction.seconds if result.prediction else None
    ratios = [
        1.0 / other.efficiency for other in results if other.case.id != result.case.id and other.efficiency
    ]
    return mine * stats.median(ratios) if mine and ratios else None


def _accuracy(
    way: str, cases: Sequence[Judged], predicted: Callable[[Judged], float | None]
) -> Accuracy | None:
    errors = [
        (case.case, value / case.measured - 1.0) for case in cases if (value := predicted(case)) is not None
    ]
    if not errors:
        return None
    case, worst = max(errors, key=lambda error: abs(error[1]))
    return Accuracy(
        way=way,
        cases=len(errors),
        mape=sum(abs(error) for _, error in errors) / len(errors),
        bias=stats.median([error for _, error in errors]),
        worst=worst,
        worst_case=case,
    )


def _by_kind(run: Run, model: CostModel, results: Iterable[Result]) -> tuple[KindAccuracy, ...]:
    """The models against the operators of the steps, each measured alone, again and again on the same operands."""
    found: dict[str, list[tuple[float, float]]] = {}
    for result in results:
        replay = run.replays.get(result.case.id)
        alone = alone_in(replay) if replay else {}
        for operator in run.operators.get(result.case.id, ()):
            seconds = alone.get(key_of(operator))
            if operator.kernel and seconds:
                said = priced(model, at_hand(operator))[0]
                weight = operator.count * seconds
                found.setdefault(kind_of(operator), []).append((weight, said / seconds - 1.0))
    rows = []
    for kind, several in found.items():
        total = sum(weight for weight, _ in several)
        rows.append(
            KindAccuracy(
                kind=kind,
                operators=len(several),
                seconds=total,
                mape=sum(weight * abs(error) for weight, error in several) / total,
                bias=sum(weight * error for weight, error in several) / total,
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.seconds))
