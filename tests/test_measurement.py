"""What a measurement says of itself: statistics against hand counts, flags from facts that raise them."""

import random

import msgspec
import pytest

from harness import stats
from harness.records import Disturbance, Flag, Measurement, Samples, Sensors
from tests import made_up

QUIET = made_up.measurement(1e-3)


def with_sensors(threads: int = 2, view: str = "cpu", **values: object) -> Measurement:
    known = {"cpus": 4, "other_cpus": 0.0, **values}
    return msgspec.structs.replace(
        QUIET,
        threads=threads,
        usable_cores=4,
        view=msgspec.structs.replace(QUIET.view, name=view),
        sensors=Sensors(**known),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("measurement", "flag"),
    [
        (with_sensors(other_cpus=1.9), None),  # two threads, four CPUs: there was room
        (with_sensors(other_cpus=2.3), Flag.CONTENDED),
        (with_sensors(other_cpus=2.3, view="gpu_hot"), None),  # a GPU does not need the cores
        (with_sensors(other_cpus=None, load_average=5.5), Flag.CONTENDED),
        (with_sensors(other_cpus=None, load_average=4.5), None),
        (with_sensors(steal_fraction=0.05), Flag.CONTENDED),
        (with_sensors(threads=5, cpus=8), Flag.OVERSUBSCRIBED),
        (with_sensors(quota_throttled_seconds=0.1), Flag.THROTTLED),
        (with_sensors(throttle_reasons=("gpu_idle", "applications_clocks_setting")), None),
        (with_sensors(throttle_reasons=("hw_thermal_slowdown",)), Flag.THROTTLED),
    ],
)
def test_sensors_raise_their_flags(measurement: Measurement, flag: Flag | None) -> None:
    assert [f for f in measurement.flags if f is not Flag.OVERSUBSCRIBED or flag is f] == (
        [flag] if flag else []
    )


def test_less_than_a_core_is_contended_where_the_system_does_not_tell_who_waited() -> None:
    def starved(cpu_fraction: float, delay: float | None) -> Measurement:
        process = msgspec.structs.replace(
            QUIET.view.processes[0], cpu_fraction=cpu_fraction, run_delay_seconds=delay
        )
        return msgspec.structs.replace(
            QUIET, view=msgspec.structs.replace(QUIET.view, processes=(process, process))
        )

    assert starved(0.7, None).flags == (Flag.CONTENDED,)
    assert starved(1.9, None).flags == ()
    assert starved(0.7, 0.0).flags == ()  # it slept by itself: nobody kept it waiting


def test_the_statistics_of_a_process_are_those_of_its_clean_samples() -> None:
    """Ten samples of 1 to 10 ms; the last waited 2 ms for a core."""
    samples = Samples(
        calls_per_sample=1,
        seconds=tuple(i * 1e-3 for i in range(1, 11)),
        blocks=(6, 4),
        disturbance=Disturbance((1e-3,) * 10, (0,) * 9 + (3,), (1,) * 10, (0.0,) * 9 + (2e-3,)),
    )
    found = samples.statistics()

    assert (found.samples, found.clean, found.trusted) == (10, 9, 9)
    assert (found.median, found.fastest, found.slowest) == pytest.approx((5e-3, 1e-3, 10e-3))
    assert (found.p25, found.p75, found.mad) == pytest.approx((3e-3, 7e-3, 2e-3))
    assert found.block_medians == pytest.approx((3.5e-3, 8e-3))
    assert (found.involuntary_switches, found.page_faults) == (3, 10)
    assert found.cpu_fraction == pytest.approx(10 * 1e-3 / 55e-3)
    assert found.lag1_autocorrelation == pytest.approx(
        stats.lag1_autocorrelation([float(i) for i in range(1, 10)])
    )


def test_a_process_without_three_clean_samples_counts_all_of_them() -> None:
    waited = Disturbance((0.0,) * 4, (0,) * 4, (0,) * 4, (0.0, 0.0, 1.0, 1.0))
    found = Samples(1, (1e-3, 1e-3, 5e-3, 5e-3), (4,), waited).statistics()

    assert (found.clean, found.trusted) == (2, 4)
    assert found.median == pytest.approx(3e-3)


def test_one_process_states_no_interval() -> None:
    assert stats.repeat_interval([[1.0, 1.1, 0.9]]) is None


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_the_interval_holds_independent_repeats_as_often_as_it_says(processes: int) -> None:
    """Processes that differ by 1 %, blocks by 3 %, over 400 pairs of repeats of known truth."""
    chance = random.Random(processes)

    def repeat() -> list[list[float]]:
        paces = [chance.lognormvariate(0, 0.01) for _ in range(processes)]
        return [[pace * chance.lognormvariate(0, 0.03) for _ in range(6)] for pace in paces]

    def centre(blocks: list[list[float]]) -> float:
        return stats.median([stats.median(process) for process in blocks])

    held = 0
    for _ in range(400):
        one, other = repeat(), repeat()
        interval = stats.repeat_interval(one)
        assert interval is not None
        held += interval[0] <= centre(other) <= interval[1]

    assert 0.93 <= held / 400 <= 1.0


def test_a_known_drift_between_runs_widens_the_interval() -> None:
    blocks = [[1.0, 1.01, 0.99], [1.0, 1.02, 0.98]]
    alone, wide = stats.repeat_interval(blocks), stats.repeat_interval(blocks, drift=0.10)

    assert alone is not None
    assert wide is not None
    assert wide[1] / wide[0] > 1.4
    assert alone[1] / alone[0] < 1.2
