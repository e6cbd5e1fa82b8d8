"""The whole path from a suite to a report, on a simulated device; and everything that can go wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from harness import store
from harness.cli.app import RESULTS, Profile
from harness.measure import selection
from harness.measure.environment import capture as environment
from harness.measure.pool import WorkerPool
from harness.measure.protocol import MeasurePeaks
from harness.records import Failed, Measurement, Result, Run, Skipped
from harness.workload import PROFILES
from tests import made_up
from tests.conftest import decoded
from tests.simulated import Simulated

Plumbline = Callable[..., tuple[int, str, str]]
Suite = Callable[..., Path]


def latest() -> Run:
    return store.read(store.find("latest"))


def one_line(errors: str) -> str:
    assert errors.startswith("plumbline: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    return errors


def test_a_suite_is_measured_recorded_judged_and_reported(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    status, output, errors = plumbline("bench", suite())

    run = latest()
    assert (status, errors) == (0, "")
    assert run.complete
    assert [r.case.id for r in run.results] == ["work-steady-n100", "work-steady-n200", "work-steady-n400"]
    assert [r.measurement.median for r in run.results if r.measurement] == pytest.approx(
        [1e-4, 2e-4, 4e-4], rel=1e-2
    )
    assert len(run.header.peaks) == 2  # at the start and at the end
    assert run.header.verdicts
    assert "work-steady-n400" in output
    folder = store.find("latest")
    assert {p.name for p in folder.iterdir()} == {
        *(store.CASES, store.SAMPLES, store.EXPORT, store.HEADER),
        *(store.PAGE, store.REPORT, store.DOCUMENT),
    }
    assert f"report: {folder / store.PAGE} (also {store.REPORT}, {store.DOCUMENT})" in output
    assert "work-steady-n100" in (folder / store.REPORT).read_text()


def test_peaks_are_measured_at_the_start_in_the_middle_and_at_the_end_by_different_processes(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    at: list[int] = []
    original = WorkerPool.ask

    def ask(self: WorkerPool, index: int, request: object, *rest: object) -> object:
        if isinstance(request, MeasurePeaks):
            asked.append(index)
            at.append(len(list(store.read(store.find("latest")).results)))
        return original(self, index, request, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerPool, "ask", ask)
    plumbline("bench", suite('[Work("steady", n) for n in range(100, 120)]'))

    assert at == [0, 10, 20]
    assert asked == [0, 1, 0]  # two processes
    assert len(latest().header.peaks) == 3
    assert latest().complete


def test_the_export_is_pytest_benchmarks_own_json_with_our_samples(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    plumbline("bench", suite())

    export = json.loads((store.find("latest") / store.EXPORT).read_text())
    samples = store.samples(store.find("latest"))
    for result, entry in zip(latest().measured, export["benchmarks"], strict=True):
        assert result.measurement is not None
        raw = [s for part in samples[result.case.id] for s in part.samples.seconds]
        assert sorted(entry["stats"]["data"]) == pytest.approx(sorted(raw), abs=1e-12)
        assert entry["extra_info"]["case"] == result.case.id
        assert entry["params"] == {"dtype": "", **result.case.sizes}
    assert "node" not in export["machine_info"]


def test_profiles_and_expressions_select(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    plumbline("bench", suite(), "-k", "n200 or n400")
    assert len(latest().results) == 2

    status, output, _ = plumbline("list", suite(), "--profile", "standard", "--json")
    assert status == 0
    assert [case["id"] for case in decoded(output)][-1] == "work-steady-n800"


def test_troubles_of_a_workload_are_records(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    kinds = ("steady", "missing", "huge", "crash", "nan", "elsewhere")
    status, output, _ = plumbline("bench", suite(f"[Work(kind, 100) for kind in {kinds}]"))

    outcomes = {r.case.id.split("-")[1]: r.outcome for r in latest().results}
    assert status == 3
    assert isinstance(outcomes["steady"], Measurement)
    assert outcomes["missing"] == Skipped("needs a device of tomorrow")
    assert outcomes["huge"] == Skipped("out of memory: no room for it")
    assert outcomes["crash"] == Failed("RuntimeError: it broke badly")
    assert outcomes["nan"] == Failed("the output holds NaN or infinity")
    assert outcomes["elsewhere"] == Failed("the output is on meta, not on cpu")
    assert "FAILED: RuntimeError: it broke badly" in output


def test_work_that_beats_the_machine_fails_a_claim(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    """10 GFLOP in 10 us at the simulated clock: no such machine."""
    text = (
        suite('[Work("impossible", 10**10)]')
        .read_text()
        .replace("kind: str", "kind: str\n    dtype = 'float32'")
    )
    path = suite(name="fast.py")
    path.write_text(text)

    status, output, _ = plumbline("bench", path)

    assert status == 1
    assert "the cost, the clock or the peak is wrong" in output
    assert plumbline("check", "latest")[0] == 1


def test_nothing_measured_is_status_three(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    assert plumbline("bench", suite('[Work("missing", 1)]'))[0] == 3


@pytest.mark.parametrize("trouble", ["SIGINT", "SIGTERM"])
def test_an_interrupt_keeps_what_is_done_and_resuming_measures_what_is_missing(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(selection, "BATCH_SECONDS", 0.0)  # a case a batch
    path = suite('[Work("steady", 100), Work("fragile", 200), Work("steady", 400)]')
    monkeypatch.setenv("SIMULATED_TROUBLE", trouble)
    status, output, _ = plumbline("bench", path)
    assert status == 130
    assert "INCOMPLETE: 1 of 3 cases" in output
    assert not latest().complete
    status, output, _ = plumbline("report")
    assert status == 0
    assert "INCOMPLETE: 1 of 3 cases" in output

    monkeypatch.delenv("SIMULATED_TROUBLE")
    before = latest().results[0]
    status, output, _ = plumbline("bench", "--resume", "latest")

    run = latest()
    assert status == 0
    assert run.complete
    assert run.results[0] == before
    assert [r.case.id for r in run.results] == ["work-steady-n100", "work-fragile-n200", "work-steady-n400"]
    assert "1 of them are on record already" in output
    assert len(list(Path("results").iterdir())) == 1
    export = json.loads((store.find("latest") / store.EXPORT).read_text())
    assert len(export["benchmarks"]) == 3  # the recorded case is replayed


def test_a_failed_case_is_measured_again_on_resuming(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite('[Work("crash", 100), Work("fragile", 100)]')
    monkeypatch.setenv("SIMULATED_TROUBLE", "SIGINT")
    plumbline("bench", path)
    path.write_text(path.read_text().replace("it broke", "it broke again"))
    monkeypatch.delenv("SIMULATED_TROUBLE")

    plumbline("bench", "--resume", "latest")

    assert [r.outcome for r in latest().failed] == [Failed("RuntimeError: it broke again badly")]


def test_resuming_on_another_machine_is_refused(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BATCH_SECONDS", 0.0)  # a case a batch
    monkeypatch.setenv("SIMULATED_TROUBLE", "SIGINT")
    plumbline("bench", suite('[Work("steady", 100), Work("fragile", 1)]'))
    other = made_up.environment(host="f" * 16, model_name="Another CPU")
    monkeypatch.setattr(environment, "capture", lambda *_: other)

    status, _, errors = plumbline("bench", "--resume", "latest")

    assert status == 2
    assert "cannot be resumed under other conditions: processor.model_name" in one_line(errors)
    assert "host.id" in one_line(errors)
    assert len(latest().results) == 1


def test_resuming_takes_no_other_settings_and_no_complete_run(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    plumbline("bench", suite())

    status, _, errors = plumbline("bench", "--resume", "latest")
    assert status == 2
    assert "is complete: nothing to resume" in one_line(errors)
    status, _, errors = plumbline("bench", "--resume", "latest", "--profile", "full")
    assert status == 2
    assert "leave them out" in one_line(errors)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["bench", "nosuch"],
            "unknown suite 'nosuch': give one of attention, bandwidth, calibration, conv, data, elementwise, inference, matmul, normalization, threads, train_step, or the path of a .py file or folder",
        ),
        (["bench", "--device", "cuda:99"], "no device 'cuda:99' here: auto, cpu"),
        (["bench", "--device", "tpu"], "no device 'tpu' here: auto, cpu"),
        (["bench", "--profile", "hasty"], "'hasty' is not one of 'quick', 'standard', 'full'"),
        (["bench", "--threads", "many"], "Invalid value for '--threads'"),
        (["bench", "--nonsense"], "No such option: --nonsense"),
        (["bench", "-k", "no_such_case"], "no workload matches -k 'no_such_case' in profile quick"),
        (["bench", "-k", "(("], "Wrong expression passed to '-k': ((:"),
        (["report"], "no run in results: `plumbline bench` makes one"),
        (["check", "20200101"], "no run '20200101' in results"),
        (["list", "nosuch"], "unknown suite 'nosuch'"),
        (["sing"], "No such command 'sing'"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_two(
    plumbline: Plumbline, arguments: list[str], words: str
) -> None:
    status, output, errors = plumbline(*arguments)

    assert (status, output) == (2, "")
    assert words in one_line(errors)
    assert not Path("results").exists()


def test_a_suite_that_does_not_load_is_named(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    path = suite()
    path.write_text("import no_such_module_anywhere\n")
    status, _, errors = plumbline("bench", path)
    assert status == 2
    assert "cannot load work.py: ModuleNotFoundError: No module named 'no_such_module_anywhere'" in one_line(
        errors
    )

    path = suite('[Matmul("float31", 1, 1, 1)]', name="wrong.py")
    path.write_text("from suites.matmul import Matmul\n" + path.read_text())
    status, _, errors = plumbline("bench", path)
    assert status == 2
    assert "unknown dtype 'float31': one of float32" in one_line(errors)


@pytest.mark.parametrize(
    ("name", "place"), [("work.py", "work.py, line 2"), ("broken_part.py", "broken_part.py, line 2")]
)
def test_where_python_could_not_read_on_is_told(
    machine: Simulated, suite: Suite, plumbline: Plumbline, name: str, place: str
) -> None:
    path = suite()
    path.write_text("import broken_part\n")
    path.with_name(name).write_text("x = 1\ny = ]\n")
    status, _, errors = plumbline("bench", path)
    assert status == 2
    assert one_line(errors).strip().endswith(f"cannot load work.py: SyntaxError: unmatched ']' ({place})")


def test_a_suite_imports_what_lies_beside_it(
    machine: Simulated, suite: Suite, plumbline: Plumbline, tmp_path: Path
) -> None:
    path = suite()
    path.write_text(f"import part_beside\nimport part_of_the_folder\n{path.read_text()}")
    path.with_name("part_beside.py").touch()
    (tmp_path / "part_of_the_folder.py").touch()
    status, output, _ = plumbline("list", path)
    assert status == 0
    assert "work-steady" in output


def test_suites_of_one_name_in_two_folders_are_two(
    machine: Simulated, suite: Suite, plumbline: Plumbline, tmp_path: Path
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "work.py").write_text(suite('[Work("steady", 200)]').read_text())
    path = suite('[Work("steady", 100)]')
    status, output, errors = plumbline("list", path, "below/work.py")
    assert (status, errors) == (0, "")
    assert "work-steady-n100" in output
    assert "work-steady-n200" in output


def test_suites_that_would_share_what_lies_beside_one_of_them_are_refused(
    machine: Simulated, suite: Suite, plumbline: Plumbline, tmp_path: Path
) -> None:
    for name, size in (("one", 100), ("two", 200)):
        text = suite(f'[Work("steady", {size})]').read_text()
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_suite.py").write_text(f"import part_of_both\n{text}")
        (tmp_path / name / "part_of_both.py").touch()
    status, _, errors = plumbline("bench", "one/one_suite.py", "two/two_suite.py")
    assert status == 2
    assert "'part_of_both' lies in" in one_line(errors)
    assert "rename one of them" in errors
    assert plumbline("list", "one/one_suite.py")[::2] == (0, "")


def test_two_workloads_of_one_id_are_refused(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    status, _, errors = plumbline("bench", suite(), suite(name="again.py"))

    assert status == 2
    assert "two workloads have the id work-steady-n100" in one_line(errors)


def test_results_that_cannot_be_written_end_before_measuring(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    Path("file").touch()
    status, _, errors = plumbline("bench", suite(), "--results", "file")

    assert status == 2
    assert "cannot write results under file: Not a directory" in one_line(errors)
    assert machine.submitted == 0


def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_is_recorded(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BATCH_SECONDS", 0.0)  # a case a batch
    append = store.Writer.append
    written: list[object] = []

    def full_after_two(self: store.Writer, result: object) -> None:
        if len(written) == 2:
            monkeypatch.setattr(os, "fsync", _no_space)
        append(self, result)  # type: ignore[arg-type]
        written.append(result)

    monkeypatch.setattr(store.Writer, "append", full_after_two)
    status, output, errors = plumbline("bench", suite())

    assert status == 3
    assert "INCOMPLETE: 2 of 3 cases" in output
    assert len(latest().results) == 2
    assert "cannot record work-steady-n400" in one_line(errors)
    assert "No space left on device" in errors


def test_a_disk_that_fills_up_at_a_failing_test_is_no_traceback(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite('[Work("steady", 100)]')
    path.write_text(path.read_text() + "    assert False, 'refused after'\n")
    append = store.Writer.append

    def full_after_one(self: store.Writer, result: Result) -> None:
        append(self, result)
        monkeypatch.setattr(os, "fsync", _no_space)

    monkeypatch.setattr(store.Writer, "append", full_after_one)
    status, _, errors = plumbline("bench", path)

    assert status == 3
    assert "cannot record work-steady-n100" in one_line(errors)


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_newer_schema_and_a_corrupt_header_are_named(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    plumbline("bench", suite())
    header = store.find("latest") / store.HEADER
    ours = f'"schema_version": {store.SCHEMA_VERSION}'.encode()
    header.write_bytes(header.read_bytes().replace(ours, b'"schema_version": 99'))

    status, _, errors = plumbline("report")
    assert status == 2
    assert "written by a newer Plumbline" in one_line(errors)

    header.write_text("{")
    status, _, errors = plumbline("check")
    assert status == 2
    assert "is not a run" in one_line(errors)


@pytest.mark.parametrize("command", [["report", "latest"], ["check", "latest"], ["list"], ["env"]])
def test_json_stands_alone_on_standard_output(
    machine: Simulated, suite: Suite, plumbline: Plumbline, command: list[str]
) -> None:
    path = suite()
    plumbline("bench", path)

    status, output, errors = plumbline(*command, *([path] if command == ["list"] else []), "--json")

    assert (status, errors) == (0, "")
    value = decoded(output)
    if command[0] == "report":
        (told,) = value["runs"]
        assert told["complete"] is True
        assert [case["case"] for case in told["cases"]] == [f"work-steady-n{n}" for n in (100, 200, 400)]
    elif command[0] == "check":
        assert {v["answer"] for v in value["verdicts"]} <= {"holds", "fails", "inconclusive"}


@pytest.mark.slow
@pytest.mark.worker
def test_a_killed_run_is_read_and_resumed(suite: Suite, tmp_path: Path) -> None:
    """A real process, killed with SIGKILL in the middle of its second case."""
    path = suite('[Work("steady", 100), Work("fragile", 1), Work("steady", 400)]')
    script = tmp_path / "run.py"
    script.write_text(_SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(script), *arguments]
        known = environment | variables
        return subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True, check=False)

    killed = run("bench", str(path), SIMULATED_TROUBLE="SIGKILL")
    assert killed.returncode == -signal.SIGKILL
    read = store.read(store.find("latest", tmp_path / "results"))
    assert [r.case.id for r in read.results] == ["work-steady-n100"]
    assert "INCOMPLETE: 1 of 3 cases" in run("report").stdout

    resumed = run("bench", "--resume", "latest")

    assert resumed.returncode == 0, resumed.stderr
    after = store.read(store.find("latest", tmp_path / "results"))
    assert after.complete
    assert after.results[0] == read.results[0]


_SCRIPT = """
from harness.cli import main
from harness.measure import pool, selection
from harness.measure.devices import base
from harness.measure.environment import capture
from harness.measure.peaks import compute
from tests import made_up, simulated
base.opened = lambda *_: simulated.CURRENT
pool.WorkerProcess = simulated.InProcess
selection.BATCH_SECONDS = 0.0
selection.CaseTracer.of = lambda self, work, case: case  # they would do to the tracer what they do
compute.measure_peaks = lambda *_: made_up.PEAKS
capture.capture = lambda *_: made_up.environment()
main()
"""


def test_a_run_read_from_elsewhere_needs_no_torch(tmp_path: Path) -> None:
    """`plumbline report` and `check` on a laptop: the analysis must not load torch or pytest."""
    writer = store.Writer.create(tmp_path, made_up.run().header)
    for result in made_up.run().results:
        writer.append(result)
    probe = (
        "import sys; from harness.cli import main\n"
        f"sys.argv = ['plumbline', COMMAND, '--results', {str(tmp_path)!r}]\n"
        "try: main()\n"
        "except SystemExit as end: status = end.code\n"
        "loaded = {'torch', 'pytest', 'pynvml'} & sys.modules.keys()\n"
        "assert not loaded and not status, (loaded, status)\n"
    )
    for command in ("report", "check"):
        code = probe.replace("COMMAND", repr(command))
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_commands_defaults_are_those_of_the_house() -> None:
    """Written twice so that `--help` loads nothing: they must not part."""
    assert tuple(profile.value for profile in Profile) == PROFILES
    assert RESULTS == store.DEFAULT_RESULTS


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from harness.cli import main\n"
        "sys.argv = ['plumbline', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'scipy', 'numpy', 'pytest'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_settings_are_stored(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    plumbline("bench", suite(), "-k", "n100", "--threads", "1")

    settings = latest().header.settings
    assert settings.expression == "n100"
    assert settings.threads == 1
    assert [Path(suite).name for suite in settings.suites] == ["work.py"]
    assert msgspec.json.decode(msgspec.json.encode(settings), type=type(settings)) == settings


def test_no_case_vanishes(machine: Simulated, suite: Suite, plumbline: Plumbline) -> None:
    """A test that fails or skips by itself, before or after its measurement, is in the record too."""
    path = suite("[Work(kind, 100) for kind in ('steady', 'before', 'after', 'skip', 'exit')]")
    body = """
    if workload.kind == "before":
        assert workload.n == 1, "refused before"
    bench(workload)
    assert workload.kind != "after", "refused after"
