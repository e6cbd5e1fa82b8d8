"""What single operators take here, turned into what a whole step takes: laws, estimates, and how far they were off."""

from harness.costmodel.calibration import calibrated
from harness.costmodel.estimate import estimate
from harness.costmodel.optimizations import levers
from harness.costmodel.validation import validated

__all__ = ["calibrated", "estimate", "levers", "validated"]
