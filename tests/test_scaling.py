"""Verdicts on how time, memory and steps scale, on made-up runs: a claim that is true holds, one that is false fails."""

from typing import Any

import msgspec
import pytest

from harness import units
from harness.check.judge import judge
from harness.records import (
    Answer,
    Case,
    Cost,
    Footprint,
    PhaseWork,
    Prediction,
    Result,
    Run,
    Series,
    Trace,
    Verdict,
)
from tests import made_up

SIZES = (64, 128, 256, 512, 1024, 2048)


def verdicts(run: Run, claim: str) -> list[Verdict]:
    return [verdict for verdict in judge(run).header.verdicts if verdict.claim == claim]


def only(run: Run, claim: str) -> Verdict:
    (one,) = verdicts(run, claim)
    return one


def timed(seconds: dict[int, float], spread: float = 0.002) -> Run:
    """Products that take as long as they are verdict."""
    results = [
        msgspec.structs.replace(
            made_up.measured_product(n), outcome=made_up.measurement(time, memory=12 * n * n, spread=spread)
        )
        for n, time in seconds.items()
    ]
    return made_up.run(tuple(results))


@pytest.mark.parametrize("exponent", [3.0, 2.0, 2.4, 3.6])
def test_time_that_scales_as_predicted_holds_and_another_power_fails(exponent: float) -> None:
    verdict = only(timed({n: 1e-9 * n**exponent for n in SIZES}), "scaling")

    assert verdict.answer is (Answer.HOLDS if exponent == 3.0 else Answer.FAILS)
    assert f"n^{exponent:g}" in verdict.reason
    assert "n^3" in verdict.reason
    assert units.percent(0.15) in verdict.reason


def test_a_floor_is_no_other_exponent() -> None:
    """A free exponent is not 3; that of the model with a floor is."""
    times = {n: max(60e-6, 2 * n**3 / 50e9) for n in (64, 96, 128, 192, 256, 384, 512, 768, 1024)}

    assert only(timed(times), "scaling").answer is Answer.HOLDS


def test_noise_alone_never_fails() -> None:
    """Another power, but by times that are flagged: measure again."""
    run = timed({n: 1e-9 * n**2 for n in SIZES}, spread=0.5)
    verdict = only(run, "scaling")

    assert verdict.answer is Answer.INCONCLUSIVE
    assert "disturbed sizes (64, 128" in verdict.reason


def test_four_sizes_are_too_few_to_fail() -> None:
    assert only(timed({n: 1e-9 * n**2 for n in SIZES[:4]}), "scaling").answer is Answer.INCONCLUSIVE


def test_work_that_does_not_grow_as_declared_fails_whatever_the_times() -> None:
    results = []
    for result in made_up.run().results:
        case = msgspec.structs.replace(result.case, series=Series("wrong", "n", result.case.sizes["n"], 2.0))
        results.append(msgspec.structs.replace(result, case=case))
    verdict = only(made_up.run(tuple(results)), "scaling")

    assert verdict.answer is Answer.FAILS
    assert "n^3" in verdict.reason


def threaded(times: list[float]) -> Run:
    """A product on 1 to 8 threads."""
    cost = Cost(bytes_read=10**6, bytes_written=0, memory_bytes=10**6, flops=10**9)
    results = tuple(
        Result(
            Case(
                f"product-threads{n}",
                "threads",
                "product",
                "float32",
                {},
                cost,
                series=Series("product", "threads", n, -1.0),
            ),
            msgspec.structs.replace(made_up.measurement(time), threads=n, usable_cores=8),
        )
        for n, time in zip((1, 2, 3, 4, 6, 8), times, strict=True)
    )
    return made_up.run(results)


@pytest.mark.parametrize(
    ("times", "answer", "model"),
    [
        # Half of the work on one thread: Amdahl.
        ([10.0 * (0.5 + 0.5 / n) for n in (1, 2, 3, 4, 6, 8)], Answer.HOLDS, "T1*(1 + sigma*(N-1))/N"),
        ([10.0 / n for n in (1, 2, 3, 4, 6, 8)], Answer.HOLDS, "T1/N"),
        # Twenty times as fast on eight threads: more threads ran than recorded.
        ([10.0 / n**1.44 for n in (1, 2, 3, 4, 6, 8)], Answer.FAILS, "T1/N"),
    ],
)
def test_threads_make_it_faster_by_no_more_than_their_number(
    times: list[float], answer: Answer, model: str
) -> None:
    verdict = only(threaded(times), "scaling")

    assert verdict.answer is answer
    assert model in verdict.reason
    assert f"8 threads are {times[0] / times[-1]:.2f} times as fast as 1" in verdict.reason


