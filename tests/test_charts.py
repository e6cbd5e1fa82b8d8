"""The charts of reports: held against the schema of Vega-Lite, and their numbers against the record."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec.structs import replace

from harness.compare.comparison import compare_all
from harness.records import PHASES, Cost, FitPoint, Footprint, Reading, Run, SensorSeries
from harness.report.charts import Chart, charts, charts_of_several
from harness.report.charts.style import CONFIG, labels
from harness.report.sources import Source
from tests import made_up, odd_runs

KEPT = ("epyc", "xeon")
DRAWN = (*KEPT, *odd_runs.odd())
# So many marks along a chart of sensors, about.
MANY = 450


def sources(name: str) -> tuple[Source, ...]:
    return (odd_runs.reference(name),) if name in KEPT else odd_runs.odd()[name].sources


@cache
def drawn(name: str) -> dict[str, tuple[Chart, ...]]:
    several = sources(name)
    runs = [source.run for source in several]
    if len(runs) == 1:
        return charts(runs[0], several[0].sensors)
    return charts_of_several(runs, compare_all(runs))


def specs(name: str) -> list[tuple[str, Chart]]:
    return [(section, chart) for section, several in drawn(name).items() for chart in several]


def layers(spec: Any) -> Iterator[dict[str, Any]]:
    """The drawings of a specification that have a mark, with the rows each draws."""
    rows, known = spec.get("data"), spec["datasets"]

    def under(one: Any, inherited: Any) -> Iterator[dict[str, Any]]:
        told = one.get("data", inherited)
        if "mark" in one:
            yield {**one, "rows": known[told["name"]]}
        for inner in one.get("layer", ()):
            yield from under(inner, told)

    return under(spec, rows)


def rows_of(chart: Chart, mark: str) -> list[dict[str, Any]]:
    """What the first marks of a kind show."""
    return next(list(layer["rows"]) for layer in layers(chart.spec) if layer["mark"]["type"] == mark)


def all_rows(chart: Chart) -> list[dict[str, Any]]:
    return [row for rows in chart.spec["datasets"].values() for row in rows]


@cache
def validator() -> Any:
    place = resources.files("altair") / "vegalite" / "v6" / "schema" / "vega-lite-schema.json"
    schema = json.loads(place.read_text(encoding="utf-8"))
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.mark.parametrize("name", DRAWN)
def test_every_chart_is_a_valid_specification(name: str) -> None:
    for section, chart in specs(name):
        trouble = [
            f"{error.json_path}: {error.message[:200]}" for error in validator().iter_errors(chart.spec)
        ]
        assert not trouble, (section, chart.title, trouble)
        assert re.fullmatch(
            r"https://vega\.github\.io/schema/vega-lite/v6[\d.]*\.json", chart.spec["$schema"]
        )
        assert chart.spec["width"] == "container"
        assert chart.spec["height"] > 0
        assert chart.spec["description"] == f"{chart.title}. {chart.words}"


def test_a_wrong_specification_is_found_wrong() -> None:
    good = drawn("everything")["roofline"][0].spec

    for change in ({"mark": "dott"}, {"width": "all"}, {"encoding": {"x": {"type": "number"}}}):
        assert list(validator().iter_errors({**good, **change}))


@pytest.mark.parametrize("name", DRAWN)
def test_every_number_of_a_chart_is_finite(name: str) -> None:
    for _, chart in specs(name):
        json.dumps(chart.spec, allow_nan=False)


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_drawn_is_in_the_rows(name: str) -> None:
    """A field that no row has draws nothing, and says nothing about it."""
    for section, chart in specs(name):
        for layer in layers(chart.spec):
            for channel, one in _channels(layer["encoding"]):
                known = {field for row in layer["rows"] for field in row}
                assert not layer["rows"] or one in known, (section, chart.title, channel, one)


def _channels(encoding: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for channel, told in encoding.items():
        for one in told if isinstance(told, list) else [told]:
            if "field" in one:
                yield channel, one["field"]


@pytest.mark.parametrize("name", DRAWN)
def test_a_logarithmic_axis_holds_all_it_shows(name: str) -> None:
    for section, chart in specs(name):
        for layer in layers(chart.spec):
            for channel, told in layer["encoding"].items():
                logarithmic = isinstance(told, dict) and told.get("scale", {}).get("type") == "log"
                if logarithmic and not layer["mark"].get("clip"):
                    shown = [row[told["field"]] for row in layer["rows"] if row[told["field"]] is not None]
                    low, high = told["scale"].get("domain", (0.0, float("inf")))
                    assert all(low <= one <= high for one in shown), (section, chart.title, channel)
                    assert all(one > 0.0 for one in shown)


@pytest.mark.parametrize("name", DRAWN)
def test_no_colour_is_a_literal_where_the_theme_decides(name: str) -> None:
    found = {
        (section, colour)
        for section, chart in specs(name)
        for colour in colours(
            {key: part for key, part in chart.spec.items() if key not in {"datasets", "resolve"}}
        )
        if not re.fullmatch(r"var\(--[\w-]+\)|transparent", colour)
    }

    # On the cells of the heat map, whose colours are its own, text is black or white in any theme.
    assert found <= {("shapes", "#111111"), ("shapes", "#ffffff")}
    assert {colour for colour in colours(CONFIG) if not colour.startswith("var(--")} == {"transparent"}


def test_colours_are_looked_for_where_they_stand() -> None:
    spec = {
        "mark": {"type": "bar", "color": "red"},
        "encoding": {
            "color": {"condition": {"test": "x", "value": "blue"}, "value": "#123456"},
            "fill": {"scale": {"range": ["green", "rgb(1, 2, 3)"]}},
        },
    }

    assert set(colours(spec)) == {"red", "blue", "#123456", "green", "rgb(1, 2, 3)"}


# What stands beside the colours of a channel; the scheme of the heat map is one that colour-blind readers tell apart.
_NO_COLOURS = {"domain", "test", "field", "type", "sort", "title", "format", "axis", "legend", "scheme"}


def colours(part: Any, *, coloured: bool = False) -> Iterator[str]:
    """Every text that stands for a colour."""
    if isinstance(part, dict):
        for key, inner in part.items():
            if key in _NO_COLOURS and coloured:
                continue
            names = ("color", "fill", "stroke", "background", "category")
            about = coloured or any(key == name or key.endswith(name.title()) for name in names)
            yield from colours(inner, coloured=about)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from colours(inner, coloured=coloured)
    elif isinstance(part, str) and (coloured or re.match(r"#[0-9a-fA-F]{3,8}$|(rgb|hsl)a?\(", part)):
        yield part


@pytest.mark.parametrize("name", DRAWN)
def test_every_row_has_a_label_of_its_own(name: str) -> None:
    """A row for each case: two under one label would be drawn over each other."""
    for section, chart in specs(name):
        for layer in layers(chart.spec):
            y, rows = layer["encoding"].get("y", {}), layer["rows"]
            if y.get("type") == "nominal" and y.get("sort"):
                assert len(y["sort"]) == len(set(y["sort"])), (section, chart.title)
                assert {row[y["field"]] for row in rows} <= set(y["sort"]), (section, chart.title)
        if section in {"memory", "steps"}:
            for field in ("step",):
                cases = {row[field]: row["case"] for row in all_rows(chart)}
                assert len(set(cases.values())) == len({row["case"] for row in all_rows(chart)})


def test_labels_stay_apart_whatever_the_names_are() -> None:
    long = "x" * 3000
    for ids in (
        [f"{long}-a-{long}", f"{long}-b-{long}"],
        ["a\nb", "a b"],
        ["train-mlp-float32", "train-mlp", "train-mlp float32"],
        ["a", "a-b", "a-b-c"],
    ):
        told = labels(ids)
        assert len(set(told.values())) == len(ids), ids


@pytest.mark.parametrize(
    ("name", "section"), [("three runs", "short"), ("epyc", "optimizations"), ("epyc", "roofline")]
)
def test_ratios_have_no_prefix(name: str, section: str) -> None:
    """Half as fast is 0.5 x, not 500m x."""
    axes = [
        told["axis"]["labelExpr"]
        for layer in layers(drawn(name)[section][0].spec)
        if "labelExpr" in ((told := layer["encoding"].get("x", {})).get("axis") or {})
    ]

    assert axes
    assert all("~r" in axis for axis in axes)


@pytest.mark.parametrize("name", DRAWN)
def test_the_page_says_how_long_a_label_may_be(name: str) -> None:
    """It knows its width: a limit of the chart's own would fill a narrow one with labels."""
    for section, chart in specs(name):
        for layer in layers(chart.spec):
            for told in layer["encoding"].values():
                axis = (told.get("axis") or {}) if isinstance(told, dict) else {}
                assert section == "shapes" or "labelLimit" not in axis, chart.title


