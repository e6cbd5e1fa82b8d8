"""The pytest face: options, the `bench` fixture, and hooks that others may listen to.

The harness owns the stopwatch. pytest-benchmark gets the samples afterwards, through a timer that
replays them, by public means alone: its table, JSON, comparison and options work as ever.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import store
from harness.errors import PlumblineError
from harness.measure.openmp import bound_spinning
from harness.records import Failed, Header, Measurement, Result, Settings, Skipped
from harness.workload import PROFILES, Bench, Sweep, Workload

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pytest_benchmark.fixture import BenchmarkFixture

    from harness.measure.conductor import Conductor

BUNDLED_SUITES = Path(__file__).resolve().parent.parent / "suites"


class Hooks:
    """What a listener may implement; the live display is one."""

    def pytest_plumbline_started(self, header: Header, done: int) -> None:
        """A run begins, or goes on with `done` cases on record."""

    def pytest_plumbline_note(self, text: str) -> None:
        """Something else than a case is being measured."""

    def pytest_plumbline_case(self, case_id: str) -> None:
        """A case is about to be measured."""

    def pytest_plumbline_result(self, result: Result) -> None:
        """A case is done and on disk."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declares the hooks."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run; `plumbline bench` has the same ones without the prefix."""
    group = parser.getgroup("plumbline", "measuring with Plumbline")
    group.addoption("--plumbline-profile", choices=PROFILES, default="quick", help="how many sizes, how long")
    group.addoption("--plumbline-device", default="auto", help="auto, cpu, cuda or cuda:N")
    group.addoption("--plumbline-threads", type=int, help="threads (default: usable physical cores)")
    group.addoption("--plumbline-results", type=Path, default=store.DEFAULT_RESULTS, help="results folder")
    group.addoption("--plumbline-resume", help="go on with this run: a path, an id, or latest")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before pytest-benchmark reads its options, and before any suite loads torch."""
    config.pluginmanager.register(BenchSession(config, bound_spinning()), "plumbline-session")
    # A case that failed hands no samples over: its reason is said, this adds nothing.
    config.addinivalue_line("filterwarnings", "ignore:Benchmark fixture was not used")


class ReplayTimer:
    """A clock that reads recorded durations: pytest-benchmark asks it twice a round."""

    __name__ = "plumbline replay"

    def __init__(self) -> None:
        self._readings: Iterator[float] = iter(())

    def load(self, durations: Sequence[float]) -> None:
        """Sets the rounds to replay; from 0 to d is exactly d."""
        self._readings = (reading for duration in durations for reading in (0.0, duration))

    def __call__(self) -> float:
        """The next reading."""
        return next(self._readings)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Gives each measuring test the replay timer, merged with what its own markers say."""
    if _measures(item):
        options: dict[str, Any] = {}
        for marker in reversed(list(item.iter_markers("benchmark"))):
            options |= marker.kwargs
        item.add_marker(pytest.mark.benchmark(**{**options, "timer": ReplayTimer()}), append=False)


def _measures(item: pytest.Item) -> bool:
    return "bench" in getattr(item, "fixturenames", ())


def _workload(item: pytest.Item) -> Workload | None:
    """The workload among the parameters of a test."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    return next((value for value in parameters if isinstance(value, Workload)), None)


