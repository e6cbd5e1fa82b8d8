"""One series on many hosts: a change of one host points at its hardware, the same change of most at the code."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.history.change_points import CONFIRMED, HISTORY
from harness.history.table import seconds
from harness.records.history import History, Point, PointsAt, Shared, Step
from harness.stats import median

# Steps so many builds apart may be one: a step is placed to within two points.
APART, APART_POINTS = 2.0, 3
# Steps are one change only if they differ by less than this factor, as logarithms.
ALIKE = 2.0
# Where a build has more points than this, they are placed by their times.
POINTS_OF_BUILD = 3
# A change on at most this fraction of at least so many hosts is theirs alone.
FEW, MANY = 0.25, 4


@dataclass(frozen=True)
class _Seen:
    """A step of a host; `place` is where it stands on the axis that all hosts share. `same_build`: its code was the same before it."""

    place: float
    host: str
    step: Step
    same_build: bool


def blame(histories: Sequence[History]) -> tuple[Shared, ...]:
    """What each confirmed change points at, in order of their places.

    `histories` are of one series, one for each host. Changes in one direction and about as far at one build, give or take two, are one change; without
    builds, at one time, give or take two points; with neither, at one index. A host counts where it has enough points on both sides to show it, and the same
    stack throughout. More than half of at least two hosts point at code; at most a quarter of at least four, at hardware.
    """
    place = _axis(histories)
    places = [[place(index, point) for index, point in enumerate(history.points)] for history in histories]
    seen = [
        _Seen(where[step.index], _name(one, number), step, _same_build(one, step.index))
        for number, (one, where) in enumerate(zip(histories, places, strict=True))
        for step in one.confirmed
    ]
    found = []
    for together in _gathered(seen):
        centre = median([one.place for one in together])
        hosts = {one.host for one in together}
        able = {
            _name(one, number)
            for number, (one, where) in enumerate(zip(histories, places, strict=True))
            if _able(one, where, centre)
        }
        found.append(_shared(together, hosts, len(able | hosts)))
    return tuple(found)


def _same_build(history: History, index: int) -> bool:
    """Whether the points around an index are all of one build: then no change of the code explains what happened there."""
    near = {point.build for point in history.points[max(0, index - APART_POINTS) : index + APART_POINTS]}
    return len(near) == 1 and None not in near


def _name(history: History, number: int) -> str:
    return history.host or f"host {number + 1}"


def _axis(histories: Sequence[History]) -> Callable[[int, Point], float]:
    """What all points can be placed by: their builds in an order that every host agrees with, their times in median distances, or their index."""
    points = [point for history in histories for point in history.points]
    builds = {point.build for point in points}
    if None not in builds and len(points) <= POINTS_OF_BUILD * len(histories) * len(builds):
        order = {build: float(rank) for rank, build in enumerate(_builds(histories))}
        return lambda _, point: order[point.build or ""]
    times = [[seconds(point.time) for point in history.points] for history in histories]
    known = [sorted(time for time in row if time is not None) for row in times]
    if sum(map(len, known)) == len(points):
        gaps = [(row[-1] - row[0]) / (len(row) - 1) for row in known if len(row) > 1 and row[-1] > row[0]]
        gap = median(gaps) if gaps else 1.0
        return lambda _, point: (seconds(point.time) or 0.0) / gap
    return lambda index, _: float(index)


def _builds(histories: Sequence[History]) -> list[str]:
    """All builds: those of the longest history in its order, and those of others after the one that they follow there."""
    order: list[str] = []
    for one in sorted(histories, key=lambda history: -len(history.points)):
        known, after = set(order), 0
        for point in one.points:
            build = point.build or ""
            if build in known:
                after = order.index(build) + 1
            else:
                order.insert(after, build)
                known.add(build)
                after += 1
    return order


def _gathered(seen: Sequence[_Seen]) -> list[list[_Seen]]:
    """Steps of one kind that are near to the middle of those before them, one a host."""
    groups: list[list[_Seen]] = []
    for one in sorted(seen, key=lambda each: (each.place, each.host)):
        for group in reversed(groups):
            if (
                _alike(group, one)
                and one.place - median([each.place for each in group]) <= APART
                and one.host not in {each.host for each in group}
            ):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _alike(group: Sequence[_Seen], seen: _Seen) -> bool:
    """Whether a step goes in the direction of some others, and about as far."""
    middle, mine = median([math.log(each.step.ratio) for each in group]), math.log(seen.step.ratio)
    return middle * mine > 0.0 and 1.0 / ALIKE <= mine / middle <= ALIKE


def _able(history: History, places: Sequence[float], centre: float) -> bool:
    """Whether a host would have shown a change there: enough points on both sides of it, near it, and of one stack."""
    before = [place for place in places if centre - 10 * HISTORY <= place < centre]
    after = [place for place in places if centre <= place <= centre + 10 * CONFIRMED]
    if len(before) < HISTORY or len(after) < CONFIRMED:
        return False
    first, last = before[-HISTORY], after[CONFIRMED - 1]
    return not any(first < places[boundary.index] <= last for boundary in history.boundaries)


def _shared(together: Sequence[_Seen], hosts: set[str], of: int) -> Shared:
    count = len(hosts)
    if of < 2:
        points_at, why = PointsAt.UNCLEAR, "no other host has points around it"
    elif 2 * count > of and count > 1 and all(one.same_build for one in together):
        points_at, why = PointsAt.UNCLEAR, f"{count} of {of} hosts changed alike, and the code did not change"
    elif 2 * count > of and count > 1:
        points_at, why = PointsAt.CODE, f"{count} of {of} hosts changed alike at one place"
    elif of >= MANY and count <= FEW * of:
        points_at, why = PointsAt.HARDWARE, f"{count} of {of} hosts changed, the others did not"
    else:
        points_at, why = PointsAt.UNCLEAR, f"{count} of {of} hosts changed: neither most nor few"
    builds = Counter(one.step.build for one in together if one.step.build is not None)
    times = sorted(
        (seconds(one.step.time) or 0.0, one.step.time) for one in together if one.step.time is not None
    )
    return Shared(
        ratio=math.exp(median([math.log(one.step.ratio) for one in together])),
        hosts=tuple(sorted(hosts)),
        of=of,
        points_at=points_at,
        reason=why,
        build=builds.most_common(1)[0][0] if builds else None,
        time=times[len(times) // 2][1] if times else None,
    )
