"""Stored runs compared: made-up runs whose truth is known, and the reference runs of two machines."""

import math
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scipy.stats import gmean, t

from harness import stats, store
from harness.compare.comparison import compare, compare_all, group
from harness.records import (
    BandwidthPeak,
    CaseComparison,
    ComputePeak,
    Decision,
    Failed,
    Flag,
    Measurement,
    PeakLevel,
    Peaks,
    ProcessStatistics,
    Result,
    Run,
    Skipped,
    StopReason,
    View,
)
from harness.stats import PRIOR_SIGMA, PRIOR_WEIGHT
from tests import made_up

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
# The fields of a process's statistics that are times.
TIMES = ("median", "mad", "p05", "p25", "p75", "p95", "p99", "fastest", "slowest", "mean")


@pytest.fixture(scope="module")
def epyc() -> Run:
    return store.read(REFERENCE / "epyc-2-cores-cpu")


@pytest.fixture(scope="module")
def xeon() -> Run:
    """A run of schema 1: one process a case, no interval, no trace."""
    return store.read(REFERENCE / "xeon-2-cores-cpu")


def changed(run: Run, **header: Any) -> Run:
    return msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, **header))


def asked(run: Run, **settings: Any) -> Run:
    return changed(run, settings=msgspec.structs.replace(run.header.settings, **settings))


def with_outcome(result: Result, **changes: Any) -> Result:
    outcome = msgspec.structs.replace(result.outcome, **changes)
    return msgspec.structs.replace(result, outcome=outcome)


def on_another_clock(run: Run, factor: float) -> Run:
    """The same run with every time multiplied."""

    def process(statistics: ProcessStatistics) -> ProcessStatistics:
        times = {
            name: factor * getattr(statistics, name)
            for name in TIMES
            if getattr(statistics, name) is not None
        }
        blocks = tuple(factor * block for block in statistics.block_medians)
        return msgspec.structs.replace(statistics, block_medians=blocks, **times)

    def result(one: Result) -> Result:
        if one.measurement is None:
            return one
        view = one.measurement.view
        processes = tuple(process(each) for each in view.processes)
        return with_outcome(one, view=msgspec.structs.replace(view, processes=processes))

    return msgspec.structs.replace(run, results=tuple(result(one) for one in run.results))


def steady(*processes: float) -> View:
    """A view of processes that each read a constant time."""
    return View("cpu", 1, tuple(_process(seconds) for seconds in processes), StopReason.CONVERGED)


def _process(seconds: float) -> ProcessStatistics:
    times: dict[str, Any] = dict.fromkeys(TIMES, seconds)
    return ProcessStatistics(
        samples=8, clean=8, lag1_autocorrelation=0.0, drift=0.0, block_medians=(seconds,) * 4, **times
    )


def learning_apart(run: Run) -> list[Result]:
    """The measured cases, without those that calibrate."""
    return [result for result in run.measured if not result.case.calibrates]


@pytest.mark.parametrize("name", ["made up", "epyc-2-cores-cpu", "xeon-2-cores-cpu"])
def test_a_run_compared_with_itself_differs_in_nothing(name: str) -> None:
    run = made_up.run() if name == "made up" else store.read(REFERENCE / name)

    found = compare(run, run)

    assert len(found.cases) == len(learning_apart(run))
    assert {case.ratio for case in found.cases} == {1.0}
    assert {case.decision for case in found.cases} == {Decision.INCONCLUSIVE}
    assert all((case.reason != "") == (case.low is None) for case in found.cases)
    assert found.same_machine
    assert (found.differences, found.settings, found.exact) == ((), (), ())
    assert (found.missing, found.new) == ((), ())
    assert {peak.ratio for peak in found.peaks} == {1.0}
    assert {suite.ratio for suite in found.suites} == {1.0}


