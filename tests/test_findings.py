"""Findings: each rule reports a run that has its trouble, and no other."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store, units
from harness.check.findings import findings, unmeasured, validity
from harness.check.findings.checklists import BAD, FINE, UNKNOWN
from harness.check.findings.performance import OPTIMIZATIONS
from harness.check.judge import judge
from harness.costmodel.optimizations import DECISIONS
from harness.records import (
    Answer,
    BandwidthPeak,
    Case,
    CaseAccuracy,
    ComputePeak,
    Cost,
    CostModel,
    Estimate,
    Finding,
    FindingKind,
    MemoryLevel,
    Operator,
    Optimization,
    Part,
    PeakLevel,
    Peaks,
    Prediction,
    Result,
    Run,
    Sensors,
    Skipped,
    Span,
    Validation,
    Verdict,
    View,
)
from harness.records.machine import Accelerator
from harness.report.sources import judged
from tests import made_up

REFERENCE = Path(__file__).parent.parent / "results" / "reference"
replace = msgspec.structs.replace

# One round, whose torch is as good as the micro-kernel: nothing to be had back.
GOOD = Peaks(
    compute=(
        ComputePeak("float32", 2, PeakLevel.MICRO_KERNEL, "fma", 190e9),
        ComputePeak("float32", 2, PeakLevel.TORCH, "torch product", 185e9),
    ),
    levels=(MemoryLevel("L2", 2**21), MemoryLevel("DRAM", None)),
    bandwidth=(BandwidthPeak("DRAM", 2, PeakLevel.TORCH, "torch triad", 20e9),),
    clock_hertz=3e9,
)


def quiet(*results: Result, **changes: Any) -> Run:
    """A run without any trouble, but for what is changed in its header."""
    made = made_up.run(results or None)
    header = {"selftest_at": "2026-01-01T00:00:00+00:00", "peaks": (GOOD,), **changes}
    return replace(made, header=replace(made.header, **header))


def with_environment(run: Run, part: str, **fields: Any) -> Run:
    environment = run.header.environment
    changed = replace(environment, **{part: replace(getattr(environment, part), **fields)})
    return replace(run, header=replace(run.header, environment=changed))


def on_gpu(*results: Result, gpu: Accelerator, **unavailable: str) -> Run:
    run = quiet(*results)
    environment = replace(
        run.header.environment, accelerators=(gpu,), device_name="cuda", unavailable=unavailable
    )
    settings = replace(run.header.settings, device="cuda")
    return replace(run, header=replace(run.header, environment=environment, settings=settings))


GPU = Accelerator(
    name="Made-up GPU",
    index=0,
    torch_index=0,
    power_limit_default_watts=400.0,
    power_limit_enforced_watts=400.0,
    ecc_enabled=True,
    ecc_uncorrected_errors=0,
    persistence=True,
    pcie_width=16,
    pcie_width_max=16,
    other_processes=0,
)


def sensed(result: Result, **sensors: Any) -> Result:
    assert result.measurement is not None
    return replace(result, outcome=replace(result.measurement, sensors=Sensors(seconds=30.0, **sensors)))


def case(name: str, seconds: float = 1e-3, **changes: Any) -> Result:
    known: dict[str, Any] = {
        "id": name,
        "suite": "made",
        "family": "made",
        "dtype": "float32",
        "sizes": {},
        "cost": Cost(bytes_read=1000, bytes_written=1000, memory_bytes=2000, flops=10**6),
    }
    return Result(Case(**(known | changes)), made_up.measurement(seconds, memory=2000), Prediction())


def named(run: Run) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings(run)}


def only(run: Run, name: str) -> Finding:
    """The one finding of a run that has one trouble."""
    found = findings(run)
    assert [one.name for one in found] == [name]
    return found[0]


def test_a_run_without_trouble_has_no_findings() -> None:
    assert findings(quiet()) == ()
    assert findings(on_gpu(gpu=GPU)) == ()
    assert findings(judge(quiet())) == ()


def test_failed_cases_are_one_finding() -> None:
    found = only(quiet(made_up.measured_product(64), made_up.FAILED), "failed cases")

    assert found.kind is FindingKind.WRONG
    assert found.cases == (made_up.FAILED.case.id,)
    assert "1 of 2 cases" in found.finding
    assert "it broke" in found.cause


def test_an_incomplete_run_can_be_continued() -> None:
    found = only(quiet(planned=("matmul-a", *(r.case.id for r in made_up.run().results))), "incomplete")

    assert found.cases == ("matmul-a",)
    assert "--resume 20260102T030405Z-aaaaaaaa-0a1b2c" in found.fix
    assert only(quiet(finished_at=None), "incomplete").cases == ()


def test_a_run_of_nothing_but_skips_says_why() -> None:
    run = quiet(made_up.SKIPPED)

    found = only(run, "nothing measured")

    assert "1 case skipped" in found.finding
    assert "TF32 needs an NVIDIA GPU" in found.cause
    assert (made_up.SKIPPED.case.id, "TF32 needs an NVIDIA GPU") in unmeasured(run)
    assert {row[0]: row[2] for row in validity(run)}["waiting for cores"] == UNKNOWN


def test_an_empty_run_works() -> None:
    run = replace(quiet(), results=())

    assert {"nothing measured", "incomplete"} == set(named(run))
    assert unmeasured(run)[0] == (
        f"{run.header.planned[0]} and 5 more cases",
        "the run did not end",
    )


def test_damage_is_a_finding() -> None:
    assert "line 3" in only(replace(quiet(), damage=("line 3 is cut",)), "damaged record").finding


def test_a_claim_that_fails_anywhere_is_one_finding() -> None:
    verdicts = tuple(
        Verdict("physics", made_up.product(n).id, answer, "2.00 of the compute roof")
        for n, answer in ((64, Answer.FAILS), (128, Answer.FAILS), (256, Answer.HOLDS))
    )

    found = only(quiet(verdicts=verdicts), "physics fails")

    assert found.cases == tuple(made_up.product(n).id for n in (64, 128))
    assert "2 of 3 claims fail" in found.finding
    assert findings(quiet(verdicts=verdicts[2:])) == ()


def steps(missed: int, of: int) -> Validation:
    cases = tuple(CaseAccuracy(f"step{i}", 2.0 if i < missed else 1.0, 1.0, i >= missed) for i in range(of))
    return Validation("train_step", cases, (), (of - missed) / of)


def test_one_estimate_in_ten_may_be_missed() -> None:
    found = only(quiet(validations=(steps(8, 20),)), "estimates missed")

    assert "8 of 20 steps" in found.finding
    assert "2.00 s, estimated 1.00 s" in found.finding
    assert found.cases == tuple(f"step{i}" for i in range(8))
    assert findings(quiet(validations=(steps(3, 20),))) == ()


def test_a_time_that_fails_its_claim_is_a_finding_even_alone() -> None:
    verdict = Verdict("time", "step0", Answer.FAILS, "1.00 s estimated")

    assert only(quiet(verdicts=(verdict,), validations=(steps(1, 20),)), "estimates missed").cases == (
        "step0",
    )
    assert "1.00 s estimated" in named(quiet(verdicts=(verdict,)))["estimates missed"].finding


def test_other_programs_that_take_cores_void() -> None:
    def run(others: float) -> Run:
        return quiet(*(sensed(made_up.measured_product(n), cpus=2, other_cpus=others) for n in made_up.SIZES))

    found = only(run(1.5), "waiting for cores")

    assert found.kind is FindingKind.VALIDITY
    assert "1.50 CPUs during 6 cases" in found.cause
    assert "--threads 1" in found.fix
    assert findings(run(0.1)) == ()


def test_steal_affects_validity() -> None:
    results = [sensed(made_up.measured_product(n), cpus=2, steal_fraction=0.2) for n in made_up.SIZES]

    assert units.percent(0.2) in only(quiet(*results), "waiting for cores").cause
    assert ("steal", f"at most {units.percent(0.2)} of the CPU time during a batch", BAD) in validity(
        quiet(*results)
    )


def test_a_noisy_machine_is_told_once() -> None:
    def run(wild: int, **changes: Any) -> Run:
        results = [
            replace(
                made_up.measured_product(n),
                outcome=made_up.measurement(1e-3, spread=0.5 if i < wild else 0.002),
            )
            for i, n in enumerate(made_up.SIZES)
        ]
        return quiet(*results, **changes)

    assert "3 are noisy" in only(run(3), "noisy machine").finding
    assert "plumbline selftest" in only(run(3, selftest_at=None), "noisy machine").fix
    assert findings(run(1)) == ()


def test_a_quota_below_the_threads_affects_validity() -> None:
    assert "--threads 1" in only(with_environment(quiet(), "limits", cpu_quota=1.5), "CPU quota").fix
    assert findings(with_environment(quiet(), "limits", cpu_quota=2.0)) == ()


def test_a_quota_that_stopped_tasks_affects_validity() -> None:
    first, *rest = (made_up.measured_product(n) for n in made_up.SIZES)
    run = quiet(sensed(first, quota_throttled_seconds=0.5), *rest)

    found = only(run, "CPU quota")

    assert "1 case, for up to 500 ms" in found.finding
    assert found.cases == (first.case.id,)


def test_more_threads_than_cores_void() -> None:
    run = quiet(settings=replace(quiet().header.settings, threads=4), peaks=())

    assert "4 threads shared 2 physical cores" in only(run, "more threads than cores").finding


def test_a_dirty_tree_cannot_be_run_again() -> None:
    found = only(with_environment(quiet(), "code", dirty=True, diff_hash="0123"), "dirty tree")

    assert "aaaaaaaa (difference 0123)" in found.finding
    assert findings(with_environment(quiet(), "code", dirty=False)) == ()


@pytest.mark.parametrize(
    ("part", "trouble", "fine", "name"),
    [
        ("processor", {"governor": "powersave"}, {"governor": "performance"}, "clock governor"),
        ("processor", {"boost": False}, {"boost": True}, "boost is off"),
        (
            "processor",
            {"limit_hertz": 2e9, "max_hertz": 4e9},
            {"limit_hertz": 4e9, "max_hertz": 4e9},
            "clock cap",
        ),
        ("numerics", {"deterministic_algorithms": True}, {"cudnn_deterministic": True}, "slower numerics"),
    ],
)
def test_settings_that_may_cost_speed(
    part: str, trouble: dict[str, Any], fine: dict[str, Any], name: str
) -> None:
    assert only(with_environment(quiet(), part, **trouble), name).kind is FindingKind.ADVICE
    assert findings(with_environment(quiet(), part, **fine)) == ()


def test_a_missing_self_test_is_a_finding() -> None:
    assert "plumbline selftest" in only(quiet(selftest_at=None), "no self-test").fix


@pytest.mark.parametrize(
    ("trouble", "name", "words"),
    [
        ({"power_limit_enforced_watts": 230.0}, "power cap", f"{units.percent(0.575)} of its default 400 W"),
        ({"other_processes": 2}, "other processes on the GPU", "2 other processes"),
        ({"ecc_uncorrected_errors": 3}, "memory errors", "3 uncorrected memory errors"),
        ({"pcie_width": 4}, "narrow PCIe link", "4 of 16 PCIe lanes"),
        ({"persistence": False}, "persistence mode off", "GPU 0 (Made-up GPU)"),
    ],
)
def test_how_a_gpu_is_set(trouble: dict[str, Any], name: str, words: str) -> None:
    run = on_gpu(gpu=replace(GPU, **trouble))

    assert words in only(run, name).finding
    # It does not concern a run on the CPU.
    settings = replace(run.header.settings, device="cpu")
    environment = replace(run.header.environment, device_name="cpu")
    assert (
        findings(replace(run, header=replace(run.header, settings=settings, environment=environment))) == ()
    )


def test_several_gpus_with_one_trouble_are_one_finding() -> None:
    capped = replace(GPU, power_limit_enforced_watts=300.0)
    run = on_gpu(gpu=capped)
    two = replace(run.header.environment, accelerators=(capped, replace(capped, index=1, torch_index=1)))

    found = only(replace(run, header=replace(run.header, environment=two)), "power cap")

    assert "1 other GPU too" in found.finding


def test_a_gpu_that_slowed_itself_down_names_its_reason() -> None:
    hot = {
        "throttle_reasons": ("gpu_idle", "sw_thermal_slowdown"),
        "temperature_celsius": Span(80.0, 88.0, 91.0),
    }
    first, *rest = (
        sensed(made_up.measured_product(n), throttle_reasons=("gpu_idle",)) for n in made_up.SIZES
    )
    assert first.measurement is not None
    run = on_gpu(sensed(first, **hot), *rest, gpu=GPU)

    found = only(run, "throttling")

    assert "1 of 6 cases" in found.finding
    assert "sw_thermal_slowdown in 1" in found.cause
    assert "91 °C" in found.cause
    assert ("throttling", "sw_thermal_slowdown during 1 of 6 cases", BAD) in validity(run)
    assert findings(on_gpu(first, *rest, gpu=GPU)) == ()


def test_what_waits_for_the_host_gains_from_a_graph() -> None:
    def view(name: str, seconds: float, host_bound: int) -> View:
        made = made_up.measurement(seconds).view
        return replace(
            made, name=name, processes=tuple(replace(p, host_bound=host_bound) for p in made.processes)
        )

    bound = made_up.measured_product(64)
    assert bound.measurement is not None
    outcome = replace(bound.measurement, view=view("gpu_hot", 2e-5, 16), others=(view("gpu_graph", 1e-5, 0),))

    found = only(on_gpu(replace(bound, outcome=outcome), gpu=GPU), "host-bound cases")

    assert "2.00 times as fast" in found.fix
    free = replace(outcome, view=view("gpu_hot", 2e-5, 0))
    assert findings(on_gpu(replace(bound, outcome=free), gpu=GPU)) == ()


def hierarchy(**rates: float) -> Peaks:
    """Peaks by names such as bfloat16_torch."""
    peak_levels = {peak_level.name.lower(): peak_level for peak_level in PeakLevel}
    compute = []
    for name, rate in rates.items():
        dtype, _, peak_level = name.partition("_")
        compute.append(ComputePeak(dtype, 2, peak_levels[peak_level], f"{peak_level} of {dtype}", rate))
    return Peaks(compute=tuple(compute), clock_hertz=3e9)


def test_what_a_library_loses_of_the_hierarchy() -> None:
    def run(torch: float, peer: float) -> Run:
        return quiet(peaks=(hierarchy(float32_micro_kernel=200e9, float32_peer=peer, float32_torch=torch),))

    assert units.change(0.75) in only(run(150e9, 150e9), "slow library").finding
    assert "the best other library is within" in only(run(150e9, 150e9), "slow library").cause
    assert f"{units.percent(0.2)} faster" in only(run(150e9, 180e9), "slow library").fix
    assert findings(run(185e9, 190e9)) == ()


def test_a_torch_without_the_instructions_of_the_cpu_is_named() -> None:
    run = quiet(peaks=(hierarchy(float32_micro_kernel=200e9, float32_torch=100e9),))

    found = only(with_environment(run, "processor", isa=("avx512f",)), "slow library")

    assert "torch runs AVX2 code" in found.cause


def test_narrow_types_that_are_slow() -> None:
    def run(rate: float) -> Run:
        made = hierarchy(float32_torch=100e9, bfloat16_torch=200e9, float16_torch=rate)
        return quiet(
            peaks=(replace(made, unmeasured={"micro-kernel fma-float16-avx512": "the CPU lacks it"}),)
        )

    found = only(run(2e9), "slow dtypes")

    assert "50 times slower" in found.finding
    assert "the CPU lacks it" in found.cause
    assert "bfloat16" in found.fix
    assert findings(run(95e9)) == ()


def test_peaks_that_vary_affect_validity() -> None:
    def run(slow: float) -> Run:
        return quiet(peaks=(hierarchy(float32_torch=100e9), hierarchy(float32_torch=slow)))

    assert f"float32 (torch, 2 threads) by {units.percent(0.3)}" in only(run(70e9), "peaks vary").finding
    assert findings(run(95e9)) == ()


def test_half_of_a_datasheet_is_too_little() -> None:
    def run(torch: float) -> Run:
        return quiet(peaks=(hierarchy(bfloat16_datasheet=1000e12, bfloat16_torch=torch),))

    assert f"{units.percent(0.3)} of 1.00 PFLOP/s" in only(run(300e12), "far below the datasheet").finding
    assert findings(run(700e12)) == ()


def test_every_optimization_has_a_cause_and_a_fix() -> None:
    assert {name for name, _, _ in DECISIONS} == set(OPTIMIZATIONS)


def test_an_optimization_that_pays_is_advice() -> None:
    name = "fused instead of foreach optimizer"
    found = only(quiet(optimizations=(Optimization(name, "a", "b", 2.0, 1.5, 2.6, 1.8, "roofline"),)), name)

    assert found.cases == ("a",)
    assert "2.00 times as fast" in found.finding
    assert "predicted 1.80 times" in found.cause
    assert units.percent(0.5) in found.fix
    assert findings(quiet(optimizations=(Optimization(name, "a", "b", 2.0, 0.9, 4.4),))) == ()
    assert findings(quiet(optimizations=(Optimization(name, "a", "b", 1.05, 1.01, 1.1),))) == ()
    assert findings(quiet(optimizations=(Optimization(name, "a", "b", 2.0),))) == ()


def test_an_optimization_that_pays_in_some_cases_names_where_it_costs() -> None:
    name = "bfloat16 instead of float32"
    several = (
        Optimization(name, "a", "a2", 2.0, 1.5, 2.6),
        Optimization(name, "b", "b2", 3.0, 2.5, 3.6),
        Optimization(name, "c", "c2", 0.5, 0.4, 0.6),
    )

    found = only(quiet(optimizations=several), name)

    assert "2 of 3 pairs of cases are faster, 2.50 times in the median, 3.00 times at most" in found.finding
    assert "1 slower, 2.00 times at most (c)" in found.finding


def threaded(speedup: float, threads: int) -> Run:
    one, more = case("add-threads1", threads=1), case(f"add-threads{threads}", threads=threads)
    optimization = Optimization(
        f"{threads} threads instead of 1", one.case.id, more.case.id, speedup, 0.9 * speedup, 1.1 * speedup
    )
    return quiet(one, more, optimizations=(optimization,))


def test_threads_that_do_not_scale() -> None:
    assert "1.20 times as fast" in only(threaded(1.2, 2), "threads do not scale").finding
    assert findings(threaded(1.8, 2)) == ()


def test_threads_that_the_run_did_not_use() -> None:
    assert "--threads 4" in only(threaded(3.8, 4), "4 threads instead of 1").fix


def test_steps_that_are_mostly_framework() -> None:
    def run(fraction: float) -> Run:
        parts = (Part("framework", fraction * 1e-3), Part("gemm", (1 - fraction) * 1e-3))
        return quiet(case("step"), estimates=(Estimate("step", 1e-3, 5e-4, 2e-3, parts),))

    found = only(run(0.7), "mostly framework")

    assert f"{units.percent(0.7)} of the estimated 1.00 ms of step" in found.finding
    assert found.cases == ("step",)
    assert findings(run(0.3)) == ()


def test_pages_that_are_mapped_again() -> None:
    def run(seconds: float) -> Run:
        big = Operator("relu", "forward", (), (), 1, "float32", mapped_bytes=64 << 20)
        model = CostModel("run", "cpu", 2, 0, (), fault_seconds=1e-6)
        return replace(quiet(case("relu", seconds), cost_model=model), operators={"relu": (big,)})

    found = only(run(32e-3), "pages mapped again")

    assert "64.0 MiB a call in relu" in found.finding
    assert "take up to 16.4 ms of it" in found.finding
    assert "32.0 ms" in found.finding
    assert findings(run(1.0)) == ()
    # An estimate of more than the whole is no more than "much".
    assert "take much of it" in only(run(1e-3), "pages mapped again").finding


def test_the_fix_for_pages_fits_the_machine() -> None:
    def fix(libc: str | None, huge: str | None) -> str:
        big = Operator("relu", "forward", (), (), 1, "float32", mapped_bytes=64 << 20)
        model = CostModel("run", "cpu", 2, 0, (), fault_seconds=1e-6)
        run = replace(quiet(case("relu", 32e-3), cost_model=model), operators={"relu": (big,)})
        run = with_environment(
            with_environment(run, "software", libc=libc), "memory", transparent_huge_pages=huge
        )
        return only(run, "pages mapped again").fix

    assert "THP_MEM_ALLOC_ENABLE" in fix("glibc 2.36", "madvise")
    assert "THP_MEM_ALLOC_ENABLE" not in fix("glibc 2.36", "never")
    assert "MALLOC" not in fix(None, "madvise")


def test_a_shape_that_is_no_multiple() -> None:
    def run(slow: float) -> Run:
        return quiet(made_up.measured_product(1023, slow), made_up.measured_product(1024, 150e9))

    found = only(run(100e9), "uneven shapes")

    assert found.cases == ("matmul-float32-m1023-n1023-k1023",)
    assert "m = 1023, n = 1023, k = 1023 are not multiples of 8" in found.cause
    assert units.percent(1 / 3) in found.fix
    assert findings(run(140e9)) == ()


def test_the_most_important_comes_first() -> None:
    optimizations = tuple(
        Optimization(f"optimization {i}", f"a{i}", f"b{i}", 2.0 + i, 1.5, 99.0) for i in range(20)
    )
    run = with_environment(quiet(optimizations=optimizations, finished_at=None), "code", dirty=True)

    found = findings(run)

    assert len(found) == 22
    assert [one.kind for one in found[:3]] == [FindingKind.WRONG, FindingKind.VALIDITY, FindingKind.ADVICE]
    assert [one.name for one in found[2:4]] == ["optimization 19", "optimization 18"]


def test_what_is_unknown_is_no_trouble_but_is_listed() -> None:
    rows = {name: (text, answer) for name, text, answer in validity(quiet())}

    assert rows["clocks"] == ("3.00 GHz to 3.00 GHz in 1 round", FINE)
    assert rows["steal"] == ("the record does not contain it", UNKNOWN)
    assert rows["code"] == ("commit aaaaaaaa, clean or not is unknown", UNKNOWN)
    assert "power cap" not in rows


def test_the_checklist_of_a_gpu() -> None:
    rows = {name: (text, answer) for name, text, answer in validity(on_gpu(gpu=GPU))}
    assert rows["power cap"] == (f"{units.percent(1.0)} of the default limit", FINE)
    assert rows["memory errors"] == ("0 uncorrected", FINE)
    assert rows["other processes on the GPU"] == ("0 when the run began", FINE)

    mute = on_gpu(
        gpu=Accelerator(name="Made-up GPU", torch_index=0),
        **{"accelerators.0": "NVML has no card of this id"},
    )
    assert ("power cap", "NVML has no card of this id", UNKNOWN) in validity(mute)
    assert ("accelerators 0", "NVML has no card of this id") in unmeasured(mute)


def test_a_reason_is_one_row_however_many_cases_have_it() -> None:
    skipped = [
        Result(made_up.product(n, "tf32"), Skipped(f"{n} threads: this process may use 2"))
        for n in made_up.SIZES
    ]

    rows = unmeasured(quiet(made_up.measured_product(64), *skipped))

    assert (f"{skipped[0].case.id} and 5 more cases", "64 threads: this process may use 2") in rows


def test_a_view_that_is_missing_is_listed() -> None:
    one = made_up.measured_product(64)
    assert one.measurement is not None
    outcome = replace(one.measurement, missing_views={"gpu_graph": "it cannot be captured"})

    rows = unmeasured(on_gpu(replace(one, outcome=outcome), gpu=GPU))

    assert ("view gpu_graph of 1 case", "it cannot be captured") in rows


@pytest.mark.parametrize("name", ["epyc", "xeon"])
def test_the_reference_runs_read_sensibly(name: str) -> None:
    run = judged(store.read(REFERENCE / f"{name}-2-cores-cpu"))

    found = findings(run)

    assert 1 <= len(found) <= 15
    assert {"slow library", "slow dtypes", "peaks vary"} <= {one.name for one in found}
    assert len({one.name for one in found}) == len(found)
    for one in found:
        for text in (one.finding, one.cause, one.fix):
            assert text.endswith(".")
            assert "None" not in text.replace("None was run", "")
            assert "nan" not in text
        assert set(one.cases) <= {result.case.id for result in run.results}
    assert {row[2] for row in validity(run)} <= {FINE, BAD, UNKNOWN}
    assert all(name and why for name, why in unmeasured(run))


def test_what_the_epyc_run_is_known_for() -> None:
    found = named(judged(store.read(REFERENCE / "epyc-2-cores-cpu")))

    assert {"noisy machine", "pages mapped again", "uneven shapes", "mostly framework"} <= set(found)
    assert "float16" in found["slow dtypes"].finding
    assert found["uneven shapes"].cases == ("matmul-float32-m1023-n1023-k1023",)


def test_a_finding_concerns_its_cases_or_dtypes_or_the_whole_run() -> None:
    finding = Finding("a", FindingKind.ADVICE, "b.", "c.", "d.", cases=("one",), dtypes=("float16",))

    assert finding.concerns({"one"}, set())
    assert finding.concerns({"two"}, {"float16", "float32"})
    assert not finding.concerns({"two"}, {"float32"})
    assert replace(finding, cases=(), dtypes=()).concerns(set(), set())


def test_the_kind_of_schema_2_is_read() -> None:
    assert msgspec.convert("voids", FindingKind) is FindingKind.VALIDITY
