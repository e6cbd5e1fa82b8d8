"""A suite is a pytest module: pytest runs it directly, and the options of pytest-benchmark work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import store
from harness.pytest_plugin.collection import suites_below
from tests.simulated import Simulated

Suite = Callable[..., Path]
# As in this repository: a warning, such as "another machine", is an error.
BARE = (
    "-p",
    "no:cacheprovider",
    "-p",
    "harness.pytest_plugin",
    "--import-mode=importlib",
    "-o",
    "filterwarnings=error",
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where these tests run in processes of pytest-xdist, the sessions in them do not."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


@pytest.fixture
def run(
    machine: Simulated, suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Runs pytest on a simulated suite, in this process."""
    path = suite('[Work("steady", n) for n in (100, 200)] + [Work("missing", 1)]')

    def inner(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(path, *BARE, *arguments)

    return inner


def recorded() -> list[Path]:
    return sorted(Path("results").glob("*"))


def test_a_suite_runs_by_itself(run: Callable[..., pytest.RunResult]) -> None:
    result = run("-k", "steady")

    result.assert_outcomes(passed=2, deselected=1 + 1)
    result.stdout.fnmatch_lines(["*plumbline: recorded in results/*"])
    assert len(store.read(recorded()[0]).results) == 2


def test_what_cannot_be_done_here_is_a_skip(run: Callable[..., pytest.RunResult]) -> None:
    run("-rs").stdout.fnmatch_lines(["*needs a device of tomorrow*"])


def test_benchmark_json_has_the_samples(run: Callable[..., pytest.RunResult], tmp_path: Path) -> None:
    run("--benchmark-json", str(tmp_path / "out.json"))

    content = json.loads((tmp_path / "out.json").read_text())
    assert content["plumbline"]["machine"] == "Made-up CPU"
    assert "plumbline" not in content["machine_info"]  # which pytest-benchmark compares
    entries = content["benchmarks"]
    results = store.read(recorded()[0]).measured
    for entry, result in zip(entries, results, strict=True):
        assert result.measurement is not None
        assert entry["stats"]["median"] == pytest.approx(result.measurement.median, rel=1e-6)
        assert entry["group"] == "work"


def test_benchmark_compare_compares(run: Callable[..., pytest.RunResult]) -> None:
    assert run("--benchmark-save=base").ret == 0

    again = run("--benchmark-compare=0001", "--benchmark-compare-fail=median:5%")

    assert again.ret == 0
    again.stdout.fnmatch_lines(["*NOW*", "*0001_base*"])


def test_benchmark_disable_calls_once_and_records_nothing(
    run: Callable[..., pytest.RunResult], machine: Simulated
) -> None:
    result = run("--benchmark-disable")

    result.assert_outcomes(passed=2, skipped=1, deselected=1)
    assert machine.submitted == 2
    assert recorded() == []


def test_benchmark_disable_skips_what_cannot_be_done_here(
    machine: Simulated, suite: Suite, pytester: pytest.Pytester
) -> None:
    pytester.runpytest_inprocess(suite('[Work("huge", 1)]'), *BARE, "--benchmark-disable").assert_outcomes(
        skipped=1
    )


def test_benchmark_skip_skips(run: Callable[..., pytest.RunResult], machine: Simulated) -> None:
    run("--benchmark-skip").assert_outcomes(skipped=3, deselected=1)
    assert machine.submitted == 0


def test_markers_of_the_suite_are_kept(
    machine: Simulated, suite: Suite, pytester: pytest.Pytester, tmp_path: Path
) -> None:
    path = suite()
    path.write_text(
        path.read_text().replace(
            "@pytest.mark.parametrize", '@pytest.mark.benchmark(group="mine")\n@pytest.mark.parametrize'
        )
    )

    pytester.runpytest_inprocess(path, *BARE, f"--benchmark-json={tmp_path / 'out.json'}")

    entries = json.loads((tmp_path / "out.json").read_text())["benchmarks"]
    assert {entry["group"] for entry in entries} == {"mine"}


def test_a_failing_workload_fails_its_test_without_a_traceback(
    machine: Simulated, suite: Suite, pytester: pytest.Pytester
) -> None:
    result = pytester.runpytest_inprocess(suite('[Work("crash", 1)]'), *BARE)

    result.assert_outcomes(failed=1)  # and no error beside it
    result.stdout.fnmatch_lines(["*RuntimeError: it broke badly*"])
    result.stdout.no_fnmatch_line("*runner.py*")


@pytest.mark.worker
def test_several_processes_at_once_are_refused_loudly(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest-benchmark itself would switch measuring off under xdist, and pass."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    result = pytester.runpytest_subprocess(suite(), *BARE, "-n", "1", "-k", "n100 or n200")

    assert result.ret == 1
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*measuring needs the whole machine: run without -n*"])


def test_a_session_that_measures_nothing_leaves_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")

    result = pytester.runpytest_inprocess(*BARE)

    result.assert_outcomes(passed=1)
    assert recorded() == []
    result.stdout.no_fnmatch_line("*plumbline: recorded*")


def test_what_calibrates_is_spread_between_what_it_is_to_predict(pytester: pytest.Pytester) -> None:
    """So that a machine that changes its pace does so under both: between models, where there are any."""
    pytester.makepyfile(
        """
        from dataclasses import dataclass
        import pytest
        from harness import Cost, Sweep, Workload

        @dataclass(frozen=True)
        class Model(Workload):
            n: int
            def prepare(self, device): ...

        class Known(Model):
            def cost(self):
                return Cost(bytes_read=1, bytes_written=1, memory_bytes=1)

        class Operator(Known):
            calibrates = True

        WORKLOADS = Sweep(quick=[*map(Operator, range(1, 7)), *map(Known, (1, 2)), *map(Model, range(1, 4))])

        @pytest.mark.parametrize("workload", WORKLOADS, ids=str)
        def test_it(workload, bench):
            bench(workload)
        """
    )
    result = pytester.runpytest_subprocess("--collect-only", "-q", "-p", "harness.pytest_plugin")

    order = [line.split("[")[1].split("-")[0] for line in result.outlines if "[" in line]
    assert (
        " ".join(order)
        == "known known operator model operator operator model operator model operator operator"
    )


def test_a_folder_holds_the_suites_that_pytest_would_enter(tmp_path: Path, suite: Suite) -> None:
    for name in ("", "deep/er/", ".hidden/", "build/", "env/"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        suite(name=f"{name}speed.py")
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "helper.py").write_text("from harness import Sweep\nbench = 1\n")
    (tmp_path / "test_other.py").write_text("def test_it(bench): ...\n")
    (tmp_path / "broken.py").write_text("from harness import (bench")
    (tmp_path / "with_alias.py").write_text("import plumbline as pl\ndef test_it(bench): ...\n")
    found = [str(path.relative_to(tmp_path)) for path in suites_below(tmp_path)]
    assert found == ["speed.py", "with_alias.py", "deep/er/speed.py"]
    assert suites_below(tmp_path / "speed.py") == []


def test_bench_measures_a_folder(
    machine: Simulated, suite: Suite, plumbline: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "suites"
    (folder / "deep").mkdir(parents=True)
    suite('[Work("steady", 100)]', name="suites/shallow_suite.py")
    suite('[Work("steady", 200)]', name="suites/deep/deep_suite.py")
    status, _, errors = plumbline("bench", folder)
    assert status == 0, errors
    run = store.read(store.find("latest"))
    assert {(result.case.suite, result.case.id) for result in run.measured} == {
        ("shallow_suite.py", "work-steady-n100"),
        ("deep_suite.py", "work-steady-n200"),
    }
    (tmp_path / "empty").mkdir()
    status, _, errors = plumbline("bench", tmp_path / "empty")
    assert status == 2
    assert "no suite in this folder" in errors
