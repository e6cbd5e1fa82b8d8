"""All claims of a run."""

import msgspec

from harness.check.memory import check_memory
from harness.check.physics import check_physics
from harness.check.scaling import check_scaling
from harness.fit.sweeps import fit_sweeps
from harness.records import Answer, Run


def judge(run: Run) -> Run:
    """The run with its sweeps fitted and its claims judged anew from the recorded facts."""
    header = msgspec.structs.replace(run.header, fits=fit_sweeps(run))
    run = msgspec.structs.replace(run, header=header)
    verdicts = (*check_scaling(run), *check_physics(run), *check_memory(run))
    return msgspec.structs.replace(run, header=msgspec.structs.replace(header, verdicts=verdicts))


def judged(run: Run) -> Run:
    """The run with the verdicts it was stored with; judged now where it has none (incomplete)."""
    return run if run.header.verdicts else judge(run)


def exit_status(run: Run) -> int:
    """What a command returns for a run: 3 cases failed or are missing, 1 a claim fails, else 0.

    3 before 1: a run with holes proves little.
    """
    if run.failed or run.damage or not run.measured or not run.complete:
        return 3
    return 1 if any(verdict.answer is Answer.FAILS for verdict in run.header.verdicts) else 0