# The numbers, against the record.


@pytest.mark.parametrize("name", [*KEPT, "everything", "many", "one case", "no bytes"])
def test_the_roofline_has_every_case_that_does_flops_once(name: str) -> None:
    run = sources(name)[0].run
    wanted = {
        result.case.id: result
        for result in run.measured
        if result.case.cost is not None
        and result.case.cost.flops + result.case.cost.elementwise_flops
        and result.case.cost.bytes_read + result.case.cost.bytes_written
        and not result.case.calibrates
        and result.case.threads in {None, run.header.settings.threads}
    }
    points = rows_of(drawn(name)["roofline"][0], "point") if wanted else []

    assert Counter(point["case"] for point in points) == Counter(list(wanted))
    for point in points:
        one = wanted[point["case"]]
        cost, measurement = one.case.cost, one.measurement
        assert cost is not None
        assert measurement is not None
        flops = cost.flops + cost.elementwise_flops
        assert point["intensity"] == pytest.approx(flops / (cost.bytes_read + cost.bytes_written), rel=1e-12)
        assert point["rate"] == pytest.approx(flops / measurement.median, rel=1e-12)
        assert point["suite"] == one.case.suite
        assert point["dtype"] == (one.case.dtype or "none")


def test_a_point_of_the_roofline_by_hand() -> None:
    points = rows_of(drawn("one case")["roofline"][0], "point")

    # 2 * 64^3 FLOPs over 12 * 64^2 bytes; 2 us and those FLOPs at 150 GFLOP/s.
    assert points[0]["intensity"] == pytest.approx(524_288 / 49_152)
    assert points[0]["rate"] == pytest.approx(524_288 / (2e-6 + 524_288 / 150e9))


