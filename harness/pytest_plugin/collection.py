"""What to measure, as the user said it, and pytest run on it: it collects suites, and runs them.

pytest is the one runner, so `-k`, ids and fixtures mean the same in `plumbline bench` and in
`pytest suites`. It runs here without a configuration file, foreign plugins or its own output.
"""

import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import store
from harness.errors import NothingMeasuredError, PlumblineError, UsageError
from harness.loading import BUNDLED_SUITES, at_odds, reach_beside
from harness.measure.openmp import bound_spinning
from harness.pytest_plugin.session import OWN_MODELS, BenchSession, last_line
from harness.records import Case
from harness.workload import Workload

# Where Python could not read on, as pytest shows it.
_UNREADABLE = re.compile(r'^E +File "([^<].*)", line (\d+)$', re.MULTILINE)


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


def collect(request: Request, *, traced: bool = False) -> tuple[Case, ...]:
    """The cases a bench would measure; `traced`: also with the costs of those that do not say them.

    Raises:
        UsageError: no such suite, or nothing matches.
    """
    cases = ((workload, workload.describe(suite)) for workload, suite in collected(request))
    return tuple(foreseen(workload, case) if traced else case for workload, case in cases)


def collected(request: Request, *, or_none: bool = False) -> list[tuple[Workload, str]]:
    """The workloads a bench would measure, with the suite each is from; `or_none`: that nothing matches is an answer too.

    Raises:
        UsageError: no such suite, or nothing matches.
    """
    bound_spinning()
    watcher = Watcher()
    exit_code, _ = run_pytest(request, ["--collect-only"], [watcher])
    if or_none and exit_code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return []
    if exit_code != pytest.ExitCode.OK or watcher.session is None:
        raise watcher.trouble(request, exit_code)
    return watcher.session.workloads


def foreseen(workload: Workload, case: Case) -> Case:
    """The case with what a trace says of its cost, where it does not say that itself."""
    import torch  # noqa: PLC0415 - loaded by the suite

    from harness.cost.trace import UntraceableError  # noqa: PLC0415
    from harness.measure.handler import trace_case  # noqa: PLC0415

    if case.cost is not None:
        return case
    try:
        return trace_case(workload, torch.device("cpu")).applied(case)
    except UntraceableError as error:
        return msgspec.structs.replace(case, untraced=str(error))


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


def run_pytest(request: Request, options: list[str], plugins: list[object]) -> tuple[int, str]:
    """Runs pytest on the suites of a request; its exit status and what was printed.

    Raises:
        UsageError: pytest does not take the options.
    """
    paths = suite_paths(request.suites) if request.suites or not request.models else []
    paths += [OWN_MODELS] if request.models else []
    for path in paths:
        reach_beside(path)
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
    with (
        interruptible(signal.SIGTERM),
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()) as output,
        redirect_stderr(io.StringIO()) as complaints,
    ):
        warnings.simplefilter("default")
        # pytest-benchmark's words for a case that failed, and for a run stopped before its first case.
        warnings.filterwarnings("ignore", "Benchmark fixture was not used|Not saving anything")
        exit_code = pytest.main(arguments, plugins=plugins)
    if exit_code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(complaints.getvalue().strip().removeprefix("ERROR: "))
    sys.stderr.write(complaints.getvalue())
    return int(exit_code), output.getvalue()


@contextmanager
def interruptible(*signals: signal.Signals) -> Iterator[None]:
    """Until it ends, these signals are what ^C is: what was begun is brought to its end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {one: signal.signal(one, interrupt) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class Watcher:
    """Remembers what pytest says of a session, in place of its terminal output."""

    def __init__(self) -> None:
        self.session: BenchSession | None = None
        self.interrupted = False
        self.complaint: str | None = None
        self.failure: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Takes hold of the session."""
        self.session = config.pluginmanager.get_plugin("plumbline-session")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keeps the first suite that does not load."""
        if report.failed and self.complaint is None:
            said = str(report.longrepr)
            lines = [line for line in said.splitlines() if line.strip()]
            places = [f" ({Path(name).name}, line {line})" for name, line in _UNREADABLE.findall(said)]
            self.complaint = (
                f"cannot load {Path(report.nodeid).name}: {lines[-1].removeprefix('E').strip()}"
                + "".join(places[-1:])
            )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuses suites of which one would run with what is the other's."""
        if odds := at_odds(item.path for item in session.items):
            raise pytest.UsageError(odds)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the first test that fails."""
        if report.failed and self.failure is None:
            self.failure = f"{report.nodeid}: {last_line(report)}"

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        """Whether the user stopped it."""
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
