"""What a suite imports. Names are loaded when they are first used, so that the command line starts fast."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.errors import Unsupported
    from harness.models.subject import Subject
    from harness.models.training import forward, precision_of, require_tf32, training
    from harness.models.zoo import build, decoding
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
    "check_one_of",
    "check_positive",
    "decoding",
    "forward",
    "powers_of_two",
    "precision_of",
    "require_tf32",
    "training",
]

_MODULES = {
    **dict.fromkeys(("Unsupported",), "errors"),
    **dict.fromkeys(("Subject", "build", "decoding", "forward", "training"), "models"),
    **dict.fromkeys(("precision_of", "require_tf32"), "models.training"),
    **dict.fromkeys(("Cost", "Series"), "records"),
    "__version__": "version",
}


def __getattr__(name: str) -> Any:
    """A public name from its module; those without an entry of their own are of `workload`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'workload')}"), name)
    globals()[name] = value
    return value
