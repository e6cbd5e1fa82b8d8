"""Demand curves: exponents that theory knows, points that cannot be, and what is shown of them."""

import io
import json
import math
from dataclasses import replace
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from rich.console import Console

from harness.errors import UsageError
from harness.plan import answer
from harness.plan.devices import device
from harness.plan.options import Question
from harness.plan.sweep import CURVES, deeper, growth, spread, sweep
from harness.plan.work import Lengths, forward
from harness.records.architecture import Architecture, Cache, Core, Layout, Parts, Recipe
from harness.records.plan import Sweep
from harness.report.charts.style import CONFIG, Chart
from harness.report.charts.sweep import charts
from harness.report.html import html
from harness.report.markdown import markdown
from harness.report.sweep import page
from harness.report.terminal import show_page

HIDDEN, INNER, VOCABULARY, HEADS = 1024, 4096, 50_000, 16
OVER = ("size", "tokens", "sequence", "batch", "devices")


def decoder(layers: int = 16, window: int | None = None) -> Architecture:
    width = HIDDEN // HEADS
    square, wide = HIDDEN * HIDDEN, 3 * HIDDEN * INNER
    return Architecture(
        name="made up",
        family="llama",
        parts=(
            Parts("embedding", 1, VOCABULARY * HIDDEN, embedding=True),
            Parts("attention", 4 * layers, square, 2 * square),
            Parts("feed-forward", layers, wide, 2 * wide),
            Parts("norms", 2 * layers + 1, HIDDEN),
            Parts("head", 1, VOCABULARY * HIDDEN, 2 * VOCABULARY * HIDDEN),
        ),
        cores=(Core(layers, HEADS, width, width, causal=True, window=window),),
        caches=(Cache(layers, 2 * HIDDEN, window=window),),
        layers=layers,
        hidden=HIDDEN,
        heads=HEADS,
        kv_heads=HEADS,
        head_width=width,
        intermediate=INNER,
        gated=True,
        vocabulary=VOCABULARY,
        context=4096,
    )


def asked(model: Architecture | None = None, layout: Layout | None = None, batch: int = 8) -> Question:
    return Question(
        model=model or decoder(),
        lengths=Lengths(batch, 2048),
        tokens=1e10,
        dtype="bfloat16",
        recipe=Recipe(),
        layout=layout or Layout(),
        device=device("A100 SXM4 80GB"),
    )


ALIKE = Layout(flash=True)


# The points.


@pytest.mark.parametrize(
    ("over", "first", "last"),
    [
        ("size", 4, 256),
        ("tokens", 10**8, 10**12),
        ("sequence", 256, 16_384),
        ("batch", 8, 512),
        ("devices", 1, 1024),
    ],
)
def test_curves_go_around_the_question(over: str, first: int, last: int) -> None:
    found = sweep(asked(), over)

    values = [point.value for point in found.points]
    assert (values[0], values[-1], len(values)) == (first, last, 9)
    assert values == sorted(set(values))
    steps = [math.log(right / left) for left, right in pairwise(values)]
    assert max(steps) - min(steps) < 0.5  # whole numbers are not quite even
    assert not any(point.reason for point in found.points)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("layout", [Layout(), Layout(devices=16, tensor=2, pipeline=4, zero=1, microbatch=1)])
def test_the_point_of_the_question_is_the_plan(over: str, layout: Layout) -> None:
    question = asked(layout=layout)
    own = {
        "size": 16, "tokens": 10**10, "sequence": 2048, "batch": 8, "devices": layout.devices,
    }[over]  # fmt: skip

    point = sweep(question, over, 2, low=own, high=16 * own).points[0]
    plan = answer.plan(question)

    assert point.value == own
    assert (point.parameters, point.batch) == (plan.parameters.total, plan.batch)
    assert (point.forward, point.forward_per_token) == (plan.flops.forward, plan.flops.forward_per_token)
    assert (point.train_total, point.train_total_dense) == (
        plan.flops.train_total,
        plan.flops.train_total_dense,
    )
    assert (point.memory, point.activations) == (plan.memory.total, plan.memory.activations)
    assert (point.kv_cache, point.mfu) == (plan.kv_cache.total, plan.mfu)
    assert plan.time is not None
    assert (point.seconds, point.low, point.high) == (plan.time.seconds, plan.time.low, plan.time.high)
    assert point.tokens_per_second == plan.time.tokens_per_second


