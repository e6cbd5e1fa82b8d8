"""Optimizations: cases of a run that differ in one decision, and what it buys on this machine."""

from collections.abc import Iterator

from harness.records import Measurement, Optimization, Result, Run
from harness.records.measurement import speedup_interval

# What a decision is called, and the word of an id that it changes.
WORDS = (
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
ONE_THREAD = "threads1"


def optimizations(run: Run) -> tuple[Optimization, ...]:
    """Every pair of measured cases that differ in one such word, optimization by optimization; calibration apart."""
    measured = {result.case.id: result for result in run.measured if not result.case.calibrates}
    found = []
    for name, word, other in WORDS:
        for base, changed in _pairs(measured, word, other):
            found.append(_optimization(run, name, base, changed))
    for base, changed, threads in _more_threads(measured):
        found.append(_optimization(run, f"{threads} threads instead of 1", base, changed))
    return tuple(found)


def _pairs(measured: dict[str, Result], word: str, other: str) -> Iterator[tuple[Result, Result]]:
    for case, base in measured.items():
        parts = case.split("-")
        if parts.count(word) == 1:
            changed = measured.get("-".join(other if part == word else part for part in parts))
            if changed is not None:
                yield base, changed


def _more_threads(measured: dict[str, Result]) -> Iterator[tuple[Result, Result, int]]:
    """A case of one thread, and the same on the most threads that were measured."""
    for case, base in measured.items():
        parts = case.split("-")
        if ONE_THREAD in parts:
            place = parts.index(ONE_THREAD)
            like = [
                (other.case.threads or 1, other)
                for name, other in measured.items()
                if [*name.split("-")[:place], *name.split("-")[place + 1 :]]
                == [*parts[:place], *parts[place + 1 :]]
            ]
            threads, changed = max(like, key=lambda pair: pair[0])
            if threads > 1:
                yield base, changed, threads


def _optimization(run: Run, name: str, base: Result, changed: Result) -> Optimization:
    before, after = _measurement(base), _measurement(changed)
    speedup = before.median / after.median
    low, high = speedup_interval(before.view, after.view) or (None, None)
    expected, way = _expected(run, base, changed)
    said = (base.case.cost, changed.case.cost)
    return Optimization(
        optimization=name,
        base=base.case.id,
        changed=changed.case.id,
        speedup=speedup,
        low=low,
        high=high,
        predicted=expected,
        way=way,
        memory=_ratio(after.peak_memory_bytes, before.peak_memory_bytes),
        predicted_memory=_ratio(said[1].memory_bytes, said[0].memory_bytes) if said[0] and said[1] else None,
    )


def _measurement(result: Result) -> Measurement:
    if result.measurement is None:
        raise ValueError(result.case.id)
    return result.measurement


def _expected(run: Run, base: Result, changed: Result) -> tuple[float | None, str]:
    """By the cost model, if it knows both; else by the roofline."""
    one, other = run.estimate(base.case.id), run.estimate(changed.case.id)
    if one is not None and other is not None and other.seconds:
        return one.seconds / other.seconds, "cost model"
    before, after = base.prediction, changed.prediction
    if changed.case.fused or before is None or after is None or not before.seconds or not after.seconds:
        return None, ""
    if base.case.threads and changed.case.threads and base.case.threads != changed.case.threads:
        return changed.case.threads / base.case.threads, "cores"
    return before.seconds / after.seconds, "roofline"


def _ratio(one: int | None, other: int | None) -> float | None:
    return one / other if one is not None and other else None
