"""What one pytest session measures: a run, begun at the first case, and a record of every case."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import pytest

from harness import store
from harness.errors import PlumblineError
from harness.loading import BUNDLED_SUITES
from harness.records import Case, Failed, RawSamples, Result, Settings, Skipped
from harness.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.measure.pool import WorkerPool
    from harness.measure.runner import Runner

OWN_MODELS = Path(__file__).resolve().parent.parent / "models" / "suite.py"
# Before the reference of a model of the user's own, where suites are named.
MODEL = "model:"


def measures(item: pytest.Item) -> bool:
    """Whether a test takes the `bench` fixture."""
    return "bench" in getattr(item, "fixturenames", ())


def workload_of(item: pytest.Item) -> Workload | None:
    """The workload among the parameters of a test."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    return next((value for value in parameters if isinstance(value, Workload)), None)


def interleaved(items: list[pytest.Item]) -> list[pytest.Item]:
    """What calibrates evenly between what it is to predict: a machine that changes its pace does so under both.

    That are the cases which do not say their cost themselves, whole models; without any, all others.
    """
    ours: list[pytest.Item] = []
    models: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        workload = workload_of(item) if measures(item) else None
        if workload is not None and workload.calibrates:
            ours.append(item)
        elif workload is not None and workload.cost() is None:
            models.append(item)
        else:
            others.append(item)
    among = models or others
    after: dict[pytest.Item | None, list[pytest.Item]] = {}
    for place, item in enumerate(ours):
        before = int((place + 0.5) / len(ours) * (len(among) + 1))
        after.setdefault(among[before - 1] if before else None, []).append(item)
    first = among[0] if among else None
    mixed: list[pytest.Item] = []
    for item in items:
        if item in ours:
            continue
        mixed += after.pop(None, []) if item is first else []
        mixed += [item, *after.get(item, [])]
    return mixed or ours


def suite_of(item: pytest.Item) -> str:
    """What names the suite again later: a bundled one's name, or the path of the user's own."""
    workload = workload_of(item)
    if item.path == OWN_MODELS and workload is not None:
        return f"{MODEL}{getattr(workload, 'reference', '')}"
    if item.path.parent == BUNDLED_SUITES:
        return item.path.stem
    home = Path.home()
    return f"~/{item.path.relative_to(home)}" if item.path.is_relative_to(home) else str(item.path)


def name_of(item: pytest.Item) -> str:
    """The suite as records name it, without the folders of whoever wrote it."""
    suite = suite_of(item)
    return MODEL.rstrip(":") if suite.startswith(MODEL) else Path(suite).name


