"""What pytest-benchmark lets pass, and a measuring session must not: each trap walked into, on a simulated device."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store
from harness.exchange import exported
from harness.measure.environment import capture as environment
from harness.pytest_plugin import fraction
from tests import made_up, simulated
from tests.simulated import Simulated
from tests.test_pytest_plugin import BARE, Suite

Run = Callable[..., pytest.RunResult]
STEADY = '[Work("steady", n) for n in ({})]'
GATED = ("--benchmark-compare=0001", "--benchmark-compare-fail=median:5%")


@pytest.fixture
def run(machine: Simulated, suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest on a suite of simulated work in this process; sizes in microseconds, changed between two runs."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

    def inner(
        sizes: str, *arguments: str, path: str = "", plugin: tuple[str, ...] = BARE
    ) -> pytest.RunResult:
        written = suite(sizes if "[" in sizes else STEADY.format(sizes))
        return pytester.runpytest_inprocess(path or str(written), *plugin, *arguments)

    return inner


@pytest.fixture
def slower(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes all simulated work take so many times as long."""
    real = simulated.work

    def set_factor(factor: float) -> None:
        monkeypatch.setattr(simulated, "work", lambda kind, n, output: real(kind, round(factor * n), output))

    return set_factor


def saved(run: Run, sizes: str = "100, 200,") -> None:
    assert run(sizes, "--benchmark-save=base").ret == 0


def baseline() -> tuple[Path, Any]:
    (path,) = Path(".benchmarks").rglob("*.json")
    return path, json.loads(path.read_text())


def summary(result: pytest.RunResult) -> list[str]:
    """What was said of the baseline, apart from the list of failures: that repeats it where CI is set in the environment, and cuts it short elsewhere."""
    return [line for line in result.outlines if "baseline" in line and not line.startswith("FAILED ")]


def no_traceback(result: pytest.RunResult) -> None:
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:*: *Error*")


def failures() -> dict[str, str]:
    """What JUnit XML says of the comparison: the beginning of each failure by the name of its test case."""
    suite = ET.parse("out.xml").getroot()[0]  # noqa: S314 - written just now
    told = {
        case.get("name", ""): case.find("failure")
        for case in suite
        if case.get("classname") == "plumbline-compare"
    }
    assert (suite.get("failures"), suite.get("errors")) == (str(len(told)), "0")
    return {name: str(one.get("message")).partition("  ")[0] for name, one in told.items() if one is not None}


def test_the_same_cases_on_the_same_machine_pass_without_a_warning(run: Run) -> None:
    """As warnings are errors here, "machine_info is different" would end the session."""
    saved(run)

    result = run("100, 200,", *GATED)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*0001_base*"])
    assert "different" not in str(result.stdout) + str(result.stderr)


def test_a_benchmark_that_the_baseline_lacks_fails(run: Run) -> None:
    saved(run, "100,")

    result = run("100, 200,", *GATED)

    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=1)
    assert summary(result) == ["work-steady-n200 is not in the baseline: nothing to compare it with"]
    no_traceback(result)


def test_a_benchmark_that_no_longer_runs_fails(run: Run) -> None:
    saved(run)

    result = run("100,", *GATED)

    assert result.ret == 1
    assert summary(result) == ["work-steady-n200 is in the baseline and no longer runs"]


def test_a_benchmark_that_is_skipped_now_fails(run: Run, machine: Simulated) -> None:
    saved(run)
    _, content = baseline()
    work = content["benchmarks"][0]["extra_info"]["case"]
    path, content = baseline()
    content["benchmarks"][0]["extra_info"]["case"] = work.replace("steady-n100", "missing-n1")
    path.write_text(json.dumps(content))

    result = run('[Work("missing", 1), Work("steady", 200)]', *GATED)

    assert result.ret == 1
    assert summary(result) == [
        "work-missing-n1 is in the baseline and was skipped: needs a device of tomorrow"
    ]


@pytest.mark.parametrize("way", ["-k", "--deselect", "::"])
def test_what_was_left_out_on_purpose_is_not_missed(run: Run, suite: Suite, way: str) -> None:
    saved(run)
    named = f"{suite()}::test_work[work-steady-n100]"
    nodes = {e["extra_info"]["case"]: e["extra_info"]["node"] for e in baseline()[1]["benchmarks"]}
    options = {
        "-k": (["-k", "n100"], ""),
        "--deselect": ([f"--deselect={nodes['work-steady-n200']}"], ""),
        "::": ([], named),
    }
    extra, path = options[way]

    result = run("100, 200,", *GATED, *extra, path=path)

    assert result.ret == 0, result.outlines
    result.assert_outcomes(passed=1, deselected=0 if way == "::" else 2)


