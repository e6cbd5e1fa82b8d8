"""Series over stored runs, from the command line: made-up nights on made-up machines."""

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store
from harness.history.table import ANOTHER, histories
from harness.records import Environment, Result, Run
from harness.records.history import ChangeState
from harness.store.table import Row
from tests import made_up
from tests.conftest import decoded

Plumbline = Callable[..., tuple[int, str, str]]
NAME = "matmul-float32-m512-n512-k512"
FIRST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def environment(host: str = "0" * 16, torch: str = "2.13.0", commit: str = "a" * 40) -> Environment:
    here = made_up.environment(host=host)
    return msgspec.structs.replace(
        here,
        code=msgspec.structs.replace(here.code, commit=commit),
        software=msgspec.structs.replace(
            here.software, torch=msgspec.structs.replace(here.software.torch, version=torch)
        ),
    )


def slower(factor: float, n: int = 512) -> Result:
    result = made_up.measured_product(n)
    assert result.measurement is not None
    return msgspec.structs.replace(result, outcome=made_up.measurement(factor * result.measurement.median))


def night(number: int, factor: float, folder: Path, host: str = "0" * 16, **changes: Any) -> Run:
    """A finished run of one case, some nights after the first; put into a results folder."""
    results = (slower(factor),)
    time = FIRST + timedelta(days=number)
    run_id = f"{time:%Y%m%dT%H%M%SZ}-{number:08x}-{host[-4:]}{number:06x}"
    commit = f"{number:040x}"
    header = made_up.header(
        (results[0].case.id,),
        id=run_id,
        started_at=time.isoformat(),
        finished_at=time.isoformat(),
        environment=environment(host=host, commit=commit, **changes),
    )
    writer = store.Writer.create(folder, header)
    for result in results:
        writer.append(result)
    writer.close()
    return Run(header, results)


# What a quiet machine reads from night to night: within half a percent.
WOBBLE = (0.0, 0.002, -0.003, 0.004, -0.001, 0.003, -0.004, 0.001)


def nights(folder: Path, levels: Sequence[float], **changes: Any) -> None:
    for number, level in enumerate(levels):
        night(number, level * (1 + WOBBLE[number % len(WOBBLE)]), folder, **changes)


STEP = [1.0] * 20 + [1.10] * 10


