"""Checks of sweeps: time and memory grow with size as predicted, and curves bend where the model predicts it.

Scaling compares whole models by AICc, not the interval of an exponent: the best model with the predicted exponent of size against the
best model with another (`harness.fit.exponents`). A difference of 2 means nothing; above 4 the worse model has considerably less
support, above 10 none (Burnham and Anderson, 2002).
"""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

from harness import units
from harness.check import verdict
from harness.fit.fitted import CROOKED, Polynomial, exact_model
from harness.fit.selection import DECISIVE, EQUAL, PLAUSIBLE
from harness.fit.sweeps import CERTAIN, TOLERANCE
from harness.records import Answer, Fit, Parameter, Result, Rival, Run, Verdict

GROWTH_CLAIM = "memory growth"
# A polynomial of degree one takes two sizes, and a third to test it.
FEWEST = 3
# Tolerance of a measured exponent: scratch memory comes in steps (a tile for each thread, packed operands).
# Half a power more is another order of growth.
GROWTH_TOLERANCE, ANOTHER_ORDER = 0.05, 0.5


def check_memory_growth(run: Run) -> Iterator[Verdict]:
    """One verdict for each sweep whose memory was predicted at three sizes or more."""
    sweeps: dict[str, dict[int, Result]] = {}
    for result in run.results:
        if result.case.series and result.case.series.size > 0 and result.case.cost:
            sweeps.setdefault(result.case.series.name, {})[result.case.series.size] = result
    for name, results in sweeps.items():
        if len(results) >= FEWEST:
            yield _growth_verdict(name, dict(sorted(results.items())))


def _growth_verdict(name: str, results: dict[int, Result]) -> Verdict:
    variable = next(result.case.series.variable for result in results.values() if result.case.series)
    costs = {size: result.case.cost for size, result in results.items() if result.case.cost}
    predicted = exact_model(list(costs), [cost.memory_bytes for cost in costs.values()])
    moved = exact_model(list(costs), [cost.bytes_moved for cost in costs.values()])
    if predicted is None:
        reason = f"the predictions of {len(costs)} sizes follow no polynomial: too few sizes, or another moment sets the peak"
        return verdict(GROWTH_CLAIM, name, Answer.INCONCLUSIVE, reason)
    prediction = f"predicted {predicted.formula(variable)} bytes{_from(predicted, costs, variable)}"
    if moved is not None and moved.degree != predicted.degree:
        reason = f"a call moves {moved.formula(variable)} bytes, which is another order: one of them is wrong"
        return verdict(GROWTH_CLAIM, name, Answer.FAILS, prediction, reason)
    peaks = {
        size: (result.measurement.peak_memory_bytes, cost.memory_bytes)
        for size, result in results.items()
        if (cost := costs.get(size)) and cost.memory_bytes > 0
        if result.measurement and result.measurement.peak_memory_bytes
    }
    answer, measured = _measured_growth(peaks, predicted, variable)
    return verdict(GROWTH_CLAIM, name, answer, prediction, measured)


