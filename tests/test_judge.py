"""Verdicts on made-up runs: a claim that is true holds, one that is false fails."""

from collections import Counter

import msgspec
import pytest

from harness.check.judge import exit_status, judge
from harness.cost import roofline
from harness.records import Answer, Cost, Peaks, Result, Run, Series, envelope
from harness.report.sources import judged
from tests import made_up


def answers(run: Run, claim: str) -> Counter[Answer]:
    return Counter(v.answer for v in judge(run).header.verdicts if v.claim == claim)


def test_a_sound_run_holds() -> None:
    run = judge(made_up.run())

    assert {v.answer for v in run.header.verdicts} == {Answer.HOLDS}
    assert exit_status(run) == 0


def test_a_case_that_beats_its_peak_fails_with_its_numbers() -> None:
    """A wrong FLOP count or a missing synchronisation: twice as fast as any code can be."""
    run = made_up.run((*made_up.run().results, made_up.measured_product(3072, rate=400e9)))

    judgement = judge(run)

    failed = [v for v in judgement.header.verdicts if v.answer is Answer.FAILS and v.claim == "physics"]
    assert [v.subject for v in failed] == ["matmul-float32-m3072-n3072-k3072"]
    assert "2.1" in failed[0].reason
    assert "190 GFLOP/s" in failed[0].reason
    assert exit_status(judgement) == 1


def test_a_peak_is_beaten_by_noise_without_failing() -> None:
    run = made_up.run((made_up.measured_product(1024, rate=196e9, overhead=0.0),))

    assert answers(run, "physics") == {Answer.HOLDS: 1}


def test_without_a_peak_physics_is_inconclusive() -> None:
    run = made_up.run()
    bare = msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, peaks=()))

    assert answers(bare, "physics") == {Answer.INCONCLUSIVE: len(run.results)}


def rounds(*rates: float) -> tuple[Peaks, ...]:
    """Rounds whose best float32 peak level differs."""
    top = made_up.PEAKS.compute[1]
    return tuple(
        msgspec.structs.replace(made_up.PEAKS, compute=(msgspec.structs.replace(top, flops_per_second=rate),))
        for rate in rates
    )


def physics_of(result: Result, peaks: tuple[Peaks, ...]) -> Answer:
    run = made_up.run((result,))
    run = msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, peaks=peaks))
    return next(v.answer for v in judge(run).header.verdicts if v.claim == "physics")


def test_a_peak_that_moved_explains_a_little_and_excuses_nothing() -> None:
    """A slow round does not lower the roof below the best round."""

    def case(rate: float) -> Result:
        return made_up.measured_product(1024, rate=rate, overhead=0.0)

    steady, round_spread, collapsed = rounds(190e9, 189e9), rounds(190e9, 150e9), rounds(190e9, 30e9)
    assert physics_of(case(195e9), steady) is Answer.HOLDS
    assert physics_of(case(215e9), steady) is Answer.FAILS
    assert physics_of(case(215e9), round_spread) is Answer.INCONCLUSIVE
    assert physics_of(case(400e9), collapsed) is Answer.FAILS


def test_memory_informs_and_fails_only_beyond_what_neighbours_explain() -> None:
    """At 20 GB/s of DRAM and 1 GiB: what is 1.5 times as fast is a neighbour gone, 3 times is wrong."""
    cost = Cost(bytes_read=2**29, bytes_written=2**29, memory_bytes=2**30)
    case = msgspec.structs.replace(made_up.product(64), cost=cost, working_set_bytes=2**30, series=None)

    def answer(rate: float) -> Answer:
        return physics_of(Result(case, made_up.measurement(2**30 / rate)), (made_up.PEAKS,))

    assert [answer(r) for r in (22e9, 30e9, 60e9)] == [Answer.HOLDS, Answer.INCONCLUSIVE, Answer.FAILS]


