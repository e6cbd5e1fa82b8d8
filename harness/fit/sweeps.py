"""Gathers the results of a run into sweeps and fits each."""

from harness.fit.laws import Observation, fit_sweep
from harness.records import Ceilings, Fit, Result, Run


def fit_sweeps(run: Run) -> tuple[Fit, ...]:
    """A fit for each sweep with enough sizes, in the order the sweeps first appear.

    A sweep whose cases do matrix FLOPs is fitted in FLOPs with one rate, any other in bytes with a
    rate for each memory level; working sets at the edge of a level, which no one rate serves, are
    left out of the latter.
    """
    sweeps: dict[str, list[Result]] = {}
    for result in run.results:
        if result.case.series and result.case.cost and result.measurement:
            sweeps.setdefault(result.case.series.name, []).append(result)
    fits = (_fit(name, members, run.ceilings) for name, members in sweeps.items())
    return tuple(fit for fit in fits if fit is not None)


def _fit(name: str, members: list[Result], ceilings: Ceilings) -> Fit | None:
    series = members[0].case.series
    if series is None:
        return None
    by_flops = all(member.case.cost and member.case.cost.flops for member in members)
    observations = [
        Observation(
            size=member.case.series.size,
            work=float(member.case.cost.flops if by_flops else member.case.cost.bytes_moved),
            seconds=member.measurement.typical,
            level="" if by_flops or member.prediction is None else member.prediction.level or "",
            flagged=bool(member.measurement.flags),
        )
        for member in members
        if member.case.series and member.case.series.size > 0 and member.case.cost and member.measurement
        if by_flops or not ceilings.between_levels(member.case.working_set_bytes or 0)
    ]
    unit = "FLOP/s" if by_flops else "B/s"
    return fit_sweep(name, series.variable, series.exponent, unit, observations)
