"""Decisions on readings of pairs: against scipy, and against readings whose truth is known."""

import math
import random

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from harness import stats
from harness.compare.decision import ALPHA, decide, discoveries, effect, shift, signed_rank
from harness.measure.pairs import reading
from harness.records import Case
from harness.records.comparison import Decision, GroupComparison
from harness.records.trial import Burst, CaseTrial, Pair

THRESHOLD = 0.02


def decision(log_ratios: list[float], threshold: float = THRESHOLD, alpha: float = 0.05) -> Decision:
    return decide({"case": effect(log_ratios, alpha)}, {"case": threshold})["case"]


def normal(count: int, centre: float, sigma: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.gauss(centre, sigma) for _ in range(count)]


@pytest.mark.parametrize("count", [6, 9, 10, 14, 20, 33])
def test_the_p_of_signed_ranks_is_scipys(count: int) -> None:
    for seed in range(20):
        values = normal(count, 0.01, 0.02, seed)
        expected = scipy.stats.wilcoxon(values, method="exact").pvalue
        assert signed_rank(values) == pytest.approx(expected, rel=1e-12)


def test_ties_and_zeros_stay_near_the_exact_test() -> None:
    values = [0.01, 0.01, -0.01, 0.02, 0.02, 0.02, 0.0, 0.03]
    kept = [value for value in values if value]
    ranks = scipy.stats.rankdata([abs(value) for value in kept])
    # Every way to put signs before these very ranks.
    signs = np.array(np.meshgrid(*[[0, 1]] * len(kept))).T.reshape(-1, len(kept))
    sums = signs @ ranks
    positive = sum(rank for rank, value in zip(ranks, kept, strict=True) if value > 0)
    exact = float(np.mean(np.abs(sums - ranks.sum() / 2) >= abs(positive - ranks.sum() / 2)))
    assert signed_rank(values) == pytest.approx(exact, rel=0.5)
    assert signed_rank([0.0, 0.0, 0.0]) == 1.0


def test_false_discoveries_are_controlled_as_scipy_does_it() -> None:
    chance = random.Random(1)
    for _ in range(50):
        p_values = {str(k): chance.random() ** 3 for k in range(30)}
        adjusted = scipy.stats.false_discovery_control(list(p_values.values()))
        expected = {name for name, p in zip(p_values, adjusted, strict=True) if p <= 0.05}
        assert discoveries(p_values) == expected


@pytest.mark.parametrize("count", [6, 10, 20])
@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_an_interval_has_its_nominal_coverage(count: int, alpha: float) -> None:
    chance = random.Random(count)
    held = 0
    for _ in range(1000):
        # Two-sided heavy tails: Student's t of three degrees of freedom.
        values = [
            0.03 + 0.02 * chance.gauss(0, 1) / math.sqrt(chance.gammavariate(1.5, 2) / 3)
            for _ in range(count)
        ]
        found = effect(values, alpha)
        held += found.low <= math.exp(0.03) <= found.high
    assert held / 1000 >= 1 - alpha - 0.015


@pytest.mark.parametrize("wild", [0.9, -0.9])
def test_one_reading_far_out_hides_no_loss(wild: float) -> None:
    values = normal(13, 0.05, 0.005, 3)
    assert decision([*values[:-1], wild]) is Decision.REGRESSED
    assert effect([*values[:-1], wild], 0.025).high < 1.07


@pytest.mark.parametrize(
    ("centre", "sigma", "expected"),
    [
        (0.05, 0.004, Decision.REGRESSED),
        (-0.05, 0.004, Decision.IMPROVED),
        (0.0, 0.004, Decision.EQUIVALENT),
        (0.01, 0.002, Decision.EQUIVALENT),  # beyond doubt, and too small to matter
        (0.02, 0.004, Decision.INCONCLUSIVE),
        (0.0, 0.1, Decision.INCONCLUSIVE),
    ],
)
def test_each_decision_has_its_readings(centre: float, sigma: float, expected: Decision) -> None:
    assert decision(normal(10, centre, sigma, 5)) is expected


def test_the_threshold_decides_what_matters() -> None:
    values = normal(10, 0.05, 0.004, 5)
    assert decision(values, threshold=0.10) is Decision.EQUIVALENT


def test_few_readings_use_students_t_and_decide_nothing() -> None:
    found = effect([0.05, 0.051, 0.049, 0.05], 0.05)
    low, high = scipy.stats.t.interval(0.95, 3, 0.05, stats.deviation([0.05, 0.051, 0.049, 0.05]) / 2)
    assert found.low == pytest.approx(math.exp(low))
    assert found.high == pytest.approx(math.exp(high))
    assert decision([0.05, 0.051, 0.049, 0.05]) is Decision.INCONCLUSIVE  # 2 of 16 ways of the signs
    assert effect([0.1]).high == math.inf
    assert decision([0.1]) is Decision.INCONCLUSIVE


def test_readings_without_any_spread_decide() -> None:
    assert decision([0.05] * 10) is Decision.REGRESSED
    assert decision([0.0] * 10) is Decision.EQUIVALENT
    assert effect([0.05] * 10).detectable == 0.0


