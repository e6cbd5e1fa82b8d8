"""The timer on a simulated device: known durations must be read exactly."""

import gc
import itertools

import pytest

from harness.measure.timer import REWARM_SECONDS, CallTime, QuickTiming, Timer
from harness.records import Samples
from tests.simulated import Simulated

LOOK = QuickTiming(warmup_seconds=0.1, seconds=0.5, least_samples=5, min_sample_seconds=50e-6)


def looked(device: Simulated, seconds: float) -> Samples:
    return Timer(device).quick_samples(lambda: device.submit(seconds), LOOK)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("seconds", [5e-6, 1e-3, 0.25])
def test_known_work_is_read_exactly(asynchronous: bool, seconds: float) -> None:
    device = Simulated(asynchronous=asynchronous)

    samples = looked(device, seconds)

    overhead = device.mark_cost / samples.calls_per_sample
    assert samples.seconds == pytest.approx((seconds,) * len(samples.seconds), abs=overhead + 1e-12)


def test_asynchronous_work_is_not_taken_for_its_launch() -> None:
    assert looked(Simulated(asynchronous=True, launch_cost=1e-6), 0.25).seconds[0] == pytest.approx(
        0.25, rel=1e-3
    )


def test_a_batch_of_samples_is_synchronised_once() -> None:
    device = Simulated(asynchronous=True)
    timer = Timer(device)
    before = device.synchronised

    samples = timer.block(lambda: device.submit(1e-3), calls=1, samples=40)

    assert device.synchronised - before == -(-40 // device.batch)
    assert samples.blocks == (40,)


def test_the_queue_is_held_so_that_no_gap_of_the_host_is_measured() -> None:
    """Launches of 10 us, kernels of 2 us: without a hold the device waits for the host at each."""
    device = Simulated(asynchronous=True, launch_cost=10e-6)
    timer = Timer(device)
    call = lambda: device.submit(2e-6)  # noqa: E731

    pace = timer.warm_up(call, 0.01)
    held = timer.block(call, 10, 20, pace.launch_seconds)
    free = timer.block(call, 10, 20, 0.0)

    assert pace.launch_seconds == pytest.approx(10e-6, rel=0.01)
    assert held.seconds == pytest.approx((2e-6,) * 20, rel=0.01)
    assert held.host_bound == (False,) * 20
    assert min(free.seconds) > 9e-6
    assert free.host_bound is not None
    assert sum(free.host_bound) > 15  # and it is marked


def test_what_takes_too_long_to_launch_is_not_held_and_told_of() -> None:
    device = Simulated(asynchronous=True, launch_cost=10e-3)

    samples = Timer(device).block(lambda: device.submit(1e-3), 1, 4, launch_seconds=10e-3)

    assert device.held == 1  # to learn what a mark costs
    assert samples.host_bound == (True,) * 4


def test_a_hold_covers_a_batch_within_its_limit() -> None:
    """400 us to launch a sample: eight of them are held for 5 ms, not sixteen."""
    device = Simulated(asynchronous=True, launch_cost=400e-6)

    samples = Timer(device).block(lambda: device.submit(1e-4), 1, 16, launch_seconds=400e-6)

    assert device.held == 1 + 2
    assert samples.host_bound == (False,) * 16


def test_a_sample_is_a_thousand_times_the_cost_of_a_mark() -> None:
    timer = Timer(Simulated(mark_cost=1e-5))

    assert timer.timer_cost_seconds == pytest.approx(1e-5)
    assert timer.calls_per_sample(CallTime(1e-4, 0.0, 0.0), 50e-6) == 100
    assert timer.calls_per_sample(CallTime(1e-4, 0.0, 0.0), 50e-6, most_seconds=1e-3) == 10


def test_marks_that_are_slow_to_make_shorten_no_hold() -> None:
    """Marks of 5 us and launches of 6 us on the host, kernels of 3 us: samples are as long as can be held."""
    device = Simulated(asynchronous=True, mark_cost=5e-6, launch_cost=6e-6)
    timer = Timer(device)
    call = lambda: device.submit(3e-6)  # noqa: E731
    pace = timer.warm_up(call, 0.01)

    samples = timer.block(call, timer.calls_per_sample(pace, 2e-4), 8, pace.launch_seconds)

    assert samples.seconds == pytest.approx((3e-6,) * 8, rel=0.02)
    assert samples.host_bound == (False,) * 8
    assert 30 <= samples.calls_per_sample <= 256


def test_a_glance_keeps_to_its_time_and_its_least_number_of_samples() -> None:
    assert len(looked(Simulated(), 3.0).seconds) == LOOK.least_samples
    assert len(looked(Simulated(), 1e-3).seconds) == LOOK.most_samples
    assert 95 <= len(looked(Simulated(), 5e-3).seconds) <= 105


def test_before_a_block_everything_is_woken_up() -> None:
    fast, slow = Simulated(), Simulated()

    Timer(fast).rewarm(lambda: fast.submit(1e-4))
    Timer(slow).rewarm(lambda: slow.submit(1.0))

    assert fast.submitted == pytest.approx(REWARM_SECONDS / 1e-4, abs=1)
    assert slow.submitted == 1


def test_disturbance_is_told_of_each_sample() -> None:
    device = Simulated()
    turns = itertools.count()

    def contended() -> None:
        device.submit(1e-3)
        if next(turns) % 2:
            device.host += 5e-3
            device.run_delay += 5e-3

    samples = Timer(device).block(contended, 1, 20)

    assert sum(samples.clean) == 10
    assert samples.trusted_seconds == pytest.approx((1e-3,) * 10, rel=1e-3)
    assert max(samples.seconds) == pytest.approx(6e-3, rel=1e-3)  # kept, not dropped


def test_warm_up_ends_early_when_steady_and_lasts_while_it_is_not() -> None:
    steady, slow, heated = Simulated(), Simulated(), Simulated()
    settling = itertools.chain((2.0 / (n + 1) for n in range(200)), itertools.repeat(0.01))

    quick: CallTime = Timer(steady).warm_up(lambda: steady.submit(1e-3), 1.0)
    Timer(slow).warm_up(lambda: slow.submit(next(settling) * 1e-2), 1.0)
    long = Timer(heated).warm_up(lambda: heated.submit(1e-3), 1.0, least_seconds=3.0)

    assert quick.seconds == pytest.approx(1e-3)
    assert quick.warmup_seconds < 0.6
    assert slow.host >= 0.25
    assert long.warmup_seconds >= 3.0


def test_the_garbage_collector_is_off_while_sampling_and_back_after() -> None:
    device = Simulated()
    seen = []

    def call() -> None:
        seen.append(gc.isenabled())
        device.submit(1e-3)

    Timer(device).block(call, 1, 5)

    assert not any(seen)
    assert gc.isenabled()


def test_the_garbage_collector_comes_back_after_a_call_that_raises() -> None:
    def call() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Timer(Simulated()).block(call, 1, 1)

    assert gc.isenabled()
