"""Stored runs compared: of several machines, or of one machine at different times.

Runs at different times share no minute: what their machine does differently from hour to hour is in a ratio. It is in the interval only
where a self-test measured it (docs/pages/explanation/decisions/0005-what-an-interval-covers.md).
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from harness import stats
from harness.records import (
    Case,
    Environment,
    Failed,
    Header,
    Measurement,
    Peaks,
    Result,
    Run,
)
from harness.records.comparison import (
    CaseComparison,
    Comparison,
    Decision,
    ExactChange,
    GroupComparison,
    PeakComparison,
)
from harness.records.environment import Difference
from harness.records.measurement import speedup_interval

# The confidence level of a run's intervals.
LEVEL = 0.95
# A group of fewer cases has no interval.
LEAST_CASES = 3
_NO_INTERVAL = "a run of one process has no interval"
# Fields of an environment that its fingerprint is made of.
_OF_MACHINE = ("processor.", "accelerators.", "memory.total", "limits.usable", "device_name")


class Conditions(NamedTuple):
    """What times were measured under, as far as it decides whether they can be compared."""

    environment: Environment
    device: str
    threads: int

    @classmethod
    def of(cls, header: Header) -> "Conditions":
        """The conditions of a run."""
        return cls(header.environment, header.settings.device, header.settings.threads)


def not_comparable(
    base: Conditions, candidate: Conditions, *, same_host: bool = False, same: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The reasons why times of these conditions cannot be compared; empty where they can.

    `same_host`: another machine of the same kind is a reason too. `same`: prefixes of environment fields that must agree as well.
    """
    reasons = [
        f"{name} ({before} / {after})"
        for name, before, after in (
            ("device", base.device, candidate.device),
            ("threads", base.threads, candidate.threads),
        )
        if before != after
    ]
    other_machine = base.environment.fingerprint != candidate.environment.fingerprint
    prefixes = (*(_OF_MACHINE if other_machine else ()), *(("host.id",) if same_host else ()), *same)
    if prefixes:
        reasons += [
            f"{difference.field} ({difference.this} / {difference.other})"
            for difference in base.environment.differences(candidate.environment)
            if difference.field.startswith(prefixes)
        ]
    return tuple(reasons or (["machine fingerprint"] if other_machine else []))


def different_work(base: Case, candidate: Case) -> str | None:
    """The reason why two cases of one id are different work; None where they declare the same."""
    for field in ("dtype", "sizes", "threads"):
        before, after = getattr(base, field), getattr(candidate, field)
        if before != after:
            return f"different work under the same name: {field} is {before} in the base, {after} in the candidate"
    return None


