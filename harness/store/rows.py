"""A run as plain rows, one per case: for tables, frames and JSON. Base units throughout."""

from harness.records import Result, Run


def rows(run: Run) -> list[dict[str, object]]:
    """A row per case: what it is, what was predicted, how it came out."""
    return [_row(run, result) for result in run.results]


def _row(run: Run, result: Result) -> dict[str, object]:
    case, measurement = result.case, result.measurement
    row: dict[str, object] = {
        "run": run.header.id,
        "case": case.id,
        "suite": case.suite,
        "family": case.family,
        "dtype": case.dtype,
        "threads": run.header.settings.threads,
        "outcome": type(result.outcome).__name__.lower(),
        "reason": getattr(result.outcome, "reason", None),
        **case.sizes,
    }
    if case.cost is not None:
        row |= {
            "flops": case.cost.flops,
            "flops_dense": case.cost.flops_dense,
            "hardware_flops": case.cost.hardware_flops,
            "elementwise_flops": case.cost.elementwise_flops,
            "bytes_moved": case.cost.bytes_moved,
            "memory_bytes": case.cost.memory_bytes,
        }
    if case.trace is not None:
        row |= {
            "parameters": case.trace.parameters,
            "kernels": case.trace.kernels,
            "saved_bytes": case.trace.saved_bytes,
            "unknown_operators": ",".join(case.trace.unknown),
        }
    if result.prediction is not None:
        row |= {"roofline_seconds": result.prediction.seconds, "bound": result.prediction.bound}
    if measurement is not None:
        row |= {
            "median_seconds": measurement.median,
            "best_seconds": measurement.best,
            "relative_iqr": measurement.relative_iqr,
            "low_seconds": measurement.interval[0] if measurement.interval else None,
            "high_seconds": measurement.interval[1] if measurement.interval else None,
            "view": measurement.view.name,
            "processes": len(measurement.view.processes),
            "samples": measurement.view.samples,
            "clean_fraction": measurement.view.clean_fraction,
            "stop_reason": measurement.view.stop_reason.value,
            "regime": measurement.regime,
            "joules_per_call": measurement.joules_per_call,
            "peak_memory_bytes": measurement.peak_memory_bytes,
            "peak_phase": measurement.peak_phase,
            **{f"{phase}_seconds": seconds for phase, seconds in measurement.phase_seconds.items()},
            **{f"{unit}_per_second": rate for unit, rate in result.rates.items()},
            "flags": ",".join(measurement.flags),
            "flops_per_second": result.flops_per_second,
            "bytes_per_second": result.bytes_per_second,
            "efficiency": result.efficiency,
        }
    return row
