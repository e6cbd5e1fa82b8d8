"""Leads a whole bench: pytest collects and runs, then the run is judged and reported.

pytest is the one runner, so `-k`, ids and fixtures mean the same in `plumbline bench` and in
`pytest suites`. It runs here without a configuration file, foreign plugins or its own output.
"""

import io
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store
from harness.check.judge import exit_status, judge
from harness.errors import NothingMeasuredError, PlumblineError, UsageError
from harness.measure.openmp import bound_spinning
from harness.records import Case, Run
from harness.report.live import Live
from harness.report.outputs import as_html, as_json, as_markdown
from harness.report.sources import Source
from harness.report.terminal import screen, show
from harness.session import BUNDLED_SUITES, MODEL, OWN_MODELS, BenchSession, last_line
from harness.workload import Workload

INTERRUPTED = 130


@dataclass(frozen=True)
class Request:
    """What to measure, as the user said it."""

    suites: tuple[str, ...] = ()
    expression: str = ""
    profile: str = "quick"
    device: str = "auto"
    threads: int | None = None
    limit: float | None = None
    results: Path = store.DEFAULT_RESULTS
    models: tuple[str, ...] = ()
    label: str = ""


def run(request: Request, resume: str | None = None) -> int:
    """Measures, judges, reports; returns the exit status.

    Raises:
        PlumblineError: wrong input, or a record that could not be written.
    """
    bound_spinning()
    from harness.measure.device import named  # noqa: PLC0415 - loads torch, after the line above

    if resume is not None:
        request, resume = _resumed(request, resume)
    named(request.device, request.threads)
    if request.models:
        from harness.models.suite import check  # noqa: PLC0415 - loads torch

        with redirect_stdout(sys.stderr):
            check(request.models)
    console = screen()
    live = Live(console)
    watcher = _Watcher()
    with tempfile.TemporaryDirectory() as temporary:
        export = Path(temporary) / store.EXPORT
        options = [f"--benchmark-json={export}", f"--plumbline-results={request.results}"]
        options += [f"--plumbline-resume={resume}"] if resume else []
        try:
            exit_code, output = _pytest(request, options, [live, watcher])
        finally:
            live.close()
        session = watcher.session
        if session is None or session.conductor is None:
            raise watcher.trouble(request, exit_code)
        folder = session.conductor.folder
        if session.error is not None:
            show(judge(store.load(folder)), console)
            raise session.error
        if export.exists():
            store.write_whole(folder / store.EXPORT, export.read_bytes())
    concluded = conclude(folder)
    show(concluded, console)
    for path in write_reports(folder, concluded):
        console.print(f"report: {path}", highlight=False, markup=False, soft_wrap=True)
    if exit_code == pytest.ExitCode.INTERNAL_ERROR:
        sys.stderr.write(output)
        return 3
    return INTERRUPTED if watcher.interrupted else exit_status(concluded)


def collect(request: Request, *, traced: bool = False) -> tuple[Case, ...]:
    """The cases a bench would measure; `traced`: also with the costs of those that do not say them.

    Raises:
        UsageError: no such suite, or nothing matches.
    """
    bound_spinning()
    watcher = _Watcher()
    exit_code, _ = _pytest(request, ["--collect-only"], [watcher])
    if exit_code != pytest.ExitCode.OK or watcher.session is None:
        raise watcher.trouble(request, exit_code)
    cases = ((workload, workload.describe(suite)) for workload, suite in watcher.session.workloads)
    return tuple(_foreseen(workload, case) if traced else case for workload, case in cases)


def _foreseen(workload: Workload, case: Case) -> Case:
    import torch  # noqa: PLC0415 - loaded by the suite

    from harness.measure.desk import follow  # noqa: PLC0415
    from harness.trace import UntraceableError  # noqa: PLC0415

    if case.cost is not None:
        return case
    try:
        return follow(workload, torch.device("cpu")).applied(case)
    except UntraceableError as error:
        return msgspec.structs.replace(case, untraced=str(error))


def conclude(folder: Path) -> Run:
    """Judges a run; fits and verdicts are stored once it is complete."""
    concluded = judge(store.load(folder))
    if concluded.complete:
        store.Writer(folder, concluded.header).put(concluded.header)
    return concluded


def write_reports(folder: Path, concluded: Run) -> Iterator[Path]:
    """Writes the report of a run in each form, and tells where; a form that cannot be made here is told of and left out."""
    sources = (Source(concluded, store.sensors(folder)),)
    forms: dict[str, Callable[[], bytes]] = {
        store.PAGE: lambda: as_html(sources).encode(),
        store.REPORT: lambda: as_markdown(sources).encode(),
        store.DOCUMENT: lambda: as_json(sources),
    }
    for name, made in forms.items():
        try:
            store.write_whole(folder / name, made())
        except UsageError as error:
            sys.stderr.write(f"no {name}: {error}\n")
        else:
            yield folder / name