def test_roofs_are_the_best_that_code_reached() -> None:
    lines = rows_of(drawn("one case")["roofline"][0], "line")
    roofs = {line["roof"]: [one for one in lines if one["roof"] == line["roof"]] for line in lines}

    assert set(roofs) == {"float32 measured", "L2 measured", "DRAM measured"}
    assert {roof["rate"] for roof in roofs["float32 measured"]} == {190e9}  # the micro-kernel, not the clock
    for level, rate in (("L2", 100e9), ("DRAM", 20e9)):
        for roof in roofs[f"{level} measured"]:
            assert roof["rate"] / roof["intensity"] == pytest.approx(rate)


@pytest.mark.parametrize("name", [*KEPT, "everything"])
def test_no_point_lies_far_above_all_roofs(name: str) -> None:
    """A reader would take it for an error; elementwise FLOPs and caches explain no more than this."""
    run = sources(name)[0].run
    top = max(one.flops_per_second for one in run.peaks.compute)

    assert all(point["rate"] < 1.5 * top for point in rows_of(drawn(name)["roofline"][0], "point"))


@pytest.mark.parametrize("name", [*KEPT, "everything", "one case"])
def test_the_bars_of_a_hierarchy_are_its_peak_levels(name: str) -> None:
    run = sources(name)[0].run
    kinds = {(one.dtype, one.threads) for one in run.peaks.compute}
    hierarchies = {
        f"{dtype}, {threads} thread{'' if threads == 1 else 's'}": run.hierarchy(dtype, threads)
        for dtype, threads in kinds
    }
    told = {chart.title: rows_of(chart, "bar") for chart in drawn(name)["peaks"]}

    assert set(hierarchies) <= set(told)
    for title, hierarchy in hierarchies.items():
        assert [(row["peak_level"], row["rate"], row["by"]) for row in told[title]] == [
            (one.peak_level, one.flops_per_second, one.method) for one in hierarchy
        ]


