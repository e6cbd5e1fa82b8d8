"""One series on many hosts: a change of one host points at its hardware, the same change of most at the code."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.history.change_points import CONFIRMED, HISTORY
from harness.history.table import seconds
from harness.records.history import ChangePoint, History, Point, PointsAt, Shared
from harness.stats import median

# Changes up to this many builds apart may be one: a change is located to within two points.
APART, APART_POINTS = 2.0, 3
# Changes are one only if their logarithms differ by less than this factor.
ALIKE = 2.0
# Where a build has more points than this, points are located by their times.
POINTS_OF_BUILD = 3
# A change on at most this fraction of at least `MANY` hosts concerns those hosts alone.
FEW, MANY = 0.25, 4


@dataclass(frozen=True)
class _Seen:
    """A change point of a host, with its place on the axis of all hosts. `same_build`: the code did not change there."""

    place: float
    host: str
    change: ChangePoint
    same_build: bool


def blame(histories: Sequence[History]) -> tuple[Shared, ...]:
    """The changes of a series on several hosts, and whether each points at the code or at hardware, in order of their places.

    `histories` has one entry for each host. Changes of one direction and similar size within two builds are one change; without builds,
    within two points in time; without times, by index. A host counts if it has enough points on both sides and one stack. More than half
    of two hosts or more point at the code, at most a quarter of four or more at hardware.
    """
    place = _axis(histories)
    places = [[place(index, point) for index, point in enumerate(history.points)] for history in histories]
    seen = [
        _Seen(where[change.index], _name(history, number), change, _same_build(history, change.index))
        for number, (history, where) in enumerate(zip(histories, places, strict=True))
        for change in history.confirmed
    ]
    found = []
    for together in _gathered(seen):
        centre = median([member.place for member in together])
        hosts = {member.host for member in together}
        able = {
            _name(history, number)
            for number, (history, where) in enumerate(zip(histories, places, strict=True))
            if _able(history, where, centre)
        }
        found.append(_shared(together, hosts, len(able | hosts)))
    return tuple(found)


def _same_build(history: History, index: int) -> bool:
    """Whether the points around an index are of one build, so that no change of the code explains a change there."""
    near = {point.build for point in history.points[max(0, index - APART_POINTS) : index + APART_POINTS]}
    return len(near) == 1 and None not in near


def _name(history: History, number: int) -> str:
    return history.host or f"host {number + 1}"


def _axis(histories: Sequence[History]) -> Callable[[int, Point], float]:
    """The axis of all points: builds in an order that fits every host, else times in median distances, else indices."""
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
    """All builds: those of the longest history in its order, then those of others after the build that they follow."""
    order: list[str] = []
    for history in sorted(histories, key=lambda history: -len(history.points)):
        known, after = set(order), 0
        for point in history.points:
            build = point.build or ""
            if build in known:
                after = order.index(build) + 1
            else:
                order.insert(after, build)
                known.add(build)
                after += 1
    return order


def _gathered(seen: Sequence[_Seen]) -> list[list[_Seen]]:
    """Groups of similar changes near the median place of their group, one a host."""
    groups: list[list[_Seen]] = []
    for found in sorted(seen, key=lambda each: (each.place, each.host)):
        for group in reversed(groups):
            if (
                _alike(group, found)
                and found.place - median([each.place for each in group]) <= APART
                and found.host not in {each.host for each in group}
            ):
                group.append(found)
                break
        else:
            groups.append([found])
    return groups


def _alike(group: Sequence[_Seen], seen: _Seen) -> bool:
    """Whether a change has the direction of a group, and about its size."""
    middle, size = median([math.log(each.change.ratio) for each in group]), math.log(seen.change.ratio)
    return middle * size > 0.0 and 1.0 / ALIKE <= size / middle <= ALIKE


def _able(history: History, places: Sequence[float], centre: float) -> bool:
    """Whether a host could show a change there: it has enough near points of one stack on both sides."""
    before = [place for place in places if centre - 10 * HISTORY <= place < centre]
    after = [place for place in places if centre <= place <= centre + 10 * CONFIRMED]
    if len(before) < HISTORY or len(after) < CONFIRMED:
        return False
    first, last = before[-HISTORY], after[CONFIRMED - 1]
    return not any(first < places[boundary.index] <= last for boundary in history.boundaries)


def _shared(together: Sequence[_Seen], hosts: set[str], of: int) -> Shared:
    count = len(hosts)
    if of < 2:
        points_at, reason = PointsAt.UNCLEAR, "no other host has points around it"
    elif 2 * count > of and count > 1 and all(member.same_build for member in together):
        points_at, reason = (
            PointsAt.UNCLEAR,
            f"{count} of {of} hosts changed alike, and the code did not change",
        )
    elif 2 * count > of and count > 1:
        points_at, reason = PointsAt.CODE, f"{count} of {of} hosts changed alike at one place"
    elif of >= MANY and count <= FEW * of:
        points_at, reason = PointsAt.HARDWARE, f"{count} of {of} hosts changed, the others did not"
    else:
        points_at, reason = PointsAt.UNCLEAR, f"{count} of {of} hosts changed: neither most nor few"
    builds = Counter(member.change.build for member in together if member.change.build is not None)
    times = sorted(
        (seconds(member.change.time) or 0.0, member.change.time)
        for member in together
        if member.change.time is not None
    )
    return Shared(
        ratio=math.exp(median([math.log(member.change.ratio) for member in together])),
        hosts=tuple(sorted(hosts)),
        of=of,
        points_at=points_at,
        reason=reason,
        build=builds.most_common(1)[0][0] if builds else None,
        time=times[len(times) // 2][1] if times else None,
    )
