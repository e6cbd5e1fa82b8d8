"""Statistics of samples: floats in, floats out.

Times are summarised by medians and quantiles: other programs shift a mean or a standard deviation
more than the machine does.
"""

from __future__ import annotations

import math
import statistics
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

median = statistics.median

# Median absolute deviation to standard deviation, for a normal distribution: 1 / Phi^-1(3/4).
MAD_TO_SIGMA = 1.4826


def quantile(values: Sequence[float], fraction: float) -> float:
    """The value below which `fraction` of the samples lie, interpolated (Hyndman-Fan type 7).

    >>> quantile([4.0, 1.0, 3.0, 2.0, 5.0], 0.25)
    2.0
    """
    ordered = sorted(values)
    position = fraction * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def relative_iqr(values: Sequence[float]) -> float:
    """Interquartile range over the median: the spread of the middle half.

    >>> relative_iqr([1.0, 2.0, 3.0, 4.0, 5.0])
    0.6666666666666666
    """
    return (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)


def mad(values: Sequence[float]) -> float:
    """Median absolute deviation from the median; times `MAD_TO_SIGMA` the standard deviation of a normal.

    >>> mad([1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0])
    1.0
    """
    centre = median(values)
    return median([abs(value - centre) for value in values])


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95% interval of the median from order statistics: no distribution is assumed.

    The ranks come from the binomial(n, 1/2) by its normal approximation, widened to whole ranks
    (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2). Below six samples no
    pair of ranks reaches 95%: the whole range is returned.

    >>> median_interval([float(v) for v in range(1, 101)])
    (40.0, 61.0)
    """
    ordered = sorted(values)
    n = len(ordered)
    reach = 1.959964 * math.sqrt(n) / 2
    low = max(math.floor(n / 2 - reach), 1)
    high = min(math.ceil(n / 2 + reach) + 1, n)
    return ordered[low - 1], ordered[high - 1]


def lag1_autocorrelation(values: Sequence[float]) -> float:
    """Correlation of each sample with the next, -1 to 1; 0 where it is undefined (constant, short).

    >>> round(lag1_autocorrelation([1.0, -1.0] * 50), 2)
    -0.99
    """
    if len(values) < 3:
        return 0.0
    centre = statistics.fmean(values)
    deviations = [v - centre for v in values]
    total = sum(d * d for d in deviations)
    if total == 0.0:
        return 0.0
    return sum(a * b for a, b in pairwise(deviations)) / total


def drift(values: Sequence[float]) -> float:
    """Median of the last quarter over median of the first quarter, minus one; 0 below 8 samples.

    >>> drift([1.0] * 8 + [1.1] * 8)
    0.10000000000000009
    """
    quarter = len(values) // 4
    if quarter < 2:
        return 0.0
    return median(values[-quarter:]) / median(values[:quarter]) - 1.0


# Prior of the standard deviation (of the logarithm) between processes on one machine, and its weight in processes.
# Measured: 0.2% to 4% (docs/pages/explanation/measured/trust.md).
PRIOR_SIGMA, PRIOR_WEIGHT = 0.01, 3


def repeat_interval(blocks: Sequence[Sequence[float]], drift: float = 0.0) -> tuple[float, float] | None:
    """The 95% interval for the median time of an independent repeat; None for one process.

    `blocks` are the medians of the blocks of each process, in the order they were taken. The median time is
    the median over processes of the medians over blocks. The repeat has as many processes, all of them new.

    Everything is computed on logarithms, as times spread by factors. The variance between processes is moderated
    by a prior, because two to five processes determine it badly (Smyth, "Linear models and empirical Bayes
    methods", 2004). The scatter of blocks is robust, times pi / 2 for a median of them. Student's t has the degrees
    of freedom of both. The variance counts twice, as the repeat errs as much as this measurement.

    Changes that are slower than the blocks do not appear in them. `drift` adds those: the standard deviation of
    the logarithm between repeats at different times, as a self-test measured it.
    """
    if len(blocks) < 2:
        return None
    logs = [[math.log(value) for value in process] for process in blocks]
    centres = [median(process) for process in logs]
    processes, count = len(logs), sum(map(len, logs))
    between = deviation(centres) ** 2
    freedom = PRIOR_WEIGHT + processes - 1
    process_variance = (PRIOR_WEIGHT * PRIOR_SIGMA**2 + (processes - 1) * between) / freedom
    scatter = [value - centre for process, centre in zip(logs, centres, strict=True) for value in process]
    sigma = (
        MAD_TO_SIGMA
        * median([abs(value) for value in scatter])
        * math.sqrt(count / max(1, count - processes))
    )
    variance = process_variance / processes + math.pi / 2 * sigma**2 / count + drift**2
    half = students_t(0.975, freedom) * math.sqrt(2.0 * variance)
    centre = median([median(process) for process in blocks])
    return centre * math.exp(-half), centre * math.exp(half)


def detectable(sigma: float, count: int) -> float:
    """The smallest shift that `count` readings of standard deviation `sigma` detect: power 80%, level 5%, two-sided.

    >>> round(detectable(0.01, 5), 4)
    0.0166
    """
    return (students_t(0.975, count - 1) + students_t(0.8, count - 1)) * sigma / math.sqrt(count)


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 for fewer than two.

    In floats, two passes: the exact fractions of `statistics.stdev` take thirty times as long.
    """
    if len(values) < 2:
        return 0.0
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def hodges_lehmann(values: Sequence[float]) -> float:
    """Median of the means of all pairs (each value with itself too): a centre that one outlier cannot move.

    Hodges and Lehmann, "Estimates of location based on rank tests", 1963.

    >>> hodges_lehmann([1.0, 2.0, 3.0, 100.0])
    2.75
    """
    return median([(a + b) / 2 for i, a in enumerate(values) for b in values[i:]])


def spread_of_repeats(sigma: float, count: int) -> float:
    """Half of the 95% interval for the difference of two repeats.

    `sigma` is the standard deviation over `count` repeats.
    """
    return students_t(0.975, count - 1) * math.sqrt(2.0) * sigma


# Up to this many degrees of freedom Student's t is summed exactly.
EXACT_FREEDOM = 200


@cache
def students_t(probability: float, freedom: int) -> float:
    """The quantile of Student's t distribution, for probabilities above 1/2; fewer than one degree of freedom count as one.

    Up to `EXACT_FREEDOM` from the finite series of the distribution (Abramowitz and Stegun, 26.7.3 and 26.7.4), beyond it by two terms
    of the expansion about the normal quantile (26.7.5; relative error below 1e-5). With scipy every report would take a third of a second longer.

    >>> round(students_t(0.975, 2), 3), round(students_t(0.8, 14), 3)
    (4.303, 0.868)
    """
    freedom = max(freedom, 1)
    if freedom > EXACT_FREEDOM:
        z = statistics.NormalDist().inv_cdf(probability)
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        if _probability_within(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _probability_within(angle: float, freedom: int) -> float:
    """The probability that Student's t lies within sqrt(freedom) * tan(angle) of 0."""
    sine, cosine, odd = math.sin(angle), math.cos(angle), freedom % 2
    term, total = cosine if odd else 1.0, 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= (k - 1) / k * cosine**2
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


# Up to this many pairs the exact distribution is counted.
EXACT_PAIRS = 300


def mann_whitney(vector: Vector, other: Vector) -> float:
    """The two-sided p value of two samples coming from one distribution; 1 where either is empty.

    Exact for few values without ties (Mann and Whitney, "On a test of whether one of two random variables is
    stochastically larger than the other", 1947), else by the normal approximation with correction for ties and continuity.

    >>> import numpy as np
    >>> mann_whitney(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    0.1
    """
    m, n = len(vector), len(other)
    if not m or not n:
        return 1.0
    import numpy as np  # noqa: PLC0415 - the command line starts without it

    differences = np.sign(vector[:, None] - other[None, :])
    wins = float(np.sum(differences)) / 2.0 + m * n / 2.0
    extreme = min(wins, m * n - wins)
    _, repeats = np.unique(np.concatenate((vector, other)), return_counts=True)
    if m * n <= EXACT_PAIRS and len(repeats) == m + n:
        return min(1.0, 2.0 * sum(_ways(m, n)[: round(extreme) + 1]) / math.comb(m + n, m))
    total = m + n
    tied = float(np.sum(repeats.astype(np.float64) ** 3 - repeats)) / (total * (total - 1))
    variance = m * n / 12.0 * (total + 1 - tied)
    if variance <= 0.0:
        return 1.0
    z = max(0.0, m * n / 2.0 - extreme - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2.0))


@cache
def _ways(m: int, n: int) -> tuple[int, ...]:
    """The number of orders of m and n values in which the former win 0, 1, 2, ... of the m n pairs.

    The coefficients of the Gaussian binomial: a product of (1 - q^(n + i)) / (1 - q^i).
    """
    ways = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for power in range(m * n, n + i - 1, -1):
            ways[power] -= ways[power - n - i]
        for power in range(i, m * n + 1):
            ways[power] += ways[power - i]
    return tuple(ways)
