"""Where the level of a series changed, as a watcher saw it who was told one point after the other.

    each point -> are the last few off the level?  ->  partition  ->  a change in the last pieces?
               -> far enough for noise, wander and 4 %?  suspected  -> six points, four of which hold it?  confirmed

What was decided at a point rests on no later one. A confirmed change begins a new level, and noise is what points are off their own
level by, so an old step does not widen a later threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.history.levels import FAR, FLOOR, NEAR, WIDE, allowed, noise, partition, ramp, shift, step_cost
from harness.records.history import Boundary, Point, Step, StepKind, StepState
from harness.stats import mann_whitney, median

Vector = NDArray[np.float64]

# The fewest points of a level before a change of it, and after one to suspect it and to confirm it.
HISTORY, SUSPECTED, CONFIRMED = 7, 3, 6
# The rank test's level, and what it is where fewer than so many points are before.
ALPHA, ALPHA_YOUNG, YOUNG = 0.003, 0.009, 15
# A partition is of the last so many points, clipped to so many standard deviations, at a price in variances for each piece.
LOOK, CLIP, PENALTY = 80, 3.5, 8.0
# So many of its last pieces may begin a new level: spikes are pieces too.
PIECES = 6
# So much of the points after must be past half of the change; so much of those before must not have been at the new level.
HOLDING, VISITED, LATEST = 0.7, 0.15, 0.3
# A spike is so many standard deviations off both levels, or beyond so many times the change; up to two spikes after a change are no evidence
# on it, where so many points remain.
SPIKE, FAR_BEYOND, REMAINING = 4.0, 2.5, 4
# The logarithm of no ratio is beyond this.
LARGEST = 700.0
# A change is a drift where a ramp of at least so many points explains the points better than a step does, by so many standard deviations.
RAMP, BETTER = 12, 1.5
# A slow drift is looked for every so many points, by the last ten, on a level of at least so many, of at most so many.
EVERY, TEN, AGED, LONGEST = 3, 10, 35, 300
# So many points after a drift, a change in its direction is more of it; so many after a step, a drift makes the step its beginning.
SAME_DRIFT, SAME_RAMP = 25, 10


def boundaries(points: Sequence[Point]) -> tuple[Boundary, ...]:
    """Where the stack changes from one that is known to another: a series is never compared over it."""
    found = []
    known = None
    for index, point in enumerate(points):
        if point.stack is not None:
            if known not in {None, point.stack}:
                found.append(Boundary(index))
            known = point.stack
    return tuple(found)


def steps(points: Sequence[Point]) -> tuple[Step, ...]:
    """The steps and drifts of a series, in order; of those that are not confirmed, only one that the last points suggest.

    Values must be positive and finite. Every change is confirmed from the points up to `confirmed_at` alone; later ones may show that it was
    the beginning of a drift. `ratio` is told from up to 30 points on either side of it, as far as they are of the levels beside it. A spike
    right before a step may count as its first point.
    """
    found: list[Step] = []
    starts = [0, *(boundary.index for boundary in boundaries(points)), len(points)]
    logs = np.log(np.array([point.value for point in points]))
    for begin, end in pairwise(starts):
        watcher = _Watcher(logs[begin:end])
        watcher.watch()
        told = watcher.changes
        if end == len(points) and watcher.suspected is not None:
            told = [*told, watcher.suspected]
        ends = [*(change.index for change in told[1:]), end - begin]
        levels = [0, *(change.settles for change in told)]
        for change, before, after in zip(told, levels, ends, strict=False):
            point = points[begin + change.index]
            found.append(
                Step(
                    index=begin + change.index,
                    ratio=math.exp(min(LARGEST, max(-LARGEST, watcher.rise(change, before, after)))),
                    state=StepState.SUSPECTED if change.confirmed_at is None else StepState.CONFIRMED,
                    kind=change.kind,
                    build=point.build,
                    time=point.time,
                    row=point.row,
                    confirmed_at=None if change.confirmed_at is None else begin + change.confirmed_at,
                )
            )
    return tuple(found)


@dataclass
class _Change:
    """A change by `shift`, a logarithm. From `settles` on the points are on the level after it, for all that is known."""

    index: int
    shift: float
    kind: StepKind
    settles: int
    confirmed_at: int | None = None


@dataclass(frozen=True)
class _Shift:
    """A shift that noise does not explain; the noise of one point, and whether the ranks of the points say so too."""

    rise: float
    sigma: float
    ranked: bool


class _Watcher:
    """Sees the points of one stack, one after the other."""

    def __init__(self, logs: Vector) -> None:
        self.logs = logs
        self.changes: list[_Change] = []
        self.suspected: _Change | None = None
        self._begin = 0
        self._past: Vector = np.zeros(0)

    def watch(self) -> None:
        for now in range(HISTORY + SUSPECTED - 1, len(self.logs)):
            self._see(now)

    def rise(self, change: _Change, begin: int, end: int) -> float:
        """By what a change rose, as a logarithm, seen from the end: the level before it begins at `begin`, that after it ends at `end`."""
        before = self.logs[max(begin, change.index - NEAR) : change.index]
        after = self.logs[change.settles : min(end, change.settles + NEAR)]
        return shift(before, after) if len(before) and len(after) else change.shift

    def _see(self, now: int) -> None:
        self.suspected = None
        if now - self._begin + 1 < HISTORY + SUSPECTED:
            return
        last = _median(self.logs[now - 4 : now + 1])
        level = self.logs[max(self._begin, now - 4 - NEAR) : now - 4]
        if abs(last - _median(level)) > 0.6 * FLOOR:
            self._look(now)
        elif now % EVERY == 0 and now - self._begin >= AGED:
            self._look_for_drift(now)

    def _look(self, now: int) -> None:
        """Whether one of the last pieces begins a new level."""
        before, residuals = self._level(max(self._begin + HISTORY, now - SUSPECTED))
        first = max(self._begin, now - LOOK + 1)
        scaled = (self.logs[first : now + 1] - _median(before[-NEAR:])) / noise(residuals).sigma
        for piece in reversed(partition(np.clip(scaled, -CLIP, CLIP), PENALTY)[-PIECES:]):
            if piece and self._confirms(now, self._settled(first + piece, now)):
                return
        if self.suspected is None:
            self._confirms(now, self._settled(now - SUSPECTED + 1, now))

    def _level(self, index: int) -> tuple[Vector, Vector]:
        """The points of the level before an index, and what they, and those of levels before, were off by."""
        before = self.logs[max(self._begin, index - FAR) : index]
        return before, np.concatenate((self._past, before - _median(before)))[-FAR:]

    def _settled(self, index: int, now: int) -> int:
        """The index near to the given one that parts the points best by which of the two levels they lie nearer to, but for those far from both."""
        low = _median(self.logs[max(self._begin, index - NEAR) : index])
        high = _median(self.logs[index : now + 1])
        first = max(self._begin + 1, index - 5)
        around = self.logs[first : min(now, index + 5)]
        to_high, to_low = np.abs(around - high), np.abs(around - low)
        told = np.where(np.minimum(to_high, to_low) > abs(high - low), 0.0, to_high - to_low)
        wrong = np.cumsum(told[::-1])[::-1]
        return first + int(np.argmin(np.append(wrong, 0.0)))

    def _confirms(self, now: int, index: int) -> bool:
        """Suspects or confirms a new level from an index on; tells whether where the level begins is decided."""
        after = self.logs[index : now + 1]
        if len(after) < SUSPECTED:
            return False
        if index - self._begin < HISTORY:
            return self._begin_later(index, after)
        found = self._shift(index, after)
        if found is None or self._parted_better(index, now, found.rise):
            return False
        self.suspected = _Change(index, found.rise, StepKind.STEP, index)
        if len(after) < CONFIRMED or not found.ranked:
            return False
        first = max(self._begin, index - NEAR - TEN)
        window = self.logs[first : now + 1]
        ramped = ramp(window, len(window) - RAMP + 1)
        if ramped.cost < step_cost(window, index - first) - BETTER * found.sigma:
            bend = max(first + ramped.begin, self._begin + 1)
            self._confirm(_Change(bend, found.rise, StepKind.DRIFT, now - 5, now))
        else:
            self._confirm(_Change(index, found.rise, StepKind.STEP, index, now))
        return True

    def _shift(self, index: int, after: Vector) -> _Shift | None:
        """By how much the points from an index on are shifted; None where noise explains it."""
        before, residuals = self._level(index)
        near, wide = before[-NEAR:], before[-WIDE:]
        known = noise(residuals)
        level = _median(near)
        held = _without_spikes(after, level, SPIKE * known.sigma)
        rise = shift(near, held)
        if abs(rise) < allowed(known, len(near), held):
            return None
        wide = wide[(wide - level) / rise <= FAR_BEYOND]
        if not _holds((wide - level) / rise, (held - level) / rise):
            return None
        alpha = ALPHA if len(wide) >= YOUNG else ALPHA_YOUNG
        return _Shift(rise, known.sigma, mann_whitney(held, wide) <= alpha)

    def _parted_better(self, index: int, now: int, rise: float) -> bool:
        """Whether the index already suspected parts the last points into two levels better than another does, spikes counted as no worse than the change."""
        if self.suspected is None:
            return False
        first = max(self._begin, min(self.suspected.index, index) - NEAR)
        window = self.logs[first : now + 1]
        one, other = (step_cost(window, at - first, abs(rise)) for at in (self.suspected.index, index))
        return one < other

    def _begin_later(self, index: int, after: Vector) -> bool:
        """Leaves the first few points of a level aside where those after them hold another: too few to tell a change of, and no part of what follows. Whether it did."""
        before = self.logs[self._begin : index]
        if len(before) == 0 or len(after) < CONFIRMED:
            return False
        rise = shift(before, after)
        scatter = noise(after - _median(after))
        if abs(rise) < allowed(scatter, len(before), after) or not _holds(
            (before - _median(before)) / rise, (after - _median(before)) / rise
        ):
            return False
        self._begin = index
        return True

    def _look_for_drift(self, now: int) -> None:
        """Whether the last points have slowly left where the level was when it was new."""
        first = max(self._begin, now - LONGEST)
        whole = self.logs[first : now + 1]
        new, last = whole[:NEAR], whole[-TEN:]
        new = new[: len(whole) - TEN]
        rise = shift(new, last)
        if abs(rise) < 1.2 * FLOOR:
            return
        ramped = ramp(whole, len(whole) - RAMP + 1)
        known = noise(ramped.residuals)
        if (
            abs(rise) < max(allowed(known, len(new), last), 2.0 * known.wander)
            or mann_whitney(last, new) > ALPHA
        ):
            return
        self._confirm(_Change(first + max(ramped.begin, 1), rise, StepKind.DRIFT, now - 5, now))

    def _confirm(self, change: _Change) -> None:
        last = self.changes[-1] if self.changes else None
        since = change.index - self._begin
        drifts = StepKind.DRIFT
        if (
            last is not None
            and (last.shift > 0.0) == (change.shift > 0.0)
            and since < (SAME_DRIFT if last.kind is drifts else SAME_RAMP)
            and drifts in {last.kind, change.kind}
        ):
            last.kind, last.settles = drifts, change.settles
        else:
            old = self.logs[self._begin : change.index]
            self._past = np.concatenate((self._past, old - _median(old)))[-FAR:]
            self.changes.append(change)
        self._begin = change.settles
        self.suspected = None


def _without_spikes(after: Vector, level: float, far: float) -> Vector:
    """The points but for those that are far both from the level before and from their own; all of them where the last is one, which may begin another level."""
    off = np.minimum(np.abs(after - _median(after)), np.abs(after - level))
    held = after[off <= far]
    few = off[-1] <= far and len(held) >= max(REMAINING, len(after) - 2)
    return held if few else after


def _holds(before: Vector, after: Vector) -> bool:
    """Whether points that should lie at 0 before and at 1 after do so: the last one, most after, and few before were there already."""
    return bool(after[-1] >= LATEST and np.mean(after > 0.5) >= HOLDING and np.mean(before > 0.75) < VISITED)


def _median(values: Vector) -> float:
    return float(median(values.tolist()))  # of so few, numpy's takes ten times as long