def test_another_round_of_peaks_raises_the_roof() -> None:
    slow = msgspec.structs.replace(
        made_up.PEAKS,
        bandwidth=(msgspec.structs.replace(made_up.PEAKS.bandwidth[1], bytes_per_second=1e10),),
    )
    merged = envelope([slow, made_up.PEAKS])

    assert merged.bandwidth[0].bytes_per_second == 20e9
    assert merged.bandwidth[0].round_spread == pytest.approx(0.5)


def test_a_wrongly_declared_exponent_fails() -> None:
    """Time and work grow as n^3, the suite declares n: the exponent is that of size, not of work."""

    def declared(n: int) -> Result:
        case = msgspec.structs.replace(made_up.product(n), series=Series("matmul-wrong", "n", n, 1.0))
        return msgspec.structs.replace(made_up.measured_product(n), case=case)

    assert answers(made_up.run(tuple(map(declared, made_up.SIZES))), "scaling") == {Answer.FAILS: 1}


def test_scaling_holds_fails_or_stays_open() -> None:
    def machine(exponent: float, sizes: tuple[int, ...]) -> Run:
        results = []
        for n in sizes:
            outcome = made_up.measurement(1e-9 * n**exponent)
            results.append(msgspec.structs.replace(made_up.measured_product(n), outcome=outcome))
        return made_up.run(tuple(results))

    sizes = (64, 128, 256, 512, 1024, 2048)
    assert answers(machine(3.0, sizes), "scaling") == {Answer.HOLDS: 1}
    assert answers(machine(2.0, sizes), "scaling") == {Answer.FAILS: 1}
    assert answers(machine(3.0, sizes[:3]), "scaling") == {}


def test_a_crooked_sweep_is_inconclusive() -> None:
    bends = (1.0, 1.9, 0.6, 1.7, 0.7, 1.5)
    results = tuple(
        msgspec.structs.replace(
            made_up.measured_product(n), outcome=made_up.measurement(bend * 2 * n**3 / 150e9)
        )
        for n, bend in zip(made_up.SIZES, bends, strict=True)
    )

    assert answers(made_up.run(results), "scaling") == {Answer.INCONCLUSIVE: 1}


def test_exit_status_tells_a_failed_case_from_a_failed_claim() -> None:
    sound = made_up.run().results
    nothing = made_up.run((made_up.SKIPPED,))

    assert exit_status(judge(made_up.run((*sound, made_up.FAILED)))) == 3
    assert exit_status(judge(nothing)) == 3
    assert exit_status(judge(made_up.run((*sound, made_up.SKIPPED)))) == 0


def test_judging_an_incomplete_run_judges_what_is_there() -> None:
    run = made_up.run(finished=False)

    assert len(judged(run).header.verdicts) == 2 * len(run.results) + 2
    assert judged(judge(run)) == judge(run)


@pytest.mark.parametrize(
    ("n", "bound", "seconds", "level"),
    [
        # 1024: 2 * 1024^3 / 190e9 = 11.3 ms against 12 MiB at 20 GB/s = 0.63 ms: compute.
        (1024, "compute", 2 * 1024**3 / 190e9, "DRAM"),
        # 16: 8192 / 190e9 = 43 ns against 3072 B at 100 GB/s = 31 ns: compute.
        (16, "compute", 8192 / 190e9, "L2"),
        # 8: 1024 / 190e9 = 5.4 ns against 768 B at 100 GB/s = 7.7 ns: memory.
        (8, "memory", 768 / 100e9, "L2"),
    ],
)
def test_the_roofline_by_hand(n: int, bound: str, seconds: float, level: str) -> None:
    prediction = roofline.predict(made_up.product(n), made_up.PEAKS, 2)

    assert (prediction.bound, prediction.level) == (bound, level)
    assert prediction.seconds == pytest.approx(seconds)
    assert prediction.ridge_point == pytest.approx(190e9 / (20e9 if level == "DRAM" else 100e9))


def test_no_peak_no_prediction_and_no_other_devices_number() -> None:
    for peaks, threads in ((Peaks(), 2), (made_up.PEAKS, 4)):
        prediction = roofline.predict(made_up.product(64), peaks, threads)

        assert prediction.seconds is None
        assert Result(made_up.product(64), made_up.measurement(1.0), prediction).efficiency is None