@pytest.mark.parametrize("name", [*KEPT, "everything"])
def test_the_bars_of_bandwidths_are_those_of_the_run_s_own_threads(name: str) -> None:
    run = sources(name)[0].run
    chart = next(one for one in drawn(name)["peaks"] if one.title.startswith("Bandwidth"))
    wanted = Counter(
        (one.level, one.peak_level.value, one.bytes_per_second)
        for one in run.peaks.bandwidth
        if one.threads == run.header.settings.threads
    )

    assert Counter((row["level"], row["peak_level"], row["rate"]) for row in rows_of(chart, "bar")) == wanted


@pytest.mark.parametrize("name", [*KEPT, "everything", "many"])
def test_curves_are_the_fits(name: str) -> None:
    run = sources(name)[0].run
    fits = [fit for fit in run.header.fits if len(fit.points) > 1]
    curves = drawn(name).get("scaling", ())

    assert [chart.title for chart in curves] == [fit.series for fit in fits]
    for chart, fit in zip(curves, fits, strict=True):
        rows = rows_of(chart, "point")
        names = ("size", "measured", "fitted", "low", "high", "flagged")
        assert [tuple(row[name] for name in names) for row in rows] == [
            tuple(getattr(point, name) for name in names) for point in fit.points
        ]
        for row in rows:
            if row["low"] is not None:
                assert row["low"] <= row["fitted"] <= row["high"]


def test_a_model_without_an_interval_is_a_line_alone() -> None:
    run = sources("everything")[0].run
    fit = run.header.fits[-1]
    bare = replace(fit, points=tuple(FitPoint(p.size, p.work, p.measured, p.fitted) for p in fit.points))
    chart = charts(odd_runs.in_header(run, fits=(bare,)))["scaling"][0]

    assert [layer["mark"]["type"] for layer in layers(chart.spec)] == ["line", "point"]


@pytest.mark.parametrize("name", ["epyc", "everything"])
def test_the_parts_of_a_footprint_add_up_to_it(name: str) -> None:
    run = sources(name)[0].run
    by_id = {result.case.id: result for result in run.measured}
    chart = drawn(name)["memory"][0]
    parts, peaks = rows_of(chart, "bar"), rows_of(chart, "tick")
    sums: Counter[str] = Counter()
    for part in parts:
        sums[part["case"]] += part["bytes"]

    assert sums
    for case, total in sums.items():
        trace = by_id[case].case.trace
        assert trace is not None
        assert total == trace.footprint.total
    assert {part["category"] for part in parts} <= set(Footprint.__struct_fields__)
    measured = {case: m.peak_memory_bytes for case in sums if (m := by_id[case].measurement)}
    assert {peak["case"]: peak["bytes"] for peak in peaks} == measured


@pytest.mark.parametrize("name", ["epyc", "everything"])
def test_the_phases_of_a_step_are_the_whole_of_it(name: str) -> None:
    run = sources(name)[0].run
    by_id = {result.case.id: result for result in run.measured}
    fractions: dict[str, dict[str, float]] = {}
    for row in rows_of(drawn(name)["steps"][0], "bar"):
        fractions.setdefault(row["case"], {})[row["phase"]] = row["fraction"]

    assert fractions
    for case, told in fractions.items():
        measurement = by_id[case].measurement
        assert measurement is not None
        assert sum(told.values()) == pytest.approx(1.0)
        assert list(told) == [phase for phase in PHASES if phase in measurement.phase_seconds]
        whole = sum(measurement.phase_seconds.values())
        assert told == pytest.approx({one: s / whole for one, s in measurement.phase_seconds.items()})


def test_all_optimizations_are_there_the_largest_first() -> None:
    for name in ("epyc", "everything"):
        optimizations = sources(name)[0].run.header.optimizations
        rows = rows_of(drawn(name)["optimizations"][0], "point")
        told = [(row["optimization"], row["case"], row["speedup"], row["low"], row["high"]) for row in rows]

        assert len(optimizations) == len(rows)
        assert told == sorted(
            (
                (
                    optimization.optimization,
                    optimization.base,
                    optimization.speedup,
                    optimization.low,
                    optimization.high,
                )
                for optimization in optimizations
            ),
            key=lambda one: -one[2],
        )