@pytest.mark.parametrize(
    ("over", "curves"),
    [
        ("size", CURVES),
        ("tokens", ("train_total", "train_total_dense", "seconds")),
        ("sequence", CURVES),
        ("batch", ("forward", "memory", "activations", "kv_cache")),
    ],
)
def test_demand_only_grows(over: str, curves: tuple[str, ...]) -> None:
    points = sweep(asked(), over, 30).points

    for curve in curves:
        heights = [getattr(point, curve) for point in points]
        assert all(left < right for left, right in pairwise(heights)), curve


def test_equal_whole_values_are_one_point() -> None:
    assert [point.value for point in sweep(asked(), "size", 50, low=1, high=4).points] == [1, 2, 3, 4]


def test_without_a_device_there_is_no_time() -> None:
    found = sweep(replace(asked(), device=None), "batch")

    assert all(point.seconds is point.low is point.mfu is None for point in found.points)
    assert all(point.memory for point in found.points)
    assert "seconds" not in found.growth


# The exponents.


@pytest.mark.parametrize(
    ("over", "curve", "exponent"),
    [
        ("tokens", "train_total", 1),
        ("tokens", "train_total_dense", 1),
        ("tokens", "seconds", 1),
        ("tokens", "memory", 0),
        ("sequence", "kv_cache", 1),
        ("sequence", "activations", 1),  # attention's probabilities are not stored
        ("batch", "kv_cache", 1),
        ("batch", "activations", 1),
        ("batch", "forward", 1),
        ("batch", "forward_per_token", 0),
        ("batch", "train_total", 0),
        ("devices", "seconds", -1),
    ],
)
def test_exponents_are_those_of_theory(over: str, curve: str, exponent: int) -> None:
    slope = sweep(asked(layout=ALIKE), over).growth[curve]

    assert slope.low == pytest.approx(exponent, abs=1e-9)
    assert slope.high == pytest.approx(exponent, abs=1e-9)


def test_attention_takes_over_where_sequences_are_long() -> None:
    found = sweep(asked(layout=ALIKE), "sequence", 30, low=1, high=10**7).growth

    assert found["forward"].low == pytest.approx(1.0, abs=0.01)
    assert found["forward"].high == pytest.approx(2.0, abs=0.01)
    assert found["forward_per_token"].low == pytest.approx(0.0, abs=0.01)
    assert found["forward_per_token"].high == pytest.approx(1.0, abs=0.01)


def test_a_window_keeps_attention_and_cache_from_growing() -> None:
    found = sweep(asked(decoder(window=256), ALIKE), "sequence", 9, low=10_000, high=10**7).growth

    assert found["forward"].high == pytest.approx(1.0, abs=0.01)
    assert found["kv_cache"].high == 0.0


def test_memory_grows_from_its_states() -> None:
    """Of a small batch they are nearly all there is, of a large one nearly nothing; they stay what they are."""
    question = asked(decoder(), ALIKE, batch=1)
    points = sweep(question, "batch", 11, low=1, high=10_000).points
    need = answer.plan(question).memory
    states = need.parameters + need.gradients + need.optimizer

    each = [(point.memory or 0) - states for point in points]
    assert all(one / point.value == pytest.approx(each[0]) for one, point in zip(each, points, strict=True))
    slope = sweep(question, "batch", 11, low=1, high=10_000).growth["memory"]
    assert slope.low < 0.6
    assert 0.99 < slope.high < 1


# Size.


@pytest.mark.parametrize("layers", [1, 4, 32, 37, 256])
def test_a_deeper_model_is_the_one_a_configuration_would_describe(layers: int) -> None:
    assert deeper(decoder(), layers) == decoder(layers)


def test_twice_the_layers_are_twice_their_parameters() -> None:
    outside = 2 * VOCABULARY * HIDDEN + HIDDEN
    once, twice = decoder().parameters - outside, deeper(decoder(), 32).parameters - outside

    assert twice == 2 * once


