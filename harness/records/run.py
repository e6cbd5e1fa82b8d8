"""One run: what was asked, where, what came out, and what follows from it."""

from collections.abc import Collection
from enum import StrEnum
from functools import cached_property

import msgspec

from harness.records.base import Record
from harness.records.case import Case, Cost, Operator, Trace
from harness.records.costmodel import CaseReplay, CostModel, Estimate, Optimization, Validation
from harness.records.environment import Environment
from harness.records.fit import Fit
from harness.records.measurement import Measurement, Sampling
from harness.records.peaks import Peaks, Step, envelope


class Prediction(Record, frozen=True):
    """The roofline, said before the case ran: no call can be faster than `seconds`.

    Each part is None where the machine has no measured peak for it.
    """

    compute_seconds: float | None = None
    memory_seconds: float | None = None
    flops_per_second: float | None = None
    bytes_per_second: float | None = None
    level: str | None = None

    @property
    def seconds(self) -> float | None:
        """The lower bound on the time of one call: the slower of compute and memory."""
        return max((s for s in (self.compute_seconds, self.memory_seconds) if s), default=None)

    @property
    def bound(self) -> str | None:
        """Which peak is reached first: "compute" or "memory"."""
        if self.seconds is None:
            return None
        return "compute" if self.seconds == self.compute_seconds else "memory"

    @property
    def ridge_point(self) -> float | None:
        """The arithmetic intensity (FLOPs per byte) at which the two peaks meet."""
        if self.flops_per_second is None or self.bytes_per_second is None:
            return None
        return self.flops_per_second / self.bytes_per_second


class Skipped(Record, frozen=True, tag="skipped"):
    """Impossible or pointless here, and why: no such device, dtype unsupported, too large, too slow."""

    reason: str


class Failed(Record, frozen=True, tag="failed"):
    """It should have run and did not: what went wrong."""

    reason: str


class Result(Record, frozen=True):
    """One case: what it is, what was predicted, and how it came out."""

    case: Case
    outcome: Measurement | Skipped | Failed
    prediction: Prediction | None = None

    @property
    def measurement(self) -> Measurement | None:
        """The measurement, or None where there is none."""
        return self.outcome if isinstance(self.outcome, Measurement) else None

    @property
    def efficiency(self) -> float | None:
        """Predicted lower bound over measured time; above 1 the cost, the clock or the peak is wrong."""
        if self.measurement is None or self.prediction is None or self.prediction.seconds is None:
            return None
        return self.prediction.seconds / self.measurement.median

    @property
    def flops_per_second(self) -> float | None:
        """Matrix FLOPs over median time; None where the case does none."""
        if self.measurement is None or self.case.cost is None or not self.case.cost.flops:
            return None
        return self.case.cost.flops / self.measurement.median

    @property
    def all_flops_per_second(self) -> float | None:
        """Matrix and elementwise FLOPs over median time: what a roofline shows over their arithmetic intensity."""
        if self.measurement is None or self.case.cost is None:
            return None
        return (self.case.cost.flops + self.case.cost.elementwise_flops) / self.measurement.median

    @property
    def hardware_flops_per_second(self) -> float | None:
        """Matrix FLOPs, those computed again included, over median time; None where the case does none."""
        if self.measurement is None or self.case.cost is None or not self.case.cost.flops:
            return None
        return self.case.cost.hardware_flops / self.measurement.median

    @property
    def rates(self) -> dict[str, float]:
        """What is processed per second, by unit: samples, tokens."""
        if self.measurement is None:
            return {}
        return {unit: count / self.measurement.median for unit, count in self.case.items.items()}

    @property
    def bytes_per_second(self) -> float | None:
        """Compulsory bytes over median time."""
        if self.measurement is None or self.case.cost is None:
            return None
        return self.case.cost.bytes_moved / self.measurement.median


class FindingKind(StrEnum):
    """What a finding is about.

    `wrong`: prediction and measurement differ, or the record is broken. `validity`: the numbers may not be what this machine
    can do. `advice`: a possible speed-up.
    """

    WRONG = "wrong"
    VALIDITY = "validity"
    ADVICE = "advice"

    @classmethod
    def _missing_(cls, value: object) -> "FindingKind | None":
        """Reads the kind that schema 2 called `voids`."""
        return cls.VALIDITY if value == "voids" else None


class Finding(Record, frozen=True):
    """One trouble, however many cases have it: a fact from the record, its cause as far as the record shows it, and one fix.

    `cases` and `dtypes` are those that it concerns. A finding without either concerns the whole run.
    """

    name: str
    kind: FindingKind
    finding: str
    cause: str
    fix: str
    cases: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()

    def concerns(self, cases: Collection[str], dtypes: Collection[str]) -> bool:
        """Whether it concerns one of these cases or dtypes, or the whole run."""
        return not (self.cases or self.dtypes) or any(
            name in selected
            for names, selected in ((self.cases, cases), (self.dtypes, dtypes))
            for name in names
        )


