"""Fleets of twenty hosts, made by hand: is it the code or the machine?"""

import msgspec
import numpy as np
import pytest

from harness.history.fleet import blame
from harness.history.table import analysed
from harness.records.history import History, Point, PointsAt

HOSTS, COUNT = 20, 60


def host(
    number: int,
    steps: dict[int, float] | None = None,
    *,
    begin: int = 0,
    end: int = COUNT,
    named: str = "build",
) -> History:
    """A host whose level changes by a ratio at a build; `named` selects what locates its points."""
    random = np.random.default_rng(number)
    level = np.exp(random.normal(0.0, 0.01, COUNT)) * (1.0 + number)
    for at, ratio in (steps or {}).items():
        level[at:] *= ratio
    points = [
        Point(
            value=float(level[index]),
            build=f"b{index}" if named == "build" else None,
            time=str(1000.0 * index + 7.0 * number) if named != "index" else None,
        )
        for index in range(begin, end)
    ]
    return analysed("matmul", "s", points, host=f"host{number:02}")


@pytest.mark.parametrize("named", ["build", "time", "index"])
def test_the_same_change_of_every_host_points_at_code(named: str) -> None:
    (found,) = blame([host(number, {30: 1.2}, named=named) for number in range(HOSTS)])

    assert (found.points_at, len(found.hosts), found.of) == (PointsAt.CODE, 20, 20)
    assert found.ratio == pytest.approx(1.2, rel=0.01)
    assert found.build == ("b30" if named == "build" else None)
    assert found.reason == "20 of 20 hosts changed alike at one place"


def test_a_change_of_one_host_points_at_hardware() -> None:
    (found,) = blame([host(number, {30: 1.5} if number == 7 else {}) for number in range(HOSTS)])

    assert (found.points_at, found.hosts, found.of) == (PointsAt.HARDWARE, ("host07",), 20)
    assert found.reason == "1 of 20 hosts changed, the others did not"


def test_both_at_once_are_told_apart() -> None:
    fleet = [host(number, {20: 0.8, 45: 1.3} if number == 3 else {20: 0.8}) for number in range(HOSTS)]
    code, hardware = blame(fleet)

    assert (code.points_at, code.build, len(code.hosts)) == (PointsAt.CODE, "b20", 20)
    assert (hardware.points_at, hardware.build, hardware.hosts) == (PointsAt.HARDWARE, "b45", ("host03",))


def test_opposite_changes_at_one_build_are_two_changes() -> None:
    found = blame([host(number, {30: 0.8 if number < 2 else 1.25}) for number in range(HOSTS)])

    assert {(one.points_at, len(one.hosts)) for one in found} == {(PointsAt.HARDWARE, 2), (PointsAt.CODE, 18)}


def test_hosts_without_points_around_a_change_do_not_count() -> None:
    seen = [host(number, {30: 1.2}) for number in range(5)]
    before = [host(number, end=28) for number in range(5, 12)]
    after = [host(number, begin=30) for number in range(12, 20)]
    (found,) = blame([*seen, *before, *after])

    assert (found.points_at, len(found.hosts), found.of) == (PointsAt.CODE, 5, 5)


def test_a_host_whose_stack_changed_there_cannot_tell() -> None:
    changed = host(0, {30: 1.3})
    points = [msgspec.structs.replace(p, stack="a" if i < 32 else "b") for i, p in enumerate(host(1).points)]
    (found,) = blame([changed, analysed("matmul", "s", points, host="host01")])

    assert (found.points_at, found.of) == (PointsAt.UNCLEAR, 1)
    assert found.reason == "no other host has points around it"


@pytest.mark.parametrize(
    ("many", "points_at"), [(5, "hardware"), (8, "unclear"), (10, "unclear"), (11, "code")]
)
def test_few_some_and_most(many: int, points_at: str) -> None:
    (found,) = blame([host(number, {30: 1.2} if number < many else {}) for number in range(HOSTS)])

    assert found.points_at.value == points_at


def test_builds_that_some_hosts_skipped_are_one_axis() -> None:
    """Hosts that measured every second build, the even or the odd ones, show one change at one place."""
    fleet = [host(number, {30: 1.3}) for number in range(4)]
    thinned = [
        msgspec.structs.replace(one, points=one.points[number % 2 :: 2]) for number, one in enumerate(fleet)
    ]
    (found,) = blame(
        [*fleet, *(analysed(o.name, o.unit, o.points, host=f"thin{n}") for n, o in enumerate(thinned))]
    )

    assert (found.points_at, len(found.hosts), found.of) == (PointsAt.CODE, 8, 8)


def test_nothing_is_blamed_on_a_quiet_fleet_or_on_none() -> None:
    assert blame([]) == ()
    assert blame([host(number) for number in range(HOSTS)]) == ()


@pytest.mark.parametrize("builds", [1, 2])
def test_a_change_that_no_commit_came_with_is_not_the_codes(builds: int) -> None:
    """All machines of a room got slower, days after the last commit."""

    def renamed(history: History) -> History:
        names = [f"b{(index + 10) * builds // (COUNT + 20)}" for index in range(len(history.points))]
        points = tuple(
            msgspec.structs.replace(point, build=name)
            for point, name in zip(history.points, names, strict=True)
        )
        return msgspec.structs.replace(history, points=points)

    (found,) = blame([renamed(host(number, {40: 1.2})) for number in range(4)])
    assert found.points_at is PointsAt.UNCLEAR
    assert found.reason == "4 of 4 hosts changed alike, and the code did not change"


def test_changes_of_very_different_size_are_not_one() -> None:
    found = blame([host(number, {30: ratio}) for number, ratio in enumerate((1.1, 3.0, 1.1, 1.1, 1.1))])
    changes = {(one.points_at, len(one.hosts)) for one in found}
    assert changes == {(PointsAt.CODE, 4), (PointsAt.HARDWARE, 1)}