class BenchSession:
    """What one pytest session measures: a run, begun at the first case."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.pool: WorkerPool | None = None
        self.items: list[pytest.Item] = []
        self.runner: Runner | None = None
        self.error: PlumblineError | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Takes the measuring tests that were selected; refuses what has no workload, or one twice."""
        self.items = [item for item in session.items if measures(item)]
        bare = [item.name for item in self.items if workload_of(item) is None]
        if bare:
            raise pytest.UsageError(f"{bare[0]} takes `bench` and no Workload: parametrize it with workloads")
        twice = [name for name, count in Counter(self.planned).items() if count > 1]
        if twice:
            raise pytest.UsageError(f"two workloads have the id {twice[0]}: ids name cases and must differ")

    @property
    def planned(self) -> tuple[str, ...]:
        """The ids of the cases, in order."""
        return tuple(str(workload) for workload, _ in self.workloads)

    @property
    def workloads(self) -> list[tuple[Workload, str]]:
        """The workloads with the suite each is from, in order."""
        return [(workload, name_of(item)) for item in self.items if (workload := workload_of(item))]

    def measure(self, workload: Workload, item: pytest.Item) -> Result:
        """The result of a workload; a trouble that is not the workload's own ends the session."""
        hook = self.config.hook
        try:
            if self.runner is None:
                self.runner = self._begin()
            result = self.runner.recorded(str(workload))
            while result is None:
                self.runner.measure(self._from(item), lambda one: hook.pytest_plumbline_result(result=one))
                result = self.runner.recorded(str(workload))
        except PlumblineError as error:
            self._stop(error)
        return result

    def samples(self, workload: Workload) -> tuple[RawSamples, ...]:
        """The raw samples of a workload on record."""
        return self.runner.samples(str(workload)) if self.runner else ()

    def _from(self, item: pytest.Item) -> list[tuple[Workload, Case]]:
        """The workloads with their cases, from a test on: what may go into its batch."""
        items = self.items[self.items.index(item) :]
        items = [one for one in items if one is item or one.get_closest_marker("skip") is None]
        found = [(workload, name_of(item)) for item in items if (workload := workload_of(item))]
        return [(workload, workload.describe(suite)) for workload, suite in found]

    def _stop(self, error: PlumblineError) -> NoReturn:
        self.error = error
        pytest.exit(str(error), returncode=error.exit_status)

    def _begin(self) -> Runner:
        # These load torch, which a session that measures nothing does not need.
        from harness.measure.devices.base import named  # noqa: PLC0415
        from harness.measure.pool import WorkerPool  # noqa: PLC0415
        from harness.measure.runner import SAMPLING, Runner  # noqa: PLC0415

        option = self.config.getoption
        resumed = option("plumbline_resume")
        if resumed:
            folder = store.find(resumed, option("plumbline_results"))
            then = store.read(folder).header.settings
            device, threads = named(then.device, then.threads)
            sampling = then.sampling
        else:
            device, threads = named(option("plumbline_device"), option("plumbline_threads"))
            sampling = SAMPLING[option("plumbline_profile")]
        if option("plumbline_limit") is not None and not resumed:
            sampling = msgspec.structs.replace(sampling, limit_seconds=option("plumbline_limit"))
        self.pool = pool = WorkerPool(device, threads, self._note)
        self._note(f"starting {sampling.processes} worker processes")
        pool.grow(sampling.processes)
        if resumed:
            runner = Runner.resume(folder, pool, self._note)
        else:
            settings = Settings(
                suites=tuple(dict.fromkeys(map(suite_of, self.items))),
                expression=option("keyword"),
                profile=option("plumbline_profile"),
                device=device,
                threads=threads,
                sampling=sampling,
                label=option("plumbline_label"),
            )
            runner = Runner.start(option("plumbline_results"), settings, self.planned, pool, self._note)
        self.config.hook.pytest_plumbline_started(header=runner.header, done=runner.done)
        return runner

    def _note(self, text: str) -> None:
        self.config.hook.pytest_plumbline_note(text=text)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Records what a test itself says of its case: a failed assertion, a skip of its own."""
        report = yield
        workload = workload_of(item) if measures(item) else None
        if self.runner is None or workload is None or self.error is not None:
            return report
        known = self.runner.recorded(str(workload))
        outcome: Failed | Skipped | None = None
        if report.failed and not (known and isinstance(known.outcome, Failed)):
            outcome = Failed(reason=f"its test failed: {last_line(report)}")
        elif report.skipped and not (known and isinstance(known.outcome, Skipped)):
            outcome = Skipped(reason=last_line(report))
        if outcome is not None:
            result = Result(case=workload.describe(name_of(item)), outcome=outcome)
            try:
                self.runner.record(result)
            except PlumblineError as error:
                self._stop(error)
            self.config.hook.pytest_plumbline_result(result=result)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Closes the run, unless it was interrupted or stopped before its last case."""
        if self.runner is not None and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            try:
                self.runner.finish()
            except PlumblineError as error:
                self._stop(error)

    def pytest_unconfigure(self) -> None:
        """Ends the workers, and lets others write the run."""
        if self.runner is not None:
            self.runner.close()
        elif self.pool is not None:
            self.pool.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says where the record is."""
        if self.runner is not None:
            folder = self.runner.folder
            terminalreporter.write_line(
                f"plumbline: recorded in {folder}; read it: plumbline report {folder}"
            )

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Takes out what names the host, and what differs from run to run on one machine."""
        machine_info.pop("node", None)
        machine_info.get("cpu", {}).pop("hz_actual", None)
        machine_info.get("cpu", {}).pop("hz_actual_friendly", None)


def last_line(report: pytest.TestReport) -> str:
    """The line that says what happened, without the traceback above it."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return " ".join(text.split())[:300]