def test_another_suite_is_not_missed_where_one_is_named(run: Run, suite: Suite) -> None:
    saved(run)
    other = suite(STEADY.format("300,"), name="other.py")
    path, content = baseline()
    content["benchmarks"].append(
        msgspec.json.decode(
            json.dumps(content["benchmarks"][0])
            .replace("steady-n100", "steady-n300")
            .replace("work.py", "other.py")
        )
    )
    path.write_text(json.dumps(content))

    assert run("100, 200,", *GATED).ret == 0
    other.write_text("")

    result = run("100, 200,", *GATED, "-o", "python_files=work.py other.py", path=str(other.parent))

    assert result.ret == 1
    assert summary(result) == ["work-steady-n300 is in the baseline and no longer runs"]


def test_a_session_that_stopped_early_misses_nothing_it_did_not_reach(run: Run) -> None:
    saved(run)

    result = run('[Work("crash", 1), Work("steady", 100), Work("steady", 200)]', *GATED, "-x")

    assert result.ret == 1
    assert summary(result) == []


def test_what_pytest_benchmark_finds_slower_is_a_failure_and_no_traceback(
    run: Run, slower: Callable[[float], None]
) -> None:
    saved(run)
    slower(1.2)

    result = run("100, 200,", *GATED, "--junit-xml=out.xml")

    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["test_work*n100* has regressed: Field 'median' has failed*: 20.* > 5.*"])
    no_traceback(result)
    assert set(failures()) == {f"test_work work-steady-n{n} (0001_base)" for n in (100, 200)}


def test_a_threshold_without_a_baseline_is_refused_before_anything_is_measured(
    run: Run, machine: Simulated
) -> None:
    result = run("100,", GATED[1])

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --benchmark-compare-fail has no baseline*"])
    assert machine.submitted == 0


def test_without_a_threshold_nothing_is_gated(run: Run) -> None:
    saved(run)

    assert run("100, 300,", "--benchmark-compare=0001").ret == 0


def test_a_baseline_of_another_machine_is_refused_before_anything_is_measured(
    run: Run, machine: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(run)
    assert baseline()[1]["machine_info"]["plumbline"] == {
        "fingerprint": made_up.environment().fingerprint,
        "device": "simulated",
        "threads": machine.threads,
        "torch": "2.13.0",
        "machine": "Made-up CPU",
    }
    monkeypatch.setattr(environment, "capture", lambda *_: made_up.environment(model_name="Another CPU"))
    runs, submitted = sorted(Path("results").glob("*")), machine.submitted

    result = run("100, 200,", *GATED)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    refusal = "the baseline is of another machine and cannot be compared with"
    assert result.errlines[-2:] == [f"ERROR: {refusal}: machine Made-up CPU there, Another CPU here", ""]
    assert machine.submitted == submitted
    assert sorted(Path("results").glob("*")) == runs


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"threads": 64}, "threads 64 there, * here"),
        ({"device": "cuda:0"}, "device cuda:0 there, simulated here"),
        ({"fingerprint": "0" * 16}, "instruction sets, usable cores or size of memory"),
    ],
)
def test_every_fact_that_differs_is_named(run: Run, facts: dict[str, object], words: str) -> None:
    saved(run)
    path, content = baseline()
    content["machine_info"]["plumbline"] |= facts
    path.write_text(json.dumps(content))

    result = run("100, 200,", *GATED)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*the baseline is of another machine*{words}"])


def test_another_torch_is_compared(run: Run) -> None:
    """Whether it is faster is what one wants to know."""
    saved(run)
    path, content = baseline()
    content["machine_info"]["plumbline"]["torch"] = "1.0"
    path.write_text(json.dumps(content))

    assert run("100, 200,", *GATED).ret == 0


def test_a_baseline_without_a_fingerprint_is_refused_by_its_processor(run: Run) -> None:
    saved(run)
    path, content = baseline()
    del content["machine_info"]["plumbline"]
    path.write_text(json.dumps(content))
    assert run("100, 200,", *GATED).ret == 0

    content["machine_info"]["cpu"]["brand_raw"] = "Abacus"
    path.write_text(json.dumps(content))
    result = run("100, 200,", *GATED)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*of another machine*machine Abacus there*"])


def test_an_older_baseline_by_node_is_found_again(run: Run) -> None:
    saved(run)
    path, content = baseline()
    for entry in content["benchmarks"]:
        entry["fullname"] = entry["extra_info"].pop("node")
        del entry["extra_info"]["suite"]
    path.write_text(json.dumps(content))

    result = run("100, 200,", *GATED)

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*0001_base*"])


