"""The calibrated cost model of a machine, its estimates of steps, and their errors."""

import msgspec

from harness.records.base import Record


class Bend(Record, frozen=True):
    """A correction of a model near a measured case.

    Its place in logarithms (bytes, FLOPs a byte, bytes an element made, rows or pixels), its weight, and its operator.
    """

    size: float
    intensity: float
    traffic: float
    inner: float
    weight: float
    name: str = ""


class OperatorModel(Record, frozen=True):
    """The time of one operator of a kind: t = (t0^p + (F/P)^p + (Y/W + Y_far/W_far)^p)^(1/p).

    F are FLOPs (matrix FLOPs where it does any, else elementwise FLOPs), Y bytes moved, Y_far those of them that come from memory;
    `sharpness` is p, `overhead` t0. `identified` lists the rates that the cases determine; the others are as the fit began.
    `residual` is the standard deviation of log(predicted / measured) over cases left out of the fit, each clipped at a factor of e;
    `worst` is the largest error, as a factor less one, of the case `worst_case`. The calibrated range is in FLOPs and bytes of a call.
    """

    kind: str
    dtype: str
    cases: int
    overhead: float
    sharpness: float
    flops_per_second: float
    bytes_per_second: float
    far_bytes_per_second: float
    residual: float
    median: float
    worst: float
    worst_case: str
    most_flops: int
    most_bytes: int
    bends: tuple[Bend, ...] = ()
    identified: tuple[str, ...] = ()


class Framework(Record, frozen=True):
    """The seconds of a step besides its operators, where it touches this many bytes: the framework's code is in the cache, or is not.

    `host` for each function call of Python, `operator` and `view` for each operator and view called from Python, `backward` for each
    operator that the autograd engine runs.
    """

    touched_bytes: int
    host: float
    operator: float
    view: float
    backward: float


class CostModel(Record, frozen=True):
    """Models of operators, and the framework's costs; `run` is where they were measured, `fault_seconds` the first touch of a page.

    `far_bytes` is the reuse distance from which on operands come from memory. `framework` has an entry for little and one for much touched
    memory. `noise` is the standard deviation of the logarithm of the same work's time between processes. `disturbance` is mean over
    median of short samples: the factor that calls suffer which are too long to escape it.
    """

    run: str
    device: str
    threads: int
    far_bytes: int
    models: tuple[OperatorModel, ...]
    framework: tuple["Framework", ...] = ()
    fault_seconds: float = 0.0
    noise: float = 0.0
    disturbance: float = 1.0

    def model(self, kind: str, dtype: str) -> OperatorModel | None:
        """The model of a kind in a dtype, if it was calibrated."""
        return next((model for model in self.models if (model.kind, model.dtype) == (kind, dtype)), None)


class Part(Record, frozen=True):
    """The seconds of the operators of one kind in a step, of the framework, or of the machine's disturbance."""

    kind: str
    seconds: float


class Estimate(Record, frozen=True):
    """The estimated time of a call in seconds, with a 90% interval, and its parts.

    `extrapolated`: kinds with an operator larger than any calibrated one. `uncalibrated`: kinds without a model, which use that of another kind.
    """

    case: str
    seconds: float
    low: float
    high: float
    parts: tuple[Part, ...]
    extrapolated: tuple[str, ...] = ()
    uncalibrated: tuple[str, ...] = ()


class Replayed(Record, frozen=True):
    """One distinct operator of a step, measured alone: seconds a call, on operands of the same shapes."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    count: int
    seconds: float


class CaseReplay(Record, frozen=True):
    """The operators of a step, each measured alone; `untimed` counts calls that were left out for lack of time."""

    case: str
    operators: tuple[Replayed, ...]
    untimed: int = 0


class CaseAccuracy(Record, frozen=True):
    """One held-out case: seconds measured, estimated, by the two baselines, and by the replay of its operators."""

    case: str
    measured: float
    estimated: float
    inside: bool
    roofline: float | None = None
    scaled: float | None = None
    replayed: float | None = None

    @property
    def error(self) -> float:
        """Estimated over measured, less one."""
        return self.estimated / self.measured - 1.0


class Accuracy(Record, frozen=True):
    """The relative errors of one way to predict several cases: mean absolute, median signed, and the worst."""

    way: str
    cases: int
    mape: float
    bias: float
    worst: float
    worst_case: str


class KindAccuracy(Record, frozen=True):
    """The relative errors of the models of one kind against the same operators measured alone, weighted by their time."""

    kind: str
    operators: int
    seconds: float
    mape: float
    bias: float


class Validation(Record, frozen=True):
    """The estimates of the held-out steps of one suite; `coverage` is the fraction of steps inside their 90% interval."""

    suite: str
    cases: tuple[CaseAccuracy, ...]
    ways: tuple[Accuracy, ...]
    coverage: float
    kinds: tuple[KindAccuracy, ...] = msgspec.field(default=())


class Optimization(Record, frozen=True):
    """Two cases of a run that differ in one thing.

    `speedup` is the time of the base over that of the changed case, with its 95% interval; `predicted` is the predicted one, by `way`.
    `memory` is the peak of the changed case over that of the base, `predicted_memory` the predicted ratio.
    """

    optimization: str
    base: str
    changed: str
    speedup: float
    low: float | None = None
    high: float | None = None
    predicted: float | None = None
    way: str = ""
    memory: float | None = None
    predicted_memory: float | None = None
