"""Stored runs in the formats and units of other tools.

    pytest-benchmark          a saved run, for `pytest-benchmark compare` and `--benchmark-compare`; seconds
    github-action-benchmark   the tool `customSmallerIsBetter`; seconds
    bencher                   Bencher Metric Format; nanoseconds, calls per second, bytes
    otava                     CSV, a line a run, a column a case; seconds

Only measured cases are exported. Each text ends with a line break and is the same for the same runs.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from harness import stats, units
from harness.errors import UsageError
from harness.exchange.foreign import MachineFacts
from harness.records import Measurement, Run

# The version of pytest-benchmark whose fields these are.
PYTEST_BENCHMARK = "5.3.1"
NANOSECONDS = 1e9


def exported(name: str, runs: Sequence[Run]) -> str:
    """Runs in a format of `FORMATS`.

    Raises:
        UsageError: there is no such format, no measured case, or more runs than the format holds.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}: one of {', '.join(FORMATS)}")
    if not any(run.measured for run in runs):
        raise UsageError(f"nothing to export as {name}: no case was measured")
    return FORMATS[name](runs)


def pytest_benchmark(runs: Sequence[Run]) -> str:
    """A run as pytest-benchmark saves one. The rounds are the medians of blocks: raw samples stay in the run's folder.

    `fullname`, by which pytest-benchmark identifies a benchmark, is the id of the case.

    Raises:
        UsageError: there are several runs.
    """
    run = _only(runs, "pytest-benchmark")
    environment = run.header.environment
    code, software = environment.code, environment.software
    return _json(
        {
            "machine_info": {
                "processor": environment.processor.architecture,
                "machine": environment.processor.architecture,
                "python_implementation": software.python_implementation,
                "python_implementation_version": software.python,
                "python_version": software.python,
                "release": software.kernel,
                "system": software.operating_system,
                "cpu": {"brand_raw": environment.processor.model_name},
                "plumbline": msgspec.to_builtins(MachineFacts.of(run.header)),
            },
            "commit_info": {
                "id": code.commit or "unversioned",
                "time": None,
                "author_time": None,
                "dirty": bool(code.dirty),
                "project": None,
                "branch": code.branch or "(unknown)",
            },
            "benchmarks": [
                {
                    "group": case.family,
                    "name": case.id,
                    "fullname": case.id,
                    "params": {"dtype": case.dtype, **case.sizes},
                    "param": case.id,
                    "extra_info": {
                        "case": case.id,
                        "suite": case.suite,
                        "source": case.source,
                        "threads": case.threads or run.header.settings.threads,
                        "view": measurement.view.name,
                        "processes": len(measurement.view.processes),
                        "samples": "the median of each block",
                        "median_seconds": measurement.median,
                        "interval_seconds": measurement.interval,
                        "peak_memory_bytes": measurement.peak_memory_bytes,
                        "flags": list(measurement.flags),
                    },
                    "options": {"timer": "plumbline"},
                    "stats": _stats(measurement),
                }
                for case, measurement in _measured(run)
            ],
            "datetime": run.header.started_at,
            "version": PYTEST_BENCHMARK,
        }
    )


def github_action_benchmark(runs: Sequence[Run]) -> str:
    """A run for github-action-benchmark's tool `customSmallerIsBetter`.

    Raises:
        UsageError: there are several runs.
    """
    return _json(
        [
            {
                "name": case.id,
                "unit": "s",
                "value": measurement.median,
                "range": _range(measurement),
                "extra": "\n".join(_extra(measurement)),
            }
            for case, measurement in _measured(_only(runs, "github-action-benchmark"))
        ]
    )


def bencher(runs: Sequence[Run]) -> str:
    """A run in Bencher Metric Format: `latency` (ns) and `throughput` (calls per second) are measures every project has; `peak-memory` is in bytes.

    Raises:
        UsageError: there are several runs.
    """
    return _json({case.id: _metrics(measurement) for case, measurement in _measured(_only(runs, "bencher"))})


