"""A series of measurements of one thing over time, and where its level changed."""

from enum import StrEnum

from harness.records.base import Record


class Point(Record, frozen=True, gc=False):  # as many as there are rows, and no cycles
    """One point: the median of the values of one build, or of the processes of one run.

    `row` is the row of its first value in the table it comes from. `stack` identifies what the machine ran it with besides the code
    (driver, torch, clocks); None where unknown. A series is never compared across a change of the stack.
    """

    value: float
    row: int = 0
    time: str | None = None
    build: str | None = None
    run: str | None = None
    stack: str | None = None


class ChangeState(StrEnum):
    """Suspected from few points, or confirmed by enough further points."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"


class ChangeKind(StrEnum):
    """A shift from one point to the next, or a slow drift over many."""

    SHIFT = "shift"
    DRIFT = "drift"


class ChangePoint(Record, frozen=True):
    """A change of level: from point `index` on, values are `ratio` times those before.

    `confirmed_at` is the index of the point that confirmed it, when points were read in order; None while it is suspected.
    """

    index: int
    ratio: float
    state: ChangeState
    kind: ChangeKind = ChangeKind.SHIFT
    build: str | None = None
    time: str | None = None
    row: int = 0
    confirmed_at: int | None = None


class Boundary(Record, frozen=True):
    """From point `index` on the stack is another; `changes` are the known differences. Change points are not searched across it."""

    index: int
    changes: tuple[str, ...] = ()


class History(Record, frozen=True):
    """A series with its change points. `notes` are problems of the input, one line each: times that go backwards, points left out."""

    name: str
    unit: str
    points: tuple[Point, ...]
    change_points: tuple[ChangePoint, ...] = ()
    boundaries: tuple[Boundary, ...] = ()
    notes: tuple[str, ...] = ()
    host: str | None = None
    machine: str | None = None
    threads: int | None = None
    series: str | None = None

    @property
    def confirmed(self) -> tuple[ChangePoint, ...]:
        """The confirmed change points."""
        return tuple(change for change in self.change_points if change.state is ChangeState.CONFIRMED)


class PointsAt(StrEnum):
    """The origin that a change on some hosts of a fleet points at."""

    CODE = "code"
    HARDWARE = "hardware"
    UNCLEAR = "unclear"


class Shared(Record, frozen=True):
    """One change on `hosts`, of `of` hosts with points before and after it. `ratio` is the median of their ratios."""

    ratio: float
    hosts: tuple[str, ...]
    of: int
    points_at: PointsAt
    reason: str
    build: str | None = None
    time: str | None = None
