"""What a suite imports, and the version. Loads no torch."""

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
    check_positive,
    powers_of_two,
)

__version__: str

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
    "__version__",
    "build",
    "check_dtype",
    "check_positive",
    "decoding",
    "forward",
    "powers_of_two",
    "precision_of",
    "require_tf32",
    "training",
]


def __getattr__(name: str) -> str:
    """The version, asked for when it is needed."""
    if name != "__version__":
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from harness.version import version  # noqa: PLC0415 - the metadata of packages takes long to load

    return version()
