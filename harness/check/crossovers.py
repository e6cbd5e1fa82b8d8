"""Crossovers: where the overhead meets the work (half performance), and where memory meets compute (the ridge).

n_half is Hockney's: the size at which half of the rate is reached, as its work takes as long as the overhead (behind a floor, half as long). The ridge is the roofline's: the
FLOPs per byte at which the best rate and the best bandwidth take as long.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

from harness import units
from harness.records import Answer, Fit, Parameter, Result, Run, Verdict

CLAIM = "crossover"
# The size at which the measured rate passes half of the fitted one, against the law's: 25 % in size beside the interval, as rates
# of real sizes jump (tiles, packing) by as much; a factor of two is another crossover.
TOLERANCE, WRONG = 1.25, 2.0
# Above and below the ridge the best case should reach this share of its roof, and none much more than all of it.
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
    told = f"half of the rate is reached at {fit.variable} = {value:.3g} [{low:.3g}, {high:.3g}] by {fit.law}"
    seen = _passed(fit, rate / 2.0)
    if seen is None:
        return Verdict(CLAIM, fit.series, Answer.INCONCLUSIVE, f"{told}; no two sizes enclose it")
    told += (
        f"; the measured rate passes half of {units.work_rate(rate)} at {seen:.3g} (a factor of {TOLERANCE:g} beside the "
        "interval is allowed: rates jump from size to size)"
    )
    if low / TOLERANCE <= seen <= high * TOLERANCE:
        return Verdict(CLAIM, fit.series, Answer.HOLDS, told)
    wrong = not low / WRONG <= seen <= high * WRONG and not any(point.flagged for point in fit.points)
    return Verdict(CLAIM, fit.series, Answer.FAILS if wrong else Answer.INCONCLUSIVE, told)


def _passed(fit: Fit, wanted: float) -> float | None:
    """The size at which the measured rate passes one, between two sizes on a logarithmic scale."""
    rates = sorted((point.size, point.work / point.measured) for point in fit.points)
    for (size, rate), (next_size, next_rate) in pairwise(rates):
        if rate <= wanted < next_rate:
            share = math.log(wanted / rate) / math.log(next_rate / rate)
            return float(size * (next_size / size) ** share)
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
    ridges = sorted({ridge for one in (*sides["memory"], *sides["compute"]) if (ridge := _ridge_point(one))})
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
    yield Verdict(CLAIM, f"ridge of {dtype}", _judged(reached, best), told)


def _ridge_point(result: Result) -> float | None:
    return result.prediction.ridge_point if result.prediction else None


def _judged(reached: dict[str, float], best: dict[str, Result]) -> Answer:
    if all(REACHED <= share <= BEATEN for share in reached.values()):
        return Answer.HOLDS
    beaten = [best[side] for side, share in reached.items() if share > MUST_NOT]
    clean = [one for one in beaten if one.measurement and not one.measurement.flags]
    return Answer.FAILS if clean else Answer.INCONCLUSIVE


def _range(values: list[float]) -> str:
    return (
        f"{values[0]:.3g}" if len(values) == 1 else f"{values[0]:.3g} to {values[-1]:.3g} (by memory level)"
    )
