"""The cost model: times of single operators, measured alone, summed to the estimated time of a whole step, and its errors."""

from harness.costmodel.calibration import calibrated
from harness.costmodel.estimate import estimate, validated
from harness.costmodel.optimizations import optimizations

__all__ = ["calibrated", "estimate", "optimizations", "validated"]