def _measured_growth(
    peaks: dict[int, tuple[int, int]], predicted: Polynomial, variable: str
) -> tuple[Answer, str]:
    """Whether the measured peaks grow no faster than the predicted ones, from the middle size to the largest."""
    if len(peaks) < FEWEST:
        return Answer.INCONCLUSIVE, "too few sizes were measured"
    model = exact_model(list(peaks), [measured for measured, _ in peaks.values()])
    if model is not None and model.degree == predicted.degree:
        same = model.coefficients == predicted.coefficients
        return (
            Answer.HOLDS,
            f"measured {'the same' if same else model.formula(variable)}{_from(model, peaks, variable)}",
        )
    ratios = {size: measured / expected for size, (measured, expected) in peaks.items()}
    middle, last = list(peaks)[(len(peaks) - 1) // 2], max(peaks)
    faster = math.log(ratios[last] / ratios[middle]) / math.log(last / middle)
    worst = max(abs(ratio - 1.0) for ratio in ratios.values())
    text = (
        f"measured {variable}^{predicted.degree + faster:.2f} from {middle} on, at most {units.percent(worst)} off "
        f"(tolerance of the exponent {units.percent(GROWTH_TOLERANCE)}; {ANOTHER_ORDER:g} more is another order)"
    )
    if faster <= GROWTH_TOLERANCE * max(predicted.degree, 1):
        return Answer.HOLDS, text
    return Answer.FAILS if faster >= ANOTHER_ORDER else Answer.INCONCLUSIVE, text


def _from(model: Polynomial, sizes: Iterable[int], variable: str) -> str:
    """Where a polynomial begins, if not at the first size."""
    if model.first <= min(sizes):
        return ""
    return f" from {variable} = {model.first} on (below, another moment sets the peak)"


CROSSOVER_CLAIM = "crossover"
# Tolerances of the size at which the measured rate passes half of the fitted one, beyond the interval of the model: rates of real sizes
# jump by 25% (tiles, packing). A factor of two is another crossover.
CROSSOVER_TOLERANCE, WRONG = 1.25, 2.0
# On each side of the ridge the best case should reach this fraction of its roof; more than all of it is noise, or an error.
REACHED, BEATEN, MUST_NOT = 0.5, 1.15, 2.0


def check_crossovers(run: Run) -> Iterator[Verdict]:
    """One verdict for each sweep with an identified size of half performance, and for each dtype with cases on both sides of its ridge."""
    for fit in run.header.fits:
        half = fit.parameter(f"{fit.variable}_half")
        rate = fit.parameter("P")
        if half is not None and rate is not None and half.identified and rate.value is not None:
            yield _half_verdict(fit, half, rate.value)
    for dtype in dict.fromkeys(result.case.dtype for result in run.measured):
        yield from _ridge_verdict(run, dtype)


def _half_verdict(fit: Fit, half: Parameter, rate: float) -> Verdict:
    value, low, high = half.value or 0.0, half.low or 0.0, half.high or 0.0
    fitted = f"{fit.model} reaches half of {units.work_rate(rate)} at {fit.variable} = {value:.3g} [{low:.3g}, {high:.3g}]"
    passed = _passed(fit, rate / 2.0)
    if passed is None:
        return verdict(
            CROSSOVER_CLAIM, fit.series, Answer.INCONCLUSIVE, fitted, "no two sizes enclose that rate"
        )
    measured = f"measured at {passed:.3g} (tolerance: a factor of {CROSSOVER_TOLERANCE:g} beyond the interval, as rates jump between sizes)"
    if low / CROSSOVER_TOLERANCE <= passed <= high * CROSSOVER_TOLERANCE:
        answer = Answer.HOLDS
    elif low / WRONG <= passed <= high * WRONG or any(point.flagged for point in fit.points):
        answer = Answer.INCONCLUSIVE
    else:
        answer = Answer.FAILS
    return verdict(CROSSOVER_CLAIM, fit.series, answer, fitted, measured)


def _passed(fit: Fit, wanted: float) -> float | None:
    """The size at which the measured rate passes the wanted one, interpolated on a logarithmic scale."""
    rates = sorted((point.size, point.work / point.measured) for point in fit.points)
    for (size, rate), (next_size, next_rate) in pairwise(rates):
        if rate <= wanted < next_rate:
            fraction = math.log(wanted / rate) / math.log(next_rate / rate)
            return float(size * (next_size / size) ** fraction)
    return None


def _ridge_verdict(run: Run, dtype: str) -> Iterator[Verdict]:
    """Single operators on both sides of the ridge, each compared with the roof that should bound it."""
    sides: dict[str, list[Result]] = {"memory": [], "compute": []}
    for result in run.measured:
        prediction = result.prediction
        single = result.case.trace is None and result.case.cost and result.case.cost.flops
        if single and result.case.dtype == dtype and prediction and prediction.bound and _ridge_point(result):
            sides[prediction.bound].append(result)
    if not all(sides.values()):
        return
    best = {side: max(results, key=_efficiency) for side, results in sides.items()}
    ridges = sorted(set(filter(None, (_ridge_point(result) for side in sides.values() for result in side))))
    place = f"{ridges[0]:.3g}" + (
        "" if len(ridges) == 1 else f" to {ridges[-1]:.3g} (depending on the memory level)"
    )
    reached = (
        f"{side}-bound cases reach at most {units.percent(_efficiency(result))} of the {side} roof "
        f"({result.case.id}, best of {len(sides[side])})"
        for side, result in best.items()
    )
    yield verdict(
        CROSSOVER_CLAIM,
        f"ridge of {dtype}",
        _ridge_answer(best.values()),
        f"ridge at {place} FLOP/B",
        *reached,
        f"{units.percent(REACHED)} required, up to {units.percent(BEATEN)} is noise",
    )


def _ridge_point(result: Result) -> float | None:
    return result.prediction.ridge_point if result.prediction else None


def _efficiency(result: Result) -> float:
    return result.efficiency or 0.0


def _ridge_answer(best: Iterable[Result]) -> Answer:
    if all(REACHED <= _efficiency(result) <= BEATEN for result in best):
        return Answer.HOLDS
    beaten = (result.measurement for result in best if _efficiency(result) > MUST_NOT)
    clean = any(measurement and not measurement.flags for measurement in beaten)
    return Answer.FAILS if clean else Answer.INCONCLUSIVE


SCALING_CLAIM = "scaling"
# With fewer sizes a wrong model fits one set in thirty exactly by chance: such sweeps never fail.
LEAST = 6
# Threads bring their own caches: together they may exceed their number by this factor.
SUPER = 1.5


def check_scaling(run: Run) -> Iterator[Verdict]:
    """One verdict for each fitted sweep."""
    for fit in run.header.fits:
        answer, *reasons = _threads(fit) if fit.work_in == "threads" else _scaling(fit)
        yield verdict(SCALING_CLAIM, fit.series, answer, *reasons)


def _threads(fit: Fit) -> tuple[Answer, str, str]:
    """Whether the speed-up of threads stays below their number, and a model of scalability describes it."""
    first, *more = fit.points
    fastest = min(more, key=lambda point: point.measured)
    most_efficient = min(more, key=lambda point: point.measured * point.size)
    beaten = first.measured * first.size > SUPER * most_efficient.measured * most_efficient.size
    shown = most_efficient if beaten else fastest
    speedup, ideal = first.measured / shown.measured, shown.size / first.size
    text = (
        f"{shown.size} threads are {speedup:.2f} times as fast as {first.size} (ideal {ideal:g}; "
        f"tolerance {units.percent(SUPER - 1.0)} for caches that add up)"
    )
    if speedup < 1.0:
        return Answer.INCONCLUSIVE, f"more threads are slower at every count: {text}", _facts(fit)
    if beaten:
        answer = Answer.INCONCLUSIVE if any(point.flagged for point in fit.points) else Answer.FAILS
        return answer, f"{text}, so the number of threads is not the one recorded", _facts(fit)
    answer = Answer.HOLDS if fit.median_residual <= CROOKED else Answer.INCONCLUSIVE
    return answer, text, _facts(fit)


def _scaling(fit: Fit) -> tuple[Answer, str] | tuple[Answer, str, str]:
    theory = _power(fit, fit.theory_exponent)
    if fit.growth is not None and _off(fit, fit.growth) > TOLERANCE:
        return (
            Answer.FAILS,
            f"the counted work scales as {_power(fit, fit.growth)}, predicted {theory}: one of them is wrong",
        )
    certain = CERTAIN[fit.work_in]
    inside = _best(rival for rival in fit.rivals if _off(fit, rival.exponent) <= TOLERANCE)
    outside = _best(rival for rival in fit.rivals if _off(fit, rival.exponent) > certain)
    best = _best(fit.rivals)
    if inside is None or outside is None or best is None:
        return Answer.INCONCLUSIVE, "there is no other model to compare with", _facts(fit)
    gap = outside.worse - inside.worse
    straight = fit.median_residual <= CROOKED
    limits = f"exponents {units.percent(TOLERANCE)} off agree, {units.percent(certain)} off differ"
    if straight and inside.worse - best.worse <= EQUAL and gap > PLAUSIBLE:
        against = f"ΔAICc {gap:.0f} against {_power(fit, outside.exponent)}, {PLAUSIBLE:g} required"
        return Answer.HOLDS, f"scales as {theory} (predicted {theory}; {against}; {limits})", _facts(fit)
    rival = outside if gap <= PLAUSIBLE else best
    flagged = [str(point.size) for point in fit.points if point.flagged]
    if not straight or -gap <= DECISIVE or len(fit.points) < LEAST:
        answer, disturbed = Answer.INCONCLUSIVE, ""
    elif flagged:
        answer = Answer.INCONCLUSIVE
        disturbed = (
            f"; the disturbed sizes ({', '.join(flagged)}) may be the cause: measure again on a quiet machine"
        )
    else:
        answer, disturbed = Answer.FAILS, ""
    text = _not_as_predicted(
        theory, _power(fit, rival.exponent), inside.worse - rival.worse, straight=straight
    )
    return answer, f"{text} (ΔAICc {DECISIVE:g} decides; {limits})", f"{_facts(fit)}{disturbed}"


def _not_as_predicted(theory: str, other: str, worse: float, *, straight: bool) -> str:
    if not straight:
        return f"no model is within {units.percent(CROOKED)} of the sizes, so the predicted {theory} cannot be checked"
    if worse > EQUAL:
        return f"{other} explains the sizes better than the predicted {theory}, by ΔAICc {worse:.0f}"
    return f"the sizes do not distinguish the predicted {theory} from {other}"


def _best(rivals: Iterable[Rival]) -> Rival | None:
    return min(rivals, key=lambda rival: rival.worse, default=None)


def _off(fit: Fit, exponent: float) -> float:
    return abs(exponent / fit.theory_exponent - 1.0)


def _power(fit: Fit, exponent: float) -> str:
    name = fit.variable if fit.variable.isidentifier() else f"({fit.variable})"
    power = round(exponent, 2)
    return fit.variable if power == 1.0 else f"{name}^{power:g}"


def _facts(fit: Fit) -> str:
    """The model, its residuals, and the free exponent as a diagnostic."""
    free = fit.exponent
    text = (
        f"{fit.model} fits {len(fit.points)} sizes with a median residual of {units.percent(fit.median_residual)}, "
        f"worst {units.percent(abs(fit.worst.residual))} ({fit.variable} = {fit.worst.size})"
    )
    if free.value is None or free.low is None or free.high is None:
        return text
    return f"{text}; free exponent {free.value:.2f} [{free.low:.2f}, {free.high:.2f}]"
