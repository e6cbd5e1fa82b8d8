"""Optimizations: cases of a run that differ in one decision, and the speed-up of that decision on this machine."""

from collections.abc import Iterator, Mapping

from harness.records import Case, Measurement, Optimization, Result, Run, Scalar
from harness.records.measurement import speedup_interval

# The name of a decision, the value of a parameter (or the dtype) before it, and the value after it.
DECISIONS = (
    ("bfloat16 instead of float32", "float32", "bfloat16"),
    ("float16 instead of float32", "float32", "float16"),
    ("TF32 instead of float32", "float32", "tf32"),
    ("flash instead of math attention", "math", "flash"),
    ("memory-efficient instead of math attention", "math", "efficient"),
    ("torch.compile instead of eager", "eager", "compiled"),
    ("activation checkpointing", "eager", "checkpointed"),
    ("channels-last instead of contiguous", "contiguous", "channels_last"),
    ("fused instead of foreach optimizer", "foreach", "fused"),
)

_Key = tuple[str, frozenset[tuple[str, Scalar]], frozenset[tuple[str, int]]]


def optimizations(run: Run) -> tuple[Optimization, ...]:
    """One optimization for each pair of measured cases that differ in one decision, by decision; without calibration."""
    measured = [result for result in run.measured if not result.case.calibrates]
    by_key = {
        _key(result.case.family, _decided(result.case), result.case.sizes): result for result in measured
    }
    pairs = [
        _optimization(run, name, base, changed)
        for name, before, after in DECISIONS
        for base, changed in _pairs(by_key, before, after)
    ]
    pairs += [
        _optimization(run, f"{changed.case.threads} threads instead of 1", base, changed)
        for base, changed in _more_threads(measured)
    ]
    return tuple(pairs)


def _decided(case: Case) -> dict[str, Scalar]:
    return {"dtype": case.dtype, **case.parameters}


def _key(family: str, decided: Mapping[str, Scalar], sizes: Mapping[str, int]) -> _Key:
    return family, frozenset(decided.items()), frozenset(sizes.items())


def _pairs(by_key: Mapping[_Key, Result], before: str, after: str) -> Iterator[tuple[Result, Result]]:
    for base in by_key.values():
        decided = _decided(base.case)
        names = [name for name, value in decided.items() if value == before]
        if len(names) == 1:
            changed = by_key.get(_key(base.case.family, decided | {names[0]: after}, base.case.sizes))
            if changed is not None:
                yield base, changed


def _more_threads(measured: list[Result]) -> Iterator[tuple[Result, Result]]:
    """A case of one thread, and the same work on the most threads that were measured."""
    groups: dict[_Key, list[Result]] = {}
    for result in measured:
        if "threads" in result.case.sizes and result.case.threads:
            sizes = {name: size for name, size in result.case.sizes.items() if name != "threads"}
            groups.setdefault(_key(result.case.family, _decided(result.case), sizes), []).append(result)
    for results in groups.values():
        base, most = min(results, key=_threads), max(results, key=_threads)
        if _threads(base) == 1 < _threads(most):
            yield base, most


def _threads(result: Result) -> int:
    return result.case.threads or 1


def _optimization(run: Run, name: str, base: Result, changed: Result) -> Optimization:
    before, after = _measurement(base), _measurement(changed)
    low, high = speedup_interval(before.view, after.view) or (None, None)
    expected, way = _expected(run, base, changed)
    costs = (base.case.cost, changed.case.cost)
    return Optimization(
        optimization=name,
        base=base.case.id,
        changed=changed.case.id,
        speedup=before.median / after.median,
        low=low,
        high=high,
        predicted=expected,
        way=way,
        memory=_ratio(after.peak_memory_bytes, before.peak_memory_bytes),
        predicted_memory=_ratio(costs[1].memory_bytes, costs[0].memory_bytes)
        if costs[0] and costs[1]
        else None,
    )


def _measurement(result: Result) -> Measurement:
    if result.measurement is None:
        raise ValueError(result.case.id)
    return result.measurement


def _expected(run: Run, base: Result, changed: Result) -> tuple[float | None, str]:
    """The speed-up by the cost model where it has both cases; else by the roofline."""
    slower, faster = run.estimate(base.case.id), run.estimate(changed.case.id)
    if slower is not None and faster is not None and faster.seconds:
        return slower.seconds / faster.seconds, "cost model"
    before, after = base.prediction, changed.prediction
    if changed.case.fused or before is None or after is None or not before.seconds or not after.seconds:
        return None, ""
    if base.case.threads and changed.case.threads and base.case.threads != changed.case.threads:
        return changed.case.threads / base.case.threads, "cores"
    return before.seconds / after.seconds, "roofline"


def _ratio(numerator: int | None, denominator: int | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None