def operator(n: int, predicted: int, measured: int | None, round_spread: int) -> Result:
    cost = Cost(bytes_read=round_spread, bytes_written=0, memory_bytes=predicted)
    case = Case(f"op-n{n}", "ops", "op", "float32", {"n": n}, cost, round_spread, Series("op", "n", n, 1.0))
    return Result(case, made_up.measurement(1e-6 * n, memory=measured))


def memory(predicted: Any, measured: Any, round_spread: Any) -> Verdict:
    results = tuple(operator(n, predicted(n), measured(n), round_spread(n)) for n in SIZES)
    return only(made_up.run(results), "memory growth")


def test_memory_to_the_byte_holds_with_its_model() -> None:
    verdict = memory(lambda n: 100 + 8 * n, lambda n: 100 + 8 * n, lambda n: 12 * n)

    assert verdict.answer is Answer.HOLDS
    assert "predicted 100 + 8 n bytes; measured the same" in verdict.reason


def test_memory_with_scratch_of_its_own_holds_with_its_model() -> None:
    verdict = memory(lambda n: 8 * n, lambda n: 64 + 12 * n, lambda n: 8 * n)

    assert verdict.answer is Answer.HOLDS
    assert "measured 64 + 12 n" in verdict.reason


def test_memory_that_is_predicted_to_grow_otherwise_than_the_bytes_moved_fails() -> None:
    """Scores that are kept grow as n^2: a flash backend that moves n bytes may not keep them."""
    verdict = memory(lambda n: 8 * n * n, lambda n: 8 * n * n, lambda n: 8 * n)

    assert verdict.answer is Answer.FAILS


def test_memory_that_grows_a_power_faster_than_predicted_fails() -> None:
    verdict = memory(lambda n: 8 * n, lambda n: 8 * n + n**2 + n % 7, lambda n: 8 * n)

    assert verdict.answer is Answer.FAILS
    assert "another order" in verdict.reason


def test_memory_of_steps_of_scratch_is_off_by_a_little() -> None:
    verdict = memory(lambda n: 1000 * n, lambda n: 1000 * n + 3 * n + n % 64, lambda n: 8 * n)

    assert verdict.answer is Answer.HOLDS


def phase(name: str, flops: int, *, bytes_read: int = 10**6, kernels: int = 10) -> PhaseWork:
    return PhaseWork(name, flops, 0, 0, 0, bytes_read, 0, kernels, 0)


def step(
    *,
    flops: int,
    parameters: int = 10**6,
    tokens: int = 1000,
    masked: int = 0,
    seconds: float = 2.0,
    **sizes: int,
) -> Result:
    """A step of which a third is the forward pass; its backward pass took `seconds` times as long."""
    work = (
        phase("forward", flops // 3),
        phase("backward", flops - flops // 3, bytes_read=2 * 10**6, kernels=20),
    )
    trace = Trace(parameters, work, (), Footprint(), Footprint(), "backward")
    cost = Cost(10**6, 0, 0, flops=flops, masked_flops=masked)
    case = Case(
        f"train-tokens{tokens}",
        "train_step",
        "train",
        "float32",
        sizes,
        cost,
        items={"tokens": tokens},
        trace=trace,
    )
    measured = msgspec.structs.replace(
        made_up.measurement(3.0), phase_seconds={"forward": 1.0, "backward": seconds}
    )
    return Result(case, measured, Prediction())


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        # 6 N D = 6 x 10^6 x 1000, exactly.
        ({"flops": 6 * 10**9}, Answer.HOLDS),
        # Attention of 2 layers, width 100, length 50 by hand: 12 x 2 x 100 x 50 x 1000.
        ({"flops": 6 * 10**9 + 120 * 10**6, "depth": 2, "width": 100, "sequence": 50}, Answer.HOLDS),
        # A table of 2000 x 100 that is looked up: a fifth of the parameters multiply no token.
        ({"flops": 48 * 10**8, "vocabulary": 2000, "width": 100}, Answer.HOLDS),
        # The same without a table to explain it: experts.
        ({"flops": 48 * 10**8}, Answer.INCONCLUSIVE),
        # A multiply-add counted as four.
        ({"flops": 12 * 10**9}, Answer.FAILS),
    ],
)
def test_six_n_d_by_hand(changes: dict[str, int], answer: Answer) -> None:
    verdict = only(made_up.run((step(**changes),)), "6ND")

    assert verdict.answer is answer
    assert f"{changes['flops'] / 6e9:.3f} of 6 x 1.00 M parameters x 1000 tokens" in verdict.reason


def test_causal_attention_is_counted_by_what_it_masks() -> None:
    """Of 50 positions 25.5 are attended to on average: masked 24.5, so attention is 25.5 / 24.5 of the masked FLOPs."""
    attended = 102 * 10**6
    run = made_up.run((step(flops=6 * 10**9 + attended, masked=98 * 10**6, sequence=50),))

    assert (
        f"attention adds {units.percent(0.017)}, parameters that multiply no token take {units.percent(0.0)}"
        in only(run, "6ND").reason
    )


