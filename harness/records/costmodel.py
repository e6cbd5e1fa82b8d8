"""The calibrated cost model of a machine, what it says of a step, and how that compared with the measurement."""

import msgspec

from harness.records.base import Record


class Bend(Record, frozen=True):
    """Where a model is bent, in logarithms: bytes, FLOPs a byte, bytes an element made, rows or pixels; how heavily, by which operator."""

    size: float
    intensity: float
    traffic: float
    inner: float
    weight: float
    name: str = ""


class OperatorModel(Record, frozen=True):
    """The time of one operator of a kind: t = (t0^p + (F/P)^p + (Y/W + Y_far/W_far)^p)^(1/p).

    F are FLOPs (matrix FLOPs where it does any, else elementwise FLOPs), Y bytes moved, and far those of them that come from memory, `sharpness` is p, `overhead` t0.
    Of the rates those in `told` are what the cases say; the others are where they began. `residual` is the standard deviation of log(predicted / measured) over
    cases left out of the fit, none counted beyond a factor of e, `worst` the largest of them in size, as a factor less one, of the case `worst_case`. The calibrated range is in FLOPs and bytes of a call.
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
    told: tuple[str, ...] = ()


class Framework(Record, frozen=True):
    """What a step pays beside its operators, in seconds, where it touches so many bytes: its own code is in the cache, or is not.

    `host` for each function call of Python, `operator` and `view` for each operator and each view that Python calls, `backward` for each that the
    autograd engine runs.
    """

    touched_bytes: int
    host: float
    operator: float
    view: float
    backward: float


class CostModel(Record, frozen=True):
    """Models of operators, and what the framework takes beside them; `run` is where they were measured, `fault_seconds` a page's first touch.

    `far_bytes`: what was used longer ago than so many bytes comes from memory. `framework`: for steps that touch more and more memory. `noise` is the standard deviation of the logarithm of
    the same work's time between processes; `disturbance` is mean over median of short samples: what this machine takes from calls so long that they
    cannot dodge it.
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
    """The operators of one kind in a step, or the framework, or what disturbs the machine: the seconds they take together."""

    kind: str
    seconds: float


class Estimate(Record, frozen=True):
    """The expected time of a call in seconds, with a 90 % interval, and what it is made of.

    `extrapolated`: kinds with an operator larger than any that was calibrated; `uncalibrated`: kinds without a model, which borrow another's.
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
    """The operators of a step, each measured alone beside it; `untimed` counts calls for which there was no time."""

    case: str
    operators: tuple[Replayed, ...]
    untimed: int = 0


class Judged(Record, frozen=True):
    """One held-out case: measured seconds, those estimated, and those of the two baselines and of the replay, where there are any."""

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
    """How far one way to predict is off over several cases: mean absolute error, median signed error, the worst; all relative."""

    way: str
    cases: int
    mape: float
    bias: float
    worst: float
    worst_case: str


class KindAccuracy(Record, frozen=True):
    """How far the models of one kind of operators are off from the same operators measured alone, weighted by their time."""

    kind: str
    operators: int
    seconds: float
    mape: float
    bias: float


class Validation(Record, frozen=True):
    """The held-out steps of one suite against what was said of them; `coverage` is the share inside its 90 % interval."""

    suite: str
    cases: tuple[Judged, ...]
    ways: tuple[Accuracy, ...]
    coverage: float
    kinds: tuple[KindAccuracy, ...] = msgspec.field(default=())


class Optimization(Record, frozen=True):
    """Two cases of a run that differ in one thing.

    `speedup` is the time of the base over that of the changed one, with its 95 % interval where there is one; `expected` what was predicted of it, by `way`.
    `memory` is the peak of the changed one over that of the base, `predicted_memory` what was said of it.
    """

    optimization: str
    base: str
    changed: str
    speedup: float
    low: float | None = None
    high: float | None = None
    expected: float | None = None
    way: str = ""
    memory: float | None = None
    predicted_memory: float | None = None
