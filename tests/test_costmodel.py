"""The cost model on a made-up machine whose models are known."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from harness.check.judge import judge
from harness.costmodel import calibrated, estimate, validated
from harness.costmodel.demand import BLOCK, FAR, Demand, demand_of, framework_seconds
from harness.costmodel.estimate import priced
from harness.costmodel.kinds import kind_of
from harness.costmodel.operator_models import Measured, Roof, fit_model, seconds_of
from harness.records import (
    Answer,
    Case,
    CaseReplay,
    Cost,
    CostModel,
    Estimate,
    Footprint,
    MemoryLevel,
    Operator,
    OperatorModel,
    PhaseWork,
    Replayed,
    Result,
    Run,
    Trace,
)
from tests import made_up
from tests.made_up import markdown_of

ROOF = Roof(75e9, 50e9, 10e9)


def operator(  # noqa: PLR0913 - a record of as many fields
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    flops: int = 0,
    vector: int = 0,
    round_spread: int = 0,
    phase: str = "forward",
    count: int = 1,
    kernel: bool = True,
    place: int = 10,
) -> Operator:
    return Operator(
        name=name,
        phase=phase,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        count=count,
        dtype="float32",
        flops=flops,
        elementwise_flops=vector,
        bytes_read=round_spread,
        kernel=kernel,
        reuse=((place, round_spread * count, 0),) if round_spread else (),
    )


@pytest.mark.parametrize(
    ("name", "inputs", "kind"),
    [
        ("mm", ("float32[8,8]", "float32[8,8]"), "gemm"),
        ("addmm", ("float32[8]", "float32[8,8]", "float32[8,8]"), "gemm"),
        ("bmm", ("float32[2,8,8]", "float32[2,8,8]"), "batched gemm"),
        ("convolution", ("float32[1,8,4,4]", "float32[8,8,3,3]"), "convolution"),
        ("convolution", ("float32[1,8,4,4]", "float32[8,1,3,3]", "float32[8]"), "depthwise convolution"),
        ("convolution", ("float32[1,1,4,4]", "float32[8,1,3,3]"), "convolution"),
        (
            "convolution_backward",
            ("float32[1,8,4,4]", "float32[1,8,4,4]", "float32[8,1,3,3]"),
            "depthwise convolution backward",
        ),
        ("_scaled_dot_product_flash_attention_for_cpu", ("float32[1,1,8,8]",), "attention"),
        ("_scaled_dot_product_efficient_attention_backward", ("float32[1,1,8,8]",), "attention backward"),
        ("native_layer_norm_backward", ("float32[8,8]",), "normalization backward"),
        ("_log_softmax_backward_data", ("float32[8,8]",), "softmax"),
        ("add_", ("float32[8]", "float32[8]"), "elementwise"),
        ("sqrt", ("float32[8]",), "transcendental"),
        ("gelu_backward", ("float32[8]", "float32[8]"), "transcendental"),
        ("embedding_dense_backward", ("float32[8,8]", "int64[8]"), "scatter"),
        ("_to_copy", ("float32[8]",), "copy"),
        ("_foreach_add_", ("float32[8]",), "fused optimizer"),
        ("_fused_adamw_", ("float32[8]",), "fused optimizer"),
        ("an_operator_of_tomorrow", ("float32[8]",), "elementwise"),
    ],
)
def test_kinds(name: str, inputs: tuple[str, ...], kind: str) -> None:
    assert kind_of(operator(name, inputs, ("float32[8]",))) == kind


def test_bytes_are_near_or_far_by_how_long_ago_they_were_used() -> None:
    """Up to the cache's size none are far, beyond FAR times that all; what is written far away is read first."""
    near = operator("add", ["float32[250]"], ["float32[250]"], round_spread=1000, place=19)
    far = operator("add", ["float32[250]"], ["float32[250]"], round_spread=1000, place=26)
    written = msgspec.structs.replace(far, reuse=((26, 500, 500),))

    assert demand_of(near, 1 << 20, 2)[1:3] == (1000, 0)
    assert demand_of(far, 1 << 20, 2)[1:3] == (1000, 1000)
    assert demand_of(written, 1 << 20, 2)[1:3] == (1000, 1500)
    assert FAR > 1


def test_a_small_tensor_is_one_thread_s_work() -> None:
    small = operator("add", ["float32[1000]"], ["float32[1000]"], round_spread=8000)
    large = operator("add", ["float32[100000]"], ["float32[100000]"], round_spread=800_000)
    product = operator("mm", ["float32[8,8]", "float32[8,8]"], ["float32[8,8]"], flops=1024, round_spread=768)

    assert [demand_of(one, 1 << 20, 4).fraction for one in (small, large, product)] == [0.25, 1.0, 1.0]
    assert demand_of(small, 1 << 20, 1).fraction == 1.0


