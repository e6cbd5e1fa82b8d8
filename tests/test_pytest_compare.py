"""`--plumbline-compare`: sessions on a simulated device, compared with a stored run."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from harness import store
from harness.measure.environment import capture as environment
from harness.pytest_plugin import fraction
from tests import made_up, simulated
from tests.simulated import Simulated
from tests.test_pytest_plugin import BARE, Suite

Run = Callable[..., pytest.RunResult]
STEADY = '[Work("steady", n) for n in ({})]'


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


def no_traceback(result: pytest.RunResult) -> None:
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*.py:*: *Error*")


def failures() -> dict[str, str]:
    """The failures of comparisons in JUnit XML: the beginning of each message by the name of its test case."""
    suite = ET.parse("out.xml").getroot()[0]  # noqa: S314 - written just now
    messages = {
        case.get("name", ""): case.find("failure")
        for case in suite
        if case.get("classname") == "plumbline-compare"
    }
    assert (suite.get("failures"), suite.get("errors")) == (str(len(messages)), "0")
    return {
        name: str(one.get("message")).partition(" (")[0] for name, one in messages.items() if one is not None
    }


def test_xdist_without_processes_changes_nothing(run: Run) -> None:
    """With some it is refused: test_pytest_plugin.py."""
    assert run("100,", "-n", "0").ret == 0
    assert len(store.read(store.find("latest")).measured) == 1


@pytest.mark.parametrize(
    ("text", "value"), [("2.5%", 0.025), ("0.025", 0.025), (" 3 % ", 0.03), (".5", 0.5), ("0", 0.0)]
)
def test_a_threshold_is_a_fraction_in_either_notation(text: str, value: float) -> None:
    assert fraction(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["2.5", "100%", "-1%", "five", "", "nan", "1e-2", "2,5%"])
def test_a_threshold_that_is_no_fraction_is_a_usage_error(run: Run, text: str) -> None:
    result = run("100,", f"--plumbline-threshold={text}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{text!r}: not a fraction below 1; write 2.5% or 0.025"])


def compared(result: pytest.RunResult) -> list[str]:
    """The lines of our section, up to the next."""
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if "plumbline: compared with" in line)
    return [line for line in lines[start + 1 :] if line[:14].strip() and line[14:].startswith("work-")]


def test_a_stored_run_of_the_same_code_passes_with_a_line_for_each_case(run: Run) -> None:
    run("1000, 2000,")

    result = run("1000, 2000,", "--plumbline-compare=latest", "--plumbline-threshold=2.5%")

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
    assert [[*line.split()[:2], line.split()[2][:3]] for line in compared(result)] == [
        ["regressed", f"work-steady-n{n}", "+20"] for n in (1000, 2000)
    ]
    result.stdout.fnmatch_lines(["FAILED *plumbline-compare::work-steady-n1000*"])
    no_traceback(result)
    assert {name: text.partition(".")[0] for name, text in failures().items()} == {
        f"work-steady-n{n}": f"work-steady-n{n} regressed: +20" for n in (1000, 2000)
    }


def test_a_change_within_the_threshold_passes(run: Run, slower: Callable[[float], None]) -> None:
    run("1000,")
    slower(1.2)

    assert run("1000,", "--plumbline-compare=latest", "--plumbline-threshold=0.3").ret == 0


def test_a_case_of_the_stored_run_that_no_longer_runs_fails_unless_left_out(run: Run) -> None:
    run("1000, 2000,")
    stored = f"--plumbline-compare={store.find('latest').name}"

    result = run("1000,", stored)
    left_out = run("1000, 2000,", stored, "-k", "n1000")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*work-steady-n2000 is in * and no longer runs"])
    assert left_out.ret == 0


def test_a_suite_without_any_workload_fails(run: Run, suite: Suite, pytester: pytest.Pytester) -> None:
    run("1000,")
    path = suite()
    path.write_text("def test_nothing(): pass")

    result = pytester.runpytest_inprocess(str(path), *BARE, "--plumbline-compare=latest", "--benchmark-only")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*work-steady-n1000 is in * and no longer runs"])


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
    result.stdout.fnmatch_lines(
        ["*Exit: * is not comparable, it differs in processor.model_name (Made-up CPU / Another CPU)*"]
    )
    assert machine.submitted == submitted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--plumbline-compare=nowhere"], "no run 'nowhere' in results*"),
        (["--plumbline-compare=latest", "--benchmark-disable"], "*leave out --benchmark-disable*"),
        (["--plumbline-compare=latest", "--benchmark-skip"], "*leave out --benchmark-disable*"),
        (["--plumbline-compare=latest", "-n", "2"], "*needs the whole machine: run without -n"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(run: Run, options: list[str], words: str) -> None:
    run("1000,")

    result = run("1000,", *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {words}"])
