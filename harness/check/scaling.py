"""Scaling: time grows with size as theory says (a product with n^3, a copy with n).

Whole models are compared, not the interval of an exponent: the best model whose exponent of size is theory's, against the best whose
exponent is another (`harness.fit.exponents`). The measure is AICc: a difference of 2 is nothing, over 4 the worse has
considerably less support, over 10 none (Burnham and Anderson, 2002).
"""

import math
from collections.abc import Iterator
from itertools import pairwise

from harness import units
from harness.fit.exponents import Polynomial, exact_model
from harness.fit.fitted import CROOKED
from harness.fit.selection import DECISIVE, EQUAL, PLAUSIBLE
from harness.fit.sweeps import CERTAIN, TOLERANCE
from harness.records import Answer, Fit, Parameter, Result, Rival, Run, Verdict

GROWTH_CLAIM = "memory growth"
# A polynomial of degree one takes two sizes, and a third to try it on.
FEWEST = 3
# An exponent of what was measured may be off by this share, as scratch memory comes in steps (a tile for each thread, packed operands).
# Half a power more is another order of growth.
GROWTH_TOLERANCE, ANOTHER_ORDER = 0.05, 0.5


def check_memory_growth(run: Run) -> Iterator[Verdict]:
    """One verdict for each sweep whose memory was said at three sizes or more."""
    sweeps: dict[str, dict[int, Result]] = {}
    for result in run.results:
        if result.case.series and result.case.series.size > 0 and result.case.cost:
            sweeps.setdefault(result.case.series.name, {})[result.case.series.size] = result
    for name, sizes in sweeps.items():
        if len(sizes) >= FEWEST:
            yield _verdict(name, [sizes[size] for size in sorted(sizes)])


def _verdict(name: str, results: list[Result]) -> Verdict:
    variable = next(result.case.series.variable for result in results if result.case.series)
    sizes = [result.case.series.size for result in results if result.case.series]
    said = exact_model(sizes, [result.case.cost.memory_bytes for result in results if result.case.cost])
    round_spread = exact_model(
        sizes, [result.case.cost.bytes_moved for result in results if result.case.cost]
    )
    if said is None:
        told = f"what was said of {len(sizes)} sizes follows no polynomial: too few of them, or another moment sets the peak"
        return Verdict(GROWTH_CLAIM, name, Answer.INCONCLUSIVE, told)
    told = f"{said.told(variable)} bytes were said, exactly{_from(said, sizes, variable)}"
    if round_spread is not None and round_spread.degree != said.degree:
        told += f"; but a call moves {round_spread.told(variable)} bytes: one of them is wrong"
        return Verdict(GROWTH_CLAIM, name, Answer.FAILS, told)
    return _measured(name, variable, results, told, said)