def test_what_is_cut_says_so() -> None:
    source = sources("everything")[0]
    steps = tuple(odd_runs.step(f"train-made-n{n}", n) for n in range(1, 101))
    optimization = source.run.header.optimizations[0]
    optimizations = tuple(replace(optimization, base=f"base-{n}", speedup=1.0 + n / 100) for n in range(100))
    run = odd_runs.in_header(made_up.run(steps), optimizations=optimizations)

    found = charts(run)

    for section in ("memory", "steps", "optimizations"):
        chart = found[section][0]
        assert re.search(r"\b60\b.* of 100\.", chart.words), section
        assert len({row.get("step", row.get("name")) for row in all_rows(chart)} - {None}) == 60


@pytest.mark.parametrize("name", ["epyc", "everything"])
def test_expected_times_are_the_validations(name: str) -> None:
    header = sources(name)[0].run.header
    said = {estimate.case: estimate for estimate in header.estimates}
    scatter, bars = drawn(name)["expected"]
    wanted = Counter(
        (v.suite, one.case, one.measured, one.estimated, said[one.case].low, said[one.case].high)
        for v in header.validations
        for one in v.cases
        if one.case in said
    )
    points = next(layer["rows"] for layer in layers(scatter.spec) if layer["mark"]["type"] == "point")
    names = ("suite", "case", "measured", "expected", "low", "high")

    assert wanted
    assert Counter(tuple(row[name] for name in names) for row in points) == wanted
    assert Counter((row["suite"], row["way"], row["error"]) for row in rows_of(bars, "bar")) == Counter(
        (v.suite, one.way, one.mape) for v in header.validations for one in v.ways
    )


@pytest.mark.parametrize("name", KEPT)
def test_products_by_shape_are_shares_of_their_peak(name: str) -> None:
    run = sources(name)[0].run
    cells = rows_of(drawn(name)["shapes"][0], "rect")
    by_id = {result.case.id: result for result in run.measured}

    assert {cell["case"] for cell in cells} == {
        result.case.id
        for result in run.measured
        if result.case.suite == "matmul" and {"m", "n", "k"} <= set(result.case.sizes)
    }
    assert max(Counter((cell["shape"], cell["dtype"]) for cell in cells).values()) == 1
    for cell in cells:
        one = by_id[cell["case"]]
        best = max(
            c.flops_per_second
            for c in run.peaks.compute
            if (c.dtype, c.threads) == (one.case.dtype, run.header.settings.threads) and c.peak_level.achieved
        )
        assert one.flops_per_second is not None
        assert cell["fraction"] == pytest.approx(one.flops_per_second / best)
        sizes = [int(part) for part in cell["shape"].split(" x ")]
        assert cell["label"].endswith("*") == any(size % 8 for size in sizes if size != 1)


@pytest.mark.parametrize("name", [*KEPT, "everything"])
def test_what_disturbed_each_case_is_in_the_order_of_the_run(name: str) -> None:
    run = sources(name)[0].run
    chart = next(c for c in drawn(name)["sensors"] if c.title == "Samples that waited for a core")

    assert [(row["case"], row["waited"]) for row in rows_of(chart, "tick")] == [
        (result.case.id, pytest.approx(1.0 - m.view.clean_fraction))
        for result in run.measured
        if (m := result.measurement)
    ]


# Sensors of a GPU.

SERIES = (odd_runs.series("first", 3000), odd_runs.series("second", 4321, 3000))
KINDS = {"Clock": "clock_hertz", "Power": "power_watts", "Temperature": "temperature_celsius"}


@cache
def sensor_charts() -> dict[str, Chart]:
    return {chart.title: chart for chart in charts(made_up.run(), SERIES)["sensors"]}


@pytest.mark.parametrize(("title", "field"), KINDS.items())
def test_thousands_of_readings_become_few_marks_without_losing_an_end(title: str, field: str) -> None:
    rows = rows_of(sensor_charts()[title], "rule")
    readings = [one for series in SERIES for one in series.readings]
    values = [getattr(reading, field) for reading in readings]

    assert len(rows) <= MANY
    assert min(row["low"] for row in rows) == min(values)
    assert max(row["high"] for row in rows) == max(values)
    assert all(row["low"] <= row["high"] for row in rows)
    assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
    assert {row["case"] for row in rows} == {"first", "second"}


