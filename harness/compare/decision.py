"""From readings of pairs to a decision: regressed, improved, equivalent or inconclusive.

The unit is the pair of fresh processes. A test of pooled samples finds a difference between two copies of the same code in most
comparisons: samples of one process resemble each other, and processes differ permanently (docs/pages/explanation/measured).
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from harness import stats
from harness.records.comparison import Decision

# A change up to this fraction has no practical meaning, however certain it is.
PRACTICAL_THRESHOLD = 0.02
# A true change of exactly the threshold counts as larger in one case of twenty, over all analyses of the readings together. An interval
# leaves out this much of the distribution, half at each end. Two analyses divide it, and each has a 95% interval.
ALPHA = 0.10
# The fraction of false discoveries among all discoveries of a run.
FALSE_DISCOVERIES = 0.05
# The minimum detectable change is missed in one case of five.
MISSED = 0.2


class Effect(NamedTuple):
    """A ratio of times (candidate / base) estimated from pairs; `p` is two-sided, of no change."""

    ratio: float
    low: float
    high: float
    p: float
    pairs: int
    alpha: float = ALPHA

    def slower(self, threshold: float) -> bool:
        """Whether the whole interval is slower by more than the threshold."""
        return self.low > 1.0 + threshold

    def faster(self, threshold: float) -> bool:
        """Whether the whole interval is faster by more than the threshold."""
        return self.high < 1.0 / (1.0 + threshold)

    def equivalent(self, threshold: float) -> bool:
        """Whether the whole interval lies within the threshold."""
        return 1.0 / (1.0 + threshold) < self.low and self.high < 1.0 + threshold

    @property
    def detectable(self) -> float:
        """The minimum detectable change, a fraction: as many pairs detect it in 80 of 100 cases."""
        quantile, half = (
            stats.students_t(1.0 - self.alpha / 2, self.pairs - 1),
            math.log(self.high / self.low) / 2,
        )
        return math.expm1(half * (1.0 + stats.students_t(1.0 - MISSED, self.pairs - 1) / quantile))


def effect(log_ratios: Sequence[float], alpha: float = ALPHA) -> Effect:
    """The Hodges-Lehmann estimate of readings of pairs, with the interval and the test that belong to it.

    The interval consists of the means of all pairs of readings, cut off by the distribution of Wilcoxon's signed-rank statistic
    (Hollander and Wolfe, Nonparametric Statistical Methods, 3rd ed., section 3.3). It assumes no distribution of the readings, and where
    they are normal it is as narrow as Student's within 5%. An outlier moves one end of the interval of ten readings, and neither end of
    thirteen. Where so few readings cannot reach the level, the interval is Student's.

    >>> result = effect([0.04, 0.05, 0.06, 0.05, 0.04, 0.06, 0.05, 0.05, 0.045, 0.3])
    >>> round(result.ratio, 3), round(result.low, 3)
    (1.051, 1.046)
    """
    count = len(log_ratios)
    means = sorted((a + b) / 2 for i, a in enumerate(log_ratios) for b in log_ratios[i:])
    cut = _cut(count, alpha)
    if cut is None:
        centre, half = stats.median(means), _student(log_ratios, alpha)
        low, high = centre - half, centre + half
    else:
        low, high = means[cut], means[-1 - cut]
    ratio = stats.median(means)
    return Effect(math.exp(ratio), math.exp(low), math.exp(high), signed_rank(log_ratios), count, alpha)


def decide(effects: Mapping[str, Effect], thresholds: Mapping[str, float]) -> dict[str, Decision]:
    """A decision for each case, all of them together: with many cases, a small p occurs by chance.

    A case is regressed or improved if it stands out among all (Benjamini and Hochberg 1995) and its whole interval is beyond its
    threshold. It is equivalent if its whole interval is within the threshold.
    """
    significant = discoveries({name: effect.p for name, effect in effects.items()})
    return {
        name: _decision(effect, thresholds[name], significant=name in significant)
        for name, effect in effects.items()
    }


def _decision(effect: Effect, threshold: float, *, significant: bool) -> Decision:
    if significant and effect.slower(threshold):
        return Decision.REGRESSED
    if significant and effect.faster(threshold):
        return Decision.IMPROVED
    return Decision.EQUIVALENT if effect.equivalent(threshold) else Decision.INCONCLUSIVE


def discoveries(p_values: Mapping[str, float], rate: float = FALSE_DISCOVERIES) -> set[str]:
    """The names that are significant at a rate of false discoveries (Benjamini and Hochberg 1995).

    >>> sorted(discoveries({"a": 0.001, "b": 0.02, "c": 0.04, "d": 0.5}))
    ['a', 'b']
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    kept = 0
    for place, name in enumerate(ordered, start=1):
        if p_values[name] <= rate * place / len(ordered):
            kept = place
    return set(ordered[:kept])


def shift(readings: Sequence[Mapping[int, float]], alpha: float = ALPHA) -> Effect | None:
    """The change common to all cases: per pair of processes the median over cases, then as for one case. None for too few.

    `readings` are the log ratios of each case by the number of the pair. A pair counts if at least half of the cases have it.
    """
    medians = []
    for number in sorted({number for reading in readings for number in reading}):
        known = [reading[number] for reading in readings if number in reading]
        if 2 * len(known) >= len(readings):
            medians.append(stats.median(known))
    return effect(medians, alpha) if len(medians) >= 2 and len(readings) >= 2 else None


def least_pairs(cases: int) -> int:
    """The fewest pairs whose ranks make one case significant among this many.

    >>> least_pairs(1), least_pairs(8), least_pairs(437)
    (6, 9, 15)
    """
    pairs = 1
    while 2.0 / 2**pairs > FALSE_DISCOVERIES / max(cases, 1):
        pairs += 1
    return pairs


def signed_rank(values: Sequence[float]) -> float:
    """The exact two-sided p of Wilcoxon's signed-rank test for values around zero; ties get mean ranks, zeros are left out.

    >>> signed_rank([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    kept = [value for value in values if value != 0.0]
    if not kept:
        return 1.0
    ranks = _mean_ranks([abs(value) for value in kept])
    positive = sum(rank for rank, value in zip(ranks, kept, strict=True) if value > 0)
    total = len(kept) * (len(kept) + 1) / 2
    # With ties the statistic can lie between two whole numbers; the one nearer to the middle is conservative.
    extreme = math.ceil(min(positive, total - positive))
    return min(1.0, 2.0 * _cumulative(len(kept))[min(extreme, int(total))])


def _mean_ranks(sizes: Sequence[float]) -> list[float]:
    ordered = sorted(sizes)
    first = {size: place for place, size in reversed(list(enumerate(ordered, start=1)))}
    last = {size: place for place, size in enumerate(ordered, start=1)}
    return [(first[size] + last[size]) / 2 for size in sizes]


@cache
def _cumulative(count: int) -> tuple[float, ...]:
    """The cumulative distribution of the signed-rank statistic of `count` values."""
    ways = [1]
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for place, old in enumerate(ways):
            longer[place + rank] += old
        ways = longer
    return tuple(total / 2**count for total in accumulate(ways))


def _cut(count: int, alpha: float) -> int | None:
    """The number of means of pairs to leave out at each end; None where so few values cannot reach the level."""
    below = sum(probability <= alpha / 2 for probability in _cumulative(count))
    return below - 1 if below else None


def _student(values: Sequence[float], alpha: float) -> float:
    """Half the width of an interval by Student's t."""
    if len(values) < 2:
        return math.inf
    return (
        stats.students_t(1.0 - alpha / 2, len(values) - 1) * stats.deviation(values) / math.sqrt(len(values))
    )