def test_shares_of_the_layers_stay_shares() -> None:
    """Windows in every second layer, experts in all but the first."""
    given = decoder()
    core = given.cores[0]
    model = msgspec.structs.replace(
        given,
        parts=(*given.parts, Parts("experts", 15, 800, 200, active=100), Parts("dense", 1, 70, 140)),
        cores=tuple(
            msgspec.structs.replace(core, count=8, window=window) for window in (None, 256)
        ),
        caches=tuple(Cache(8, 2 * HIDDEN, window=window) for window in (None, 256)),
    )  # fmt: skip

    for layers in (2, 5, 16, 31, 48):
        grown = deeper(model, layers)
        counts = {part.component: part.count for part in grown.parts}
        assert (counts["experts"], counts["dense"]) == (layers - 1, 1)
        assert sum(core.count for core in grown.cores) == layers
        assert sum(kept.layers for kept in grown.caches) == layers
    assert [core.count for core in deeper(model, 48).cores] == [24, 24]


def test_parameters_are_what_size_is_measured_by() -> None:
    found = sweep(asked(), "size", 5)

    assert found.variable == "parameters"
    assert [found.place(point) for point in found.points] == [point.parameters for point in found.points]
    assert found.growth["forward_per_token"].high == pytest.approx(1.0, abs=0.05)
    first = sweep(asked(), "size", 2, low=16).points[0]
    assert first.forward == forward(decoder(), Lengths(8, 2048)).flops
    assert any("embedding, head" in text for text in found.assumptions)


# What cannot be.


def test_points_that_cannot_be_say_why_and_end_nothing() -> None:
    found = sweep(asked(layout=Layout(data=8)), "batch", 5, low=4, high=64)

    impossible, *others = found.points
    assert (impossible.value, impossible.reason) == (4, "batch 4: a multiple of data 8 = 8")
    assert impossible.memory is impossible.parameters is None
    assert [point.reason for point in others] == [""] * len(others)
    assert found.growth["forward"].low == pytest.approx(1.0)


def test_layers_are_such_that_stages_divide_them() -> None:
    found = sweep(asked(layout=Layout(pipeline=4)), "size", 9, low=2, high=256)

    assert found.points[0].reason == "pipeline 4: no more stages than layers, 2"
    assert all(not point.reason and point.value % 4 == 0 for point in found.points[1:])


def test_more_devices_are_more_replicas_of_no_smaller_a_batch() -> None:
    layout = Layout(tensor=2, pipeline=2, data=2, microbatch=1, zero=3)
    found = sweep(asked(layout=layout, batch=6), "devices", 9)

    assert (found.points[0].value, found.points[-1].value) == (8, 8192)
    for point in found.points:
        data = point.value // 4
        assert point.batch is not None
        assert point.batch % data == 0
        assert 6 <= point.batch < 6 + data
    odd = sweep(asked(layout=layout, batch=6), "devices", 2, low=3, high=16)
    assert "devices 3" in odd.points[0].reason


def test_where_nothing_can_be_nothing_grows() -> None:
    found = sweep(asked(layout=Layout(tensor=3)), "tokens")

    assert all("tensor 3" in point.reason for point in found.points)
    assert found.growth == growth(found) == {}
    assert charts(found) == ()
    json.dumps(msgspec.to_builtins(found), allow_nan=False)


