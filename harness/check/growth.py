"""Memory growth: peak memory grows with size as the bytes that a call moves do: linearly for attention that keeps no scores, as n^2 for a product.

What was said is a law in whole bytes, and holds exactly or is wrong. What was measured has the kernels' own scratch memory in it, and must not
grow faster than what was said.
"""

import math
from collections.abc import Iterator

from harness import units
from harness.fit.exact import Polynomial, exact_law
from harness.records import Answer, Result, Run, Verdict

CLAIM = "memory growth"
# A polynomial of degree one takes two sizes, and a third to try it on.
FEWEST = 3
# An exponent of what was measured may be off by this share, as scratch memory comes in steps (a tile for each thread, packed operands).
# Half a power more is another order of growth.
TOLERANCE, ANOTHER_ORDER = 0.05, 0.5


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
    variable = next(one.case.series.variable for one in results if one.case.series)
    sizes = [one.case.series.size for one in results if one.case.series]
    said = exact_law(sizes, [one.case.cost.memory_bytes for one in results if one.case.cost])
    moved = exact_law(sizes, [one.case.cost.bytes_moved for one in results if one.case.cost])
    if said is None:
        told = f"what was said of {len(sizes)} sizes follows no polynomial: too few of them, or another moment sets the peak"
        return Verdict(CLAIM, name, Answer.INCONCLUSIVE, told)
    told = f"{said.told(variable)} bytes were said, exactly{_from(said, sizes, variable)}"
    if moved is not None and moved.degree != said.degree:
        told += f"; but a call moves {moved.told(variable)} bytes: one of them is wrong"
        return Verdict(CLAIM, name, Answer.FAILS, told)
    return _measured(name, variable, results, told, said)


def _measured(name: str, variable: str, results: list[Result], told: str, said: Polynomial) -> Verdict:
    """Whether what was measured grows no faster than what was said, from the middle size to the largest."""
    points = [
        (one.case.series.size, one.measurement.peak_memory_bytes, one.case.cost.memory_bytes)
        for one in results
        if one.case.series and one.case.cost and one.measurement and one.measurement.peak_memory_bytes
        if one.case.cost.memory_bytes > 0
    ]
    if len(points) < FEWEST:
        return Verdict(CLAIM, name, Answer.INCONCLUSIVE, f"{told}; too few sizes were measured")
    law = exact_law([size for size, _, _ in points], [measured for _, measured, _ in points])
    if law is not None and law.degree == said.degree:
        same = "the same" if law.coefficients == said.coefficients else f"{law.told(variable)}"
        where = _from(law, [size for size, _, _ in points], variable)
        return Verdict(CLAIM, name, Answer.HOLDS, f"{told}; measured is {same}{where}")
    (middle, here, expected), (last, there, said_there) = points[(len(points) - 1) // 2], points[-1]
    faster = math.log((there / said_there) / (here / expected)) / math.log(last / middle)
    power = max(said.degree, 1)
    worst = max(abs(measured / one - 1.0) for _, measured, one in points)
    told += (
        f"; measured grows as {variable}^{said.degree + faster:.2f} from {middle} on and is off by {units.percent(worst)} at most "
        f"(an exponent {units.percent(TOLERANCE)} higher is scratch memory in steps, {ANOTHER_ORDER:g} more another order)"
    )
    if faster <= TOLERANCE * power:
        return Verdict(CLAIM, name, Answer.HOLDS, told)
    return Verdict(CLAIM, name, Answer.FAILS if faster >= ANOTHER_ORDER else Answer.INCONCLUSIVE, told)


def _from(law: Polynomial, sizes: list[int], variable: str) -> str:
    """Where it does not begin at the first size: below, another moment of the call sets the peak."""
    return (
        ""
        if law.first <= min(sizes)
        else f", from {variable} = {law.first} on (below, another moment sets the peak)"
    )
