"""All claims of a run."""

import msgspec

from harness.calibrate import calibrated, estimate, levers, validated
from harness.check.counts import check_counts
from harness.check.crossovers import check_crossovers
from harness.check.findings import findings
from harness.check.growth import check_memory_growth
from harness.check.memory import check_memory
from harness.check.physics import check_physics
from harness.check.plans import check_plans
from harness.check.scaling import check_scaling
from harness.check.steps import check_steps
from harness.check.time import check_time
from harness.fit.sweeps import fit_sweeps
from harness.records import Answer, Run


def judge(run: Run) -> Run:
    """The run with its sweeps fitted, its claims judged and its findings drawn anew from the recorded facts."""
    header = msgspec.structs.replace(run.header, fits=fit_sweeps(run))
    run = _estimated(msgspec.structs.replace(run, header=header))
    verdicts = (
        *check_time(run),
        *check_scaling(run),
        *check_crossovers(run),
        *check_memory_growth(run),
        *check_steps(run),
        *check_physics(run),
        *check_counts(run),
        *check_memory(run),
        *check_plans(run),
    )
    header = msgspec.structs.replace(run.header, verdicts=verdicts, levers=levers(run))
    run = msgspec.structs.replace(run, header=header)
    return msgspec.structs.replace(run, header=msgspec.structs.replace(header, findings=findings(run)))


def _estimated(run: Run) -> Run:
    """The run with its cost model, and what that says of its steps."""
    model = calibrated(run)
    if model is None:
        return run
    estimates = tuple(
        estimate(model, r.case.id, r.case.trace, run.operators[r.case.id])
        for r in run.results
        if r.case.held_out and r.case.trace and r.case.id in run.operators
    )
    header = msgspec.structs.replace(
        run.header, cost_model=model, estimates=estimates, validations=validated(run, model, estimates)
    )
    return msgspec.structs.replace(run, header=header)


def exit_status(run: Run) -> int:
    """What a command returns for a run: 3 cases failed or are missing, 1 a claim fails, else 0.

    3 before 1: a run with holes proves little.
    """
    if run.failed or run.damage or not run.measured or not run.complete:
        return 3
    return 1 if any(verdict.answer is Answer.FAILS for verdict in run.header.verdicts) else 0
