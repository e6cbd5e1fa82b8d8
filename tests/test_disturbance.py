"""The scheduler's counters, from a small made-up /proc and from this process."""

from itertools import pairwise
from pathlib import Path

import pytest

from harness.measure.disturbance import Counters, ProcessCounters, disturbance_between
from harness.records import Disturbance, Samples


def thread(tasks: Path, name: str, delay_nanoseconds: int) -> None:
    (tasks / name).mkdir(parents=True, exist_ok=True)
    (tasks / name / "schedstat").write_text(f"123456 {delay_nanoseconds} 7\n")


def test_the_delay_of_a_sample_is_that_of_the_thread_that_waited_longest(tmp_path: Path) -> None:
    thread(tmp_path, "1", 1_000)
    thread(tmp_path, "2", 2_000)
    thread(tmp_path, "3", 9_000_000)
    counters = ProcessCounters(tmp_path)
    before = counters.read()

    thread(tmp_path, "1", 4_000)
    thread(tmp_path, "2", 7_000)
    thread(tmp_path, "4", 8_000_000)  # began meanwhile: what it waited before is unknown
    (tmp_path / "3" / "schedstat").unlink()
    (tmp_path / "3").rmdir()
    after = counters.read()

    assert disturbance_between([(before, after)]).run_delay_seconds == pytest.approx((5e-6,))
    counters.close()


def test_a_system_that_does_not_tell_gives_none(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()

    assert ProcessCounters(tmp_path).read().run_delay_seconds is None


def test_differences_are_columns_in_the_order_of_the_samples() -> None:
    readings = [Counters(t, int(t), int(10 * t), {"1": t / 4, "2": t / 8}) for t in (0.0, 1.0, 3.0)]
    pairs = list(pairwise(readings))

    assert disturbance_between(pairs) == Disturbance((1.0, 2.0), (1, 2), (10, 20), (0.25, 0.5))


def test_one_unknown_delay_makes_the_column_unknown() -> None:
    pairs = [(Counters(0, 0, 0, {"1": 0.0}), Counters(1, 0, 0, None))]

    assert disturbance_between(pairs).run_delay_seconds is None


def test_a_sample_is_clean_up_to_half_a_percent_and_two_microseconds_of_waiting() -> None:
    seconds = (1e-3, 1e-3, 1e-3)
    waited = Disturbance((0, 0, 0), (0, 0, 0), (0, 0, 0), (0.0, 11.9e-6, 12.1e-6))

    # Two calls a sample: 2 ms, so 10 us and 2 us are allowed.
    assert Samples(2, seconds, (3,), waited).clean == (True, True, False)
    assert Samples(2, seconds, (3,)).clean == (True, True, True)


def test_without_delays_a_sample_is_clean_if_nobody_took_its_core() -> None:
    switched = Disturbance((0, 0, 0), (0, 2, 0), (0, 0, 0), None)

    assert Samples(1, (1e-3, 1e-3, 1e-3), (3,), switched).clean == (True, False, True)


def test_this_process_has_counters() -> None:
    counters = ProcessCounters()
    before = counters.read()
    sum(range(100_000))
    after = counters.read()

    assert after.cpu_seconds > before.cpu_seconds
    assert (after.run_delay_seconds or {}).keys() >= (before.run_delay_seconds or {}).keys()
    counters.close()