def test_a_reading_under_throttling_stands_out_and_an_idle_one_does_not() -> None:
    rows = rows_of(sensor_charts()["Power"], "rule")
    throttled = [row for row in rows if row["throttled"]]
    wanted = [
        one for series in SERIES for one in series.readings if "sw_power_cap" in (one.throttle_reasons or ())
    ]

    # They lie far enough apart to fall into marks of their own.
    assert len(wanted) == 15
    assert len(throttled) == 15
    assert {row["reasons"] for row in throttled} == {"sw_power_cap"}
    assert all(
        any(row["low"] <= one.power_watts <= row["high"] for row in throttled if one.power_watts)
        for one in wanted
    )
    marks = next(layer for layer in layers(sensor_charts()["Power"].spec) if layer["mark"]["type"] == "rule")
    colour = marks["encoding"]["color"]
    assert colour["condition"]["test"] == "datum.throttled"
    assert colour["condition"]["value"] != colour["value"]


def test_few_readings_are_shown_one_by_one() -> None:
    few = (odd_runs.series("one", 100),)
    chart = next(chart for chart in charts(made_up.run(), few)["sensors"] if chart.title == "Clock")

    assert [(row["low"], row["high"]) for row in rows_of(chart, "rule")] == [
        (reading.clock_hertz, reading.clock_hertz) for reading in few[0].readings
    ]


def test_a_sensor_that_is_absent_has_no_chart() -> None:
    silent = (SensorSeries("one", (Reading(0.1, power_watts=100.0), Reading(0.2))), SensorSeries("two", ()))

    assert [chart.title for chart in charts(made_up.run(()), silent)["sensors"]] == ["Power"]
    assert len(rows_of(charts(made_up.run(()), silent)["sensors"][0], "rule")) == 1


# What there is nothing of.


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("no results", {"peaks"}),
        ("only failures", {"peaks"}),
        ("only skips", {"peaks"}),
        ("no peaks", {"roofline", "scaling", "sensors"}),
        ("one case", {"peaks", "roofline", "shapes", "sensors"}),
        ("only sensors", {"peaks", "sensors"}),
        (
            "everything",
            {
                "peaks",
                "roofline",
                "shapes",
                "scaling",
                "expected",
                "memory",
                "steps",
                "optimizations",
                "sensors",
            },
        ),
        ("two runs", {"short", "peaks"}),
        ("nothing in common", {"peaks"}),
        ("nothing at all", {"peaks"}),
    ],
)
def test_a_chart_with_nothing_to_show_is_absent(name: str, sections: set[str]) -> None:
    assert set(drawn(name)) == sections
    assert all(all_rows(chart) for _, chart in specs(name))


def test_a_case_that_moves_no_bytes_has_no_place_on_the_roofline() -> None:
    bare = odd_runs.recast(
        made_up.measured_product(64), cost=Cost(bytes_read=0, bytes_written=0, memory_bytes=0, flops=1)
    )

    assert "roofline" not in charts(made_up.run((bare,)))
    assert len(rows_of(charts(made_up.run((bare, *made_up.run().results)))["roofline"][0], "point")) == 6


# Several runs.


def compared() -> tuple[list[Run], dict[str, tuple[Chart, ...]]]:
    return [source.run for source in sources("three runs")], drawn("three runs")


def test_speed_ups_are_those_of_the_comparison() -> None:
    runs, found = compared()
    chart = found["short"][0]
    points, ticks = rows_of(chart, "point"), rows_of(chart, "tick")

    # The cases take 1.0, 1.5 and 0.5 times as long; the first run is the base.
    assert [(row["run"], round(row["speedup"], 6)) for row in points] == [
        ("machine 101", round(1 / 1.5, 6)),
        ("machine 102", 2.0),
    ]
    for row in points:
        assert row["low"] <= row["speedup"] <= row["high"]
    assert Counter((row["run"], row["case"]) for row in ticks) == Counter(
        (f"machine {n}", one.case.id) for n in (101, 102) for one in runs[0].measured
    )


def test_peaks_of_several_runs_stand_under_each_other() -> None:
    _, found = compared()
    told = {chart.title: rows_of(chart, "bar") for chart in found["peaks"]}

    assert set(told) == {"float32", "DRAM bandwidth"}
    assert [(row["run"], row["rate"]) for row in told["float32"]] == [
        (f"machine {n}", 190e9) for n in (100, 101, 102)
    ]
    assert {row["rate"] for row in told["DRAM bandwidth"]} == {20e9}
