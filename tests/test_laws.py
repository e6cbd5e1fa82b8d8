"""Fits against made-up machines whose law is known, the hard cases of the literature among them."""

import numpy as np
import pytest

from harness.fit.laws import Observation, fit_sweep
from harness.records import Fit

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)


def product(
    overhead: float, rate: float, *, noise: float = 0.0, seed: int = 0, sizes: tuple[int, ...] = SIZES
) -> Fit:
    scatter = np.random.default_rng(seed).lognormal(0.0, noise, len(sizes))
    observations = [
        Observation(size=n, work=2.0 * n**3, seconds=float((overhead + 2.0 * n**3 / rate) * s))
        for n, s in zip(sizes, scatter, strict=True)
    ]
    fit = fit_sweep("square", "n", 3.0, "FLOP/s", observations)
    assert fit is not None
    return fit


def test_exact_data_give_the_exact_law() -> None:
    fit = product(5e-6, 50e9)

    overhead, rate = fit.parameters
    assert overhead.value == pytest.approx(5e-6, rel=1e-6)
    assert rate.value == pytest.approx(50e9, rel=1e-6)
    assert fit.exponent.value == pytest.approx(3.0, abs=1e-5)
    assert abs(fit.worst.residual) < 1e-6


def test_noise_of_three_percent_leaves_every_size_well_explained() -> None:
    """5 us + 2n^3 / 50 GFLOP/s, 3 % noise: where a general term search errs by 5,000 % at n = 64."""
    fits = [product(5e-6, 50e9, noise=0.03 / 5**0.5, seed=seed) for seed in range(60)]

    truth = {n: 5e-6 + 2.0 * n**3 / 50e9 for n in SIZES}
    worst = [max(abs(point.fitted / truth[point.size] - 1) for point in fit.points) for fit in fits]
    assert np.median(worst) < 0.02
    assert min(point.fitted for fit in fits for point in fit.points) > 0


def test_the_interval_of_the_rate_covers_the_truth_about_as_often_as_it_says() -> None:
    fits = [product(5e-6, 50e9, noise=0.013, seed=seed) for seed in range(200)]

    covered = [rate.low <= 50e9 <= rate.high for fit in fits if (rate := fit.parameters[1]).identified]  # type: ignore[operator]
    assert len(covered) == 200
    assert 0.88 <= np.mean(covered) <= 1.0


def test_a_disturbed_size_does_not_move_the_law() -> None:
    observations = [
        Observation(n, 2.0 * n**3, (5e-6 + 2.0 * n**3 / 50e9) * (4.0 if n == 1024 else 1.0)) for n in SIZES
    ]
    fit = fit_sweep("square", "n", 3.0, "FLOP/s", observations)

    assert fit is not None
    assert fit.worst.size == 1024
    clean = [abs(point.residual) for point in fit.points if point.size != 1024]
    assert max(clean) < 0.10


def test_an_overhead_the_sizes_say_nothing_of_gets_no_number() -> None:
    fit = product(1e-9, 50e9, noise=0.02, sizes=(1024, 1536, 2048, 3072, 4096))

    overhead, rate = fit.parameters
    assert not overhead.identified
    assert rate.identified


def test_each_memory_level_has_its_own_rate() -> None:
    rates = {"L1": 100e9, "L2": 60e9, "DRAM": 20e9}
    observations = [
        Observation(n, 8.0 * n, 1e-6 + 8.0 * n / rates[level], level)
        for level, sizes in {"L1": (1000, 2000), "L2": (10**4, 3 * 10**4), "DRAM": (10**7, 3 * 10**7)}.items()
        for n in sizes
    ]
    fit = fit_sweep("copy", "n", 1.0, "B/s", observations)

    assert fit is not None
    assert [p.name for p in fit.parameters] == ["overhead", "rate L1", "rate L2", "rate DRAM"]
    for parameter in fit.parameters[1:]:
        assert parameter.value == pytest.approx(rates[parameter.name.removeprefix("rate ")], rel=1e-3)


def test_too_few_sizes_give_no_fit() -> None:
    observations = [Observation(n, 2.0 * n**3, 1e-6 * n) for n in (1, 2, 3)]

    assert fit_sweep("square", "n", 3.0, "FLOP/s", observations) is None


def test_a_quadratic_machine_shows_its_exponent() -> None:
    observations = [Observation(n, 2.0 * n**3, 1e-9 * n**2) for n in SIZES]
    fit = fit_sweep("square", "n", 3.0, "FLOP/s", observations)

    assert fit is not None
    assert fit.exponent.value == pytest.approx(2.0, abs=0.05)
