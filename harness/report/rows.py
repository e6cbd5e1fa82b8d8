"""The tables of cases, as text: the same in the terminal and in Markdown."""

from collections.abc import Iterable

from harness import units
from harness.records import Failed, Measurement, Result, Run, Skipped

COLUMNS = ("case", "typical", "IQR", "rate", "of ceiling", "predicted / measured", "memory", "flags")
# What a narrow terminal leaves out, first to last.
DISPENSABLE = ("memory", "IQR", "predicted / measured")
ABSENT_COLUMNS = ("reason", "outcome", "cases")


def case_rows(run: Run, suite: str) -> list[tuple[str, ...]]:
    """A row under `COLUMNS` for each measured case of a suite."""
    return [_row(result, run) for result in run.measured if result.case.suite == suite]


def absent_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `ABSENT_COLUMNS` for each reason why cases have no measurement; failures first."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in (*run.failed, *run.skipped):
        match result.outcome:
            case Failed(reason=reason):
                reasons.setdefault((reason, "FAILED"), []).append(result.case.id)
            case Skipped(reason=reason):
                reasons.setdefault((reason, "skipped"), []).append(result.case.id)
    return [(reason, word, ", ".join(ids)) for (reason, word), ids in reasons.items()]


def suites(results: Iterable[Result]) -> tuple[str, ...]:
    """The suites in the order they first appear."""
    return tuple(dict.fromkeys(result.case.suite for result in results))


def rate(result: Result) -> str:
    """FLOP/s for a case of matrix FLOPs, bytes per second for any other."""
    if result.flops_per_second is not None:
        return units.work_rate(result.flops_per_second)
    return "" if result.bytes_per_second is None else units.bandwidth(result.bytes_per_second)


def _row(result: Result, run: Run) -> tuple[str, ...]:
    measurement = result.outcome
    if not isinstance(measurement, Measurement):
        return ()
    return (
        result.case.id,
        units.seconds(measurement.typical),
        units.percent(measurement.relative_iqr),
        rate(result),
        _of_ceiling(result, run),
        _efficiency(result),
        _memory(result, measurement),
        ", ".join(measurement.flags),
    )


def _efficiency(result: Result) -> str:
    if result.efficiency is None or result.prediction is None:
        return ""
    return f"{result.efficiency:.2f} {result.prediction.bound}"


def _of_ceiling(result: Result, run: Run) -> str:
    share = run.of_ceiling(result)
    if share is None:
        return ""
    level = result.prediction.level if result.prediction and result.flops_per_second is None else None
    return f"{units.percent(share)} {level or ''}".rstrip()


def _memory(result: Result, measurement: Measurement) -> str:
    """The measured peak, and the predicted one where it reads differently."""
    if measurement.peak_memory_bytes is None:
        return ""
    measured = units.size(measurement.peak_memory_bytes)
    predicted = units.size(result.case.cost.memory_bytes) if result.case.cost else measured
    return measured if predicted == measured else f"{measured} (said {predicted})"
