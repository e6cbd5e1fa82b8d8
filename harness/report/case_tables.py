"""The tables of cases, for every form of a report."""

from collections.abc import Iterable

from harness import units
from harness.records import Failed, Flag, Measurement, Result, Run, Skipped, View
from harness.report.content import ids, texts
from harness.report.summary import WORDS
from harness.text import some

COLUMNS = (
    *ids("case"),
    *("median", "95% CI", "IQR", "rate", "of peak", "predicted / measured", "memory"),
    *texts("flags"),
)
# What a narrow terminal leaves out, first to last.
DISPENSABLE = ("memory", "IQR", "predicted / measured")
VIEW_COLUMNS = (
    *ids("case", "view"),
    *("median", "95% CI", "tensors", "host-bound"),
    *ids("regime"),
    *("energy", "clock", "power"),
)
VIEW_DISPENSABLE = ("host-bound", "regime")
ABSENT_COLUMNS = (*texts("reason"), *ids("outcome"), *texts("cases"))
ROOFLINE_COLUMNS = (*ids("case"), "FLOP/B", "matrix and elementwise", "of peak", *ids("bound by"))
SENSOR_COLUMNS = (
    *ids("case"),
    *("waited for a core", "other programs", "stolen", "clock", "power", "temperature"),
    *texts("throttled by"),
)
FLAGGED_COLUMNS = (*ids("flag"), "cases", *texts("meaning", "examples"))


def case_rows(run: Run, suite: str) -> list[tuple[str, ...]]:
    """A row under `COLUMNS` for each measured case of a suite."""
    return [_row(result, run) for result in run.measured if result.case.suite == suite]


def view_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `VIEW_COLUMNS` for each view of each case with several, and for its missing views."""
    rows: list[tuple[str, ...]] = []
    for result in run.measured:
        measurement = result.outcome
        if isinstance(measurement, Measurement) and (measurement.others or measurement.missing_views):
            rows += [_view_row(result.case.id, measurement, view) for view in measurement.views]
            rows += [
                (result.case.id, name, "not measured", why, *("",) * 6)
                for name, why in measurement.missing_views.items()
            ]
    return rows


def _view_row(case: str, measurement: Measurement, view: View) -> tuple[str, ...]:
    sensors, headline = measurement.sensors, view is measurement.view
    cache = {None: "", True: ", cold", False: ", warm"}[view.cold]
    energy = measurement.joules_per_call if headline else None
    clock, power = (sensors.clock_hertz, sensors.power_watts) if headline else (None, None)
    return (
        case,
        view.name,
        units.seconds(view.median),
        "" if view.half_width is None else f"± {units.percent(view.half_width)}",
        f"{view.rotations}{cache}",
        "" if view.host_bound_fraction is None else units.percent(view.host_bound_fraction),
        measurement.regime if headline else "",
        "" if energy is None else units.energy(energy),
        "" if clock is None else units.frequency(clock.median),
        "" if power is None else units.power(power.median),
    )


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


def flagged_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `FLAGGED_COLUMNS` for each flag, most frequent first."""
    flagged: dict[Flag, list[str]] = {}
    for result in run.measured:
        for flag in result.measurement.flags if result.measurement else ():
            flagged.setdefault(flag, []).append(result.case.id)
    meanings, most = dict(WORDS), len(run.measured)
    return [
        (flag.value, f"{len(ids)} of {most}", meanings[flag.value], some(ids))
        for flag, ids in sorted(flagged.items(), key=lambda item: -len(item[1]))
    ]


def on_roofline(run: Run) -> list[Result]:
    """The measured cases with FLOPs on the threads of the roofline, without the calibration."""
    threads = {None, run.header.settings.threads}
    return [
        result
        for result in run.measured
        if not result.case.calibrates
        and result.case.threads in threads
        and result.case.cost
        and result.case.cost.bytes_moved
        and result.case.cost.flops + result.case.cost.elementwise_flops
    ]


def roofline_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `ROOFLINE_COLUMNS` for each case on the roofline."""
    return [_roofline_row(result, run) for result in on_roofline(run)]


def _roofline_row(result: Result, run: Run) -> tuple[str, ...]:
    rate, bound = result.all_flops_per_second, result.prediction.bound if result.prediction else None
    return (
        result.case.id,
        f"{result.case.cost.arithmetic_intensity:.3g}" if result.case.cost else "",
        "" if rate is None else units.work_rate(rate),
        of_peak(result, run),
        bound or "",
    )


def sensor_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `SENSOR_COLUMNS` for each measured case, in the order of the run."""
    return [
        _sensor_row(result.case.id, result.measurement)
        for result in run.measured
        if result.measurement and not result.case.calibrates
    ]


def _sensor_row(case: str, measurement: Measurement) -> tuple[str, ...]:
    sensors = measurement.sensors
    clock, power, heat = sensors.clock_hertz, sensors.power_watts, sensors.temperature_celsius
    return (
        case,
        units.percent(1.0 - measurement.view.clean_fraction),
        "" if sensors.other_cpus is None else f"{sensors.other_cpus:.2f} CPUs",
        "" if sensors.steal_fraction is None else units.percent(sensors.steal_fraction),
        "" if clock is None else units.frequency(clock.median),
        "" if power is None else units.power(power.median),
        "" if heat is None else f"{heat.median:.0f} °C",
        ", ".join(sensors.throttle_reasons or ()),
    )


def suites(results: Iterable[Result]) -> tuple[str, ...]:
    """The suites in the order in which they first appear, without the calibration."""
    return tuple(dict.fromkeys(result.case.suite for result in results if not result.case.calibrates))


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
        units.seconds(measurement.median),
        "" if measurement.view.half_width is None else f"± {units.percent(measurement.view.half_width)}",
        units.percent(measurement.relative_iqr),
        rate(result),
        of_peak(result, run),
        _efficiency(result),
        _memory(result, measurement),
        ", ".join(measurement.flags),
    )


def _efficiency(result: Result) -> str:
    if result.efficiency is None or result.prediction is None:
        return ""
    return f"{result.efficiency:.2f} {result.prediction.bound}"


def of_peak(result: Result, run: Run) -> str:
    """The rate as a fraction of the measured peak of its dtype, or of its memory level."""
    fraction = run.of_peak(result)
    if fraction is None:
        return ""
    level = result.prediction.level if result.prediction and result.flops_per_second is None else None
    return f"{units.percent(fraction)} {level or ''}".rstrip()


def memory(measurement: Measurement) -> str:
    """The measured peak of tensor bytes."""
    return "" if measurement.peak_memory_bytes is None else units.size(measurement.peak_memory_bytes)


def _memory(result: Result, measurement: Measurement) -> str:
    """The measured peak, and the predicted one where it reads differently."""
    measured = memory(measurement)
    predicted = units.size(result.case.cost.memory_bytes) if result.case.cost else measured
    return measured if not measured or predicted == measured else f"{measured} (predicted {predicted})"
