"""The front door of the harness: all that a suite needs. Loads no torch."""

from harness.errors import Unsupported
from harness.models import Subject, build, decoding, forward, training
from harness.models.precision import precision_of, require_tf32
from harness.records import Cost, Series
from harness.workload import (
    ITEM_BYTES,
    Bench,
    Call,
    Step,
    Sweep,
    Workload,
    check_dtype,
    check_one_of,
    check_positive,
    powers_of_two,
)

__all__ = [
    "ITEM_BYTES",
    "Bench",
    "Call",
    "Cost",
    "Series",
    "Step",
    "Subject",
    "Sweep",
    "Unsupported",
    "Workload",
    "build",
    "check_dtype",
    "check_one_of",
    "check_positive",
    "decoding",
    "forward",
    "powers_of_two",
    "precision_of",
    "require_tf32",
    "training",
]