class Settings(Record, frozen=True):
    """What the user asked for; `--resume` takes all of it from the run. `label`: what the user calls this machine."""

    suites: tuple[str, ...]
    expression: str
    profile: str
    device: str
    threads: int
    sampling: Sampling
    label: str = ""


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
    """Everything of a run but its results: `run.json`.

    `selftest_at`: when the self-test was run whose findings widen the intervals; None if there was none.
    """

    id: str
    schema_version: int
    started_at: str
    settings: Settings
    environment: Environment
    planned: tuple[str, ...]
    selftest_at: str | None = None
    finished_at: str | None = None
    peaks: tuple[Peaks, ...] = ()
    fits: tuple[Fit, ...] = ()
    cost_model: CostModel | None = None
    estimates: tuple[Estimate, ...] = ()
    validations: tuple[Validation, ...] = ()
    optimizations: tuple[Optimization, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()


class Run(Record, frozen=True, dict=True):
    """A run as read back: its header, its results, what was wrong with its files, and what its side files tell of cases by id."""

    header: Header
    results: tuple[Result, ...]
    damage: tuple[str, ...] = ()
    operators: dict[str, tuple[Operator, ...]] = msgspec.field(default_factory=dict)
    replays: dict[str, CaseReplay] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        """What it is, in one line: all of it would fill hundreds of screens."""
        counts = {"measured": self.measured, "skipped": self.skipped, "failed": self.failed}
        results = ", ".join(f"{len(several)} {name}" for name, several in counts.items() if several)
        state = "complete" if self.complete else "not complete"
        return f"Run {self.header.id} on {self.header.settings.device}: {results or 'no case'}; {state}"

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, and every case it planned is on record."""
        return self.header.finished_at is not None and not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """The planned cases without a record."""
        known = {result.case.id for result in self.results}
        return tuple(case for case in self.header.planned if case not in known)

    @cached_property
    def peaks(self) -> Peaks:
        """The upper envelope of all rounds of peaks."""
        return envelope(self.header.peaks)

    def hierarchy(self, dtype: str, threads: int) -> tuple[Step, ...]:
        """The peaks of a dtype from the top down; the last step is the best case of this run."""
        peak_levels = [
            (c.peak_level.value, c.flops_per_second, c.method)
            for c in self.peaks.compute_hierarchy(dtype, threads)
        ]
        if threads == self.header.settings.threads:
            cases = [(r.flops_per_second or 0.0, r.case.id) for r in self.measured if r.case.dtype == dtype]
            peak_levels += [("best case", rate, case) for rate, case in sorted(cases)[-1:] if rate]
        above = [None, *(rate for _, rate, _ in peak_levels)]
        return tuple(
            Step(peak_level, rate, method, rate / upper if upper else None)
            for (peak_level, rate, method), upper in zip(peak_levels, above, strict=False)
        )

    def of_peak(self, result: Result) -> float | None:
        """The rate of a case over the best rate any code reached here: in its dtype, or in its memory level."""
        peaks, threads = self.peaks, result.case.threads or self.header.settings.threads
        if result.flops_per_second is not None:
            compute = peaks.compute_peak(result.case.dtype, threads)
            return result.flops_per_second / compute.flops_per_second if compute else None
        level = result.prediction.level if result.prediction else None
        memory = peaks.bandwidth_peak(level, threads) if level else None
        if memory is None or result.bytes_per_second is None:
            return None
        return result.bytes_per_second / memory.bytes_per_second

    def estimate(self, case: str) -> Estimate | None:
        """The expected time of a case, from the calibrated cost model."""
        return next((estimate for estimate in self.header.estimates if estimate.case == case), None)

    def mfu(self, result: Result) -> float | None:
        """Model FLOPs utilization: model FLOP/s over the best rate any code reached here in this dtype."""
        return self._utilization(result, result.flops_per_second)

    def hfu(self, result: Result) -> float | None:
        """Hardware FLOPs utilization: the same with the FLOPs that are computed again."""
        return self._utilization(result, result.hardware_flops_per_second)

    def _utilization(self, result: Result, rate: float | None) -> float | None:
        threads = result.case.threads or self.header.settings.threads
        peak = self.peaks.compute_peak(result.case.dtype, threads)
        return rate / peak.flops_per_second if rate is not None and peak is not None else None

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


class Pass(Record, frozen=True):
    """An inference pass or a training step: its cost, its trace, and the roofline's lower bound on its time, and the time expected by the calibrated cost model."""

    cost: Cost
    trace: Trace
    prediction: Prediction = Prediction()
    estimate: Estimate | None = None


class Forecast(Record, frozen=True):
    """A model in inference and, if anything in it can be trained, in training; `run` measured the peaks; None without a run of this machine."""

    model: str
    device: str
    threads: int
    optimizer: str
    dtype: str
    items: dict[str, int]
    forward: Pass
    train: Pass | None
    run: str | None = None
    calibrated_in: str | None = None