@pytest.mark.parametrize(
    ("over", "given", "text"),
    [
        ("width", {}, "over 'width': one of size, tokens, sequence, batch, devices"),
        ("a\nb", {}, "over 'a\\nb': one of size"),
        ("batch", {"points": 1}, "points 1: 2 or more"),
        ("batch", {"points": 10**9}, "points 1000000000: 2 or more, up to 10000"),
        ("batch", {"low": 64, "high": 8}, "low 64: below high, 8"),
        ("batch", {"low": 8, "high": 8}, "low 8: below high, 8"),
        ("batch", {"low": 0}, "low 0: a whole number from 1"),
        ("batch", {"low": 1.5}, "low 1.5: a whole number"),
        ("tokens", {"high": math.inf}, "high inf: a whole number"),
        ("tokens", {"low": math.nan}, "low nan: a whole number"),
        ("tokens", {"high": 1e30}, "high 1e+30: a whole number"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(over: str, given: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as error:
        sweep(asked(), over, **given)

    assert str(error.value).startswith(text)
    assert "\n" not in str(error.value)


def test_images_have_no_sequence_and_convolutions_no_layers() -> None:
    image = msgspec.structs.replace(decoder(), tokens=197)
    convolution = msgspec.structs.replace(decoder(), cores=(), caches=())

    for model, over in ((image, "sequence"), (convolution, "sequence"), (convolution, "size")):
        with pytest.raises(UsageError, match=f"^over {over}: .*made up"):
            sweep(asked(model), over)
    assert sweep(asked(image), "tokens").unit == "samples"


def test_spread_keeps_its_ends_and_its_step() -> None:
    for low, high, points, step in ((1, 2, 2, 1), (3, 1000, 7, 8), (8, 9, 100, 8), (1, 10**18, 100, 1)):
        values = spread(low, high, points, step)
        assert (values[0], values[-1]) == (low, high)
        assert list(values) == sorted(set(values))
        assert all(value % step == 0 for value in values[1:-1])


# What is shown.


@cache
def validator() -> Any:
    place = resources.files("altair") / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"
    schema = json.loads(place.read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


@cache
def swept(over: str) -> Sweep:
    return sweep(asked(), over, 5)


def rows(chart: Chart) -> list[dict[str, Any]]:
    return [row for several in chart.spec["datasets"].values() for row in several]


@pytest.mark.parametrize("over", OVER)
def test_charts_are_valid_and_finite(over: str) -> None:
    drawn = charts(swept(over))

    assert [one.title for one in drawn] == [
        "Training FLOPs", "Memory of a device", "Training time", "KV cache",
    ]  # fmt: skip
    for one in drawn:
        trouble = [f"{bad.json_path}: {bad.message[:200]}" for bad in validator().iter_errors(one.spec)]
        assert not trouble, (one.title, trouble)
        assert one.half
        json.dumps({**one.spec, "config": CONFIG}, allow_nan=False)
        axis = one.spec["layer"][0]["encoding"]
        assert axis["x"]["axis"]["values"]
        assert axis["y"]["axis"]["values"], "a flat curve has a tick too"


def test_charts_draw_what_the_sweep_says() -> None:
    found = swept("size")
    flops, _, time, cache_ = charts(found)

    assert {(row["x"], row["y"]) for row in rows(flops) if row["curve"] == "exact"} == {
        (point.parameters, point.train_total) for point in found.points
    }
    for row in rows(time):
        assert row["low"] < row["y"] < row["high"]
    assert [row["y"] for row in rows(cache_)] == [point.kv_cache for point in found.points]


def test_charts_that_would_be_empty_are_none() -> None:
    encoder = msgspec.structs.replace(decoder(), caches=())
    found = sweep(replace(asked(encoder), device=None), "batch")

    assert [chart.title for chart in charts(found)] == ["Training FLOPs", "Memory of a device"]


@pytest.mark.parametrize("over", OVER)
def test_a_sweep_is_told_everywhere(over: str) -> None:
    found = swept(over)
    shown = page(found, answer.plan(asked()))
    console = Console(file=io.StringIO(), width=200)

    show_page(shown, console)

    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert f"made up over {over}" in text
    assert "FLOP" in text
    assert "GiB" in text
    assert "reason" not in text
    assert "| training time |" in markdown(shown) or over == "batch"
    written = html(shown, {"curves": charts(found)})
    assert written.count('class="chart"') == 4
    again = json.loads(json.dumps(msgspec.to_builtins(found), allow_nan=False))
    assert msgspec.convert(again, Sweep) == found


def test_a_plan_with_a_time_says_why_its_sweep_has_none() -> None:
    shown = page(sweep(replace(asked(), device=None), "tokens"), answer.plan(asked()))

    assert "No time over tokens: A100 SXM4 80GB predicts the step" in markdown(shown)


def test_reasons_stand_in_the_table() -> None:
    question = asked(layout=Layout(data=8))
    found = sweep(question, "batch", 5, low=4, high=64)

    table = page(found, answer.plan(question)).sections[0].blocks[0]

    assert "a multiple of data 8" in str(table)