@pytest.mark.parametrize(("keys", "in_vain"), [(128, 1.0), (BLOCK, 1.0), (4 * BLOCK, 0.25)])
def test_a_fused_kernel_leaves_out_masked_pairs_by_whole_blocks(keys: int, in_vain: float) -> None:
    shape = f"float32[1,1,{keys},64]"
    causal = operator("_flash_attention_forward", [shape] * 3, [shape], flops=10**6, round_spread=1000)
    causal = msgspec.structs.replace(causal, masked_flops=10**6)

    assert demand_of(causal, 1 << 20, 1).flops == 10**6 * (1 + in_vain)


def additive(flops: float, round_spread: float) -> float:
    return 5e-6 + flops / 100e9 + round_spread / 60e9


def cases(truth: Callable[[float, float], float], noise: float = 0.0, count: int = 24) -> list[Measured]:
    draw = random.Random(3)
    found = []
    for index in range(count):
        flops, round_spread = 10 ** draw.uniform(4, 9), 10 ** draw.uniform(3, 7)
        seconds = truth(flops, round_spread) * math.exp(draw.gauss(0, noise))
        found.append(Measured(f"case{index}", Demand(flops, round_spread, 0.0), seconds))
    return found


def test_a_model_is_recovered_from_its_own_times() -> None:
    model = fit_model("gemm", "float32", cases(additive), ROOF)

    assert model.sharpness == 1.0
    assert model.overhead == pytest.approx(5e-6, rel=0.05)
    assert model.flops_per_second == pytest.approx(100e9, rel=0.05)
    assert model.bytes_per_second == pytest.approx(60e9, rel=0.1)
    assert model.identified == ("flops", "bytes")  # no case identifies memory
    assert model.median < 0.03


def test_left_out_cases_tell_how_far_the_model_is_off() -> None:
    """10 % of lognormal noise comes out as 10 %, not as the smaller residual of the fit itself."""
    model = fit_model("gemm", "float32", cases(additive, noise=0.1, count=60), ROOF)

    assert 0.08 < model.residual < 0.15


def test_a_library_that_bends_the_model_is_followed_where_cases_lie() -> None:
    """Thin products at a third of the speed: the model alone is off, the bent one is not."""

    def thin(flops: float, round_spread: float) -> float:
        return additive(flops, round_spread) * (3.0 if flops / round_spread < 100 else 1.0)

    model = fit_model("gemm", "float32", cases(thin, count=60), ROOF)
    straight = msgspec.structs.replace(model, bends=())
    asked = cases(thin, count=80)[60:]

    def off(model: OperatorModel) -> float:
        return sum(abs(math.log(seconds_of(model, c.demand) / c.seconds)) for c in asked) / len(asked)

    assert off(model) < 0.7 * off(straight)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_cases_give_a_dull_model_and_no_exception(count: int) -> None:
    model = fit_model("pooling", "float32", cases(additive, count=count), ROOF)

    assert model.cases == count
    assert math.isfinite(model.residual)
    for case in cases(additive, count=20):
        assert 0.02 < seconds_of(model, case.demand) / case.seconds < 50


# A machine whose operators take these times, of the sizes that `run` below makes.
def product(n: int, **changes: Any) -> Operator:
    shape = f"float32[{n},{n}]"
    made = operator("mm", [shape, shape], [shape], flops=2 * n**3, round_spread=12 * n * n)
    return msgspec.structs.replace(made, **changes)


def addition(n: int, **changes: Any) -> Operator:
    made = operator(
        "add", [f"float32[{n}]"], [f"float32[{n}]"], vector=n, round_spread=8 * n, place=(8 * n).bit_length()
    )
    return msgspec.structs.replace(made, **changes)


