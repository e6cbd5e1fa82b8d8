"""The front door of the harness: all that a suite needs. Loads no torch."""

from harness.errors import Unsupported
from harness.precision import float32_precision, require_tf32
from harness.records import Cost, Series
from harness.workload import (
    ITEM_BYTES,
    Bench,
    Call,
    Step,
    Sweep,
    Workload,
    check_dtype,
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
    "Sweep",
    "Unsupported",
    "Workload",
    "check_dtype",
    "check_positive",
    "float32_precision",
    "powers_of_two",
    "require_tf32",
]