def test_a_step_over_runs_is_found_with_its_commit(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", STEP)
    status, output, _ = plumbline("history", NAME, "--json")
    assert status == 0
    (series,) = decoded(output)["series"]
    assert len(series["points"]) == 30
    (step,) = series["change_points"]
    assert (step["index"], step["state"]) == (20, "confirmed")
    assert step["ratio"] == pytest.approx(1.10, abs=0.01)
    assert step["build"] == f"{20:040x}"
    assert 20 < step["confirmed_at"] <= 26
    status, output, _ = plumbline("history", NAME)
    assert "Plumbline: history of matmul-float32-m512-n512-k512" in output
    assert "changes by +1" in output
    assert "confirmed at point" in output


def test_a_new_torch_splits_the_series_and_is_named(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", STEP[:20])
    for number in range(20, 30):
        night(number, 1.10, tmp_path / "results", torch="2.14.0")
    status, output, _ = plumbline("history", NAME, "--json")
    assert status == 0
    (series,) = decoded(output)["series"]
    assert series["change_points"] == []
    assert series["boundaries"] == [{"index": 20, "changes": ["torch 2.13.0 to 2.14.0"]}]
    _, output, _ = plumbline("history", NAME)
    assert "torch 2.13.0 to 2.14.0" in output


def test_a_data_set_and_run_folders_tell_the_same(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", STEP)
    _, before, _ = plumbline("history", NAME, "--json")
    status, output, _ = plumbline("compact")
    assert status == 0
    assert "30 runs added (30 rows), 0 known before, 0 incomplete" in output
    assert "0 runs added (0 rows), 30 known before" in plumbline("compact")[1]
    _, beside, _ = plumbline("history", NAME, "--json")
    _, alone, _ = plumbline("history", NAME, "--store", "results/history", "--json")
    assert decoded(before) == decoded(beside) == decoded(alone)
    _, shown, _ = plumbline("history", "--store", "results/history")
    assert "30 points on Made-up CPU, 2 threads, host 00000000" in shown


def test_all_cases_are_listed_with_what_changed(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", STEP)
    for number in range(30):
        night(number, 1.0, tmp_path / "results", host="1" * 16)
    status, output, _ = plumbline("history")
    assert status == 0
    assert "2 series of 1 case on 2 hosts; 1 with change points" in output
    assert "confirmed" in output


def test_the_code_or_one_machine(plumbline: Plumbline, tmp_path: Path) -> None:
    hosts = [f"{number:016x}" for number in range(1, 7)]
    for host in hosts:
        nights(tmp_path / "code", STEP, host=host)
        nights(tmp_path / "one", STEP if host == hosts[2] else [1.0] * 30, host=host)
    _, output, _ = plumbline("history", NAME, "--fleet", "--results", "code", "--json")
    (change,) = decoded(output)["fleet"][0]["changes"]
    assert (change["points_at"], change["of"], change["build"]) == ("code", 6, f"{20:040x}")
    _, output, _ = plumbline("history", NAME, "--fleet", "--results", "one", "--json")
    (change,) = decoded(output)["fleet"][0]["changes"]
    assert (change["points_at"], change["hosts"]) == ("hardware", [hosts[2]])
    _, output, _ = plumbline("history", NAME, "--fleet", "--results", "one")
    assert "hardware" in output


def rows(values: Sequence[float | None]) -> list[Row]:
    return [
        Row(
            run=f"r{number:03}",
            started_at=(FIRST + timedelta(days=number)).isoformat(),
            case="a",
            series="s",
            outcome="measurement" if value else "failed",
            median_seconds=value,
        )
        for number, value in enumerate(values)
    ]


def test_few_points_constant_ones_and_missing_ones_are_no_trouble() -> None:
    assert histories(rows([])) == ()
    (one,) = histories(rows([1.0]))
    assert (len(one.points), one.change_points) == (1, ())
    (constant,) = histories(rows([1.0] * 40))
    assert constant.change_points == ()
    (stepped,) = histories(rows([1.0] * 20 + [1.2] * 10))
    assert [(step.index, step.state) for step in stepped.change_points] == [(20, ChangeState.CONFIRMED)]
    (holes,) = histories(rows([1.0, None, 1.0, None, 1.0]))
    assert len(holes.points) == 3
    assert holes.notes[0] == "2 runs have no such measurement"
    assert holes.notes[1].startswith("inconclusive: 3 points on one stack at most")
    (none,) = histories(rows([None, None]))
    assert none.points == ()


def test_runs_whose_clock_went_backwards_are_in_the_order_of_their_times() -> None:
    backwards = list(reversed(rows([1.0, 2.0, 3.0])))
    (one,) = histories(backwards)
    assert [point.value for point in one.points] == [1.0, 2.0, 3.0]


def test_a_renamed_case_and_one_whose_code_changed_are_series_of_their_own() -> None:
    found = rows([1.0, 1.0])
    other = [msgspec.structs.replace(row, series="t") for row in rows([1.0])]
    renamed = [msgspec.structs.replace(row, case="b") for row in rows([1.0])]
    assert [(history.name, len(history.points)) for history in histories([*found, *other, *renamed])] == [
        ("a", 2),
        ("a", 1),
        ("b", 1),
    ]
    changed = [history for history in histories([*found, *other, *renamed]) if ANOTHER in history.notes]
    assert [one.name for one in changed] == ["a", "a"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["history"], "no run in results: `plumbline bench` makes one"),
        (["history", "--store", "nowhere"], "no data set in nowhere"),
        (["history", "--csv", "nothing.csv"], "nothing.csv"),
        (["history", "a", "--csv", "nothing.csv"], "--csv takes no CASE"),
        (["compact"], "results"),
        (["import", "nothing"], "nothing"),
        (["export", "latest", "--format", "otava"], "no run in results"),
        (["export", "latest", "--format", "excel"], "'excel' is not one of"),
    ],
)
def test_bad_input_gets_one_line(plumbline: Plumbline, arguments: list[str], reason: str) -> None:
    status, output, errors = plumbline(*arguments)
    assert status == 2
    assert reason in errors
    assert output == ""
    assert "Traceback" not in errors


def test_a_case_or_a_metric_that_is_not_there_is_said(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", [1.0, 1.0])
    status, _, errors = plumbline("history", "no-such-case")
    assert (status, "no series of a case 'no-such-case'" in errors) == (2, True)
    status, _, errors = plumbline("history", NAME, "--metric", "speed")
    assert (status, "no metric 'speed': one of median_seconds" in errors) == (2, True)
    status, output, _ = plumbline("history", NAME, "--metric", "flops", "--json")
    assert status == 0
    assert decoded(output)["series"][0]["points"][0]["value"] == 2 * 512**3


def test_a_corrupt_file_is_named_and_the_rest_is_shown(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", STEP)
    plumbline("compact", "--to", "kept")
    (folder,) = {path.parent for path in (tmp_path / "kept").glob("**/*.parquet")}
    (folder / "broken.parquet").write_bytes(b"PAR1 this is none")
    status, output, errors = plumbline("history", NAME, "--store", "kept", "--json")
    assert status == 0
    assert len(decoded(output)["series"][0]["points"]) == 30
    assert "broken.parquet" in errors
    assert "Traceback" not in errors


def test_what_other_tools_measured_is_taken_in_once(plumbline: Plumbline, tmp_path: Path) -> None:
    times = [(FIRST + timedelta(days=number)).isoformat() for number in range(24)]
    for number, time in enumerate(times):
        seconds = 1e-3 * (1.2 if number >= 12 else 1.0) * (1 + WOBBLE[number % len(WOBBLE)])
        stats: dict[str, float] = dict.fromkeys(("min", "max", "mean", "median", "q1", "q3"), seconds)
        stats |= {"stddev": 0.0, "iqr": 0.0, "rounds": 5, "iterations": 1}
        content = {
            "machine_info": {"cpu": {"brand_raw": "Old CPU"}},
            "commit_info": {"id": f"{number:040x}", "branch": "main", "dirty": False},
            "datetime": time,
            "version": "5.3.1",
            "benchmarks": [{"name": "test_it", "fullname": "test_a.py::test_it", "stats": stats}],
        }
        (tmp_path / f"{number:04}.json").write_text(json.dumps(content))
    for known in (False, True):
        for number in range(24):
            status, output, errors = plumbline("import", f"{number:04}.json")
            assert status == 0, errors
            assert ("1 runs added" in output) is not known
    status, output, _ = plumbline("history", "--store", "results/history")
    assert "24 points on Old CPU" in output
    status, output, errors = plumbline(
        "history", "test_a.py::test_it", "--store", "results/history", "--json"
    )
    assert status == 0, errors
    (series,) = decoded(output)["series"]
    assert [(step["index"], step["state"]) for step in series["change_points"]] == [(12, "confirmed")]


@pytest.mark.parametrize("form", ["pytest-benchmark", "github-action-benchmark", "bencher"])
def test_a_run_is_exported_for_other_tools(plumbline: Plumbline, tmp_path: Path, form: str) -> None:
    nights(tmp_path / "results", [1.0])
    status, output, _ = plumbline("export", "latest", "--format", form)
    assert status == 0
    assert NAME in output
    decoded(output)
    status, output, _ = plumbline("export", "latest", "--format", form, "-o", "out.json")
    assert (status, output) == (0, "")
    assert NAME in Path("out.json").read_text()


def test_runs_are_exported_for_otava_a_line_each(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", [1.0, 1.1])
    names = sorted(path.name for path in (tmp_path / "results").iterdir())
    status, output, _ = plumbline("export", *names, "--format", "otava")
    assert status == 0
    assert len(output.strip().splitlines()) == 3
    assert output.startswith("time,commit,")


def test_more_than_can_be_looked_through_is_listed(
    plumbline: Plumbline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(tmp_path / "results", [1.0] * 12)
    plumbline("compact", "--to", "kept")
    monkeypatch.setattr("harness.cli.history.MOST_POINTS", 10)
    status, output, _ = plumbline("history", "--store", "kept")
    assert status == 0
    assert "1 series, 12 points: name a case to see its change points" in output
    _, output, _ = plumbline("history", "--store", "kept", "--json")
    assert decoded(output)["listed"][0]["points"] == 12


def test_a_data_set_alone_is_a_history_after_the_run_folders_are_gone(
    plumbline: Plumbline, tmp_path: Path
) -> None:
    nights(tmp_path / "results", STEP)
    plumbline("compact")
    for folder in (tmp_path / "results").glob("2026*"):
        shutil.rmtree(folder)
    status, output, _ = plumbline("history", NAME)
    assert status == 0
    assert "confirmed at point" in output


def test_a_host_is_named_by_the_beginning_of_its_id(plumbline: Plumbline, tmp_path: Path) -> None:
    nights(tmp_path / "results", STEP, host="abcdef0123456789")
    nights(tmp_path / "results", STEP, host="1" * 16)
    for store_option in ((), ("--store", "kept")):
        if store_option:
            plumbline("compact", "--to", "kept")
        status, output, _ = plumbline("history", NAME, "--host", "abcdef", "--json", *store_option)
        assert [one["host"] for one in decoded(output)["series"]] == ["abcdef0123456789"]
        status, _, errors = plumbline("history", NAME, "--host", "99", *store_option)
        assert status == 2
        assert f"no series of a case '{NAME}' with --host 99" in errors


def test_what_was_not_committed_has_no_build() -> None:
    dirty = [
        msgspec.structs.replace(row, commit="c", dirty=row.run == "r001") for row in rows([1.0, 1.0, 1.0])
    ]
    (one,) = histories(dirty)
    assert [point.build for point in one.points] == ["c", None, "c"]


def test_options_that_a_table_cannot_heed_are_refused(plumbline: Plumbline, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("value\n1\n2\n")
    for option in (("--host", "a"), ("--since", "2026"), ("--metric", "flops"), ("--fleet",)):
        status, _, errors = plumbline("history", "--csv", "x.csv", *option)
        assert (status, "--csv takes no CASE and no other option but --json" in errors) == (2, True)
    status, output, _ = plumbline("history", "--csv", "x.csv")
    assert status == 0
    assert "no change point was found" not in output
    assert "inconclusive: 2 points on one stack at most" in output


def test_values_at_the_ends_of_what_numbers_can_be_are_no_trouble(
    plumbline: Plumbline, tmp_path: Path
) -> None:
    extremes = ["1e-320"] * 20 + ["1e308"] * 20
    (tmp_path / "x.csv").write_text("\n".join(["value", *extremes]))
    status, output, errors = plumbline("history", "--csv", "x.csv", "--json")
    assert (status, errors) == (0, "")
    assert [step["index"] for step in decoded(output)["change_points"]] == [20]
    assert plumbline("history", "--csv", "x.csv")[0] == 0
    (tmp_path / "y.csv").write_text("value,build\n1.7e308,a\n1.7e308,a\n5e-324,b\n1e-323,c\n")
    assert plumbline("history", "--csv", "y.csv")[0] == 0
