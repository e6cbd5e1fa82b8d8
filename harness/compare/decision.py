"""From readings of pairs to a decision: regressed, improved, equivalent, or nothing can be said.

The unit is the pair of fresh processes. Pooling the samples of processes and testing them against each other
finds a difference between two copies of the same code in most comparisons: samples of one process resemble
each other, and processes differ for good (docs/pages/explanation/measured).
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from harness import stats
from harness.records.comparison import Decision, Overall

# No change for practice, whatever its certainty.
PRACTICAL_FLOOR = 0.02
# A true change of just the floor is taken for more in one case of twenty, over all looks at the readings together: so much of the
# distribution an interval leaves out at both ends. Two looks share it, and each has a 95 % interval.
ALPHA = 0.10
# The fraction of false findings among all findings of a run.
FALSE_DISCOVERIES = 0.05
# A change that is detectable is missed in one case of five.
MISSED = 0.2


class Effect(NamedTuple):
    """A ratio of times as readings of pairs tell it; `p` is two-sided, of no change."""

    ratio: float
    low: float
    high: float
    p: float
    pairs: int
    alpha: float = ALPHA

    def beyond(self, floor: float) -> bool:
        """Slower by more than the floor, without doubt."""
        return self.low > 1.0 + floor

    def before(self, floor: float) -> bool:
        """Faster by more than the floor, without doubt."""
        return self.high < 1.0 / (1.0 + floor)

    def within(self, floor: float) -> bool:
        """No more than the floor either way, without doubt."""
        return 1.0 / (1.0 + floor) < self.low and self.high < 1.0 + floor

    @property
    def detectable(self) -> float:
        """The least change that as many pairs find in 80 of 100 cases, as a share."""
        sure, half = _quantile(self.alpha / 2, self.pairs), math.log(self.high / self.low) / 2
        return math.expm1(half * (1.0 + _quantile(MISSED, self.pairs) / sure))


def effect(log_ratios: Sequence[float], alpha: float = ALPHA) -> Effect:
    """What readings of pairs tell: the Hodges-Lehmann estimate, with the interval and the test that belong to it.

    The interval is made of the means of all pairs of readings, cut off by the distribution of Wilcoxon's signed-rank statistic
    (Hollander and Wolfe, Nonparametric Statistical Methods, 3rd ed., section 3.3): no distribution of the readings is assumed, and it is as
    narrow as Student's within 5 % where they are normal. A reading that lies far out moves one end of ten readings' interval and neither
    of thirteen's. Where so few readings cannot reach the level, the interval is Student's.

    >>> found = effect([0.04, 0.05, 0.06, 0.05, 0.04, 0.06, 0.05, 0.05, 0.045, 0.3])
    >>> round(found.ratio, 3), round(found.low, 3)
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


def decide(found: Mapping[str, Effect], floors: Mapping[str, float]) -> dict[str, Decision]:
    """A decision for each case, all of them together: with many cases, a small p is to be expected by chance.

    Regressed or improved is what stands out among all (Benjamini and Hochberg 1995) and whose whole interval lies beyond its floor;
    equivalent is what lies within it.
    """
    standing_out = discoveries({name: one.p for name, one in found.items()})
    return {name: _decided(one, floors[name], name in standing_out) for name, one in found.items()}


def _decided(found: Effect, floor: float, stands_out: bool) -> Decision:  # noqa: FBT001 - a fact
    if stands_out and found.beyond(floor):
        return Decision.REGRESSED
    if stands_out and found.before(floor):
        return Decision.IMPROVED
    return Decision.EQUIVALENT if found.within(floor) else Decision.INCONCLUSIVE


def discoveries(p_values: Mapping[str, float], rate: float = FALSE_DISCOVERIES) -> set[str]:
    """Those that are significant at a rate of false discoveries (Benjamini and Hochberg 1995).

    >>> sorted(discoveries({"a": 0.001, "b": 0.02, "c": 0.04, "d": 0.5}))
    ['a', 'b']
    """
    ordered = sorted(p_values, key=lambda name: p_values[name])
    kept = 0
    for place, name in enumerate(ordered, start=1):
        if p_values[name] <= rate * place / len(ordered):
            kept = place
    return set(ordered[:kept])


def shift(readings: Sequence[Mapping[int, float]], alpha: float = ALPHA) -> Overall | None:
    """What all cases have in common: per pair of processes the median over cases, then as for one case. None for too few.

    `readings` are the log ratios of each case by the number of the pair; pairs that at least half of the cases have count.
    """
    numbers = sorted({number for reading in readings for number in reading})
    medians = [
        stats.median(told)
        for number in numbers
        if 2 * len(told := [reading[number] for reading in readings if number in reading]) >= len(readings)
    ]
    if len(medians) < 2 or len(readings) < 2:
        return None
    found = effect(medians, alpha)
    return Overall(found.ratio, found.low, found.high, len(readings))


def least_pairs(cases: int) -> int:
    """The fewest pairs by whose ranks one case can stand out among so many.

    >>> least_pairs(1), least_pairs(8), least_pairs(437)
    (6, 9, 15)
    """
    pairs = 1
    while 2.0 / 2**pairs > FALSE_DISCOVERIES / max(cases, 1):
        pairs += 1
    return pairs


def signed_rank(values: Sequence[float]) -> float:
    """The two-sided p of Wilcoxon's signed-rank test that values lie around zero, exact; ties get mean ranks, zeros are left out.

    >>> signed_rank([1.0, 2.0, 3.0, 4.0, 5.0])
    0.0625
    """
    kept = [value for value in values if value != 0.0]
    if not kept:
        return 1.0
    ranks = _mean_ranks([abs(value) for value in kept])
    positive = sum(rank for rank, value in zip(ranks, kept, strict=True) if value > 0)
    total = len(kept) * (len(kept) + 1) / 2
    # Of ties the statistic may lie between two whole numbers; the one nearer to the middle is the careful one.
    extreme = math.ceil(min(positive, total - positive))
    return min(1.0, 2.0 * _cumulative(len(kept))[min(extreme, int(total))])


def _mean_ranks(sizes: Sequence[float]) -> list[float]:
    ordered = sorted(sizes)
    first = {size: place for place, size in reversed(list(enumerate(ordered, start=1)))}
    last = {size: place for place, size in enumerate(ordered, start=1)}
    return [(first[size] + last[size]) / 2 for size in sizes]


@cache
def _cumulative(count: int) -> tuple[float, ...]:
    """The distribution of the signed-rank statistic of so many values: of each whole number, how likely it or a lower one is."""
    ways = [1]
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for place, old in enumerate(ways):
            longer[place + rank] += old
        ways = longer
    total, found = 0, []
    for way in ways:
        total += way
        found.append(total / 2**count)
    return tuple(found)


def _cut(count: int, alpha: float) -> int | None:
    """How many of the means of pairs to leave out at each end; None where so few values cannot reach the level."""
    below = sum(likely <= alpha / 2 for likely in _cumulative(count))
    return below - 1 if below else None


def _student(values: Sequence[float], alpha: float) -> float:
    """Half of an interval by Student's t."""
    if len(values) < 2:
        return math.inf
    return _quantile(alpha / 2, len(values)) * stats.deviation(values) / math.sqrt(len(values))


def _quantile(fraction: float, count: int) -> float:
    """What Student's t of so many readings exceeds with this probability."""
    from scipy.special import stdtrit  # noqa: PLC0415 - a tenth of a second that a report without a comparison does not need

    return float(-stdtrit(max(count - 1, 1), fraction))
