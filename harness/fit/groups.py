"""A law for each group of sizes that a user wants to see, or why there is none; and what it expects of work without a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import units
from harness.fit.expectation import Expectation
from harness.fit.fitted import CROOKED, FEWEST, Fitted, fit
from harness.fit.laws import logarithms
from harness.fit.points import Points
from harness.fit.selection import SPARE
from harness.fit.sweep import Sweep, parameters
from harness.fit.sweeps import sweeps
from harness.records import Parameter, Run

# So many expectations are worked out at a time: each is a curve for every draw of the bootstrap.
AT_ONCE = 10_000


@dataclass(frozen=True)
class Group:
    """Sizes with the law fitted to them. `where`: the work of each size; `reason`: why there is no law.

    `left_out`: how many times were no times (zero, negative, not a number). `predictions`: the user's rows without a
    time, and what the law expects of them.
    """

    name: str
    fitted: Fitted | None
    parameters: tuple[Parameter, ...]
    where: tuple[Mapping[str, float], ...]
    reason: str
    left_out: int
    predictions: tuple[tuple[Mapping[str, object], Expectation | None], ...]


def grouped(
    name: str,
    times: Mapping[tuple[float, ...], Sequence[float]],
    columns: Sequence[str],
    wanted: Sequence[tuple[tuple[float, ...], Mapping[str, object]]],
    left_out: int,
) -> Group:
    """A group from the times of each work (in the order of `columns`), and the rows that want a time, each with its work."""
    works = list(times)
    fitted, reason = None, _reason(len(works), left_out)
    if len(works) >= FEWEST:
        points = Points.of(
            {column: [work[at] for work in works] for at, column in enumerate(columns)}, list(times.values())
        )
        fitted = fit(points)
    if fitted is not None and fitted.typical > CROOKED:
        best = f"the best: {fitted.law}, {units.percent(fitted.typical)}"
        fitted, reason = (
            None,
            f"inconclusive: no law is within {units.percent(CROOKED)} of the sizes ({best})",
        )
    return Group(
        name=name,
        fitted=fitted,
        parameters=fitted.parameters if fitted else (),
        where=tuple(dict(zip(columns, work, strict=True)) for work in works),
        reason="" if fitted else reason,
        left_out=left_out,
        predictions=tuple(_expected(fitted, columns, wanted)),
    )


def of_run(run: Run) -> tuple[Group, ...]:
    """A group for each sweep of a run; its rows without a time are the sizes that were not measured."""
    return tuple(_of_sweep(sweep) for sweep in sweeps(run))


def _of_sweep(sweep: Sweep) -> Group:
    fitted = fit(sweep.points, sweep.levels)
    # A level that no size told of has no rate.
    wanted = [one for one in sweep.unmeasured if not sweep.levels or one.level in sweep.levels]
    expected: list[Expectation | None] = [None] * len(wanted)
    if fitted and wanted:
        columns = Points.of(sweep.columns(tuple(wanted)), [[1.0]] * len(wanted)).columns
        expected = list(fitted.expect(columns))
    # A rate for each level, and two sizes to try them on.
    needs = len(sweep.levels) + SPARE
    return Group(
        name=sweep.series,
        fitted=fitted,
        parameters=parameters(sweep, fitted) if fitted else (),
        where=tuple({sweep.variable: one.size} for one in sweep.sizes),
        reason="" if fitted else _reason(len(sweep.sizes), 0, max(needs, FEWEST)),
        left_out=0,
        predictions=tuple(
            ({sweep.variable: one.size, **one.work}, found)
            for one, found in zip(wanted, expected, strict=True)
        ),
    )


def _reason(sizes: int, left_out: int, needed: int = FEWEST) -> str:
    counted = {0: "no size has a time", 1: "one size has a time"}.get(sizes, f"{sizes} sizes have a time")
    if sizes >= needed:
        return f"inconclusive: {counted}, and no law describes them"
    dropped = f" ({left_out} left out: zero, negative or not a number)" if left_out else ""
    return f"inconclusive: {counted}{dropped}; a law needs at least {needed}"


def _expected(
    fitted: Fitted | None,
    columns: Sequence[str],
    wanted: Sequence[tuple[tuple[float, ...], Mapping[str, object]]],
) -> Iterator[tuple[Mapping[str, object], Expectation | None]]:
    if fitted is None:
        yield from ((row, None) for _, row in wanted)
        return
    works = list(dict.fromkeys(work for work, _ in wanted))
    known: dict[tuple[float, ...], Expectation] = {}
    for start in range(0, len(works), AT_ONCE):
        some = np.array(works[start : start + AT_ONCE], dtype=float)
        logs = {column: logarithms(some[:, at]) for at, column in enumerate(columns)}
        known.update(zip(works[start : start + AT_ONCE], fitted.expect(logs), strict=True))
    yield from ((row, known[work]) for work, row in wanted)
