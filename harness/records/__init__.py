"""The frozen facts: what was asked, predicted, seen and concluded, in base units."""

from harness.records.case import Case, Cost, Series
from harness.records.ceilings import BandwidthCeiling, Ceilings, ComputeCeiling, MemoryLevel, Rung, envelope
from harness.records.comparison import (
    CeilingCompared,
    Change,
    Compared,
    Comparison,
    Exact,
    SuiteCompared,
)
from harness.records.costmodel import (
    Accuracy,
    Bend,
    CaseReplay,
    CostModel,
    Estimate,
    Framework,
    Judged,
    KindAccuracy,
    OperatorLaw,
    Part,
    Replayed,
    Validation,
)
from harness.records.environment import Environment
from harness.records.finding import Finding, FindingKind
from harness.records.fit import Fit, FitPoint, Parameter, Rival
from harness.records.forecast import Forecast, Pass
from harness.records.lever import Lever
from harness.records.measurement import Flag, Measurement, Sampling, StopReason, View
from harness.records.result import Failed, Prediction, Result, Skipped
from harness.records.run import Answer, Header, Run, Settings, Verdict
from harness.records.samples import CaseSamples, Disturbance, ProcessStatistics, RawSamples, Samples
from harness.records.sensors import Reading, Sensors, SensorSeries, Span
from harness.records.trace import (
    MAPPED_BYTES,
    PHASES,
    CaseOperators,
    Footprint,
    Operator,
    PhaseWork,
    Stratum,
    Trace,
)

__all__ = [
    "MAPPED_BYTES",
    "PHASES",
    "Accuracy",
    "Answer",
    "BandwidthCeiling",
    "Bend",
    "Case",
    "CaseOperators",
    "CaseReplay",
    "CaseSamples",
    "CeilingCompared",
    "Ceilings",
    "Change",
    "Compared",
    "Comparison",
    "ComputeCeiling",
    "Cost",
    "CostModel",
    "Disturbance",
    "Environment",
    "Estimate",
    "Exact",
    "Failed",
    "Finding",
    "FindingKind",
    "Fit",
    "FitPoint",
    "Flag",
    "Footprint",
    "Forecast",
    "Framework",
    "Header",
    "Judged",
    "KindAccuracy",
    "Lever",
    "Measurement",
    "MemoryLevel",
    "Operator",
    "OperatorLaw",
    "Parameter",
    "Part",
    "Pass",
    "PhaseWork",
    "Prediction",
    "ProcessStatistics",
    "RawSamples",
    "Reading",
    "Replayed",
    "Result",
    "Rival",
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
    "SuiteCompared",
    "Trace",
    "Validation",
    "Verdict",
    "View",
    "envelope",
]
