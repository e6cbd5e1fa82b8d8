"""A series of measurements of one thing over time, and where its level changed."""

from enum import StrEnum

from harness.records.base import Record


class Point(Record, frozen=True, gc=False):  # as many as there are rows, and no cycles
    """One point: the median of the values of one build, or of the processes of one run.

    `row` is where its first value stood in the table it comes from. `stack` stands for what the machine ran it with besides the code
    (driver, torch, clocks); a series is never compared over a change of it. None where nothing is known of it.
    """

    value: float
    row: int = 0
    time: str | None = None
    build: str | None = None
    run: str | None = None
    stack: str | None = None


class StepState(StrEnum):
    """How sure a step is: seen, or still there after enough further points."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"


class StepKind(StrEnum):
    """A change from one point to the next, or a slow one over many."""

    STEP = "step"
    DRIFT = "drift"


class Step(Record, frozen=True):
    """A change of level: from point `index` on values are `ratio` times what they were before.

    `confirmed_at` is the index of the point at which a watcher who sees one point after the other was sure; None while it is suspected.
    """

    index: int
    ratio: float
    state: StepState
    kind: StepKind = StepKind.STEP
    build: str | None = None
    time: str | None = None
    row: int = 0
    confirmed_at: int | None = None


class Boundary(Record, frozen=True):
    """From point `index` on the machine ran it with another stack: what differs, where that is known. No step is looked for across it."""

    index: int
    changes: tuple[str, ...] = ()


class History(Record, frozen=True):
    """A series with its steps. `notes` are oddities of the input, each one line: times that go backwards, points left out."""

    name: str
    unit: str
    points: tuple[Point, ...]
    steps: tuple[Step, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    notes: tuple[str, ...] = ()
    host: str | None = None
    machine: str | None = None
    threads: int | None = None
    series: str | None = None

    @property
    def confirmed(self) -> tuple[Step, ...]:
        """The steps a watcher is sure of."""
        return tuple(step for step in self.steps if step.state is StepState.CONFIRMED)


class PointsAt(StrEnum):
    """What a change that some hosts of a fleet show points at."""

    CODE = "code"
    HARDWARE = "hardware"
    UNCLEAR = "unclear"


class Shared(Record, frozen=True):
    """One change on `hosts`, of `of` hosts that have points before and after it. `ratio` is the median of theirs; `reason` is one line."""

    ratio: float
    hosts: tuple[str, ...]
    of: int
    points_at: PointsAt
    reason: str
    build: str | None = None
    time: str | None = None
