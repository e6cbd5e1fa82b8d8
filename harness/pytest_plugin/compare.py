"""What a comparison under pytest must not let pass; for tests that take `bench`.

pytest-benchmark's own comparison (`--benchmark-compare` with `--benchmark-compare-fail`) passes a
benchmark that its baseline does not have, and a baseline's that no longer runs; of another machine
it warns, and goes on; what got slower it tells by a traceback, and JUnit XML counts no failure. `--plumbline-compare` compares with a stored run instead, by its intervals.

Each failure becomes a test report of its own, made when the session ends: the verdict on a case needs all
cases, and its test has long been reported. So the terminal, JUnit XML and every other listener count it as a failure and
say it in one line, without a traceback.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from harness import store, units
from harness.errors import PlumblineError
from harness.exchange.foreign import MachineFacts
from harness.loading import BUNDLED_SUITES
from harness.pytest_plugin.session import last_line, measures, name_of, workload_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.pytest_plugin.session import BenchSession
    from harness.records import Run
    from harness.records.comparison import CaseDecision, Judgement


class Place(NamedTuple):
    """Where a case that was measured before came from: its suite's name, and the file where it was then."""

    suite: str | None
    path: Path | None


class Scope:
    """Listens to a session's collection and to what is skipped."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._suites: dict[str, Path] = {}
        self._skipped: dict[str, str] = {}
        self.selected: dict[str, pytest.Item] = {}
        self.deselected: set[str] = set()

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """What was left out on purpose is not missed."""
        for item in filter(measures, items):
            self._suites[name_of(item)] = item.path
            self.deselected.add(str(workload_of(item)))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Takes the cases that were selected."""
        for item in filter(measures, session.items):
            self._suites[name_of(item)] = item.path
            self.selected[str(workload_of(item))] = item

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes note of why a test was skipped."""
        if report.skipped:
            self._skipped[report.nodeid] = last_line(report)

    def absent(self, known: Mapping[str, Place], measured: set[str], where: str) -> Iterator[tuple[str, str]]:
        """The cases measured before that are missed now, each with a sentence; not those left out on purpose, failed as a test, or not reached."""
        for case, place in known.items():
            if case in measured or case in self.deselected:
                continue
            if case in self.selected:
                reason = self._skipped.get(self.selected[case].nodeid)
                if reason is not None:
                    yield case, f"{case} is in {where} and was skipped: {reason}"
            elif self._asked_for(place):
                yield case, f"{case} is in {where} and no longer runs"

    def _asked_for(self, place: Place) -> bool:
        """Whether the arguments name the whole of a suite: its file, or a folder above it."""
        path = self._suites.get(place.suite, place.path) if place.suite else place.path
        if path is None:
            return False
        directory = self._config.invocation_params.dir
        whole = ((directory / arg).resolve() for arg in self._config.args if "::" not in arg)
        return any(asked == path or asked in path.parents for asked in whole)


COMPARE = "plumbline-compare"  # what the node ids of failures begin with
_JUDGED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


class Gate:
    """Compares what a session measured with what was there before."""

    def __init__(self, config: pytest.Config, bench: BenchSession, scope: Scope) -> None:
        self._config = config
        self._bench = bench
        self._scope = scope
        self._baselines = 0
        self._known: dict[str, Place] = {}
        self._facts: list[tuple[str, MachineFacts]] = []
        self._base = None if hasattr(config, "workerinput") else self._stored()
        self._lines: list[str] = []

    def _stored(self) -> Run | None:
        """The run to compare with; found before the new one is made, which would be the latest."""
        option = self._config.getoption
        reference = option("plumbline_compare")
        if reference is None:
            return None
        if self._idle:
            raise pytest.UsageError(
                "--plumbline-compare needs measurements: leave out --benchmark-disable and --benchmark-skip"
            )
        if self._among_others:
            raise pytest.UsageError(
                "--plumbline-compare needs measurements, which need the machine for themselves: run without -n"
            )
        try:
            folder = store.find(reference, option("plumbline_results"))
            resumed = option("plumbline_resume")
            if resumed and store.find(resumed, option("plumbline_results")) == folder:
                raise pytest.UsageError(
                    f"{folder.name} cannot be resumed and compared with: name another run"
                )
            base = store.read(folder)
        except PlumblineError as error:
            raise pytest.UsageError(str(error)) from error
        if not base.measured:
            raise pytest.UsageError(f"{base.header.id} measured no case: nothing to compare with")
        self._facts.append((base.header.id, MachineFacts.of(base.header)))
        return base

    @property
    def _idle(self) -> bool:
        """Whether nothing is measured because the user said so."""
        option = self._config.getoption
        return bool(
            option("benchmark_skip") or (option("benchmark_disable") and not option("benchmark_enable"))
        )

    @property
    def _among_others(self) -> bool:
        """Whether pytest-xdist runs the tests, which then fail: nothing is measured here."""
        return hasattr(self._config, "workerinput") or self._config.getoption("dist", "no") != "no"

    @pytest.hookimpl(tryfirst=True)
    def pytest_benchmark_compare_machine_info(
        self, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        """Takes note of a baseline of ours, before pytest-benchmark looks at its machine and its benchmarks.

        Whether its machine is this one is decided by the fingerprints, before the first test runs; then pytest-benchmark has nothing to add.
        A baseline without one is refused here if it is of another processor.
        """
        self._baselines += 1
        ours = [one for one in compared_benchmark["benchmarks"] if _is_ours(one)]
        if not ours:
            return
        for entry in ours:
            told = entry["extra_info"]
            node = told.get("node", entry["fullname"])
            path = (self._config.rootpath / node.partition("::")[0]).resolve() if "::" in node else None
            bundled = BUNDLED_SUITES / f"{told.get('suite')}.py"
            self._known[told["case"]] = Place(
                told.get("suite"), path or (bundled if bundled.exists() else None)
            )
            entry["fullname"] = told["case"]
        then = compared_benchmark["machine_info"]
        if "plumbline" in then:
            try:
                self._facts.append(("the baseline", msgspec.convert(then["plumbline"], MachineFacts)))
            except msgspec.ValidationError as error:
                raise pytest.UsageError(f"machine_info.plumbline of the baseline: {error}") from error
            compared_benchmark["machine_info"] = machine_info
            return
        there, here = (_processor(info) for info in (then, machine_info))
        if there and here and there != here:
            raise pytest.UsageError(_refusal("the baseline", (f"machine {there} there, {here} here",)))

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Adds what a later comparison needs, once it is known."""
        if self._bench.runner is not None:
            facts = MachineFacts.of(self._bench.runner.header)
            machine_info["plumbline"] = msgspec.to_builtins(facts)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Refuses to compare with another machine, before anything is measured."""
        option = self._config.getoption
        idle = self._idle or option("collectonly") or session.testsfailed or not self._scope.selected
        if idle or self._among_others:
            return
        if option("benchmark_compare_fail") and not self._baselines:
            raise pytest.UsageError(
                "--benchmark-compare-fail has no baseline: save one with --benchmark-save, name it with --benchmark-compare"
            )
        if not self._facts:
            return
        try:
            here = self._here()
        except PlumblineError as error:
            raise pytest.UsageError(str(error)) from error
        for name, there in self._facts:
            if differing := there.forbids(here):
                raise pytest.UsageError(_refusal(name, differing))

    def _here(self) -> MachineFacts:
        """What this machine is, by a worker process that lives for this question alone."""
        from harness.measure.devices.base import named  # noqa: PLC0415
        from harness.measure.pool import WorkerPool  # noqa: PLC0415
        from harness.measure.runner import describe  # noqa: PLC0415 - loads torch

        option = self._config.getoption
        if option("plumbline_resume"):
            resumed = store.find(option("plumbline_resume"), option("plumbline_results"))
            return MachineFacts.of(store.read(resumed).header)
        device, threads = named(option("plumbline_device"), option("plumbline_threads"))
        pool = WorkerPool(device, threads, lambda _: None)
        try:
            pool.grow(1)
            return MachineFacts.of_environment(describe(pool), device, threads)
        finally:
            pool.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Judges, reports each failure as a test that failed, and says so in the exit status."""
        option = self._config.getoption
        if exitstatus not in _JUDGED or option("collectonly") or self._among_others or self._bench.error:
            return
        failures: dict[str, str] = {}
        if option("benchmark_compare_fail") and not self._idle:
            failures |= self._beside_baseline()
        if self._base is not None:
            failures |= self._beside_run(self._base)
        for case, line in failures.items():
            self._report(case, line)
        if failures:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _beside_baseline(self) -> dict[str, str]:
        new = {
            case: f"{case} is not in the baseline: nothing to compare it with"
            for case in self._measured
            if case not in self._known
        }
        return (
            new | dict(self._scope.absent(self._known, set(self._measured), "the baseline")) | self._slower()
        )

    def _slower(self) -> dict[str, str]:
        """What pytest-benchmark found beyond the threshold, taken over: it would raise an exception out of the terminal's summary."""
        found = getattr(
            self._config.pluginmanager.get_plugin("pytest-benchmark"), "performance_regressions", []
        )
        told = {name: f"{name} has regressed: {reason}" for name, reason in found} if self._known else {}
        if told:
            found.clear()
        return told

    def _beside_run(self, base: Run) -> dict[str, str]:
        suites = base.header.settings.suites
        paths = {Path(name).name: Path(name).expanduser() for name in suites}
        paths |= {name: BUNDLED_SUITES / f"{name}.py" for name in suites if "/" not in name}
        known = {r.case.id: Place(r.case.suite, paths.get(r.case.suite)) for r in base.measured}
        failures = dict(self._scope.absent(known, set(self._measured), base.header.id))
        if self._bench.runner is None:
            return failures
        try:
            candidate = store.read(self._bench.runner.folder)
            judgement = _judged(
                _only(base, set(self._measured)), candidate, self._config.getoption("plumbline_floor")
            )
        except PlumblineError as error:
            return failures | {base.header.id: str(error)}
        told = {case.case: _told(case, judgement.level) for case in judgement.cases}
        self._lines = [
            f"{case.decision.value:12}  {case.case}  {told[case.case]}" for case in judgement.cases
        ]
        self._lines += [f"{'new':12}  {case}" for case in judgement.new if case in self._measured]
        failures |= {case: f"{case} cannot be compared: {reason}" for case, reason in judgement.missing}
        self._lines += [f"{'missing':12}  {line}" for line in failures.values()]
        self._lines += judgement.notes
        return failures | {
            one.case: f"{one.case} {one.decision.value}: {told[one.case]}" for one in judgement.failing
        }

    @property
    def _measured(self) -> tuple[str, ...]:
        runner = self._bench.runner
        if runner is None:
            return ()
        results = ((case, runner.recorded(case)) for case in self._scope.selected)
        return tuple(
            case for case, result in results if result is not None and result.measurement is not None
        )

    def _report(self, case: str, line: str) -> None:
        name = case.replace("[", " ").replace(
            "]", ""
        )  # brackets would be taken for those of a parametrized test
        nodeid, location, hook = f"{COMPARE}::{name}", (COMPARE, None, name), self._config.hook
        report = pytest.TestReport(nodeid, location, {}, "failed", line, "call")
        hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line for each case that was compared with the stored run."""
        if self._base is not None and self._lines:
            terminalreporter.section(f"plumbline: compared with {self._base.header.id}", sep="-")
            for line in self._lines:
                terminalreporter.write_line(line)


def _is_ours(entry: dict[str, Any]) -> bool:
    """Whether a saved benchmark is of a test that takes `bench`, which says more than its rounds."""
    told = entry.get("extra_info") or {}
    return isinstance(told.get("case"), str) and "median_seconds" in told


def _refusal(name: str, differing: tuple[str, ...]) -> str:
    return f"{name} is of another machine and cannot be compared with: {', '.join(differing)}"


def _processor(machine_info: dict[str, Any]) -> str:
    cpu = machine_info.get("cpu") or {}
    return " ".join(str(cpu.get("brand_raw") or cpu.get("brand") or "").split())


def _only(run: Run, cases: set[str]) -> Run:
    planned = tuple(case for case in run.header.planned if case in cases)
    results = tuple(result for result in run.results if result.case.id in cases)
    header = msgspec.structs.replace(run.header, planned=planned)
    return msgspec.structs.replace(run, header=header, results=results)


def _judged(base: Run, candidate: Run, floor: float | None) -> Judgement:
    from harness.compare.decision import PRACTICAL_FLOOR  # noqa: PLC0415 - most sessions compare nothing
    from harness.compare.stored import judged  # noqa: PLC0415

    return judged(base, candidate, PRACTICAL_FLOOR if floor is None else floor)


def _told(decision: CaseDecision, level: float) -> str:
    """What came out of one case, in numbers."""
    words = []
    if decision.change is not None:
        words.append(units.signed_percent(decision.change))
    if decision.low is not None and decision.high is not None:
        low, high = (units.signed_percent(edge - 1) for edge in (decision.low, decision.high))
        words.append(f"({units.percent(level)}: {low} to {high})")
    if decision.base_seconds is not None and decision.candidate_seconds is not None:
        words.append(f"{units.seconds(decision.base_seconds)} -> {units.seconds(decision.candidate_seconds)}")
    words += [f"{grew.metric} grew from {grew.base} to {grew.other}" for grew in decision.work_grew]
    return "  ".join([*words, *dict.fromkeys(text for text in (decision.reason, decision.informs) if text)])