def test_half_the_time_is_half_the_ratio(epyc: Run) -> None:
    found = compare(epyc, on_another_clock(epyc, 0.5))

    assert [case.ratio for case in found.cases] == pytest.approx([0.5] * len(learning_apart(epyc)), rel=1e-12)
    assert all(
        case.low and case.high and case.ratio and case.low <= case.ratio <= case.high for case in found.cases
    )
    narrow = [case for case in found.cases if case.low and case.high and case.high / case.low < 2.0]
    assert len(narrow) > 100
    assert {case.decision for case in narrow} == {Decision.IMPROVED}
    assert [suite.ratio for suite in found.suites] == pytest.approx([0.5] * len(found.suites))
    # The cases agree exactly; the uncertainty of each is in the interval of the suite.
    for suite in found.suites:
        cases = [case for case in found.cases if case.suite == suite.name]
        own = sorted(math.log(case.high / case.low) / 2 for case in cases if case.low and case.high)
        middle = (own[(len(own) - 1) // 2] + own[len(own) // 2]) / 2
        assert (suite.low, suite.high) == pytest.approx(
            (0.5 * math.exp(-middle), 0.5 * math.exp(middle)), rel=1e-9
        )


def test_the_other_way_round_is_the_mirror_image(epyc: Run) -> None:
    """Times of each case by a factor of its own."""
    chance = random.Random(7)
    results = tuple(
        on_another_clock(
            msgspec.structs.replace(epyc, results=(result,)), math.exp(chance.gauss(0.0, 0.2))
        ).results[0]
        for result in epyc.results
    )
    changed = msgspec.structs.replace(epyc, results=results)
    there, back = compare(epyc, changed), compare(changed, epyc)
    mirrored = {
        Decision.IMPROVED: Decision.REGRESSED,
        Decision.REGRESSED: Decision.IMPROVED,
        Decision.INCONCLUSIVE: Decision.INCONCLUSIVE,
    }

    assert {case.decision for case in there.cases} == set(mirrored)
    for one, same in zip(there.cases, back.cases, strict=True):
        assert one.low
        assert one.high
        assert one.ratio
        assert same.ratio == pytest.approx(1.0 / one.ratio, rel=1e-12)
        assert (same.low, same.high) == pytest.approx((1.0 / one.high, 1.0 / one.low), rel=1e-12)
        assert same.decision is mirrored[one.decision]
    for suite, same_suite in zip(there.suites, back.suites, strict=True):
        assert same_suite.ratio == pytest.approx(1.0 / suite.ratio)
        assert suite.low
        assert suite.high
        assert (same_suite.low, same_suite.high) == pytest.approx((1.0 / suite.high, 1.0 / suite.low))
        assert (suite.improved, suite.regressed) == (same_suite.regressed, same_suite.improved)


# Draws a simulation makes, and how far its count may lie from 95 of 100: three standard deviations.
DRAWS, OFF = 4000, 3 * math.sqrt(0.95 * 0.05 / 4000)
TRUTH = 1.25


def many(views: list[View]) -> Run:
    """A run of as many cases."""
    products = [msgspec.structs.replace(made_up.product(512), id=f"case-{i}") for i in range(len(views))]
    return made_up.run(
        tuple(Result(case, Measurement(view)) for case, view in zip(products, views, strict=True))
    )


def holding(bases: list[View], others: list[View]) -> float:
    """How many of the intervals contain the true ratio."""
    cases = compare(many(bases), many(others)).cases
    return sum(case.low <= 1.0 / TRUTH <= case.high for case in cases if case.low and case.high) / len(cases)


@pytest.mark.parametrize(("sigma", "other_sigma"), [(0.01, 0.01), (0.05, 0.05), (0.01, 0.08), (0.08, 0.01)])
def test_an_interval_of_two_honest_ones_holds_the_true_speed_up(sigma: float, other_sigma: float) -> None:
    """Log-normal noise of known size, and views whose intervals contain a repeat: it errs by the root of two more than a view."""
    chance = random.Random(11)
    bases = [honest(chance, 1e-3 * TRUTH, sigma) for _ in range(DRAWS)]
    others = [honest(chance, 1e-3, other_sigma) for _ in range(DRAWS)]

    assert repeated(chance, bases, sigma) == pytest.approx(0.95, abs=OFF)
    assert holding(bases, others) == pytest.approx(0.95, abs=OFF)


def honest(chance: random.Random, truth: float, sigma: float) -> View:
    view = steady(truth * math.exp(chance.gauss(0.0, sigma)))
    half = 1.959964 * math.sqrt(2.0) * sigma
    vars(view)["interval"] = view.median * math.exp(-half), view.median * math.exp(half)
    return view


def repeated(chance: random.Random, views: list[View], sigma: float) -> float:
    """How many of the views contain an independent repeat."""
    repeats = [1e-3 * TRUTH * math.exp(chance.gauss(0.0, sigma)) for _ in views]
    held = [v.interval[0] <= r <= v.interval[1] for v, r in zip(views, repeats, strict=True) if v.interval]
    return sum(held) / len(views)


def test_intervals_as_a_bench_states_them_make_one_that_holds_the_true_speed_up() -> None:
    """Two processes whose variance is drawn as the prior of the interval has it: scaled inverse chi-square, 1 %."""
    chance = random.Random(3)
    bases = [steady(*processes(chance, 1e-3 * TRUTH)) for _ in range(DRAWS)]
    others = [steady(*processes(chance, 1e-3)) for _ in range(DRAWS)]

    assert 0.94 <= holding(bases, others) <= 0.97


def processes(chance: random.Random, seconds: float) -> list[float]:
    scale = sum(chance.gauss(0.0, 1.0) ** 2 for _ in range(PRIOR_WEIGHT))
    deviation = PRIOR_SIGMA * math.sqrt(PRIOR_WEIGHT / scale)
    return [seconds * math.exp(chance.gauss(0.0, deviation)) for _ in range(2)]


def test_the_sides_of_an_interval_are_kept_apart() -> None:
    """The high side of the ratio is the base's lower and the candidate's upper distance, by hand."""
    base, other = steady(2e-3), steady(1e-3)
    vars(base)["interval"] = 2e-3 * math.exp(-0.03), 2e-3 * math.exp(0.10)
    vars(other)["interval"] = 1e-3 * math.exp(-0.20), 1e-3 * math.exp(0.04)

    (one,) = compare(many([base]), many([other])).cases

    assert one.high == pytest.approx(0.5 * math.exp(0.05 / math.sqrt(2.0)))
    assert one.low == pytest.approx(0.5 * math.exp(-math.hypot(0.10, 0.20) / math.sqrt(2.0)))
    assert one.decision is Decision.IMPROVED


def test_a_typical_time_outside_of_its_interval_is_no_distance() -> None:
    view = steady(1e-3)
    vars(view)["interval"] = 1.01e-3, 1.02e-3

    (one,) = compare(many([view]), many([view])).cases

    assert one.low
    assert one.high
    assert one.low < 1.0 < one.high


def test_a_run_of_one_process_decides_nothing() -> None:
    (one,) = compare(many([steady(1e-3)]), many([steady(5e-4, 5e-4)])).cases

    assert (one.ratio, one.low, one.high) == (0.5, None, None)
    assert (one.decision, one.reason) == (Decision.INCONCLUSIVE, "a run of one process has no interval")


def test_the_flags_of_both_are_kept() -> None:
    noisy = made_up.measurement(1e-3, spread=0.5)
    case = made_up.product(512)

    (one,) = compare(
        made_up.run((Result(case, noisy),)), made_up.run((Result(case, made_up.measurement(1e-3)),))
    ).cases

    assert (one.base_flags, one.candidate_flags) == ((Flag.NOISY, Flag.DRIFTING), ())


def test_a_case_without_counterpart_has_a_reason() -> None:
    base = made_up.run(tuple(made_up.measured_product(n) for n in (64, 128, 256, 512, 1024)))
    there = (
        made_up.measured_product(64),
        Result(made_up.product(128), Failed("RuntimeError: it broke")),
        Result(made_up.product(256), Skipped("too large")),
        made_up.measured_product(2048),
    )
    other = made_up.run(there)
    other = changed(other, planned=(*other.header.planned, made_up.product(512).id))

    found = compare(base, other)

    assert [case.case for case in found.cases] == ["matmul-float32-m64-n64-k64"]
    assert found.missing == (
        ("matmul-float32-m128-n128-k128", "failed: RuntimeError: it broke"),
        ("matmul-float32-m256-n256-k256", "skipped: too large"),
        ("matmul-float32-m512-n512-k512", "planned, but not measured"),
        ("matmul-float32-m1024-n1024-k1024", "not part of that run"),
    )
    assert found.new == ("matmul-float32-m2048-n2048-k2048",)


def test_what_the_base_did_not_measure_is_not_missing_there() -> None:
    case = made_up.FAILED.case
    base = made_up.run((made_up.FAILED, made_up.SKIPPED, made_up.measured_product(64)))
    other = made_up.run(
        (Result(case, made_up.measurement(1e-3)), made_up.SKIPPED, made_up.measured_product(64))
    )

    found = compare(base, other)

    assert len(found.cases) == 1
    assert (found.missing, found.new) == ((), (case.id,))


def test_times_of_another_view_are_not_compared() -> None:
    mine = made_up.measured_product(64)
    assert mine.measurement
    theirs = with_outcome(mine, view=msgspec.structs.replace(mine.measurement.view, name="gpu_hot"))

    found = compare(made_up.run((mine,)), made_up.run((theirs,)))

    assert (found.cases, found.new) == ((), ())
    assert found.missing == ((mine.case.id, "timed as cpu in the base, as gpu_hot in the candidate"),)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "bfloat16"}, "dtype is float32 in the base, bfloat16 in the candidate"),
        ({"sizes": {"n": 3}}, "sizes is {'m': 64, 'n': 64, 'k': 64} in the base, {'n': 3} in the candidate"),
        ({"threads": 1}, "threads is None in the base, 1 in the candidate"),
    ],
)
def test_different_work_under_the_same_name_is_not_compared(change: dict[str, Any], reason: str) -> None:
    mine = made_up.measured_product(64)
    theirs = msgspec.structs.replace(mine, case=msgspec.structs.replace(mine.case, cost=None, **change))

    found = compare(made_up.run((mine,)), made_up.run((theirs,)))

    assert (found.cases, found.exact) == ((), ())
    assert found.missing == ((mine.case.id, f"different work under the same name: {reason}"),)