"""
    trouble = """
        if self.kind == "skip":
            pytest.skip("not today")
        if self.kind == "exit":
            raise SystemExit(7)
        if self.kind == "missing":"""
    text = (
        path.read_text()
        .replace("\n    bench(workload)\n", body)
        .replace('\n        if self.kind == "missing":', trouble)
    )
    path.write_text(text)

    status, output, _ = plumbline("bench", path)

    run = latest()
    outcomes = {r.case.id.split("-")[1]: r.outcome for r in run.results}
    assert status == 3
    assert run.complete
    assert "[5/5, 0 s left]" in output
    assert "[6/5" not in output  # the case that failed after its measurement is told of twice
    assert isinstance(outcomes["steady"], Measurement)
    assert outcomes["skip"] == Skipped("not today")
    for kind, words in {
        "before": "refused before",
        "after": "refused after",
        "exit": "SystemExit: 7",
    }.items():
        outcome = outcomes[kind]
        assert isinstance(outcome, Failed), kind
        assert words in outcome.reason


def test_a_test_that_takes_bench_and_no_workload_is_refused(suite: Suite, plumbline: Plumbline) -> None:
    path = suite()
    path.write_text(
        path.read_text().split("@pytest.mark")[0] + "def test_bare(bench):\n    bench(WORKLOADS[0])\n"
    )

    status, _, errors = plumbline("bench", path)

    assert status == 2
    assert "test_bare takes `bench` and no Workload" in one_line(errors)


def test_a_damaged_run_is_not_fine_and_its_lost_case_is_measured_again(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    plumbline("bench", suite())
    cases = store.find("latest") / store.CASES
    cases.write_bytes(cases.read_bytes()[:-40])

    status, output, _ = plumbline("check")
    assert status == 3
    assert "the last line is cut off" in output

    assert plumbline("bench", "--resume", "latest")[0] == 0
    assert latest().complete
    assert plumbline("check")[0] == 0


def test_resuming_works_from_another_folder_and_names_no_home(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SIMULATED_TROUBLE", "SIGINT")
    plumbline("bench", suite('[Work("steady", 100), Work("fragile", 200)]'))
    monkeypatch.delenv("SIMULATED_TROUBLE")
    folder = store.find("latest").resolve()
    assert latest().header.settings.suites == ("~/work.py",)
    assert str(tmp_path) not in (folder / store.CASES).read_text() + (folder / store.HEADER).read_text()

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert plumbline("bench", "--resume", folder)[0] == 0
    assert store.read(folder).complete


def test_resuming_with_another_torch_is_refused(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BATCH_SECONDS", 0.0)  # a case a batch
    monkeypatch.setenv("SIMULATED_TROUBLE", "SIGINT")
    plumbline("bench", suite('[Work("steady", 100), Work("fragile", 1)]'))
    now = made_up.environment()
    torch = msgspec.structs.replace(now.software.torch, version="9.9.9")
    now = msgspec.structs.replace(now, software=msgspec.structs.replace(now.software, torch=torch))
    monkeypatch.setattr(environment, "capture", lambda *_: now)

    status, _, errors = plumbline("bench", "--resume", "latest")

    assert status == 2
    assert "cannot be resumed under other conditions: software.torch.version" in one_line(errors)


def test_a_run_that_another_process_measures_is_left_alone(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMULATED_TROUBLE", "SIGINT")
    plumbline("bench", suite('[Work("steady", 100), Work("fragile", 1)]'))
    other = store.Writer.reopen(store.find("latest"))

    status, _, errors = plumbline("bench", "--resume", "latest")
    other.close()

    assert status == 2
    assert "is being measured by another process" in one_line(errors)


def test_the_display_leaves_no_thread_beside_the_samples(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refreshing thread took a sixth of the samples' cores away on two cores."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes standard output for a terminal
    before, seen = set(threading.enumerate()), set()
    submit = machine.submit

    def watched(seconds: float) -> None:
        seen.update(threading.enumerate())
        submit(seconds)

    monkeypatch.setattr(machine, "submit", watched)

    plumbline("bench", suite())

    assert seen - before == set()


@pytest.mark.slow
@pytest.mark.worker
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_and_a_full_output_are_no_tracebacks(tmp_path: Path, unbuffered: str) -> None:
    writer = store.Writer.create(tmp_path, made_up.run().header)
    for result in made_up.run().results:
        writer.append(result)
    command = f"{sys.executable} -m harness.cli report --results {tmp_path}"

    def run(line: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        shell = ["bash", "-o", "pipefail", "-c", line]
        told = os.environ | {"PYTHONUNBUFFERED": unbuffered} | variables
        return subprocess.run(shell, capture_output=True, text=True, env=told, check=False)

    piped = run(f"{command} | head -1")
    assert (piped.returncode, piped.stderr) == (0, "")
    full = run(f"{command} > /dev/full")
    assert full.returncode == 3
    assert "No space left on device" in one_line(full.stderr)
    narrow = run(command, PYTHONIOENCODING="ascii")
    assert (narrow.returncode, narrow.stderr) == (0, "")


def test_a_folder_named_like_markup_is_printed_as_it_is(
    machine: Simulated, suite: Suite, plumbline: Plumbline
) -> None:
    status, output, _ = plumbline("bench", suite(), "--results", "[/x]")

    assert status == 0
    assert "report: [/x]/" in output


def test_a_reference_no_path_can_be_is_a_usage_error(plumbline: Plumbline) -> None:
    assert plumbline("report", "x" * 5000)[0] == 2
