"""Statistics of samples: floats in, floats out.

Robust ones only. A mean or a standard deviation of times says more about the neighbours than
about the machine.
"""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

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


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval of the median from order statistics: no distribution is assumed.

    The ranks come from the binomial(n, 1/2) by its normal approximation, widened to whole ranks
    (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2). Below six samples no
    pair of ranks reaches 95 %: the whole range is returned.

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
    """How much one sample says about the next, -1 to 1; 0 where it is undefined (constant, short).

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
