"""Change points: where the level of a series changed, decided from one point after the other.

    each point -> do the last few differ from the level?  ->  partition  ->  a change in the last pieces?
               -> larger than noise, wander and 4%?  suspected  -> six points, four of which hold it?  confirmed

A decision at a point uses no later point. A confirmed change begins a new level. Noise is the distance of points from their own level,
so an old change does not raise a later threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.history.levels import FAR, FLOOR, NEAR, WIDE, allowed, noise, partition, ramp, shift, split_cost
from harness.records.history import Boundary, ChangeKind, ChangePoint, ChangeState, Point
from harness.stats import mann_whitney, median

Vector = NDArray[np.float64]

# The fewest points of a level before a change of it, and after one to suspect it and to confirm it.
HISTORY, SUSPECTED, CONFIRMED = 7, 3, 6
# The level of the rank test, and its level where fewer than `YOUNG` points are before.
ALPHA, ALPHA_YOUNG, YOUNG = 0.003, 0.009, 15
# A partition is of the last `LOOK` points, clipped to `CLIP` standard deviations, with a penalty in variances for each piece.
LOOK, CLIP, PENALTY = 80, 3.5, 8.0
# The last pieces that may begin a new level: spikes are pieces too.
PIECES = 6
# The fraction of points after that must be past half of the change; the fraction before that must not have been at the new level; and
# where the last point must be at least.
HOLDING, VISITED, LATEST = 0.7, 0.15, 0.3
# A spike is `SPIKE` standard deviations from both levels, or beyond `FAR_BEYOND` times the change. Up to two spikes after a change are
# ignored, where `REMAINING` points remain.
SPIKE, FAR_BEYOND, REMAINING = 4.0, 2.5, 4
# The limit of the logarithm of a ratio.
LARGEST = 700.0
# A change is a drift where a ramp of at least `RAMP` points explains the points better than a shift, by `BETTER` standard deviations.
RAMP, BETTER = 12, 1.5
# A slow drift is searched every `EVERY` points, in the last `TEN`, on a level of at least `AGED` and at most `LONGEST` points.
EVERY, TEN, AGED, LONGEST = 3, 10, 35, 300
# Within this many points after a drift, a change in its direction continues it; within the second after a shift, a drift includes it.
SAME_DRIFT, SAME_RAMP = 25, 10


def boundaries(points: Sequence[Point]) -> tuple[Boundary, ...]:
    """Where the stack changes from one that is known to another."""
    changes = []
    known = None
    for index, point in enumerate(points):
        if point.stack is not None:
            if known not in {None, point.stack}:
                changes.append(Boundary(index))
            known = point.stack
    return tuple(changes)


def change_points(points: Sequence[Point]) -> tuple[ChangePoint, ...]:
    """The confirmed shifts and drifts of a series, in order, and one that the last points suggest.

    Values must be positive and finite. A change is confirmed from the points up to `confirmed_at` alone; later ones may show that it began
    a drift. `ratio` is of up to 30 points of the levels on both sides. A spike right before a change may count as its first point.
    """
    found: list[ChangePoint] = []
    starts = [0, *(boundary.index for boundary in boundaries(points)), len(points)]
    logs = np.log(np.array([point.value for point in points]))
    for begin, end in pairwise(starts):
        detector = _Detector(logs[begin:end])
        detector.run()
        changes = detector.changes
        if end == len(points) and detector.suspected is not None:
            changes = [*changes, detector.suspected]
        ends = [*(change.index for change in changes[1:]), end - begin]
        levels = [0, *(change.settles for change in changes)]
        for change, before, after in zip(changes, levels, ends, strict=False):
            point = points[begin + change.index]
            found.append(
                ChangePoint(
                    index=begin + change.index,
                    ratio=math.exp(min(LARGEST, max(-LARGEST, detector.rise(change, before, after)))),
                    state=ChangeState.SUSPECTED if change.confirmed_at is None else ChangeState.CONFIRMED,
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
    """A change by `shift`, a logarithm. From `settles` on the points are on the level after it."""

    index: int
    shift: float
    kind: ChangeKind
    settles: int
    confirmed_at: int | None = None


@dataclass(frozen=True)
class _Shift:
    """A shift that noise does not explain; the noise of one point, and whether the rank test agrees."""

    rise: float
    sigma: float
    ranked: bool


class _Detector:
    """Reads the points of one stack, one after the other."""

    def __init__(self, logs: Vector) -> None:
        self.logs = logs
        self.changes: list[_Change] = []
        self.suspected: _Change | None = None
        self._begin = 0
        self._past: Vector = np.zeros(0)

    def run(self) -> None:
        for now in range(HISTORY + SUSPECTED - 1, len(self.logs)):
            self._read(now)

    def rise(self, change: _Change, begin: int, end: int) -> float:
        """The rise of a change, as a logarithm; the level before it begins at `begin`, that after it ends at `end`."""
        before = self.logs[max(begin, change.index - NEAR) : change.index]
        after = self.logs[change.settles : min(end, change.settles + NEAR)]
        return shift(before, after) if len(before) and len(after) else change.shift

    def _read(self, now: int) -> None:
        self.suspected = None
        if now - self._begin + 1 < HISTORY + SUSPECTED:
            return
        last = _median(self.logs[now - 4 : now + 1])
        level = self.logs[max(self._begin, now - 4 - NEAR) : now - 4]
        if abs(last - _median(level)) > 0.6 * FLOOR:
            self._search(now)
        elif now % EVERY == 0 and now - self._begin >= AGED:
            self._search_drift(now)

    def _search(self, now: int) -> None:
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
        """The points of the level before an index, and the residuals of them and of earlier levels."""
        before = self.logs[max(self._begin, index - FAR) : index]
        return before, np.concatenate((self._past, before - _median(before)))[-FAR:]

    def _settled(self, index: int, now: int) -> int:
        """The index near the given one that divides the points best by the nearer of the two levels; points far from both do not count."""
        low = _median(self.logs[max(self._begin, index - NEAR) : index])
        high = _median(self.logs[index : now + 1])
        first = max(self._begin + 1, index - 5)
        around = self.logs[first : min(now, index + 5)]
        to_high, to_low = np.abs(around - high), np.abs(around - low)
        nearer_low = np.where(np.minimum(to_high, to_low) > abs(high - low), 0.0, to_high - to_low)
        wrong = np.cumsum(nearer_low[::-1])[::-1]
        return first + int(np.argmin(np.append(wrong, 0.0)))

    def _confirms(self, now: int, index: int) -> bool:
        """Suspects or confirms a new level from an index on; returns whether the beginning of the level is decided."""
        after = self.logs[index : now + 1]
        if len(after) < SUSPECTED:
            return False
        if index - self._begin < HISTORY:
            return self._begin_later(index, after)
        found = self._shift(index, after)
        if found is None or self._parted_better(index, now, found.rise):
            return False
        self.suspected = _Change(index, found.rise, ChangeKind.SHIFT, index)
        if len(after) < CONFIRMED or not found.ranked:
            return False
        first = max(self._begin, index - NEAR - TEN)
        window = self.logs[first : now + 1]
        ramped = ramp(window, len(window) - RAMP + 1)
        if ramped.cost < split_cost(window, index - first) - BETTER * found.sigma:
            bend = max(first + ramped.begin, self._begin + 1)
            self._confirm(_Change(bend, found.rise, ChangeKind.DRIFT, now - 5, now))
        else:
            self._confirm(_Change(index, found.rise, ChangeKind.SHIFT, index, now))
        return True

    def _shift(self, index: int, after: Vector) -> _Shift | None:
        """The shift of the points from an index on; None where noise explains it."""
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
        """Whether the suspected index divides the last points into two levels better than another index; spikes cost no more than the change."""
        if self.suspected is None:
            return False
        first = max(self._begin, min(self.suspected.index, index) - NEAR)
        window = self.logs[first : now + 1]
        suspected, new = (split_cost(window, at - first, abs(rise)) for at in (self.suspected.index, index))
        return suspected < new

    def _begin_later(self, index: int, after: Vector) -> bool:
        """Skips the first few points of a level, too few for a change, where those after them hold another level; returns whether it did."""
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

    def _search_drift(self, now: int) -> None:
        """Confirms a drift where the last points have slowly left the beginning of the level."""
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
        self._confirm(_Change(first + max(ramped.begin, 1), rise, ChangeKind.DRIFT, now - 5, now))

    def _confirm(self, change: _Change) -> None:
        last = self.changes[-1] if self.changes else None
        since = change.index - self._begin
        drifts = ChangeKind.DRIFT
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
    """The points without those far from both levels; all points where the last one is far, as it may begin another level."""
    off = np.minimum(np.abs(after - _median(after)), np.abs(after - level))
    held = after[off <= far]
    few = off[-1] <= far and len(held) >= max(REMAINING, len(after) - 2)
    return held if few else after


def _holds(before: Vector, after: Vector) -> bool:
    """Whether points lie at 0 before and at 1 after: the last one, most of those after, and few of those before at 1."""
    return bool(after[-1] >= LATEST and np.mean(after > 0.5) >= HOLDING and np.mean(before > 0.75) < VISITED)


def _median(values: Vector) -> float:
    return float(median(values.tolist()))  # for so few values, that of numpy takes ten times as long