def _suite(item: pytest.Item) -> str:
    """What names the suite again later: a bundled one's name, or the path of the user's own."""
    if item.path.parent == BUNDLED_SUITES:
        return item.path.stem
    home = Path.home()
    return f"~/{item.path.relative_to(home)}" if item.path.is_relative_to(home) else str(item.path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what the profile does not measure, or the run that is resumed did not plan."""
    planned = _planned(config)
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    for item in items:
        (kept if _wanted(item, config.getoption("plumbline_profile"), planned) else dropped).append(item)
    if dropped:
        items[:] = kept
        config.hook.pytest_deselected(items=dropped)


def _wanted(item: pytest.Item, profile: str, planned: set[str] | None) -> bool:
    workload = _workload(item)
    if workload is None or not _measures(item):
        return True
    if planned is not None:
        return str(workload) in planned
    sweep = getattr(getattr(item, "module", None), "WORKLOADS", None)
    return not isinstance(sweep, Sweep) or sweep.includes(workload, profile)


def _planned(config: pytest.Config) -> set[str] | None:
    resumed = config.getoption("plumbline_resume")
    if not resumed:
        return None
    try:
        return set(store.load(store.find(resumed, config.getoption("plumbline_results"))).header.planned)
    except PlumblineError as error:
        raise pytest.UsageError(str(error)) from error


class BenchSession:
    """What one pytest session measures: a run, begun at the first case."""

    def __init__(self, config: pytest.Config, spinning_is_bounded: bool) -> None:  # noqa: FBT001
        self.config = config
        self.spinning_is_bounded = spinning_is_bounded
        self.items: list[pytest.Item] = []
        self.conductor: Conductor | None = None
        self.error: PlumblineError | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Takes the measuring tests that were selected; refuses what has no workload, or one twice."""
        self.items = [item for item in session.items if _measures(item)]
        bare = [item.name for item in self.items if _workload(item) is None]
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
        return [(workload, _suite(item)) for item in self.items if (workload := _workload(item))]

    def measure(self, workload: Workload, item: pytest.Item) -> Result:
        """The result of a workload; a trouble that is not the workload's own ends the session."""
        try:
            if self.conductor is None:
                self.conductor = self._begin()
            self.config.hook.pytest_plumbline_case(case_id=str(workload))
            result = self.conductor.measure(workload, Path(_suite(item)).name)
        except PlumblineError as error:
            self.error = error
            pytest.exit(str(error), returncode=error.exit_status)
        self.config.hook.pytest_plumbline_result(result=result)
        return result

    def _begin(self) -> Conductor:
        # These load torch, which a session that measures nothing does not need.
        from harness.measure.conductor import SAMPLING, Conductor  # noqa: PLC0415
        from harness.measure.device import resolve  # noqa: PLC0415
        from harness.measure.environment import capture  # noqa: PLC0415

        option = self.config.getoption
        device = resolve(option("plumbline_device"), option("plumbline_threads"))
        environment = capture(device.name)
        resumed = option("plumbline_resume")
        if resumed:
            folder = store.find(resumed, option("plumbline_results"))
            conductor = Conductor.resume(folder, environment, device, self._note)
        else:
            settings = Settings(
                suites=tuple(dict.fromkeys(map(_suite, self.items))),
                expression=option("keyword"),
                profile=option("plumbline_profile"),
                device=device.name,
                threads=device.threads,
                sampling=SAMPLING[option("plumbline_profile")],
            )
            results = option("plumbline_results")
            conductor = Conductor.start(results, settings, environment, device, self.planned, self._note)
        self.config.hook.pytest_plumbline_started(header=conductor.header, done=conductor.done)
        if not self.spinning_is_bounded:
            self._note("torch was loaded before: OpenMP threads spin as long as the library likes")
        return conductor

    def _note(self, text: str) -> None:
        self.config.hook.pytest_plumbline_note(text=text)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Records what a test itself says of its case: a failed assertion, a skip of its own."""
        report = yield
        workload = _workload(item) if _measures(item) else None
        if self.conductor is None or workload is None or self.error is not None:
            return report
        known = self.conductor.recorded(str(workload))
        outcome: Failed | Skipped | None = None
        if report.failed and not (known and isinstance(known.outcome, Failed)):
            outcome = Failed(reason=f"its test failed: {last_line(report)}")
        elif report.skipped and known is None:
            outcome = Skipped(reason=last_line(report))
        if outcome is not None:
            result = Result(case=workload.describe(Path(_suite(item)).name), outcome=outcome)
            self.conductor.record(result)
            self.config.hook.pytest_plumbline_result(result=result)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Closes the run, unless it was interrupted or stopped before its last case."""
        if self.conductor is not None and exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            try:
                self.conductor.finish()
            except PlumblineError as error:
                self.error = error
                pytest.exit(str(error), returncode=error.exit_status)

    def pytest_unconfigure(self) -> None:
        """Lets others write the run."""
        if self.conductor is not None:
            self.conductor.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Says where the record is."""
        if self.conductor is not None:
            folder = self.conductor.folder
            terminalreporter.write_line(
                f"plumbline: recorded in {folder}; read it: plumbline report {folder}"
            )

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Takes out what names the host, and what differs from run to run on one machine."""
        machine_info.pop("node", None)
        machine_info.get("cpu", {}).pop("hz_actual", None)
        machine_info.get("cpu", {}).pop("hz_actual_friendly", None)


@pytest.fixture
def bench(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> Bench:
    """Measures a workload, records it, and hands its samples to pytest-benchmark."""
    session: Any = request.config.pluginmanager.get_plugin("plumbline-session")

    def run(workload: Workload) -> None:
        if hasattr(request.config, "workerinput") and not request.config.getoption("benchmark_disable"):
            pytest.fail("measuring needs the machine for itself: run without -n", pytrace=False)
        if benchmark.disabled:
            _call_once(workload, benchmark, session)
            return
        result = session.measure(workload, request.node)
        match result.outcome:
            case Skipped(reason=reason):
                pytest.skip(reason)
            case Failed(reason=reason):
                pytest.fail(reason, pytrace=False)
            case Measurement() as measurement:
                _replay(result, measurement, benchmark, request)

    return run


def _replay(
    result: Result, measurement: Measurement, benchmark: BenchmarkFixture, request: pytest.FixtureRequest
) -> None:
    timer = request.node.get_closest_marker("benchmark").kwargs["timer"]
    timer.load([seconds * measurement.calls_per_sample for seconds in measurement.seconds])
    benchmark.group = benchmark.group or result.case.family
    benchmark.params = {"dtype": result.case.dtype, **result.case.sizes}
    benchmark.extra_info |= {
        "case": result.case.id,
        "view": measurement.view,
        "flops": result.case.cost.flops if result.case.cost else None,
        "bytes_moved": result.case.cost.bytes_moved if result.case.cost else None,
        "typical_seconds": measurement.typical,
        "roofline_seconds": result.prediction.seconds if result.prediction else None,
        "peak_memory_bytes": measurement.peak_memory_bytes,
        "flags": list(measurement.flags),
    }
    rounds = len(measurement.seconds)
    benchmark.pedantic(lambda: None, rounds=rounds, iterations=measurement.calls_per_sample)  # type: ignore[no-untyped-call]


def _call_once(workload: Workload, benchmark: BenchmarkFixture, session: BenchSession) -> None:
    """With `--benchmark-disable`: that the workload runs, nothing more."""
    from harness.measure.device import impossible, resolve  # noqa: PLC0415

    option = session.config.getoption
    device = resolve(option("plumbline_device"), option("plumbline_threads"))
    try:
        with workload.context():
            benchmark.pedantic(workload.prepare(device.torch_device))  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = impossible(error)
        if reason is None:
            raise
        pytest.skip(reason)


def last_line(report: pytest.TestReport) -> str:
    """The line that says what happened, without the traceback above it."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return " ".join(text.split())[:300]
