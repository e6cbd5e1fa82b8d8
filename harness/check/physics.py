"""Physics: nobody beats a ceiling. A case that does shows a wrong cost, clock or ceiling."""

from collections.abc import Iterator

from harness import units
from harness.predict import roofline
from harness.records import (
    Answer,
    BandwidthCeiling,
    Ceilings,
    ComputeCeiling,
    Prediction,
    Result,
    Run,
    Verdict,
)

CLAIM = "physics"
# What a compute ceiling may be beaten by before anything is wrong: it is the best of a few kernels,
# and another may be a little better.
COMPUTE_MARGIN = 0.05
# Memory informs and does not gate: bandwidth on a shared host was seen to move by 1.5 to 2 times
# between rounds with no sign inside the guest. Beyond a factor of two nothing explains it.
MEMORY_MARGIN = 0.15
MEMORY_FACTOR = 2.0


def check_physics(run: Run) -> Iterator[Verdict]:
    """One verdict for each measured case, against the upper envelope of all rounds of ceilings."""
    for result in run.measured:
        yield _verdict(result, run.ceilings, result.case.threads or run.header.settings.threads)


def _verdict(result: Result, ceilings: Ceilings, threads: int) -> Verdict:
    prediction = roofline.predict(result.case, ceilings, threads)
    measurement = result.measurement
    ceiling = _ceiling(result, prediction, ceilings, threads)
    if prediction.seconds is None or measurement is None or ceiling is None:
        return _say(result, Answer.INCONCLUSIVE, "no measured ceiling bounds this case")
    ratio = prediction.seconds / measurement.typical
    compute = prediction.bound == "compute"
    noise = 1.0 + max(COMPUTE_MARGIN if compute else MEMORY_MARGIN, ceiling.spread)
    explained = max(noise, 1.0 + (ceiling.moved or 0.0) if compute else MEMORY_FACTOR)
    facts = (
        f"{units.seconds(measurement.typical)} a call is {ratio:.2f} of the {prediction.bound} roof "
        f"({units.seconds(prediction.seconds)} at {_name(prediction)}); up to {noise:.2f} is noise"
    )
    if ratio <= noise:
        return _say(result, Answer.HOLDS, facts)
    if ratio <= explained:
        return _say(result, Answer.INCONCLUSIVE, f"{facts}, up to {explained:.2f} a ceiling that moved")
    return _say(result, Answer.FAILS, f"{facts}: the cost, the clock or the ceiling is wrong")


def _ceiling(
    result: Result, prediction: Prediction, ceilings: Ceilings, threads: int
) -> ComputeCeiling | BandwidthCeiling | None:
    if prediction.bound == "compute":
        return ceilings.compute_ceiling(result.case.dtype, threads)
    return ceilings.bandwidth_ceiling(prediction.level or "", threads)


def _name(prediction: Prediction) -> str:
    if prediction.bound == "compute":
        return units.work_rate(prediction.flops_per_second or 0.0)
    return f"{prediction.level} {units.bandwidth(prediction.bytes_per_second or 0.0)}"


def _say(result: Result, answer: Answer, reason: str) -> Verdict:
    return Verdict(claim=CLAIM, subject=result.case.id, answer=answer, reason=reason)
