"""Physics: nobody beats a ceiling. A case that does shows a wrong cost, clock or ceiling."""

from collections.abc import Iterator

from harness import units
from harness.predict import roofline
from harness.records import Answer, Ceilings, Prediction, Result, Run, Verdict

CLAIM = "physics"
# What a ceiling may be beaten by before anything is wrong: ceilings are the best of a few kernels,
# another kernel may be a little better; a memory ceiling moves more, as neighbours share the memory.
# The ceiling's own spread, where it is larger, takes the place of the margin.
MARGIN = {"compute": 0.05, "memory": 0.15}


def check_physics(run: Run) -> Iterator[Verdict]:
    """One verdict for each measured case, against the upper envelope of all rounds of ceilings."""
    ceilings = run.ceilings
    for result in run.measured:
        yield _verdict(result, ceilings, run.header.settings.threads)


def _verdict(result: Result, ceilings: Ceilings, threads: int) -> Verdict:
    prediction = roofline.predict(result.case, ceilings, threads)
    measurement = result.measurement
    if prediction.seconds is None or measurement is None:
        return Verdict(
            claim=CLAIM,
            subject=result.case.id,
            answer=Answer.INCONCLUSIVE,
            reason="no measured ceiling bounds this case",
        )
    ratio = prediction.seconds / measurement.typical
    margin = max(MARGIN[prediction.bound or "memory"], _spread(result, prediction, ceilings, threads))
    answer = Answer.HOLDS if ratio <= 1.0 + margin else Answer.FAILS
    reason = (
        f"{units.seconds(measurement.typical)} a call is {ratio:.2f} of the {prediction.bound} roof "
        f"({units.seconds(prediction.seconds)} at {_ceiling(prediction)}); up to {1.0 + margin:.2f} is noise"
    )
    if answer is Answer.FAILS:
        reason += ": the cost, the clock or the ceiling is wrong"
    return Verdict(claim=CLAIM, subject=result.case.id, answer=answer, reason=reason)


def _spread(result: Result, prediction: Prediction, ceilings: Ceilings, threads: int) -> float:
    if prediction.bound == "compute":
        compute = ceilings.compute_ceiling(result.case.dtype, threads)
        return compute.spread if compute else 0.0
    memory = ceilings.bandwidth_ceiling(prediction.level or "", threads)
    return memory.spread if memory else 0.0


def _ceiling(prediction: Prediction) -> str:
    if prediction.bound == "compute":
        return units.work_rate(prediction.flops_per_second or 0.0)
    return f"{prediction.level} {units.bandwidth(prediction.bytes_per_second or 0.0)}"
