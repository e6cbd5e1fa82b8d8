"""The frozen facts: what was asked, predicted, seen and concluded, in base units."""

from harness.records.case import Case, Cost, Series
from harness.records.ceilings import BandwidthCeiling, Ceilings, ComputeCeiling, MemoryLevel, Rung, envelope
from harness.records.environment import Environment
from harness.records.forecast import Forecast, Pass
from harness.records.measurement import Flag, Measurement, Sampling, StopReason, View
from harness.records.result import Failed, Prediction, Result, Skipped
from harness.records.run import Answer, Fit, FitPoint, Header, Parameter, Run, Settings, Verdict
from harness.records.samples import CaseSamples, Disturbance, ProcessStatistics, RawSamples, Samples
from harness.records.sensors import Reading, Sensors, SensorSeries, Span
from harness.records.trace import PHASES, CaseOperators, Footprint, Operator, PhaseWork, Stratum, Trace

__all__ = [
    "PHASES",
    "Answer",
    "BandwidthCeiling",
    "Case",
    "CaseOperators",
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
    "Footprint",
    "Forecast",
    "Header",
    "Measurement",
    "MemoryLevel",
    "Operator",
    "Parameter",
    "Pass",
    "PhaseWork",
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
    "Stratum",
    "Trace",
    "Verdict",
    "View",
    "envelope",
]