@pytest.mark.parametrize(
    ("seconds", "answer"),
    [
        (2.0, Answer.HOLDS),
        (1.7, Answer.HOLDS),
        (3.0, Answer.INCONCLUSIVE),
        (5.0, Answer.FAILS),
        (0.5, Answer.FAILS),
    ],
)
def test_the_backward_pass_takes_twice_the_forward_one(seconds: float, answer: Answer) -> None:
    """FLOPs, bytes and kernels are all twice as many: within a fifth of that it holds."""
    verdict = only(made_up.run((step(flops=6 * 10**9, seconds=seconds),)), "backward to forward")

    assert verdict.answer is answer
    assert units.percent(0.2) in verdict.reason


def test_half_performance_is_where_overhead_meets_work() -> None:
    """100 us and 50 GFLOP/s: 2 n^3 = 5 MFLOP at n = 136."""
    sizes = (48, 64, 96, 128, 192, 256, 512, 1024)
    verdict = only(timed({n: 100e-6 + 2 * n**3 / 50e9 for n in sizes}), "crossover")

    assert verdict.answer is Answer.HOLDS
    assert "n = 136 [" in verdict.reason


def intensity(name: str, flops: int, round_spread: int, seconds: float) -> Result:
    cost = Cost(bytes_read=round_spread, bytes_written=0, memory_bytes=round_spread, flops=flops)
    case = Case(name, "ops", "op", "float32", {}, cost, round_spread)
    return Result(
        case,
        made_up.measurement(seconds),
        Prediction(flops / 190e9, round_spread / 100e9, 190e9, 100e9, "L2"),
    )


@pytest.mark.parametrize(
    ("below", "above", "answer"),
    [
        (1.2, 1.1, Answer.HOLDS),
        (5.0, 1.1, Answer.INCONCLUSIVE),
        # Three times as fast as memory can be: what was counted is wrong.
        (1 / 3, 1.1, Answer.FAILS),
    ],
)
def test_both_sides_of_the_ridge(below: float, above: float, answer: Answer) -> None:
    """At 190 GFLOP/s and 100 GB/s memory meets compute at 1.9 FLOP/B."""
    memory_bound = intensity("low", 10**6, 10**6, below * 1e6 / 100e9)
    compute_bound = intensity("high", 10**8, 10**6, above * 1e8 / 190e9)
    verdict = only(made_up.run((memory_bound, compute_bound)), "crossover")

    assert verdict.answer is answer
    assert verdict.subject == "ridge of float32"
    assert "ridge at 1.9 FLOP/B" in verdict.reason


def test_one_side_of_the_ridge_gives_no_verdict() -> None:
    assert [verdict for verdict in verdicts(made_up.run(), "crossover") if "ridge" in verdict.subject] == []


def test_threads_that_only_slow_down_are_inconclusive_and_a_late_fall_is_no_failure() -> None:
    slower = only(threaded([(1.0 + 2.0 * (n - 1)) / n for n in (1, 2, 3, 4, 6, 8)]), "scaling")
    falling = only(threaded([(1.0 + 0.05 * (n - 1) * n) / n for n in (1, 2, 3, 4, 6, 8)]), "scaling")

    assert slower.answer is Answer.INCONCLUSIVE
    assert "more threads are slower" in slower.reason
    assert falling.answer is Answer.HOLDS
    assert "4 threads are" in falling.reason


def test_no_model_near_the_sizes_is_inconclusive() -> None:
    """However much better one power is than the other: neither describes what was measured."""
    times = {n: 1e-9 * n * (0.2 if at % 2 else 5.0) for at, n in enumerate((*SIZES, 4096, 8192))}
    verdict = only(timed(times), "scaling")

    assert f"no model is within {units.percent(0.25)}" in verdict.reason
    assert verdict.answer is Answer.INCONCLUSIVE


def test_a_floor_reaches_half_of_the_rate_at_half_its_work() -> None:
    """60 us and 50 GFLOP/s: 2 n^3 = 1.5 MFLOP at n = 91."""
    sizes = (48, 64, 80, 96, 128, 192, 256, 384, 512, 1024)
    verdict = only(timed({n: max(60e-6, 2 * n**3 / 50e9) for n in sizes}), "crossover")

    assert verdict.answer is Answer.HOLDS
    assert "n = 90" in verdict.reason


def test_nothing_predicted_or_timed_is_no_division_by_zero() -> None:
    assert memory(lambda _: 0, lambda n: 8 * n, lambda _: 8).answer is Answer.INCONCLUSIVE

    late = step(flops=6 * 10**9)
    assert late.measurement
    still = msgspec.structs.replace(late.measurement, phase_seconds={"forward": 0.0, "backward": 1.0})
    verdict = only(made_up.run((msgspec.structs.replace(late, outcome=still),)), "backward to forward")
    assert verdict.answer is Answer.INCONCLUSIVE
