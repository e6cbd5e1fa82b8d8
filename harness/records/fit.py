"""A model fitted to a sweep: its parameters, its residuals, and its rivals."""

from harness import stats
from harness.records.base import Record


class Parameter(Record, frozen=True):
    """A fitted number with its 95% interval; a reason (`why`) in place of the value where the sizes do not identify it."""

    name: str
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def identified(self) -> bool:
        """Whether the sizes identify it."""
        return self.value is not None


class FitPoint(Record, frozen=True):
    """One size of a sweep: seconds measured and by the model.

    `work` is in FLOPs or bytes. `flagged`: the measurement has a flag. `low` and `high`: the 95% interval of a time measured there, by
    the model.
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
    """A model tried on the same sizes: its exponent of size, and its AICc above that of the chosen model."""

    model: str
    exponent: float
    worse: float


class Fit(Record, frozen=True):
    """A model fitted to one sweep.

    `theory_exponent` is the predicted exponent. `exponent` is the free one, a diagnostic. `growth` is the exponent of the counted work at
    large sizes, and `work_in` its kind: "flops", "bytes" or "threads".
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
        """A parameter by name; None where the model does not have it."""
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    @property
    def median_residual(self) -> float:
        """The median of the absolute residuals."""
        return stats.median([abs(point.residual) for point in self.points])

    @property
    def worst(self) -> FitPoint:
        """The size with the largest residual."""
        return max(self.points, key=lambda point: abs(point.residual))