def compare_all(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Each run except the first as the candidate, the first as the base."""
    return tuple(compare(runs[0], candidate) for candidate in runs[1:])


def compare(base: Run, candidate: Run) -> Comparison:
    """Compares two runs without a gate: a case regressed or improved where its interval excludes a ratio of 1.

    Cases are paired by id and by what they declare. Cases that calibrate are left out: their models are reported instead. Differences of
    machines and settings forbid nothing and are listed.
    """
    results = {result.case.id: result for result in candidate.results}
    paired = {
        result.case.id: _case(result, measurement, results.get(result.case.id), candidate)
        for result in base.results
        if (measurement := result.measurement) and not result.case.calibrates
    }
    cases = tuple(case for case in paired.values() if isinstance(case, CaseComparison))
    before, after = base.header.environment, candidate.header.environment
    return Comparison(
        base=base.header.id,
        candidate=candidate.header.id,
        method="stored",
        level=LEVEL,
        same_machine=before.fingerprint == after.fingerprint,
        differences=before.differences(after),
        settings=tuple(_settings(base.header, candidate.header)),
        cases=cases,
        suites=tuple(
            group(suite, [case for case in cases if case.suite == suite])
            for suite in dict.fromkeys(case.suite for case in cases)
        ),
        overall=group("all", cases) if cases else None,
        exact=tuple(_exact(base, results)),
        peaks=tuple(_peaks(base.peaks, candidate.peaks)),
        missing=tuple((case, reason) for case, reason in paired.items() if isinstance(reason, str)),
        new=tuple(
            result.case.id
            for result in candidate.measured
            if result.case.id not in paired and not result.case.calibrates
        ),
    )


def group(name: str, cases: Sequence[CaseComparison]) -> GroupComparison:
    """Cases together: the geometric mean of their ratios, with a 95% interval from three cases on.

    The interval is Student's t on the logarithms, plus in quadrature the median uncertainty of a single case. That is not divided by the
    root of their number, as what the machine did during a whole run is common to all of them.
    """
    logs = [math.log(case.ratio) for case in cases if case.ratio]
    ratio, half = math.exp(statistics.fmean(logs)), None
    if len(cases) >= LEAST_CASES:
        spread = stats.students_t(0.975, len(cases) - 1) * stats.deviation(logs) / math.sqrt(len(cases))
        own = [math.log(case.high / case.low) / 2 for case in cases if case.low and case.high]
        half = math.hypot(spread, stats.median(own) if own else 0.0)
    return GroupComparison(
        name,
        ratio,
        None if half is None else ratio * math.exp(-half),
        None if half is None else ratio * math.exp(half),
        len(cases),
        without_interval=sum(case.low is None for case in cases),
        **counts(cases),
    )


def counts(cases: Sequence[CaseComparison]) -> dict[str, int]:
    """The number of cases for each decision, by its name."""
    return {decision.value: sum(case.decision is decision for case in cases) for decision in Decision}


def _case(
    result: Result, measurement: Measurement, counterpart: Result | None, candidate: Run
) -> CaseComparison | str:
    """A measured case of the base in both runs, or the reason why there is nothing to compare."""
    case = result.case
    if counterpart is None:
        return "planned, but not measured" if case.id in candidate.header.planned else "not part of that run"
    after = counterpart.outcome
    if not isinstance(after, Measurement):
        return f"{'failed' if isinstance(after, Failed) else 'skipped'}: {after.reason}"
    if measurement.view.name != after.view.name:
        return f"timed as {measurement.view.name} in the base, as {after.view.name} in the candidate"
    if reason := different_work(case, counterpart.case):
        return reason
    speedup = speedup_interval(measurement.view, after.view)
    low, high = (1.0 / speedup[1], 1.0 / speedup[0]) if speedup else (None, None)
    decision = Decision.INCONCLUSIVE
    if low is not None and high is not None and not low <= 1.0 <= high:
        decision = Decision.REGRESSED if low > 1.0 else Decision.IMPROVED
    return CaseComparison(
        case=case.id,
        suite=case.suite,
        decision=decision,
        ratio=after.median / measurement.median,
        low=low,
        high=high,
        base_seconds=measurement.median,
        candidate_seconds=after.median,
        base_flags=measurement.flags,
        candidate_flags=after.flags,
        reason="" if speedup else _NO_INTERVAL,
    )


def _settings(base: Header, candidate: Header) -> Iterator[Difference]:
    """What was asked for differently, as far as it changes the result of a case."""

    def flat(header: Header) -> dict[str, float | str]:
        settings = {name: getattr(header.settings, name) for name in ("device", "threads", "profile")}
        sampling = msgspec.structs.asdict(header.settings.sampling)
        return settings | {f"sampling.{name}": value for name, value in sampling.items()}

    after = flat(candidate)
    for field, value in flat(base).items():
        if value != after[field]:
            yield Difference(field=field, this=value, other=after[field])


def _exact(base: Run, results: dict[str, Result]) -> Iterator[ExactChange]:
    """Metrics without noise that both runs contain and that differ; of skipped cases too."""
    for result in base.results:
        counterpart = results.get(result.case.id)
        if counterpart is None or different_work(result.case, counterpart.case) is not None:
            continue
        after = _metrics(counterpart)
        for metric, value in _metrics(result).items():
            if value != after.get(metric, value):
                yield ExactChange(result.case.id, metric, value, after[metric])


def _metrics(result: Result) -> dict[str, int]:
    """The metrics of a case that have no noise, as far as they are known."""
    cost, trace, measurement = result.case.cost, result.case.trace, result.measurement
    metrics: dict[str, int] = {}
    if cost is not None:
        metrics["FLOPs"], metrics["elementwise FLOPs"] = cost.flops, cost.elementwise_flops
        metrics["bytes moved"], metrics["predicted memory"] = cost.bytes_moved, cost.memory_bytes
    if trace is not None:
        metrics["kernels"] = trace.kernels
    if measurement is not None and measurement.peak_memory_bytes is not None:
        metrics["peak memory"] = measurement.peak_memory_bytes
    return metrics


def _peaks(base: Peaks, candidate: Peaks) -> Iterator[PeakComparison]:
    """The best rates that code reached, of everything that either run measured."""

    def compute(peaks: Peaks, dtype: str, threads: int) -> float | None:
        best = peaks.compute_peak(dtype, threads)
        return best.flops_per_second if best else None

    def bandwidth(peaks: Peaks, level: str, threads: int) -> float | None:
        best = peaks.bandwidth_peak(level, threads)
        return best.bytes_per_second if best else None

    dtypes = dict.fromkeys((peak.dtype, peak.threads) for peak in (*base.compute, *candidate.compute))
    levels = dict.fromkeys((peak.level, peak.threads) for peak in (*base.bandwidth, *candidate.bandwidth))
    for kind, rate, keys in (("compute", compute, dtypes), ("bandwidth", bandwidth, levels)):
        for name, threads in keys:
            before, after = rate(base, name, threads), rate(candidate, name, threads)
            if (before, after) != (None, None):
                yield PeakComparison(kind, name, threads, before, after)
