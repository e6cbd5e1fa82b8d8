"""What single operators take here, turned into what a whole step takes: laws, estimates, and how far they were off."""

from harness.calibrate.costmodel import calibrated
from harness.calibrate.estimate import estimate
from harness.calibrate.levers import levers
from harness.calibrate.validation import validated

__all__ = ["calibrated", "estimate", "levers", "validated"]