def _measured(name: str, variable: str, results: list[Result], told: str, said: Polynomial) -> Verdict:
    """Whether what was measured grows no faster than what was said, from the middle size to the largest."""
    points = [
        (result.case.series.size, result.measurement.peak_memory_bytes, result.case.cost.memory_bytes)
        for result in results
        if result.case.series
        and result.case.cost
        and result.measurement
        and result.measurement.peak_memory_bytes
        if result.case.cost.memory_bytes > 0
    ]
    if len(points) < FEWEST:
        return Verdict(GROWTH_CLAIM, name, Answer.INCONCLUSIVE, f"{told}; too few sizes were measured")
    model = exact_model([size for size, _, _ in points], [measured for _, measured, _ in points])
    if model is not None and model.degree == said.degree:
        same = "the same" if model.coefficients == said.coefficients else f"{model.told(variable)}"
        where = _from(model, [size for size, _, _ in points], variable)
        return Verdict(GROWTH_CLAIM, name, Answer.HOLDS, f"{told}; measured is {same}{where}")
    (middle, here, expected), (last, there, said_there) = points[(len(points) - 1) // 2], points[-1]
    faster = math.log((there / said_there) / (here / expected)) / math.log(last / middle)
    power = max(said.degree, 1)
    worst = max(abs(measured / one - 1.0) for _, measured, one in points)
    told += (
        f"; measured grows as {variable}^{said.degree + faster:.2f} from {middle} on and is off by {units.percent(worst)} at most "
        f"(an exponent {units.percent(GROWTH_TOLERANCE)} higher is scratch memory in steps, {ANOTHER_ORDER:g} more another order)"
    )
    if faster <= GROWTH_TOLERANCE * power:
        return Verdict(GROWTH_CLAIM, name, Answer.HOLDS, told)
    return Verdict(GROWTH_CLAIM, name, Answer.FAILS if faster >= ANOTHER_ORDER else Answer.INCONCLUSIVE, told)


def _from(model: Polynomial, sizes: list[int], variable: str) -> str:
    """Where it does not begin at the first size: below, another moment of the call sets the peak."""
    return (
        ""
        if model.first <= min(sizes)
        else f", from {variable} = {model.first} on (below, another moment sets the peak)"
    )


CROSSOVER_CLAIM = "crossover"
# The size at which the measured rate passes half of the fitted one, against the model's: 25 % in size beside the interval, as rates
# of real sizes jump (tiles, packing) by as much; a factor of two is another crossover.
CROSSOVER_TOLERANCE, WRONG = 1.25, 2.0
# Above and below the ridge the best case should reach this fraction of its roof, and none much more than all of it.
REACHED, BEATEN, MUST_NOT = 0.5, 1.15, 2.0


def check_crossovers(run: Run) -> Iterator[Verdict]:
    """One verdict for each sweep with an identified size of half performance, and one for each dtype with cases on both sides of its ridge."""
    for fit in run.header.fits:
        half = fit.parameter(f"{fit.variable}_half")
        rate = fit.parameter("P")
        if half is not None and rate is not None and half.identified and rate.value is not None:
            yield _half(fit, half, rate.value)
    dtypes = dict.fromkeys(result.case.dtype for result in run.measured)
    for dtype in dtypes:
        yield from _ridge(run, dtype)


def _half(fit: Fit, half: Parameter, rate: float) -> Verdict:
    value, low, high = half.value or 0.0, half.low or 0.0, half.high or 0.0
    told = (
        f"half of the rate is reached at {fit.variable} = {value:.3g} [{low:.3g}, {high:.3g}] by {fit.model}"
    )
    seen = _passed(fit, rate / 2.0)
    if seen is None:
        return Verdict(CROSSOVER_CLAIM, fit.series, Answer.INCONCLUSIVE, f"{told}; no two sizes enclose it")
    told += (
        f"; the measured rate passes half of {units.work_rate(rate)} at {seen:.3g} (a factor of {CROSSOVER_TOLERANCE:g} beside the "
        "interval is allowed: rates jump from size to size)"
    )
    if low / CROSSOVER_TOLERANCE <= seen <= high * CROSSOVER_TOLERANCE:
        return Verdict(CROSSOVER_CLAIM, fit.series, Answer.HOLDS, told)
    wrong = not low / WRONG <= seen <= high * WRONG and not any(point.flagged for point in fit.points)
    return Verdict(CROSSOVER_CLAIM, fit.series, Answer.FAILS if wrong else Answer.INCONCLUSIVE, told)


def _passed(fit: Fit, wanted: float) -> float | None:
    """The size at which the measured rate passes one, between two sizes on a logarithmic scale."""
    rates = sorted((point.size, point.work / point.measured) for point in fit.points)
    for (size, rate), (next_size, next_rate) in pairwise(rates):
        if rate <= wanted < next_rate:
            fraction = math.log(wanted / rate) / math.log(next_rate / rate)
            return float(size * (next_size / size) ** fraction)
    return None


def _ridge(run: Run, dtype: str) -> Iterator[Verdict]:
    """Single operators on both sides of the ridge, each held against the roof that should bind it."""
    sides: dict[str, list[Result]] = {"memory": [], "compute": []}
    for result in run.measured:
        said = result.prediction
        single = result.case.trace is None and result.case.cost and result.case.cost.flops
        if single and said and _ridge_point(result) and said.bound and result.case.dtype == dtype:
            sides[said.bound].append(result)
    if not sides["memory"] or not sides["compute"]:
        return
    ridges = sorted(
        {ridge for side in (*sides["memory"], *sides["compute"]) if (ridge := _ridge_point(side))}
    )
    best = {side: max(results, key=lambda one: one.efficiency or 0.0) for side, results in sides.items()}
    reached = {side: one.efficiency or 0.0 for side, one in best.items()}
    told = (
        f"memory meets compute at {_range(ridges)} FLOP/B; "
        + "; ".join(
            f"{'below' if side == 'memory' else 'above'}, the best of {len(sides[side])} cases reaches {units.percent(reached[side])} "
            f"of the {side} roof ({best[side].case.id})"
            for side in sides
        )
        + f" ({units.percent(REACHED)} are wanted; up to {units.percent(BEATEN)} is noise)"
    )
    yield Verdict(CROSSOVER_CLAIM, f"ridge of {dtype}", _judged(reached, best), told)


def _ridge_point(result: Result) -> float | None:
    return result.prediction.ridge_point if result.prediction else None


def _judged(reached: dict[str, float], best: dict[str, Result]) -> Answer:
    if all(REACHED <= fraction <= BEATEN for fraction in reached.values()):
        return Answer.HOLDS
    beaten = [best[side] for side, fraction in reached.items() if fraction > MUST_NOT]
    clean = [one for one in beaten if one.measurement and not one.measurement.flags]
    return Answer.FAILS if clean else Answer.INCONCLUSIVE


def _range(values: list[float]) -> str:
    return (
        f"{values[0]:.3g}" if len(values) == 1 else f"{values[0]:.3g} to {values[-1]:.3g} (by memory level)"
    )


SCALING_CLAIM = "scaling"
# Of so few sizes a wrong model fits one set in thirty to the last digit, by luck: they may hold, and never fail.
LEAST = 6
# Threads bring their own caches, and may be faster together by this factor than their number.
SUPER = 1.5


def check_scaling(run: Run) -> Iterator[Verdict]:
    """One verdict for each fitted sweep."""
    for fit in run.header.fits:
        yield _threads(fit) if fit.work_in == "threads" else _scaling_verdict(fit)


def _threads(fit: Fit) -> Verdict:
    """Threads make it faster as Amdahl's law or the universal one says, and by no more than there are of them."""
    first, *more = fit.points
    fastest = min(more, key=lambda point: point.measured)
    boldest = min(more, key=lambda point: point.measured * point.size)
    beaten = first.measured * first.size > SUPER * boldest.measured * boldest.size
    shown = boldest if beaten else fastest
    gain, ideal = first.measured / shown.measured, shown.size / first.size
    told = (
        f"{shown.size} threads are {gain:.2f} times as fast as {first.size} ({ideal:g} at best; {units.percent(SUPER - 1.0)} more "
        f"may be caches that add up); {_facts(fit)}"
    )
    if gain < 1.0:
        told = f"more threads make it slower at every count: {told}"
        return Verdict(SCALING_CLAIM, fit.series, Answer.INCONCLUSIVE, told)
    if beaten:
        answer = Answer.INCONCLUSIVE if any(point.flagged for point in fit.points) else Answer.FAILS
        return Verdict(SCALING_CLAIM, fit.series, answer, f"{told}: threads are not what they are said to be")
    answer = Answer.HOLDS if fit.median_residual <= CROOKED else Answer.INCONCLUSIVE
    return Verdict(SCALING_CLAIM, fit.series, answer, told)


def _scaling_verdict(fit: Fit) -> Verdict:
    theory = _power(fit, fit.theory_exponent)
    if fit.growth is not None and _off(fit, fit.growth) > TOLERANCE:
        told = f"the work that is counted grows as {_power(fit, fit.growth)} where theory says {theory}: one is wrong"
        return Verdict(SCALING_CLAIM, fit.series, Answer.FAILS, told)
    certain = CERTAIN[fit.work_in]
    inside = _best([rival for rival in fit.rivals if _off(fit, rival.exponent) <= TOLERANCE])
    outside = _best([rival for rival in fit.rivals if _off(fit, rival.exponent) > certain])
    best = _best(fit.rivals)
    if inside is None or outside is None or best is None:
        return Verdict(
            SCALING_CLAIM, fit.series, Answer.INCONCLUSIVE, f"no other model to compare with; {_facts(fit)}"
        )
    gap = outside.worse - inside.worse
    allowed = f"up to {units.percent(TOLERANCE)} off is met, over {units.percent(certain)} is missed, as kernels that switch bend a curve"
    straight = fit.median_residual <= CROOKED
    if straight and inside.worse - best.worse <= EQUAL and gap > PLAUSIBLE:
        told = f"grows as {theory}, as theory says: {_power(fit, outside.exponent)} is worse by {gap:.0f} in AICc (over {PLAUSIBLE:g} counts; {allowed})"
        return Verdict(SCALING_CLAIM, fit.series, Answer.HOLDS, f"{told}; {_facts(fit)}")
    other = outside if gap <= PLAUSIBLE else best
    by = inside.worse - other.worse
    told = (
        f"{_power(fit, other.exponent)} explains the sizes better by {by:.0f} in AICc than {theory}, which theory says"
        if by > EQUAL
        else f"the sizes do not tell {theory}, which theory says, from {_power(fit, other.exponent)}"
    )
    if not straight:
        told = f"no model is within {units.percent(CROOKED)} of the sizes, so none says that {theory}, as theory has it, holds"
    told += f" ({DECISIVE:g} in AICc decides; {allowed}); {_facts(fit)}"
    flagged = [str(point.size) for point in fit.points if point.flagged]
    if not straight or -gap <= DECISIVE or len(fit.points) < LEAST:
        return Verdict(SCALING_CLAIM, fit.series, Answer.INCONCLUSIVE, told)
    if flagged:
        told += f"; disturbed sizes ({', '.join(flagged)}) may be why: measure again on a quiet machine"
        return Verdict(SCALING_CLAIM, fit.series, Answer.INCONCLUSIVE, told)
    return Verdict(SCALING_CLAIM, fit.series, Answer.FAILS, told)


def _best(rivals: list[Rival] | tuple[Rival, ...]) -> Rival | None:
    return min(rivals, key=lambda one: one.worse, default=None)


def _off(fit: Fit, exponent: float) -> float:
    return abs(exponent / fit.theory_exponent - 1.0)


def _power(fit: Fit, exponent: float) -> str:
    name = fit.variable if fit.variable.isidentifier() else f"({fit.variable})"
    power = round(exponent, 2)
    return fit.variable if power == 1.0 else f"{name}^{power:g}"


def _facts(fit: Fit) -> str:
    """The model, its residuals, and the free exponent as a diagnostic."""
    free = fit.exponent
    told = (
        f"{fit.model} explains {len(fit.points)} sizes to {units.percent(fit.median_residual)} typically, "
        f"{units.percent(abs(fit.worst.residual))} at worst ({fit.variable} = {fit.worst.size})"
    )
    if free.value is None or free.low is None or free.high is None:
        return told
    return f"{told}; left free, the exponent comes out at {free.value:.2f} [{free.low:.2f}, {free.high:.2f}]"
