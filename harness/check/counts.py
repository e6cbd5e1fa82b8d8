"""Counts: what a suite says in closed form is what its operators come to, one by one."""

from collections.abc import Iterator

from harness import units
from harness.records import Answer, Cost, Result, Run, Verdict

CLAIM = "counts"


def check_counts(run: Run) -> Iterator[Verdict]:
    """One verdict for each case whose closed form was traced too. FLOPs are integers: they are equal or wrong."""
    for result in run.results:
        if result.case.cost is not None and result.case.counted is not None:
            yield _verdict(result, result.case.cost, result.case.counted)


def _verdict(result: Result, said: Cost, counted: Cost) -> Verdict:
    told = f"{units.work(said.flops_dense)} in closed form, {units.work(counted.flops_dense)} by the trace"
    if said.flops_dense == counted.flops_dense:
        return Verdict(CLAIM, result.case.id, Answer.HOLDS, f"{told}, exactly as many")
    return Verdict(
        CLAIM,
        result.case.id,
        Answer.FAILS,
        f"{said.flops_dense:,} FLOPs in closed form, {counted.flops_dense:,} by the trace: one of them is wrong, and no tolerance applies",
    )
