"""`--plumbline-compare`: compares the cases that a session measures with those of a stored run.

The decision on a case needs all cases, so the comparisons follow the tests, as one test item for each case of the stored run. The terminal,
JUnit XML and every other plugin therefore count a regression as a failed test.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import store, units
from harness.compare.comparison import Conditions, not_comparable
from harness.compare.decision import PRACTICAL_THRESHOLD
from harness.compare.gating import compare_stored
from harness.errors import PlumblineError
from harness.loading import BUNDLED_SUITES
from harness.pytest_plugin.session import last_line, measures, name_of, workload_of
from harness.report.gate import sentence

if TYPE_CHECKING:
    from harness.pytest_plugin.session import BenchSession
    from harness.records import Run

COMPARE = "plumbline-compare"  # the first part of the node ids of comparisons


class CaseCheck(pytest.Item):
    """The comparison of one case."""

    comparison: RunComparison

    def runtest(self) -> None:
        """Fails where the case regressed or is missing."""
        self.comparison.check(self.name)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:  # noqa: ARG002
        """The reason, without a traceback."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[str, None, str]:
        """The comparison has no file."""
        return COMPARE, None, self.name


class RunComparison:
    """Compares what a session measures with a stored run."""

    def __init__(self, config: pytest.Config, bench: BenchSession) -> None:
        self._config, self._bench = config, bench
        self._base = _stored_run(config)  # before this session's own run, which would be the latest
        self._suites: dict[str, Path] = {}
        self._skipped: dict[str, str] = {}
        self._selected: dict[str, pytest.Item] = {}
        self._deselected: set[str] = set()
        self._lines: list[str] = []

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Cases that the user left out are not missing."""
        for item in filter(measures, items):
            self._suites[name_of(item)] = item.path
            self._deselected.add(str(workload_of(item)))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Adds an item for each case of the stored run that was selected, or that no longer exists."""
        for item in filter(measures, items):
            self._suites[name_of(item)] = item.path
            self._selected[str(workload_of(item))] = item
        if self._config.getoption("collectonly"):
            return
        suites = self._base.header.settings.suites
        paths = {Path(name).name: Path(name).expanduser() for name in suites}
        paths |= {name: BUNDLED_SUITES / f"{name}.py" for name in suites if "/" not in name}
        for result in self._base.measured:
            case, suite = result.case.id, result.case.suite
            gone = case not in self._deselected and self._asked_for(self._suites.get(suite, paths.get(suite)))
            if case in self._selected or gone:
                check = CaseCheck.from_parent(session, name=case, nodeid=f"{COMPARE}::{case}")
                check.comparison = self
                items.append(check)

    def _asked_for(self, suite: Path | None) -> bool:
        """Whether the arguments name the whole of a suite: its file, or a folder above it."""
        directory = self._config.invocation_params.dir
        whole = [(directory / name).resolve() for name in self._config.args if "::" not in name]
        return suite is not None and any(path == suite or path in suite.parents for path in whole)

    def check_conditions(self, conditions: Conditions) -> None:
        """Ends a session on another machine, before anything is measured."""
        if reasons := not_comparable(Conditions.of(self._base.header), conditions):
            pytest.exit(
                f"{self._base.header.id} is not comparable, it differs in {', '.join(reasons[:4])}: "
                "name a run of this machine, device and number of threads",
                returncode=pytest.ExitCode.USAGE_ERROR,
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the reason of a skipped test."""
        if report.skipped:
            self._skipped[report.nodeid] = last_line(report)

    def check(self, case: str) -> None:
        """Fails or skips the test of a case."""
        if case in self._failures:
            pytest.fail(self._failures[case], pytrace=False)
        if case not in self._measured:
            pytest.skip(f"{case} was not measured")

    @cached_property
    def _measured(self) -> set[str]:
        runner = self._bench.runner
        results = [runner.recorded(case) for case in self._selected] if runner else []
        return {result.case.id for result in results if result and result.measurement}

    @cached_property
    def _failures(self) -> dict[str, str]:
        """The cases that fail, each with the reason; fills the lines of the summary."""
        where, failures = self._base.header.id, {}
        for case in (result.case.id for result in self._base.measured):
            item = self._selected.get(case)
            if item is None:
                failures[case] = f"{case} is in {where} and no longer runs"
            elif case not in self._measured and item.nodeid in self._skipped:
                failures[case] = f"{case} is in {where} and was skipped: {self._skipped[item.nodeid]}"
        if self._bench.runner is None or not self._measured:
            return failures
        threshold = self._config.getoption("plumbline_threshold")
        try:
            comparison = compare_stored(
                self._base,
                store.read(self._bench.runner.folder),
                PRACTICAL_THRESHOLD if threshold is None else threshold,
            )
        except PlumblineError as error:
            return failures | dict.fromkeys(self._measured, str(error))
        for result in comparison.cases:
            _, _, text = sentence(result).partition(": ")
            seconds = (result.base_seconds, result.candidate_seconds)
            times = " -> ".join(units.seconds(s) for s in seconds if s is not None)
            self._lines.append(f"{result.decision.value:12}  {result.case}  {text}  {times}")
        self._lines += [f"{'new':12}  {case}" for case in comparison.new if case in self._measured]
        self._lines += comparison.notes
        failures |= {
            case: f"{case} cannot be compared: {reason}"
            for case, reason in comparison.missing
            if case in self._measured
        }
        return failures | {failed.case: f"{failed.case} {sentence(failed)}" for failed in comparison.failing}

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints a line for each compared case."""
        if self._lines:
            terminalreporter.section(f"plumbline: compared with {self._base.header.id}", sep="-")
            for line in self._lines:
                terminalreporter.write_line(line)


def _stored_run(config: pytest.Config) -> Run:
    """The run of `--plumbline-compare`."""
    option = config.getoption
    if option("benchmark_skip") or (option("benchmark_disable") and not option("benchmark_enable")):
        raise pytest.UsageError(
            "--plumbline-compare needs measurements: leave out --benchmark-disable and --benchmark-skip"
        )
    if option("dist", "no") != "no":
        raise pytest.UsageError("--plumbline-compare measures, which needs the whole machine: run without -n")
    try:
        folder = store.find(option("plumbline_compare"), option("plumbline_results"))
        resumed = option("plumbline_resume")
        if resumed and store.find(resumed, option("plumbline_results")) == folder:
            raise pytest.UsageError(f"{folder.name} cannot be resumed and compared with: name another run")
        run = store.read(folder)
    except PlumblineError as error:
        raise pytest.UsageError(str(error)) from error
    if not run.measured:
        raise pytest.UsageError(f"{run.header.id} measured no case: name another run to compare with")
    return run
