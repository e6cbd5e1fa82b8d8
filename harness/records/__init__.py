"""The frozen facts: what was asked, predicted, seen and concluded, in base units."""

from harness.records.case import Case, Cost, Series
from harness.records.ceilings import BandwidthCeiling, Ceilings, ComputeCeiling, MemoryLevel, Rung, envelope
from harness.records.environment import Environment
from harness.records.measurement import (
    Disturbance,
    Failed,
    Flag,
    Measurement,
    Prediction,
    Result,
    Sampling,
    Skipped,
    StopReason,
)
from harness.records.run import Answer, Fit, FitPoint, Header, Parameter, Run, Settings, Verdict

__all__ = [
    "Answer",
    "BandwidthCeiling",
    "Case",
    "Ceilings",
    "ComputeCeiling",
    "Cost",
    "Disturbance",
    "Environment",
    "Failed",
    "Fit",
    "FitPoint",
    "Flag",
    "Header",
    "Measurement",
    "MemoryLevel",
    "Parameter",
    "Prediction",
    "Result",
    "Run",
    "Rung",
    "Sampling",
    "Series",
    "Settings",
    "Skipped",
    "StopReason",
    "Verdict",
    "envelope",
]