def test_settings_that_differ_are_listed_and_the_cases_pair() -> None:
    run = made_up.run()
    sampling = msgspec.structs.replace(made_up.SAMPLING, processes=5)

    found = compare(run, asked(run, device="cuda:0", threads=8, profile="full", sampling=sampling))

    assert [(setting.field, setting.this, setting.other) for setting in found.settings] == [
        ("device", "cpu", "cuda:0"),
        ("threads", 2, 8),
        ("profile", "quick", "full"),
        ("sampling.processes", 2, 5),
    ]
    assert len(found.cases) == len(run.results)


def test_which_cases_were_asked_for_is_no_setting() -> None:
    run = made_up.run()

    assert compare(run, asked(run, suites=("matmul", "conv"), expression="float32")).settings == ()


def test_environments_are_compared_base_first() -> None:
    base = made_up.run()
    copy = changed(base, environment=made_up.environment(host="f" * 16))
    other = changed(base, environment=made_up.environment(model_name="Another CPU"))

    same_kind, another_kind = compare_all([base, copy, other])

    assert same_kind.same_machine
    assert [(d.field, d.this, d.other) for d in same_kind.differences] == [
        ("host.id", "0123456789abcdef", "f" * 16)
    ]
    assert not another_kind.same_machine
    assert [(d.field, d.this, d.other) for d in another_kind.differences] == [
        ("processor.model_name", "Made-up CPU", "Another CPU")
    ]


