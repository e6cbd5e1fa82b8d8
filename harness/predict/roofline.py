"""The roofline: the least time a call can take, from its cost and the machine's measured ceilings.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore
architectures", CACM 52(4), 2009; with one bandwidth ceiling per memory level.
"""

from harness.records import Case, Ceilings, Prediction


def predict(case: Case, ceilings: Ceilings, threads: int) -> Prediction:
    """The lower bound on a call's time, as far as the machine has ceilings for it.

    Compute: matrix FLOPs over the highest rate any code reached in this dtype on this many
    threads. Memory: compulsory bytes over the best bandwidth of the level that can hold the
    working set. Vector FLOPs have no measured ceiling and bound nothing.
    """
    if case.cost is None:
        return Prediction()
    compute = ceilings.compute_ceiling(case.dtype, threads) if case.cost.flops else None
    level = ceilings.level_of(case.working_set_bytes or case.cost.bytes_moved)
    memory = ceilings.bandwidth_ceiling(level.name, threads) if level else None
    return Prediction(
        compute_seconds=case.cost.flops / compute.flops_per_second if compute else None,
        memory_seconds=case.cost.bytes_moved / memory.bytes_per_second if memory else None,
        flops_per_second=compute.flops_per_second if compute else None,
        bytes_per_second=memory.bytes_per_second if memory else None,
        level=level.name if level else None,
    )
