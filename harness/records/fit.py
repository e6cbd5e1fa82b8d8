"""A scaling law as fitted to a sweep: its parameters, how well it explains each size, and what else was tried."""

from harness import stats
from harness.records.base import Record


class Parameter(Record, frozen=True):
    """A fitted number with its 95 % interval; without a value, but with the reason, where the sizes do not identify it."""

    name: str
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def identified(self) -> bool:
        """Whether the data say anything about it."""
        return self.value is not None


class FitPoint(Record, frozen=True):
    """One size of a sweep: what was measured and what the model says, in seconds.

    `work` in FLOPs or bytes. `flagged`: something speaks against trusting the measurement. `low` and `high`: the 95 % interval
    of a time measured there, by the model.
    """

    size: int
    work: float
    measured: float
    fitted: float
    flagged: bool = False
    low: float | None = None
    high: float | None = None

    @property
    def residual(self) -> float:
        """Measured over fitted, minus one."""
        return self.measured / self.fitted - 1.0


class Rival(Record, frozen=True):
    """A model tried on the same sizes: the exponent of size it has, and its AICc above that of the model chosen."""

    model: str
    exponent: float
    worse: float


class Fit(Record, frozen=True):
    """A model fitted to one sweep.

    `exponent` is what a free one comes to, a diagnostic; `growth` the exponent with which the counted work grows at large sizes,
    `work_in` whether that is "flops" or "bytes".
    """

    series: str
    variable: str
    model: str
    parameters: tuple[Parameter, ...]
    points: tuple[FitPoint, ...]
    theory_exponent: float
    exponent: Parameter
    growth: float | None = None
    work_in: str = "flops"
    rivals: tuple[Rival, ...] = ()

    def parameter(self, name: str) -> Parameter | None:
        """A parameter by name; None where the model has no such parameter."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    @property
    def median_residual(self) -> float:
        """The median size of the residuals."""
        return stats.median([abs(point.residual) for point in self.points])

    @property
    def worst(self) -> FitPoint:
        """The size the model explains worst."""
        return max(self.points, key=lambda point: abs(point.residual))