def test_what_no_noise_touches_differs_exactly_or_not() -> None:
    mine = made_up.measured_product(64)
    assert mine.case.cost
    cost = msgspec.structs.replace(mine.case.cost, flops=2 * 64**3 + 1, bytes_read=0)
    theirs = with_outcome(
        msgspec.structs.replace(mine, case=msgspec.structs.replace(mine.case, cost=cost)), peak_memory_bytes=1
    )

    found = compare(made_up.run((mine,)), made_up.run((theirs,)))

    assert [(change.case, change.metric, change.base, change.candidate) for change in found.exact] == [
        (mine.case.id, "FLOPs", 2 * 64**3, 2 * 64**3 + 1),
        (mine.case.id, "bytes moved", 12 * 64**2, 4 * 64**2),
        (mine.case.id, "peak memory", 12 * 64**2, 1),
    ]


def test_what_one_run_does_not_know_is_no_difference() -> None:
    mine = made_up.measured_product(64)
    bare = with_outcome(
        msgspec.structs.replace(mine, case=msgspec.structs.replace(mine.case, cost=None)),
        peak_memory_bytes=None,
    )

    assert compare(made_up.run((mine,)), made_up.run((bare,))).exact == ()
    assert compare(made_up.run((bare,)), made_up.run((mine,))).exact == ()