def truth(one: Operator) -> float:
    if one.name == "mm":
        return 2e-6 + one.flops / 120e9
    far = one.reuse[0][0] > 24
    return 1e-6 + one.bytes_read / (15e9 if far else 90e9 * min(2, -(-one.elementwise_flops // 32768)) / 2)


def traced(name: str, operators: Sequence[Operator], *, calibrates: bool, host_calls: int = 0) -> Case:
    def work(phase: str) -> PhaseWork:
        of_phase = [operator for operator in operators if operator.phase == phase]
        calls = host_calls if phase == "forward" else 0
        return PhaseWork(
            phase, 0, 0, 0, 0, 0, 0, sum(o.count * o.kernel for o in of_phase), 0, host_calls=calls
        )

    nothing = Footprint()
    trace = Trace(
        parameters=0,
        phases=tuple(work(phase) for phase in ("forward", "backward")),
        strata=(),
        footprint=nothing,
        held=nothing,
        peak_phase="forward",
    )
    cost = Cost(bytes_read=1, bytes_written=1, memory_bytes=1)
    suite = "calibration" if calibrates else "train_step"
    return Case(name, suite, name, "float32", {}, cost=cost, trace=trace, calibrates=calibrates)


VIEW = operator("view", ["float32[8]"], ["float32[8]"], kernel=False)
HOST, EACH, EACH_VIEW, BEHIND = 5e-7, 1.5e-6, 2e-6, 4e-6
# Where data pass through between its calls, the framework takes so many times as long.
COLD = 3.0


def whole(operators: Sequence[Operator], host_calls: int, cold: float = 1.0) -> float:
    alone = sum(operator.count * truth(operator) for operator in operators if operator.kernel)
    in_front = [operator for operator in operators if operator.phase != "backward"]
    kernels = sum(one.count for one in in_front if one.kernel)
    views = sum(one.count for one in in_front if not one.kernel)
    behind = sum(operator.count for operator in operators if operator.phase == "backward")
    return alone + cold * (HOST * host_calls + EACH * kernels + EACH_VIEW * views + BEHIND * behind)


def chain(kernels: int, views: int, behind: int, *, touched: int = 10) -> tuple[Operator, ...]:
    return (
        product(8, count=kernels, reuse=((touched, kernels * 768, 0),)),
        product(8, count=behind, phase="backward"),
        msgspec.structs.replace(VIEW, count=views),
    )


def step(scale: int) -> tuple[Operator, ...]:
    return (
        product(40 * scale, count=4),
        product(56 * scale, count=4, phase="backward"),
        addition(3000 * scale**2, count=6),
        msgspec.structs.replace(VIEW, count=10),
    )


def run(*, slower: float = 1.0, calibrating: bool = True, steps: int = 12) -> Run:
    """Products and additions alone, chains of nothing, and steps that take `slower` times the truth."""
    operators: dict[str, tuple[Operator, ...]] = {}
    replays: dict[str, CaseReplay] = {}
    results = []

    def add(
        name: str, ops: tuple[Operator, ...], seconds: float, *, calibrates: bool, calls: int = 0
    ) -> None:
        case = traced(name, ops, calibrates=calibrates, host_calls=calls)
        operators[name] = ops
        results.append(Result(case, made_up.measurement(seconds)))
        if case.several:
            alone = (Replayed(o.name, o.inputs, o.outputs, o.count, truth(o)) for o in ops if o.kernel)
            replays[name] = CaseReplay(name, tuple(alone))

    if calibrating:
        for n in (8, 24, 48, 100, 150, 300, 500, 700):
            add(f"product{n}", (product(n),), truth(product(n)), calibrates=True)
        for n in (300, 5000, 20_000, 100_000, 400_000, 1_500_000, 3_000_000, 6_000_000, 12_000_000):
            add(f"addition{n}", (addition(n),), truth(addition(n)), calibrates=True)
        counts = ((400, 10, 5, 2), (100, 10, 60, 10), (200, 30, 20, 50), (50, 90, 10, 5))
        for touched, cold in ((10, 1.0), (26, COLD)):
            for number, (calls, *of) in enumerate(counts):
                ops = chain(*of, touched=touched)
                name, seconds = f"chain{number}-{touched}", whole(ops, calls, cold)
                add(name, ops, seconds, calibrates=True, calls=calls)
    for scale in range(1, steps + 1):
        add(f"step{scale}", step(scale), slower * whole(step(scale), 100), calibrates=False, calls=100)
    peaks = msgspec.structs.replace(
        made_up.PEAKS,
        levels=(MemoryLevel("L2", 2**21), MemoryLevel("L3", 2**25), MemoryLevel("DRAM", None)),
    )
    header = msgspec.structs.replace(
        made_up.run().header, planned=tuple(r.case.id for r in results), peaks=(peaks,)
    )
    return Run(header, tuple(results), operators=operators, replays=replays)


def test_steps_are_predicted_from_operators_measured_alone() -> None:
    judged = judge(run())
    (validation,) = judged.header.validations
    ways = {way.way: way for way in validation.ways}

    assert ways["cost model"].cases == 12
    assert ways["cost model"].mape < 0.06
    assert abs(ways["cost model"].worst) < 0.2
    assert validation.coverage >= 0.9
    assert {v.answer for v in judged.header.verdicts if v.claim == "time"} == {Answer.HOLDS}


def test_the_framework_is_what_is_left_of_steps_that_compute_nothing() -> None:
    model = calibrated(run())

    assert model is not None
    hot, cold = model.framework
    for one, factor in ((hot, 1.0), (cold, COLD)):
        assert one.host == pytest.approx(factor * HOST, rel=0.02)
        assert one.operator == pytest.approx(factor * EACH, rel=0.05)
        assert one.view == pytest.approx(factor * EACH_VIEW, rel=0.05)
        assert one.backward == pytest.approx(factor * BEHIND, rel=0.02)
    assert hot.touched_bytes < cold.touched_bytes


def test_between_hot_and_cold_the_framework_costs_something_between() -> None:
    made = run()
    model = calibrated(made)
    assert model is not None
    found = []
    for touched in (20, 23, 26):
        ops = chain(20, 20, 20, touched=touched)
        trace = traced("x", ops, calibrates=False, host_calls=100).trace
        found.append(framework_seconds(model.framework, trace, ops))  # type: ignore[arg-type]

    assert found[0] < found[1] < found[2]


def test_the_cache_is_found_where_additions_become_slower() -> None:
    """The actual edge is at 16 MiB, where 32 MiB are reported."""
    model = calibrated(run())

    assert model is not None
    assert (1 << 22) <= model.far_bytes <= (1 << 24)


def test_steps_that_pay_for_something_unknown_fail_and_say_by_how_much() -> None:
    judged = judge(run(slower=3.0))
    failed = [v for v in judged.header.verdicts if v.claim == "time" and v.answer is Answer.FAILS]

    assert len(failed) >= 12
    assert "-6" in failed[0].reason
    assert "does not contain" in failed[0].reason


def test_the_replay_splits_the_error() -> None:
    """Operators alone are right, and the step takes twice as long: it is the sum that is wrong, not the models."""
    (validation,) = judge(run(slower=2.0)).header.validations
    ways = {way.way: way for way in validation.ways}

    assert ways["replay"].bias == pytest.approx(-0.5, abs=0.15)
    assert all(kind.mape < 0.2 for kind in validation.kinds)


def estimate_of(model: CostModel, operators: tuple[Operator, ...]) -> Estimate:
    trace = traced("x", operators, calibrates=False).trace
    assert trace is not None
    return estimate(model, "x", trace, operators)


def test_what_is_larger_than_calibrated_says_so_and_is_wider() -> None:
    made = run()
    model = calibrated(made)
    assert model is not None
    huge, usual = (product(4000, count=2), VIEW), (product(500, count=2), VIEW)
    estimated = [estimate_of(model, ops) for ops in (usual, huge)]

    assert [one.extrapolated for one in estimated] == [(), ("gemm",)]
    assert estimated[1].high / estimated[1].low > estimated[0].high / estimated[0].low


def test_a_kind_that_nothing_calibrates_borrows_a_model_and_says_so() -> None:
    made = run()
    model = calibrated(made)
    assert model is not None
    attention = operator(
        "_flash_attention_forward",
        ["float32[1,1,64,64]"] * 3,
        ["float32[1,1,64,64]"],
        flops=10**6,
        round_spread=10**5,
    )
    estimated = estimate_of(model, (attention,))

    assert estimated.uncalibrated == ("attention",)
    assert estimated.seconds > 0
    assert priced(model, attention)[1] is None


def test_without_calibration_there_is_no_estimate_and_no_verdict() -> None:
    judged = judge(run(calibrating=False))

    assert judged.header.cost_model is None
    assert judged.header.estimates == ()
    assert not [v for v in judged.header.verdicts if v.claim == "time"]


def test_an_earlier_calibration_serves_a_run_that_has_none() -> None:
    model = calibrated(run())
    made = run(calibrating=False)
    header = msgspec.structs.replace(made.header, cost_model=model)

    judged = judge(msgspec.structs.replace(made, header=header))

    assert len(judged.header.estimates) == 12
    assert judged.header.validations[0].coverage >= 0.9


def test_a_run_that_calibrates_in_part_keeps_what_was_known() -> None:
    """`bench calibration -k addition` after a whole calibration: other models and the framework stay."""
    earlier = calibrated(run())
    assert earlier is not None
    earlier = msgspec.structs.replace(earlier, run="earlier")
    made = run()
    header = msgspec.structs.replace(made.header, cost_model=earlier)
    part = tuple(r for r in made.results if not r.case.id.startswith(("product", "chain")))

    model = calibrated(msgspec.structs.replace(made, header=header, results=part))

    assert model is not None
    assert model.model("gemm", "float32") == earlier.model("gemm", "float32")
    assert model.model("elementwise", "float32")
    assert model.framework == earlier.framework
    # Judged again, when the record holds what was found the first time, it is the same.
    again = msgspec.structs.replace(header, cost_model=model)
    assert calibrated(msgspec.structs.replace(made, header=again, results=part)) == model


def test_little_known_operators_excuse_a_step_only_where_they_matter() -> None:
    made = run(slower=4.0)
    strange = operator(
        "_flash_attention_forward", ["float32[1,1,8,8]"] * 3, ["float32[1,1,8,8]"], flops=10, round_spread=10
    )
    operators = {
        case: (*ops, strange) if case.startswith("step") else ops for case, ops in made.operators.items()
    }

    verdicts = judge(msgspec.structs.replace(made, operators=operators)).header.verdicts

    assert [v.answer for v in verdicts if v.claim == "time" and v.subject == "step9"] == [Answer.FAILS]


def test_on_an_accelerator_the_slower_of_host_and_device_sets_the_pace() -> None:
    made = run()
    settings = msgspec.structs.replace(made.header.settings, device="cuda:0")
    header = msgspec.structs.replace(made.header, settings=settings)
    model = calibrated(msgspec.structs.replace(made, header=header))
    assert model is not None
    small = estimate_of(model, (product(8, count=500),))
    large = estimate_of(model, (product(700, count=500),))

    assert small.parts[0].kind == "framework"
    assert small.seconds == small.parts[0].seconds
    assert large.seconds == large.parts[0].seconds != small.seconds


def test_without_elementwise_cases_the_cache_is_what_it_is_told_to_be() -> None:
    made = run()
    only = tuple(r for r in made.results if not r.case.id.startswith("addition"))
    model = calibrated(msgspec.structs.replace(made, results=only))

    assert model is not None
    assert model.far_bytes == 1 << 25


@pytest.mark.parametrize("name", ["mm", "convolution"])
def test_an_operator_on_one_tensor_twice_has_a_kind(name: str) -> None:
    """A trace names each operand once: a @ a."""
    shape = "float32[64,64]" if name == "mm" else "float32[8,8,3,3]"

    assert kind_of(operator(name, [shape], [shape])) == {"mm": "gemm", "convolution": "convolution"}[name]


def test_long_calls_have_their_share_of_what_disturbs_the_machine() -> None:
    """Samples whose mean is a tenth above their median: a call of microseconds dodges that, one of a second cannot."""
    made = run()

    def disturbed(result: Result) -> Result:
        assert result.measurement is not None
        view = result.measurement.view
        processes = tuple(msgspec.structs.replace(p, mean=1.1 * p.median) for p in view.processes)
        outcome = msgspec.structs.replace(
            result.measurement, view=msgspec.structs.replace(view, processes=processes)
        )
        return msgspec.structs.replace(result, outcome=outcome)

    calm = calibrated(made)
    model = calibrated(msgspec.structs.replace(made, results=tuple(map(disturbed, made.results))))
    assert calm is not None
    assert model is not None
    assert model.disturbance == pytest.approx(1.1)
    short, long = (product(40, count=2),), (product(700, count=100),)
    for operators, factor in ((short, 1.0), (long, 1.1)):
        ratio = estimate_of(model, operators).seconds / estimate_of(calm, operators).seconds
        assert ratio == pytest.approx(factor)


def test_few_steps_tell_nothing_of_a_suite() -> None:
    verdicts = judge(run(steps=3)).header.verdicts
    (suite,) = [v for v in verdicts if v.subject == "all of train_step"]

    assert suite.answer is Answer.INCONCLUSIVE
    assert "at least 10 steps" in suite.reason


def test_validation_is_of_what_was_measured_alone() -> None:
    made = run()
    assert validated(made, calibrated(made), ()) == ()  # type: ignore[arg-type]


def test_the_report_shows_laws_steps_and_errors() -> None:
    text = markdown_of(judge(run()))

    for words in (
        "Cost model",
        "| gemm | float32 | 8 |",
        "Estimated time of steps",
        "| train_step | cost model | 12 |",
    ):
        assert words in text
    assert "In addition to its operators a step takes, where it touches" in text
