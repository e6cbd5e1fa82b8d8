"""Plumbline from Python: `import plumbline as pl`.

`bench` and `compare` time functions, `count` counts what code does, `predict` and `plan` say what a model needs,
`load`, `read`, `fit` and `report` work on stored runs. The other names are those of suites. Nothing is loaded before
it is used; `import plumbline` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import (
        ITEM_BYTES,
        Bench,
        Call,
        Cost,
        Series,
        Step,
        Subject,
        Sweep,
        Unsupported,
        Workload,
        __version__,
        build,
        check_dtype,
        check_one_of,
        check_positive,
        decoding,
        forward,
        powers_of_two,
        precision_of,
        require_tf32,
        training,
    )
    from harness.api.comparing import compare
    from harness.api.counting import count
    from harness.api.predicting import predict
    from harness.api.results import fit, load, plan, read, report
    from harness.api.timing import bench

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
    "bench",
    "build",
    "check_dtype",
    "check_one_of",
    "check_positive",
    "compare",
    "count",
    "decoding",
    "fit",
    "forward",
    "load",
    "plan",
    "powers_of_two",
    "precision_of",
    "predict",
    "read",
    "report",
    "require_tf32",
    "training",
]

_MODULES = {
    "bench": "harness.api.timing",
    "compare": "harness.api.comparing",
    "count": "harness.api.counting",
    "predict": "harness.api.predicting",
    **dict.fromkeys(("fit", "load", "plan", "read", "report"), "harness.api.results"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'plumbline' has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "harness")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