def test_a_trace_with_one_kernel_more(epyc: Run) -> None:
    place, traced = next((i, one) for i, one in enumerate(epyc.results) if one.case.trace)
    assert traced.case.trace
    first, *rest = traced.case.trace.phases
    longer = msgspec.structs.replace(first, kernels=first.kernels + 1)
    trace = msgspec.structs.replace(traced.case.trace, phases=(longer, *rest))
    theirs = msgspec.structs.replace(traced, case=msgspec.structs.replace(traced.case, trace=trace))
    other = msgspec.structs.replace(epyc, results=(*epyc.results[:place], theirs, *epyc.results[place + 1 :]))

    (one,) = compare(epyc, other).exact

    assert (one.metric, one.candidate - one.base) == ("kernels", 1)


def test_peaks_are_those_that_code_reached() -> None:
    faster = Peaks(
        compute=(
            ComputePeak("float32", 2, PeakLevel.CLOCK_TRUE, "by clock", 900e9),
            ComputePeak("float32", 2, PeakLevel.TORCH, "torch product", 380e9),
            ComputePeak("tf32", 2, PeakLevel.DATASHEET, "nobody reached it", 1e12),
            ComputePeak("float32", 4, PeakLevel.TORCH, "torch product", 700e9),
        ),
        bandwidth=(BandwidthPeak("DRAM", 2, PeakLevel.TORCH, "torch triad", 10e9),),
        levels=made_up.PEAKS.levels,
    )
    run = made_up.run()

    found = compare(run, changed(run, peaks=(faster,))).peaks

    assert [
        (peak.kind, peak.name, peak.threads, peak.base, peak.candidate, peak.ratio) for peak in found
    ] == [
        ("compute", "float32", 2, 190e9, 380e9, 2.0),
        ("compute", "float32", 4, None, 700e9, None),
        ("bandwidth", "L2", 2, 100e9, 10e9, 0.1),  # a near level is never slower than a far one
        ("bandwidth", "DRAM", 2, 20e9, 10e9, 0.5),
    ]


