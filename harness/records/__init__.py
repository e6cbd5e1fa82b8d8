"""The frozen facts: what was asked, predicted, seen and concluded, in base units."""

from harness.records.case import Case, Cost, Series
from harness.records.ceilings import BandwidthCeiling, Ceilings, ComputeCeiling, MemoryLevel, Rung, envelope
from harness.records.environment import Environment
from harness.records.measurement import Flag, Measurement, Sampling, StopReason, View
from harness.records.result import Failed, Prediction, Result, Skipped
from harness.records.run import Answer, Fit, FitPoint, Header, Parameter, Run, Settings, Verdict
from harness.records.samples import CaseSamples, Disturbance, ProcessStatistics, RawSamples, Samples
from harness.records.sensors import Reading, Sensors, SensorSeries, Span

__all__ = [
    "Answer",
    "BandwidthCeiling",
    "Case",
    "CaseSamples",
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
    "ProcessStatistics",
    "RawSamples",
    "Reading",
    "Result",
    "Run",
    "Rung",
    "Samples",
    "Sampling",
    "SensorSeries",
    "Sensors",
    "Series",
    "Settings",
    "Skipped",
    "Span",
    "StopReason",
    "Verdict",
    "View",
    "envelope",
]