def test_an_exported_run_is_a_baseline(run: Run) -> None:
    run("100, 200,")
    path = Path("exported.json")
    path.write_text(exported("pytest-benchmark", [store.read(store.find("latest"))]))

    result = run("100, 200,", f"--benchmark-compare={path}", "--benchmark-compare-fail=median:5%")

    assert result.ret == 0, result.errlines
    result.stdout.fnmatch_lines(["*work-steady-n100] (exported)*"])


def test_xdist_without_processes_changes_nothing(run: Run) -> None:
    """With some it is refused: test_pytest_plugin.py."""
    assert run("100,", "-n", "0").ret == 0
    assert len(store.read(store.find("latest")).measured) == 1


@pytest.mark.parametrize(
    ("text", "value"), [("2.5%", 0.025), ("0.025", 0.025), (" 3 % ", 0.03), (".5", 0.5), ("0", 0.0)]
)
def test_a_floor_is_a_share_in_either_notation(text: str, value: float) -> None:
    assert fraction(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["2.5", "100%", "-1%", "five", "", "nan", "1e-2", "2,5%"])
def test_a_floor_that_is_none_is_a_usage_error(run: Run, text: str) -> None:
    result = run("100,", f"--plumbline-floor={text}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{text!r} is no share below 1: write it as 2.5% or 0.025"])


def compared(result: pytest.RunResult) -> list[str]:
    """The lines of our section, up to the next."""
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if "plumbline: compared with" in line)
    return [line for line in lines[start + 1 :] if line[:14].strip() and line[14:].startswith("work-")]


def test_a_stored_run_of_the_same_code_passes_with_a_line_for_each_case(run: Run) -> None:
    run("1000, 2000,")

    result = run("1000, 2000,", "--plumbline-compare=latest", "--plumbline-floor=2.5%")

    assert result.ret == 0
    assert [line.split()[1] for line in compared(result)] == ["work-steady-n1000", "work-steady-n2000"]
    assert not any("regressed" in line for line in compared(result))


def test_a_regression_fails_the_session_in_the_terminal_and_in_junit_without_a_traceback(
    run: Run, slower: Callable[[float], None]
) -> None:
    run("1000, 2000,")
    slower(1.2)

    result = run("1000, 2000,", "--plumbline-compare=latest", "--junit-xml=out.xml")

    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=2)
    assert [line.split()[:3] for line in compared(result)] == [
        ["regressed", f"work-steady-n{n}", "+20.00"] for n in (1000, 2000)
    ]
    result.stdout.fnmatch_lines(["FAILED *plumbline-compare::work-steady-n1000*"])
    no_traceback(result)
    assert failures() == {f"work-steady-n{n}": f"work-steady-n{n} regressed: +20.00%" for n in (1000, 2000)}


def test_a_change_within_the_floor_passes(run: Run, slower: Callable[[float], None]) -> None:
    run("1000,")
    slower(1.2)

    assert run("1000,", "--plumbline-compare=latest", "--plumbline-floor=0.3").ret == 0


def test_a_case_of_the_stored_run_that_no_longer_runs_fails_unless_left_out(run: Run) -> None:
    run("1000, 2000,")
    stored = f"--plumbline-compare={store.find('latest').name}"

    result = run("1000,", stored)
    left_out = run("1000, 2000,", stored, "-k", "n1000")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*work-steady-n2000 is in * and no longer runs"])
    assert left_out.ret == 0


def test_a_run_that_measures_nothing_any_more_fails(run: Run, machine: Simulated) -> None:
    run("1000,")
    path = store.find("latest") / store.CASES
    header = store.find("latest") / store.HEADER
    for file in (path, header):
        file.write_text(file.read_text().replace("work-steady-n1000", "work-missing-n1"))

    result = run('[Work("missing", 1)]', "--plumbline-compare=latest")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*work-missing-n1 is in * and was skipped: needs a device of tomorrow"])


def test_a_stored_run_of_another_machine_is_refused_before_anything_is_measured(
    run: Run, machine: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("1000,")
    monkeypatch.setattr(environment, "capture", lambda *_: made_up.environment(model_name="Another CPU"))
    submitted = machine.submitted

    result = run("1000,", "--plumbline-compare=latest")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: * is of another machine*machine Made-up CPU there, Another CPU here"]
    )
    assert machine.submitted == submitted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--plumbline-compare=nowhere"], "no run 'nowhere' in results*"),
        (["--plumbline-compare=latest", "--benchmark-disable"], "*leave out --benchmark-disable*"),
        (["--plumbline-compare=latest", "--benchmark-skip"], "*leave out --benchmark-disable*"),
        (["--plumbline-compare=latest", "-n", "2"], "*for themselves: run without -n"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(run: Run, options: list[str], words: str) -> None:
    run("1000,")

    result = run("1000,", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}"])
