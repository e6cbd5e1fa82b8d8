"""The views of an accelerator on a simulated one: each reads what its name says."""

from collections.abc import Callable

import pytest

from harness.errors import Unsupported
from harness.measure.views import CaptureError, MeasuredView, is_cold, rotation, views_of
from tests.simulated import Simulated

MIB = 2**20


def made(
    device: Simulated, seconds: float = 5e-6, set_bytes: int | None = 10 * MIB
) -> dict[str, MeasuredView]:
    made.prepared = 0  # type: ignore[attr-defined]

    def prepare() -> Callable[[], object]:
        made.prepared += 1  # type: ignore[attr-defined]
        return lambda: device.submit(seconds)

    views, missing = views_of(device, prepare, prepare(), set_bytes)  # type: ignore[arg-type]
    assert not missing or set_bytes is None
    for view in views:
        view.warm_up(0.01)
    return {view.name: view for view in views}


def accelerator(**known: float) -> Simulated:
    device = Simulated(asynchronous=True, **known)
    device.cache = 50 * MIB
    return device


def test_a_call_that_depends_on_the_one_before_has_neither_further_sets_nor_a_graph() -> None:
    device = Simulated(asynchronous=True)

    def prepare() -> Callable[[], object]:
        pytest.fail("no further set is made")

    views, missing = views_of(device, prepare, lambda: device.submit(1e-5), 10 * MIB, stateful=True)  # type: ignore[arg-type,return-value]

    assert [view.name for view in views] == ["gpu_hot", "wall"]
    assert missing == dict.fromkeys(("gpu_cold", "gpu_graph"), "a call depends on the one before")


def test_a_cpu_has_one_view() -> None:
    assert list(made(Simulated())) == ["cpu"]


def test_an_accelerator_has_four_and_each_reads_what_it_says() -> None:
    """A kernel of 5 us that takes the host 20 us to launch."""
    device = accelerator(launch_cost=20e-6)
    views = made(device)

    read = {name: view.block(view.calls_per_sample(1e-4), 8) for name, view in views.items()}

    assert list(read) == ["gpu_hot", "gpu_cold", "gpu_graph", "wall"]
    for name in ("gpu_hot", "gpu_cold", "gpu_graph"):
        assert read[name].seconds == pytest.approx((5e-6,) * 8, rel=0.02), name
        assert read[name].host_bound == (False,) * 8
    # What a user waits: the host is the slower one.
    assert read["wall"].seconds == pytest.approx((20e-6,) * 8, rel=0.05)
    assert read["wall"].host_bound is None


def test_cold_arguments_rotate_over_twice_the_cache() -> None:
    views = made(accelerator())

    assert views["gpu_cold"].rotations == made.prepared == 11  # type: ignore[attr-defined]
    assert views["gpu_cold"].cold is True
    assert views["gpu_graph"].inside % 11 == 0
    assert views["gpu_graph"].cold is True


def test_each_turn_takes_the_next_arguments() -> None:
    device = accelerator()
    called: list[int] = []

    def prepare(index: list[int] = [0]) -> Callable[[], object]:  # noqa: B006 - counts
        index[0] += 1
        mine = index[0]

        def call() -> None:
            called.append(mine)
            device.submit(1e-5)

        return call

    views, _ = views_of(device, prepare, prepare(), 50 * MIB)  # type: ignore[arg-type]
    called.clear()
    cold = next(view for view in views if view.name == "gpu_cold")
    cold.warm_up(0.0)
    cold.block(7, 1)

    assert cold.rotations == 3
    assert called == [(i % 3) + 1 for i in range(8)]


def test_a_rotation_that_memory_cuts_short_is_warm_and_says_so() -> None:
    device = accelerator()
    device.memory = 100 * MIB
    views = made(device, set_bytes=10 * MIB)

    assert views["gpu_cold"].rotations == 3
    assert views["gpu_cold"].cold is False


def test_views_that_cannot_be_had_cost_no_other_and_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    device = accelerator()

    def refuse(_: object) -> None:
        raise Unsupported("no graphs here")

    monkeypatch.setattr(device, "captured", refuse)
    views, missing = views_of(device, lambda: lambda: device.submit(1e-5), lambda: device.submit(1e-5), None)  # type: ignore[arg-type,return-value]

    assert [view.name for view in views] == ["gpu_hot", "wall"]
    assert missing == {
        "gpu_cold": "the size of the tensors or of the cache is not known",
        "gpu_graph": "no graphs here",
    }


def test_a_capture_that_breaks_leaves_a_process_that_is_good_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = accelerator()

    def broken(_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    def call() -> None:
        device.submit(1e-5)

    monkeypatch.setattr(device, "captured", broken)

    with pytest.raises(CaptureError, match="RuntimeError: operation not permitted"):
        views_of(device, lambda: call, call, 10 * MIB)  # type: ignore[arg-type,return-value]
    views, _ = views_of(device, lambda: call, call, 10 * MIB, capture=False)  # type: ignore[arg-type,return-value]
    assert [view.name for view in views] == ["gpu_hot", "gpu_cold", "wall"]


def test_without_room_for_a_second_set_there_is_no_cold_view() -> None:
    device = accelerator()
    device.memory = 10 * MIB
    _, missing = views_of(device, lambda: lambda: device.submit(1e-5), lambda: device.submit(1e-5), 10 * MIB)  # type: ignore[arg-type,return-value]

    assert missing["gpu_cold"] == "no room for a second set of tensors"


@pytest.mark.parametrize(
    ("set_bytes", "free", "sets"),
    [
        (10 * MIB, 2**40, 11),
        (200 * MIB, 2**40, 2),
        (16 * 2**10, 2**40, 4096),
        (10 * MIB, 160 * MIB, 5),
        (10 * MIB, 30 * MIB, 1),
    ],
)
def test_sets_by_size_and_memory(set_bytes: int, free: int, sets: int) -> None:
    assert rotation(set_bytes, 50 * MIB, free) == sets
    assert is_cold(sets, set_bytes, 50 * MIB) == ((sets - 1) * set_bytes >= 100 * MIB)
