"""Every published case beside what a plan says of it: the same, inside bounds, or explained; and the page that shows them."""

import math

import pytest

from tests.plan_rows import ENTRIES, PAGE, ROWS, Kind, Within, holds, number, rendered, same


def value(identity: str) -> float:
    ours = ENTRIES[identity].ours
    assert ours is not None
    return ours()


def of(kind: Kind) -> list[str]:
    return [identity for identity, entry in ENTRIES.items() if entry.kind is kind]


def test_every_row_has_an_entry_and_none_is_left_over() -> None:
    assert sorted(ENTRIES) == sorted(ROWS)


@pytest.mark.parametrize("identity", of(Kind.REPRODUCED))
def test_reproduced(identity: str) -> None:
    assert same(ROWS[identity], value(identity), ENTRIES[identity].within)


@pytest.mark.parametrize("identity", of(Kind.BOUNDED))
def test_bounded(identity: str) -> None:
    """A bound that nothing could be outside of would be none."""
    span = ENTRIES[identity].span
    assert span is not None
    low, high = span()
    assert low > 0 or high < math.inf
    assert holds(ROWS[identity], (low, high))


@pytest.mark.parametrize("identity", of(Kind.CONVENTION))
def test_a_convention_explains_all_of_the_difference(identity: str) -> None:
    """Ours is not what is printed; by the convention of the publication it is."""
    entry, row = ENTRIES[identity], ROWS[identity]
    assert entry.by_convention is not None
    assert entry.how
    assert not same(row, value(identity), entry.within)
    assert same(row, entry.by_convention(), entry.within)


@pytest.mark.parametrize("identity", of(Kind.NOT_A_PLANS))
def test_what_no_plan_says_has_a_reason(identity: str) -> None:
    entry = ENTRIES[identity]
    assert entry.how
    assert entry.ours is None or same(ROWS[identity], entry.ours(), entry.within)


def test_the_page_is_what_the_plan_says_now() -> None:
    """`python -m tests.plan_rows` writes it."""
    page = PAGE.read_text()
    assert rendered(page) == page
    assert page.count("\n| R") == len(ROWS)


def test_slack() -> None:
    row = {"value": "1.9"}
    assert same(row, 1.875, Within())
    assert not same(row, 1.96, Within())
    assert same(row, 1.9, Within(points=0.0))
    assert Within(digits=3).slack("3640.0") == 5.0
    assert Within(fraction=0.005).slack("200") == 1.0


def test_numbers_are_for_people() -> None:
    shown = [
        number(6738415616, 10),
        number(1.8151987e20),
        number(37.143),
        number(82432.4),
        number(3.0),
        number(0.0),
    ]
    assert shown == ["6,738,415,616", "1.815e20", "37.14", "82,430", "3", "0"]
