"""Runs of older schemas, read as runs of today's.

Schema 1 measured each case in one process and kept its raw samples in its line. What it did not know
(first call, sensors, other processes) stays unknown.
"""

import msgspec

from harness.records import (
    Case,
    Disturbance,
    Failed,
    Header,
    Measurement,
    Prediction,
    Result,
    Samples,
    Sampling,
    Skipped,
    StopReason,
    View,
)
from harness.records.base import Record


class _Measurement1(Record, frozen=True, tag="measurement"):
    view: str
    seconds: tuple[float, ...]
    calls_per_sample: int
    timer_cost_seconds: float
    stop_reason: StopReason
    disturbance: Disturbance | None = None
    peak_memory_bytes: int | None = None


class _Result1(Record, frozen=True):
    case: Case
    outcome: _Measurement1 | Skipped | Failed
    prediction: Prediction | None = None


class _Sampling1(Record, frozen=True):
    warmup_seconds: float
    max_seconds: float
    min_sample_seconds: float
    target_half_width: float


def result(line: bytes) -> Result:
    """A case of schema 1.

    Raises:
        msgspec.DecodeError: it is none.
    """
    old = msgspec.json.decode(line, type=_Result1)
    outcome = old.outcome
    if isinstance(outcome, Skipped | Failed):
        return Result(case=old.case, outcome=outcome, prediction=old.prediction)
    try:
        samples = Samples(
            outcome.calls_per_sample, outcome.seconds, (len(outcome.seconds),), outcome.disturbance
        )
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from error
    view = View(outcome.view, outcome.calls_per_sample, (samples.statistics(),), outcome.stop_reason)
    measurement = Measurement(
        view=view,
        timer_cost_seconds=outcome.timer_cost_seconds,
        interleaved=False,
        peak_memory_bytes=outcome.peak_memory_bytes,
    )
    return Result(case=old.case, outcome=measurement, prediction=old.prediction)


def header(content: bytes) -> Header:
    """The header of a run of schema 1.

    Raises:
        msgspec.DecodeError: it is none.
    """
    told = msgspec.json.decode(content)
    try:
        old = msgspec.convert(told["settings"]["sampling"], _Sampling1)
    except (KeyError, TypeError) as error:
        raise msgspec.ValidationError("no settings") from error
    told["settings"]["sampling"] = msgspec.to_builtins(
        Sampling(
            processes=1,
            preheat_seconds=0.0,
            warmup_seconds=old.warmup_seconds,
            block_seconds=old.max_seconds,
            max_seconds=old.max_seconds,
            min_sample_seconds=old.min_sample_seconds,
            target_half_width=old.target_half_width,
            limit_seconds=float("1e9"),
        )
    )
    return msgspec.convert(told, Header)