def _resumed(request: Request, reference: str) -> tuple[Request, str]:
    if request != Request(results=request.results):
        raise UsageError(
            "--resume takes suites, -k, profile, device and threads from the run: leave them out"
        )
    folder = store.find(reference, request.results)
    resumed = store.load(folder)
    if resumed.complete:
        raise UsageError(f"{resumed.header.id} is complete: nothing to resume")
    settings = resumed.header.settings
    return (
        replace(
            request,
            suites=tuple(name for name in settings.suites if not name.startswith(MODEL)),
            models=tuple(n.removeprefix(MODEL) for n in settings.suites if n.startswith(MODEL)),
            expression=settings.expression,
            profile=settings.profile,
            device=settings.device,
            threads=settings.threads,
        ),
        str(folder),
    )


def suite_paths(names: tuple[str, ...]) -> list[Path]:
    """The files of suites: bundled ones by name, a user's own by path; all bundled ones by default.

    Raises:
        UsageError: no such suite.
    """
    bundled = {p.stem: p for p in sorted(BUNDLED_SUITES.glob("*.py")) if p.stem != "__init__"}
    paths = []
    for name in names or tuple(bundled):
        path = bundled.get(name, Path(name).expanduser())
        if not (path.suffix == ".py" and path.is_file()):
            raise UsageError(
                f"unknown suite {name!r}: one of {', '.join(bundled)}, or the path of a .py file"
            )
        paths.append(path.resolve())
    return paths


def _pytest(request: Request, options: list[str], plugins: list[object]) -> tuple[int, str]:
    paths = suite_paths(request.suites) if request.suites or not request.models else []
    paths += [OWN_MODELS] if request.models else []
    arguments = [
        *map(str, paths),
        *("-c", os.devnull, "--rootdir", os.path.commonpath([path.parent for path in paths])),
        *("--disable-plugin-autoload", "--noconftest", "-p", "no:cacheprovider", "-p", "no:warnings"),
        *("-p", "pytest_benchmark.plugin", "-p", "harness.pytest_plugin"),
        *("--capture=no", "--tb=short", "--benchmark-quiet", "--import-mode=importlib"),
        f"--plumbline-profile={request.profile}",
        f"--plumbline-device={request.device}",
        *([f"--plumbline-threads={request.threads}"] if request.threads is not None else []),
        *([f"--plumbline-limit={request.limit}"] if request.limit is not None else []),
        *(f"--plumbline-model={model}" for model in request.models),
        *([f"--plumbline-label={request.label}"] if request.label else []),
        *([f"-k={request.expression}"] if request.expression else []),
        *options,
    ]
    # Where this command runs inside a test of pytest-xdist, pytest-benchmark would measure nothing, and pass.
    os.environ.pop("PYTEST_XDIST_WORKER", None)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()) as output,
            redirect_stderr(io.StringIO()) as complaints,
        ):
            warnings.simplefilter("default")
            # pytest-benchmark's words for a case that failed, and for a run stopped before its first case.
            warnings.filterwarnings("ignore", "Benchmark fixture was not used|Not saving anything")
            exit_code = pytest.main(arguments, plugins=plugins)
    finally:
        signal.signal(signal.SIGTERM, before)
    if exit_code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(complaints.getvalue().strip().removeprefix("ERROR: "))
    sys.stderr.write(complaints.getvalue())
    return int(exit_code), output.getvalue()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class _Watcher:
    """Remembers what pytest says of a session, in place of its terminal output."""

    def __init__(self) -> None:
        self.session: BenchSession | None = None
        self.interrupted = False
        self.complaint: str | None = None
        self.failure: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self.session = config.pluginmanager.get_plugin("plumbline-session")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and self.complaint is None:
            lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
            self.complaint = f"cannot load {Path(report.nodeid).name}: {lines[-1].removeprefix('E').strip()}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failure is None:
            self.failure = f"{report.nodeid}: {last_line(report)}"

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        # A subclass is pytest's own way to stop, as after a suite that does not load.
        self.interrupted = type(excinfo.value) is KeyboardInterrupt

    def trouble(self, request: Request, exit_code: int) -> PlumblineError:
        """Why nothing was measured."""
        if self.session is not None and self.session.error is not None:
            return self.session.error
        if self.interrupted:
            raise KeyboardInterrupt
        if self.complaint is not None:
            return UsageError(self.complaint)
        if exit_code == pytest.ExitCode.NO_TESTS_COLLECTED:
            among = f" matches -k {request.expression!r}" if request.expression else ""
            return UsageError(f"no workload{among} in profile {request.profile}: `plumbline list` shows all")
        return NothingMeasuredError(self.failure or "nothing was measured")
