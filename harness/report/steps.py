"""Whole steps as a table: what they process, where their time goes, how busy the machine is, and their memory."""

from harness import units
from harness.records import PHASES, Measurement, Result, Run

STEP_COLUMNS = (
    "step",
    "typical",
    "samples/s",
    "tokens/s",
    *PHASES,
    "MFU",
    "HFU",
    "kernels",
    "memory",
    "said",
    "peak in",
    "activations",
)
# What a narrow terminal leaves out, first to last.
STEP_DISPENSABLE = ("kernels", "activations", "peak in", "said", "samples/s", "HFU", *PHASES)


def step_rows(run: Run) -> list[tuple[str, ...]]:
    """A row under `STEP_COLUMNS` for each measured case that was traced and says what it processes."""
    return [_row(result, run) for result in stepped(run)]


def stepped(run: Run) -> list[Result]:
    """The measured cases that were traced and say what they process."""
    return [result for result in run.measured if result.case.trace and result.case.items]


def unknown_operators(run: Run) -> list[str]:
    """A line for each operator that no formula covers: its FLOPs are missing in the cases named."""
    cases: dict[str, list[str]] = {}
    for result in run.results:
        for name in result.case.trace.unknown if result.case.trace else ():
            cases.setdefault(name, []).append(result.case.id)
    return [
        f"no formula for the operator {name}: its FLOPs are missing in {', '.join(ids)}"
        for name, ids in cases.items()
    ]


def untraced(run: Run) -> list[str]:
    """A line for each reason why measured cases have no prediction."""
    cases: dict[str, list[str]] = {}
    for result in run.measured:
        if result.case.untraced:
            cases.setdefault(result.case.untraced, []).append(result.case.id)
    return [f"no prediction: {why} ({', '.join(ids)})" for why, ids in cases.items()]


def _row(result: Result, run: Run) -> tuple[str, ...]:
    measurement, trace = result.outcome, result.case.trace
    if not isinstance(measurement, Measurement) or trace is None:
        return ()
    mfu, hfu = run.mfu(result), run.hfu(result)
    peak = measurement.peak_memory_bytes
    return (
        result.case.id,
        units.seconds(measurement.typical),
        *(units.count(result.rates[unit]) if unit in result.rates else "" for unit in ("samples", "tokens")),
        *(_share(measurement, phase) for phase in PHASES),
        "" if mfu is None else units.percent(mfu),
        "" if hfu is None else units.percent(hfu),
        str(trace.kernels),
        units.size(peak) if peak else "",
        units.signed_percent(trace.footprint.total / peak - 1) if peak else "",
        measurement.peak_phase or "",
        units.size(trace.saved_bytes) if trace.saved_bytes else "",
    )


def _share(measurement: Measurement, phase: str) -> str:
    seconds = measurement.phase_seconds
    return units.percent(seconds[phase] / sum(seconds.values())) if phase in seconds else ""