def test_the_detectable_change_is_detected_four_times_of_five() -> None:
    chance, found = random.Random(2), 0
    sigma, median = (
        0.02,
        stats.median([effect(normal(10, 0, 0.02, seed), 0.05).detectable for seed in range(200)]),
    )
    for _ in range(1000):
        values = [chance.gauss(math.log1p(median), sigma) for _ in range(10)]
        found += effect(values, 0.05).low > 1.0
    assert found / 1000 == pytest.approx(0.8, abs=0.05)


def test_among_many_cases_chance_decides_nothing() -> None:
    chance = random.Random(4)
    alone = together = 0
    for _ in range(40):
        found = {str(k): effect([chance.gauss(0, 0.05) for _ in range(10)], 0.05) for k in range(50)}
        alone += sum(
            decide({name: one}, {name: 0.0})[name] is Decision.REGRESSED for name, one in found.items()
        )
        together += sum(
            one is Decision.REGRESSED for one in decide(found, dict.fromkeys(found, 0.0)).values()
        )
    assert alone / 2000 == pytest.approx(0.025, abs=0.01)
    assert together <= 4


def test_a_small_loss_everywhere_is_seen_in_all_cases_together() -> None:
    chance = random.Random(6)
    cases = [[chance.gauss(0.01, 0.01) for _ in range(10)] for _ in range(20)]
    found = {str(k): effect(values) for k, values in enumerate(cases)}
    assert Decision.REGRESSED not in decide(found, dict.fromkeys(found, THRESHOLD)).values()
    overall = shift([dict(enumerate(case)) for case in cases])
    assert overall is not None
    assert GroupComparison("all", overall.ratio, overall.low, overall.high, len(cases)).shifted
    assert overall.ratio == pytest.approx(1.01, abs=0.004)
    assert shift([dict(enumerate(cases[0]))]) is None


# Bursts of one process: so many samples, of which the fastest counts.
ROUNDS, SAMPLES = 10, 40


def samples(chance: np.random.Generator, pace: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The samples of one process, a row for each burst: they resemble each other (AR 0.5) and spread by 20 %."""
    noise = chance.normal(0.0, 1.0, 2 * ROUNDS * SAMPLES)
    noise = scipy.signal.lfilter([math.sqrt(0.75)], [1.0, -0.5], noise)
    return pace * np.exp(0.2 * noise).reshape(2 * ROUNDS, SAMPLES)


def bursts(chance: np.random.Generator, pace: float) -> tuple[Burst, ...]:
    """What is read of them."""
    return tuple(reading([float(one) for one in burst]) for burst in samples(chance, pace))


def process(chance: np.random.Generator) -> float:
    """What one process is slower by, for good."""
    return math.exp(chance.normal(0.0, 0.05))


CASE = Case(id="a", suite="s", family="f", dtype="", sizes={})


def hierarchical(chance: np.random.Generator, slower: float) -> list[float]:
    """Ten pairs of processes that differ by 5 % for good, the second doing more work."""
    pairs = [
        Pair(number, bursts(chance, process(chance)), bursts(chance, slower * process(chance)))
        for number in range(10)
    ]
    return list(CaseTrial(CASE, tuple(pairs)).log_ratios)


def test_the_reading_is_the_one_that_repeats_best() -> None:
    chance = np.random.default_rng(3)
    spread = tuple(Pair(k, bursts(chance, 1.0), bursts(chance, 1.0)) for k in range(6))
    assert CaseTrial(CASE, spread).reading == "median"

    def disturbed() -> tuple[Burst, ...]:
        """Most samples wait for a core, some do not."""
        rows = (
            1.0
            + 0.001 * chance.random((20, 40))
            + chance.exponential(0.5, (20, 40)) * (chance.random((20, 40)) < 0.8)
        )
        return tuple(reading([float(one) for one in row]) for row in rows)

    assert CaseTrial(CASE, tuple(Pair(k, disturbed(), disturbed()) for k in range(6))).reading == "fastest"


def test_noise_of_processes_and_of_samples_raises_no_alarm_and_hides_no_loss() -> None:
    chance = np.random.default_rng(11)
    alarms = [decision(hierarchical(chance, 1.0), alpha=ALPHA) is Decision.REGRESSED for _ in range(150)]
    found = [decision(hierarchical(chance, 1.10), alpha=ALPHA) is Decision.REGRESSED for _ in range(150)]
    assert sum(alarms) / 150 <= 0.02
    assert sum(found) / 150 >= 0.80


def test_pooled_samples_of_the_same_code_differ_significantly_most_of_the_time() -> None:
    """The counter-example: what others do with such readings."""
    chance, alarms = np.random.default_rng(12), 0
    for _ in range(60):
        sides = [
            np.concatenate([samples(chance, process(chance)).ravel() for _ in range(10)]) for _ in range(2)
        ]
        alarms += scipy.stats.mannwhitneyu(sides[0], sides[1]).pvalue < 0.05
    assert alarms / 60 >= 0.5