def otava(runs: Sequence[Run]) -> str:
    """Runs as CSV for Otava, oldest first: time, commit, and seconds of each case that all of them measured.

    Otava does not accept empty cells. `not_in_all` lists the cases left out for that reason.

    Raises:
        UsageError: no case was measured in all runs.
    """
    in_order = sorted(runs, key=lambda run: (run.header.started_at, run.header.id))
    left_out = set(not_in_all(runs))
    columns = list(dict.fromkeys(r.case.id for run in in_order for r in run.measured))
    columns = [case for case in columns if case not in left_out]
    if not columns:
        raise UsageError(f"no case was measured in all {len(runs)} runs: otava needs a value in every line")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["time", "commit", *columns])
    for run in in_order:
        seconds = {case.id: measurement.median for case, measurement in _measured(run)}
        commit = run.header.environment.code.commit or run.header.id
        lines.writerow([run.header.started_at, commit, *(repr(seconds[case]) for case in columns)])
    return text.getvalue()


def not_in_all(runs: Sequence[Run]) -> tuple[str, ...]:
    """The cases that some of the runs measured and others did not."""
    measured = [dict.fromkeys(result.case.id for result in run.measured) for run in runs]
    known = dict.fromkeys(case for cases in measured for case in cases)
    return tuple(case for case in known if not all(case in cases for cases in measured))


FORMATS: dict[str, Callable[[Sequence[Run]], str]] = {
    "pytest-benchmark": pytest_benchmark,
    "github-action-benchmark": github_action_benchmark,
    "bencher": bencher,
    "otava": otava,
}


def _only(runs: Sequence[Run], name: str) -> Run:
    if len(runs) != 1:
        raise UsageError(f"{name} takes one run, not {len(runs)}: only otava takes several")
    return runs[0]


def _measured(run: Run) -> Iterator[tuple[Any, Measurement]]:
    for result in run.results:
        if result.measurement is not None:
            yield result.case, result.measurement


def _json(content: object) -> str:
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def _stats(measurement: Measurement) -> dict[str, float | int | str]:
    """The statistics of rounds under the names of pytest-benchmark; quartiles are interpolated."""
    rounds = [block for process in measurement.view.processes for block in process.block_medians]
    count, mean = len(rounds), math.fsum(rounds) / len(rounds)
    deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in rounds) / (count - 1)) if count > 1 else 0.0
    low, high = stats.quantile(rounds, 0.25), stats.quantile(rounds, 0.75)
    fence = (low - 1.5 * (high - low), high + 1.5 * (high - low))
    inside = [r for r in rounds if fence[0] <= r <= fence[1]]
    beyond = sum(abs(r - mean) > deviation for r in rounds)
    return {
        "min": min(rounds),
        "max": max(rounds),
        "mean": mean,
        "stddev": deviation,
        "rounds": count,
        "median": stats.median(rounds),
        "iqr": high - low,
        "q1": low,
        "q3": high,
        "iqr_outliers": count - len(inside),
        "stddev_outliers": beyond,
        "outliers": f"{beyond};{count - len(inside)}",
        "ld15iqr": min(inside),
        "hd15iqr": max(inside),
        "ops": 1 / mean,
        "total": math.fsum(rounds),
        "iterations": measurement.view.calls_per_sample,
    }


def _range(measurement: Measurement) -> str:
    half = measurement.view.half_width
    return "" if half is None else f"± {units.percent(half)}"


def _extra(measurement: Measurement) -> Iterator[str]:
    yield f"view: {measurement.view.name}"
    yield f"processes: {len(measurement.view.processes)}"
    if measurement.interval is not None:
        low, high = measurement.interval
        yield f"95% CI: {units.seconds(low)} to {units.seconds(high)}"
    if measurement.peak_memory_bytes is not None:
        yield f"peak memory: {units.size(measurement.peak_memory_bytes)}"
    if measurement.flags:
        yield f"flags: {', '.join(measurement.flags)}"


def _metrics(measurement: Measurement) -> dict[str, dict[str, float]]:
    latency = {"value": NANOSECONDS * measurement.median}
    throughput = {"value": 1 / measurement.median}
    if measurement.interval is not None:
        low, high = measurement.interval
        latency |= {"lower_value": NANOSECONDS * low, "upper_value": NANOSECONDS * high}
        throughput |= {"lower_value": 1 / high, "upper_value": 1 / low}
    metrics = {"latency": latency, "throughput": throughput}
    if measurement.peak_memory_bytes is not None:
        metrics["peak-memory"] = {"value": float(measurement.peak_memory_bytes)}
    return metrics