def test_a_suite_is_its_geometric_mean() -> None:
    """2, 1/2 and 4 times as fast: 4^(1/3) on average; by hand and by scipy. A ratio is one over the speed-up."""
    speedups = [2.0, 0.5, 4.0]
    base, other = many([steady(1e-3, 1e-3)] * 3), many([steady(1e-3 / s, 1e-3 / s) for s in speedups])

    (suite,) = compare(base, other).suites

    assert 1.0 / suite.ratio == pytest.approx(4.0 ** (1 / 3)) == pytest.approx(gmean(speedups))
    logs = [math.log(s) / math.log(2.0) for s in speedups]  # 1, -1, 2: mean 2/3, variance 7/3
    assert logs == pytest.approx([1.0, -1.0, 2.0])
    half = math.log(2.0) * t.ppf(0.975, 2) * math.sqrt(7 / 3) / math.sqrt(3)
    assert (suite.low, suite.high) == pytest.approx(
        (suite.ratio * math.exp(-half), suite.ratio * math.exp(half)), rel=1e-3
    )
    assert (suite.improved, suite.regressed, suite.inconclusive, suite.without_interval) == (2, 1, 0, 0)


def test_two_cases_have_a_mean_and_no_interval() -> None:
    cases = [CaseComparison("a", "s", Decision.INCONCLUSIVE, ratio=ratio) for ratio in (0.5, 2.0)]
    pair = group("s", cases)

    assert pair.ratio == pytest.approx(1.0)
    assert (pair.low, pair.high) == (None, None)
    assert pair.without_interval == 2


@pytest.mark.parametrize("freedom", [1, 2, 5, 14, 15, 20, 40, 199, 200, 201, 400])
@pytest.mark.parametrize("probability", [0.8, 0.975, 0.99999])
def test_students_t_is_that_of_scipy(probability: float, freedom: int) -> None:
    exact = 1e-9 if freedom <= stats.EXACT_FREEDOM else 1e-5
    assert stats.students_t(probability, freedom) == pytest.approx(t.ppf(probability, freedom), rel=exact)


def test_suites_are_kept_apart() -> None:
    mine = made_up.measured_product(64)
    another = msgspec.structs.replace(mine.case, id="conv-1", suite="conv")
    run = made_up.run((mine, msgspec.structs.replace(mine, case=another), made_up.measured_product(128)))

    assert [(suite.name, suite.cases) for suite in compare(run, run).suites] == [
        ("matmul", 2),
        ("conv", 1),
    ]


def test_an_empty_run_compares() -> None:
    full, empty = made_up.run(), changed(made_up.run(()), peaks=())

    gone, come, nothing = compare(full, empty), compare(empty, full), compare(empty, empty)

    assert (gone.cases, come.cases, nothing.cases) == ((), (), ())
    assert [why for _, why in gone.missing] == ["not part of that run"] * len(full.results)
    assert come.new == tuple(result.case.id for result in full.results)
    assert (nothing.missing, nothing.new, nothing.suites, nothing.peaks) == ((), (), (), ())
    assert {peak.candidate for peak in gone.peaks} == {None}


def test_the_first_run_is_the_base() -> None:
    runs = [changed(made_up.run(), id=name) for name in "abc"]

    assert [(comparison.base, comparison.candidate) for comparison in compare_all(runs)] == [
        ("a", "b"),
        ("a", "c"),
    ]
    assert compare_all(runs[:1]) == compare_all([]) == ()


def test_a_comparison_is_a_record() -> None:
    """Written as JSON and read back it is the same."""
    found = compare(made_up.run(), on_another_clock(made_up.run(), 0.5))

    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_an_older_run_compared_with_a_new_one(epyc: Run, xeon: Run) -> None:
    found, back = compare(xeon, epyc), compare(epyc, xeon)

    assert not found.same_machine
    assert len(found.cases) + len(found.missing) == len(learning_apart(xeon))
    assert len(back.cases) + len(back.missing) == len(learning_apart(epyc))
    assert {case.case for case in found.cases} == {case.case for case in back.cases}
    assert {case.low for case in found.cases} == {None}  # one process has no interval
    assert "processor.model_name" in {difference.field for difference in found.differences}
    assert "sampling.processes" in {setting.field for setting in found.settings}
    assert {suite.name for suite in found.suites} == {"matmul", "bandwidth"}
    assert all(peak.ratio and peak.ratio > 0.0 for peak in found.peaks if peak.base and peak.candidate)
