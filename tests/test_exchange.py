"""Runs in the words of other tools: read back by those tools, or counted by hand."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from harness.errors import UsageError
from harness.exchange import FORMATS, exported, not_in_all, read
from harness.records import Flag, Measurement, Result, Run
from tests import made_up

# The schema that Bencher publishes, by its own words (https://bencher.dev/docs/reference/bencher-metric-format).
NUMBERS = {"value": {"type": "number"}, "lower_value": {"type": "number"}, "upper_value": {"type": "number"}}
METRIC = {"type": "object", "properties": NUMBERS, "required": ["value"], "additionalProperties": False}
BENCHER = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": METRIC}}


def run_at(day: int, *results: Result, commit: str = "a" * 40) -> Run:
    run = made_up.run(results or None)
    environment = run.header.environment
    environment = msgspec.structs.replace(
        environment, code=msgspec.structs.replace(environment.code, commit=commit)
    )
    started = f"2026-01-{day:02}T03:04:05+00:00"
    header = msgspec.structs.replace(run.header, id=f"run-{day}", started_at=started, environment=environment)
    return msgspec.structs.replace(run, header=header)


def with_a_gap() -> Run:
    return made_up.run((made_up.measured_product(64), made_up.SKIPPED, made_up.FAILED))


def measured(run: Run) -> dict[str, Measurement]:
    return {r.case.id: r.measurement for r in run.results if r.measurement is not None}


def told(name: str, run: Run) -> Any:
    return json.loads(exported(name, [run]))


def test_pytest_benchmark_compares_two_exported_runs(tmp_path: Path) -> None:
    """The real tool, on files that nothing but the export made."""
    fast, slow = made_up.measured_product(512), made_up.measured_product(512, rate=75e9)
    for name, result in (("0001_fast", fast), ("0002_slow", slow)):
        (tmp_path / f"{name}.json").write_text(exported("pytest-benchmark", [made_up.run((result,))]))
    csv_file = tmp_path / "out.csv"
    command = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "compare",
        *map(str, sorted(tmp_path.glob("*.json"))),
    ]

    done = subprocess.run(
        [*command, f"--csv={csv_file}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader(io.StringIO(csv_file.read_text())))
    medians = sorted(float(line["median"]) for line in lines)
    assert fast.measurement is not None
    assert slow.measurement is not None
    assert medians == pytest.approx([fast.measurement.median, slow.measurement.median], rel=1e-3)


def test_pytest_benchmarks_statistics_are_those_it_computes_itself() -> None:
    from pytest_benchmark.stats import Stats

    result = made_up.measured_product(128)
    entry = told("pytest-benchmark", made_up.run((result,)))["benchmarks"][0]
    theirs: Any = Stats()  # type: ignore[no-untyped-call]
    assert result.measurement is not None
    for process in result.measurement.view.processes:
        for block in process.block_medians:
            theirs.update(block)

    assert set(theirs.as_dict()) <= set(entry["stats"])
    for field in ("min", "max", "mean", "stddev", "rounds", "median", "ops", "total"):
        assert entry["stats"][field] == pytest.approx(getattr(theirs, field)), field


def test_pytest_benchmark_keeps_case_interval_flags_and_machine() -> None:
    run = made_up.run((made_up.measured_product(64),))
    ((case, measurement),) = measured(run).items()

    content = told("pytest-benchmark", run)

    (entry,) = content["benchmarks"]
    assert entry["fullname"] == entry["name"] == entry["extra_info"]["case"] == case
    assert entry["extra_info"]["interval_seconds"] == pytest.approx(list(measurement.interval or ()))
    assert content["machine_info"]["plumbline"]["fingerprint"] == run.header.environment.fingerprint
    assert content["commit_info"]["id"] == "a" * 40
    assert "node" not in content["machine_info"]


def test_github_action_benchmark_gets_seconds_and_what_speaks_against_them() -> None:
    noisy = Result(case=made_up.product(64), outcome=made_up.measurement(1e-3, spread=0.5))
    run = made_up.run((noisy, made_up.measured_product(128)))

    first, second = told("github-action-benchmark", run)

    assert set(first) == {"name", "unit", "value", "range", "extra"}
    assert (first["name"], first["unit"], first["value"]) == (noisy.case.id, "s", pytest.approx(1e-3))
    assert first["extra"].splitlines()[-1].startswith(f"flags: {Flag.NOISY}")
    assert "flags" not in second["extra"]
    assert second["range"].startswith("± ")


def test_bencher_gets_nanoseconds_calls_and_bytes() -> None:
    """A product of n = 64 takes 2 µs + 2 x 64^3 / 150e9 s, and 3 x 64^2 floats."""
    run = made_up.run((made_up.measured_product(64),))
    nanoseconds = 2000 + 2 * 64**3 / 150

    content = told("bencher", run)

    jsonschema.validate(content, BENCHER)
    ((_, metrics),) = content.items()
    assert metrics["latency"]["value"] == pytest.approx(nanoseconds)
    assert metrics["throughput"]["value"] == pytest.approx(1e9 / nanoseconds)
    assert metrics["peak-memory"] == {"value": 3 * 4 * 64**2}
    for one in (metrics["latency"], metrics["throughput"]):
        assert one["lower_value"] < one["value"] < one["upper_value"]


def test_one_process_has_no_interval_anywhere() -> None:
    measurement = made_up.measurement(1e-3)
    view = msgspec.structs.replace(measurement.view, processes=measurement.view.processes[:1])
    run = made_up.run((Result(made_up.product(64), msgspec.structs.replace(measurement, view=view)),))

    assert set(told("bencher", run)[made_up.product(64).id]["latency"]) == {"value"}
    assert told("github-action-benchmark", run)[0]["range"] == ""


def lines_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_otava_gets_a_line_a_run_by_time_and_a_column_a_case() -> None:
    runs = [
        run_at(2, made_up.measured_product(64), made_up.measured_product(128), commit="b" * 40),
        run_at(1, made_up.measured_product(64, rate=100e9), made_up.measured_product(256)),
    ]

    text = exported("otava", runs)

    case = made_up.product(64).id
    seconds = [measured(run)[case].median for run in reversed(runs)]
    assert lines_of(text) == [
        ["time", "commit", case],
        ["2026-01-01T03:04:05+00:00", "a" * 40, repr(seconds[0])],
        ["2026-01-02T03:04:05+00:00", "b" * 40, repr(seconds[1])],
    ]
    assert set(not_in_all(runs)) == {made_up.product(128).id, made_up.product(256).id}


@pytest.mark.parametrize("name", FORMATS)
def test_only_cases_with_a_measurement_are_told(name: str) -> None:
    run = with_a_gap()

    text = exported(name, [run])

    for result in run.results:
        assert (result.case.id in text) == (result.measurement is not None)
    assert text.endswith("\n")
    assert text == exported(name, [run])


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "otava"])
@pytest.mark.parametrize("count", [2, 3])
def test_several_runs_where_one_fits_are_one_clear_line(name: str, count: int) -> None:
    with pytest.raises(UsageError, match=rf"{name} takes one run, not {count}: only otava"):
        exported(name, [made_up.run()] * count)


@pytest.mark.parametrize(
    ("name", "runs", "words"),
    [
        (
            "junit",
            [made_up.run()],
            "unknown format 'junit': one of pytest-benchmark, github-action-benchmark",
        ),
        ("bencher", [made_up.run((made_up.FAILED,))], "nothing to export as bencher"),
        ("bencher", [], "nothing to export as bencher"),
        (
            "otava",
            [made_up.run((made_up.measured_product(n),)) for n in (64, 128)],
            "no case was measured in all 2 runs",
        ),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(name: str, runs: Sequence[Run], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        exported(name, runs)

    assert "\n" not in str(error.value)


def test_what_goes_out_comes_back(tmp_path: Path) -> None:
    run = made_up.run()
    path = tmp_path / "run.json"
    path.write_text(exported("pytest-benchmark", [run]))

    rows = {row.case: row for row in read(path).rows}

    assert set(rows) == set(measured(run))
    for case, measurement in measured(run).items():
        row = rows[case]
        assert row.median_seconds == pytest.approx(measurement.median)
        assert (row.low_seconds, row.high_seconds) == pytest.approx(measurement.interval)
        assert row.peak_memory_bytes == measurement.peak_memory_bytes
        assert (row.machine, row.device, row.threads, row.torch) == ("Made-up CPU", "cpu", 2, "2.13.0")
        assert row.fingerprint == run.header.environment.fingerprint
        assert row.sizes == {"m": row.sizes["m"], "n": row.sizes["m"], "k": row.sizes["m"]}
        assert (row.suite, row.family, row.dtype) == ("matmul", "matmul", "float32")
