"""One run: what was asked, where, what came out, and what follows from it."""

from enum import StrEnum

from harness.records.base import Record
from harness.records.ceilings import Ceilings, envelope
from harness.records.environment import Environment
from harness.records.measurement import Failed, Measurement, Result, Sampling, Skipped


class Settings(Record, frozen=True):
    """What the user asked for; `--resume` takes all of it from the run."""

    suites: tuple[str, ...]
    expression: str
    profile: str
    device: str
    threads: int
    sampling: Sampling


class Parameter(Record, frozen=True):
    """A fitted number with its 95 % interval; without a value where the sizes do not identify it."""

    name: str
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def identified(self) -> bool:
        """Whether the data say anything about it."""
        return self.value is not None


class FitPoint(Record, frozen=True):
    """One size of a sweep: what was measured and what the law says, in seconds.

    `flagged`: something speaks against trusting the measurement.
    """

    size: int
    work: float
    measured: float
    fitted: float
    flagged: bool = False

    @property
    def residual(self) -> float:
        """Measured over fitted, minus one."""
        return self.measured / self.fitted - 1.0


class Fit(Record, frozen=True):
    """A law fitted to one sweep. `exponent` is the free exponent of size: a diagnostic, no verdict."""

    series: str
    variable: str
    law: str
    parameters: tuple[Parameter, ...]
    points: tuple[FitPoint, ...]
    theory_exponent: float
    exponent: Parameter

    @property
    def typical_residual(self) -> float:
        """The median size of the residuals."""
        residuals = sorted(abs(point.residual) for point in self.points)
        return residuals[len(residuals) // 2]

    @property
    def worst(self) -> FitPoint:
        """The size the law explains worst."""
        return max(self.points, key=lambda point: abs(point.residual))


class Answer(StrEnum):
    """What can be said of a claim. `inconclusive` is neither a pass nor a failure."""

    HOLDS = "holds"
    FAILS = "fails"
    INCONCLUSIVE = "inconclusive"


class Verdict(Record, frozen=True):
    """One claim about one subject, and the reason as a sentence with its numbers."""

    claim: str
    subject: str
    answer: Answer
    reason: str


class Header(Record, frozen=True):
    """Everything of a run but its results: `run.json`."""

    id: str
    schema_version: int
    started_at: str
    settings: Settings
    environment: Environment
    planned: tuple[str, ...]
    finished_at: str | None = None
    ceilings: tuple[Ceilings, ...] = ()
    fits: tuple[Fit, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class Run(Record, frozen=True):
    """A run as read back: its header, its results, and what was wrong with its files."""

    header: Header
    results: tuple[Result, ...]
    damage: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.header.finished_at is not None

    @property
    def missing(self) -> tuple[str, ...]:
        """The planned cases that no record tells of."""
        known = {result.case.id for result in self.results}
        return tuple(case for case in self.header.planned if case not in known)

    @property
    def ceilings(self) -> Ceilings:
        """The upper envelope of all rounds of ceilings."""
        return envelope(self.header.ceilings)

    @property
    def measured(self) -> tuple[Result, ...]:
        """The results with a measurement."""
        return tuple(r for r in self.results if isinstance(r.outcome, Measurement))

    @property
    def skipped(self) -> tuple[Result, ...]:
        """The results that say why a case could not be measured here."""
        return tuple(r for r in self.results if isinstance(r.outcome, Skipped))

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that say how a case broke."""
        return tuple(r for r in self.results if isinstance(r.outcome, Failed))
