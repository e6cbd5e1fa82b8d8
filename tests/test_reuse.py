"""Reuse distances against a cache that replaces the least recently used, played through step by step."""

import random

import pytest
import torch

from harness.cost.trace import trace
from harness.cost.trace.timeline import LEAST_ROOM, Reuse
from harness.records import MAPPED_BYTES


def test_the_distance_is_what_a_cache_must_hold() -> None:
    """A cache of d bytes with least-recently-used replacement hits exactly the uses whose distance is d or less."""
    draw = random.Random(7)
    sizes = [draw.choice((64, 128, 4096)) for _ in range(40)]
    reuse = Reuse()
    order: list[int] = []
    slots = [reuse.slot(size) for size in sizes]
    for _ in range(3000):
        which = draw.randrange(len(slots))
        distance = reuse.use(slots[which], sizes[which])
        if which in order:
            since = order[order.index(which) :]
            assert distance == sum(sizes[one] for one in since)
            order.remove(which)
        else:
            assert distance is None
        order.append(which)


def test_old_uses_are_forgotten_without_changing_any_distance() -> None:
    reuse = Reuse()
    slots = [reuse.slot(8) for _ in range(3)]
    for round_ in range(LEAST_ROOM):
        for slot in slots:
            assert reuse.use(slot, 8) == (24 if round_ else None)


def test_memory_that_was_let_go_last_is_taken_first() -> None:
    reuse = Reuse()
    first, second = reuse.slot(64), reuse.slot(64)
    reuse.free(first, 64)
    reuse.free(second, 64)

    assert [reuse.slot(64), reuse.slot(64)] == [second, first]
    assert reuse.slot(128) not in {first, second}


def traced(prepare: object) -> dict[str, tuple[tuple[int, int, int], ...]]:
    found = trace(prepare, torch.device("cpu"))  # type: ignore[arg-type]
    return {operator.name: operator.reuse for operator in found.operators if operator.kernel}


def test_an_operator_that_is_repeated_finds_its_operands_where_it_left_them() -> None:
    """Two tensors of 4 KiB read, one of 4 KiB written anew: each was used 12 KiB ago."""

    def prepare(device: torch.device) -> object:
        a, b = torch.randn(1024, device=device), torch.randn(1024, device=device)
        return lambda: a + b

    assert traced(prepare) == {"add": ((14, 8192, 4096),)}


def test_what_passes_in_between_makes_the_distance_longer() -> None:
    """A weight of 4 KiB meets itself again after 1 MiB of others."""

    def prepare(device: torch.device) -> object:
        weight, other = torch.randn(1024, device=device), torch.randn(2**18, device=device)

        def call() -> torch.Tensor:
            weight.mul_(2.0)
            return other.exp_()

        return call

    found = traced(prepare)
    assert found["mul_"] == ((21, 4096, 0),)
    assert found["exp_"] == ((21, 2**20, 0),)


@pytest.mark.parametrize(("elements", "mapped"), [(MAPPED_BYTES // 4, MAPPED_BYTES), (MAPPED_BYTES // 8, 0)])
def test_a_result_so_large_is_mapped_anew(elements: int, mapped: int) -> None:
    def prepare(device: torch.device) -> object:
        a = torch.empty(elements, device=device)
        return a.exp

    found = trace(prepare, torch.device("cpu"))  # type: ignore[arg-type]
    assert [operator.mapped_bytes for operator in found.operators if operator.kernel] == [mapped]


def test_the_host_s_calls_are_counted_and_those_of_tracing_are_not() -> None:
    """The same operators behind ten more calls of Python functions each."""

    def deep(depth: int) -> object:
        def prepare(device: torch.device) -> object:
            a = torch.randn(8, device=device)

            def down(left: int) -> torch.Tensor:
                return down(left - 1) if left else a + 1

            return lambda: [down(depth) for _ in range(100)][-1]

        return prepare

    counts = [
        trace(deep(depth), torch.device("cpu")).trace.phases[0].host_calls  # type: ignore[arg-type]
        for depth in (0, 10)
    ]
    assert counts[1] - counts[0] == 1000
    assert 100 <= counts[0] <= 120
