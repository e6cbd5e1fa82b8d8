"""What single operators take here, turned into what a whole step takes: models, estimates, and how far they were off."""

from harness.costmodel.calibration import calibrated
from harness.costmodel.estimate import estimate
from harness.costmodel.optimizations import optimizations
from harness.costmodel.validation import validated

__all__ = ["calibrated", "estimate", "optimizations", "validated"]
