"""The stopwatch on a simulated device: known durations must be read exactly."""

import gc
import itertools
import random

import msgspec
import pytest

from harness.measure.stopwatch import Stopwatch
from harness.records import Flag, Measurement, Sampling, StopReason
from tests.simulated import Simulated

SAMPLING = Sampling(
    warmup_seconds=0.1,
    min_samples=5,
    max_samples=256,
    min_seconds=0.0,
    max_seconds=1.0,
    min_sample_seconds=50e-6,
    target_half_width=0.01,
)


def measured(device: Simulated, seconds: float, sampling: Sampling = SAMPLING) -> Measurement:
    return Stopwatch(device).measure(lambda: device.submit(seconds), sampling)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("seconds", [5e-6, 1e-3, 0.25])
def test_known_work_is_read_exactly(asynchronous: bool, seconds: float) -> None:
    device = Simulated(asynchronous=asynchronous)

    measurement = measured(device, seconds)

    overhead = device.mark_cost / measurement.calls_per_sample
    assert measurement.typical == pytest.approx(seconds, abs=overhead + 1e-12)


def test_asynchronous_work_is_not_taken_for_its_launch() -> None:
    device = Simulated(asynchronous=True, launch_cost=1e-6)

    assert measured(device, 0.25).typical == pytest.approx(0.25, rel=1e-3)


def test_a_block_of_samples_is_synchronised_once() -> None:
    device = Simulated(asynchronous=True)
    stopwatch = Stopwatch(device)
    stopwatch.warm_up(lambda: device.submit(1e-3), 0.0)
    before = device.synchronised

    sampling = msgspec.structs.replace(SAMPLING, warmup_seconds=0.0)
    measurement = stopwatch.measure(lambda: device.submit(1e-3), sampling)

    # One in the warm-up, then one for each block.
    blocks = -(-len(measurement.seconds) // device.block)
    assert device.synchronised - before == 1 + blocks


def test_a_sample_is_a_thousand_times_the_cost_of_a_mark() -> None:
    device = Simulated(mark_cost=1e-5)

    measurement = measured(device, 1e-4)

    assert measurement.timer_cost_seconds == pytest.approx(1e-5)
    assert measurement.calls_per_sample * measurement.typical == pytest.approx(1000 * 1e-5, rel=0.02)


def test_steady_work_converges_at_the_first_look() -> None:
    measurement = measured(Simulated(), 1e-3)

    assert measurement.stop_reason is StopReason.CONVERGED
    assert len(measurement.seconds) == 8
    assert measurement.flags == ()


def test_work_of_microseconds_is_looked_at_for_a_while() -> None:
    """One lucky millisecond must not judge a case."""
    sampling = msgspec.structs.replace(SAMPLING, min_seconds=0.05)

    measurement = measured(Simulated(), 1e-4, sampling)

    assert measurement.stop_reason is StopReason.CONVERGED
    assert sum(measurement.seconds) * measurement.calls_per_sample >= 0.025
    assert len(measurement.seconds) > 8


def test_a_block_of_slow_samples_keeps_to_the_time_cap() -> None:
    device = Simulated(asynchronous=True)

    measurement = measured(device, 0.5)

    assert len(measurement.seconds) <= SAMPLING.min_samples + 2


def test_noisy_work_uses_all_its_samples_and_says_so() -> None:
    device = Simulated()
    noise = random.Random(7)

    measurement = Stopwatch(device).measure(
        lambda: device.submit(1e-4 * noise.lognormvariate(0, 1)), SAMPLING
    )

    assert measurement.stop_reason is StopReason.SAMPLE_CAP
    assert len(measurement.seconds) == SAMPLING.max_samples
    assert Flag.NOISY in measurement.flags


def test_long_work_stops_at_the_time_cap_with_the_least_number_of_samples() -> None:
    measurement = measured(Simulated(), 3.0)

    assert measurement.stop_reason is StopReason.TIME_CAP
    assert measurement.calls_per_sample == 1
    assert len(measurement.seconds) == SAMPLING.min_samples


def test_a_drifting_machine_is_flagged() -> None:
    device = Simulated()
    durations = (1e-3 * (1 + 0.02 * n) for n in itertools.count())

    measurement = Stopwatch(device).measure(lambda: device.submit(next(durations)), SAMPLING)

    assert Flag.DRIFTING in measurement.flags


def test_samples_that_waited_for_a_core_do_not_set_the_typical_time() -> None:
    device = Simulated()
    turns = itertools.count()

    def contended() -> None:
        device.submit(1e-3)
        if next(turns) % 2:
            device.host += 5e-3
            device.run_delay += 5e-3

    measurement = Stopwatch(device).measure(contended, SAMPLING)

    assert measurement.typical == pytest.approx(1e-3, rel=1e-3)
    assert Flag.CONTENDED in measurement.flags
    assert measurement.clean_share == pytest.approx(0.5, abs=0.1)
    assert max(measurement.seconds) == pytest.approx(6e-3, rel=1e-3)  # kept, not dropped


def test_warm_up_ends_early_when_steady_and_lasts_while_it_is_not() -> None:
    steady, slow = Simulated(), Simulated()
    settling = itertools.chain((2.0 / (n + 1) for n in range(200)), itertools.repeat(0.01))

    Stopwatch(steady).warm_up(lambda: steady.submit(1e-3), 1.0)
    Stopwatch(slow).warm_up(lambda: slow.submit(next(settling) * 1e-2), 1.0)

    assert steady.host < 0.6
    assert slow.host >= 0.25


def test_the_garbage_collector_is_off_while_sampling_and_back_after() -> None:
    device = Simulated()
    seen = []

    def call() -> None:
        seen.append(gc.isenabled())
        device.submit(1e-3)

    Stopwatch(device).measure(call, SAMPLING)

    assert not any(seen)
    assert gc.isenabled()


def test_the_garbage_collector_comes_back_after_a_call_that_raises() -> None:
    def call() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Stopwatch(Simulated()).measure(call, SAMPLING)

    assert gc.isenabled()
