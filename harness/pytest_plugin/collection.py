"""Runs pytest on the suites of a request, to collect them or to measure.

`-k`, ids and fixtures therefore mean the same in `plumbline bench` and in `pytest suites`. pytest runs here without a configuration file,
foreign plugins or output of its own.
"""

import ast
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

# The last folder of a path that pytest does not enter by default, and the cache of bytecode.
_NOT_ENTERED = {"CVS", "_darcs", "build", "dist", "node_modules", "venv", "__pycache__"}
# The position of a syntax error, as pytest prints it.
_UNREADABLE = re.compile(r'^E +File "([^<].*)", line (\d+)$', re.MULTILINE)


@dataclass(frozen=True)
class Request:
    """The options of `plumbline bench`: what to measure, and how."""

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
    """The cases that `bench` would measure; `traced`: with traced costs where a case declares none.

    Raises:
        UsageError: a suite does not exist, or no case matches.
    """
    cases = ((workload, workload.describe(suite)) for workload, suite in collected(request))
    return tuple(with_traced_cost(workload, case) if traced else case for workload, case in cases)


def collected(request: Request, *, or_none: bool = False) -> list[tuple[Workload, str]]:
    """The workloads that `bench` would measure, each with its suite; `or_none`: an empty list where no case matches.

    Raises:
        UsageError: a suite does not exist, or no case matches.
    """
    bound_spinning()
    watcher = Watcher()
    exit_code, _ = run_pytest(request, ["--collect-only"], [watcher])
    if or_none and exit_code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return []
    if exit_code != pytest.ExitCode.OK or watcher.session is None:
        raise watcher.failure_of(request, exit_code)
    return watcher.session.workloads


def with_traced_cost(workload: Workload, case: Case) -> Case:
    """The case with the cost of a trace, where it declares none."""
    import torch  # noqa: PLC0415 - loaded by the suite

    from harness.cost.trace import UntraceableError  # noqa: PLC0415
    from harness.measure.handler import trace_case  # noqa: PLC0415

    if case.cost is not None:
        return case
    try:
        return trace_case(workload, torch.device("cpu")).applied(case)
    except UntraceableError as error:
        return msgspec.structs.replace(case, untraced=str(error))


def named_suites(names: tuple[str, ...]) -> list[Path]:
    """Files and folders of suites: bundled suites by name, own ones by path; all bundled ones by default.

    Raises:
        UsageError: there is no such suite, or the folder contains none.
    """
    bundled = {p.stem: p for p in sorted(BUNDLED_SUITES.glob("*.py")) if p.stem != "__init__"}
    paths = []
    for name in names or tuple(bundled):
        path = bundled.get(name, Path(name).expanduser()).resolve()
        if path.is_dir() and not suites_below(path):
            raise UsageError(
                f"{name}: no suite in this folder; a suite imports plumbline and has a test that takes `bench`"
            )
        if not path.is_dir() and not (path.suffix == ".py" and path.is_file()):
            raise UsageError(
                f"unknown suite {name!r}: give one of {', '.join(bundled)}, or the path of a .py file or folder"
            )
        paths.append(path)
    return paths


def suite_paths(names: tuple[str, ...]) -> list[Path]:
    """The files of suites, those in folders included.

    Raises:
        UsageError: there is no such suite, or a folder contains none.
    """
    files = (suites_below(path) if path.is_dir() else [path] for path in named_suites(names))
    return list(dict.fromkeys(file for group in files for file in group))


def suites_below(folder: Path) -> list[Path]:
    """The suites in a folder and in the folders below that pytest would enter; empty for anything else."""
    suites = []
    for directory, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if _entered(Path(directory, name)))
        suites += [path for name in sorted(files) if is_suite(path := Path(directory, name))]
    return suites


def _entered(folder: Path) -> bool:
    name = folder.name
    hidden = name.startswith(".") or name.endswith(".egg") or name in _NOT_ENTERED
    return not hidden and not (folder / "pyvenv.cfg").is_file()


def is_suite(path: Path) -> bool:
    """Whether a file is a suite: Python that imports the harness and has a test that takes `bench`."""
    text = path.read_text(errors="replace") if path.suffix == ".py" and path.is_file() else ""
    if "bench" not in text:
        return False
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError):
        return False
    imported = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return not imported.isdisjoint({"harness", "plumbline"}) and any(
        isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and any(argument.arg == "bench" for argument in (*node.args.args, *node.args.kwonlyargs))
        for node in nodes
    )


def run_pytest(request: Request, options: list[str], plugins: list[object]) -> tuple[int, str]:
    """Runs pytest on the suites of a request; returns its exit status and its output.

    Raises:
        UsageError: pytest refuses the options.
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
    # Inside a test of pytest-xdist, pytest-benchmark would measure nothing and pass.
    os.environ.pop("PYTEST_XDIST_WORKER", None)
    with (
        interruptible(signal.SIGTERM),
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()) as output,
        redirect_stderr(io.StringIO()) as errors,
    ):
        warnings.simplefilter("default")
        # Warnings of pytest-benchmark for a case that failed, and for a run stopped before its first case.
        warnings.filterwarnings("ignore", "Benchmark fixture was not used|Not saving anything")
        exit_code = pytest.main(arguments, plugins=plugins)
    if exit_code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(errors.getvalue().strip().removeprefix("ERROR: "))
    sys.stderr.write(errors.getvalue())
    return int(exit_code), output.getvalue()


@contextmanager
def interruptible(*signals: signal.Signals) -> Iterator[None]:
    """These signals interrupt like ^C, so that everything started is cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watcher:
    """Records the outcome of a pytest session, in place of its terminal output."""

    def __init__(self) -> None:
        self.session: BenchSession | None = None
        self.interrupted = False
        self.load_error: str | None = None
        self.failed_test: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Keeps the session."""
        self.session = config.pluginmanager.get_plugin("plumbline-session")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keeps the error of the first suite that does not load."""
        if report.failed and self.load_error is None:
            text = str(report.longrepr)
            lines = [line for line in text.splitlines() if line.strip()]
            places = [f" ({Path(name).name}, line {line})" for name, line in _UNREADABLE.findall(text)]
            self.load_error = (
                f"cannot load {Path(report.nodeid).name}: {lines[-1].removeprefix('E').strip()}"
                + "".join(places[-1:])
            )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuses suites that would import each other's modules."""
        if odds := at_odds(item.path for item in session.items):
            raise pytest.UsageError(odds)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps the first test that fails."""
        if report.failed and self.failed_test is None:
            self.failed_test = f"{report.nodeid}: {last_line(report)}"

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        """Whether the user interrupted it."""
        # pytest itself stops with a subclass, as after a suite that does not load.
        self.interrupted = type(excinfo.value) is KeyboardInterrupt

    def failure_of(self, request: Request, exit_code: int) -> PlumblineError:
        """The reason why nothing was measured."""
        if self.session is not None and self.session.error is not None:
            return self.session.error
        if self.interrupted:
            raise KeyboardInterrupt
        if self.load_error is not None:
            return UsageError(self.load_error)
        if exit_code == pytest.ExitCode.NO_TESTS_COLLECTED:
            among = f" matches -k {request.expression!r}" if request.expression else ""
            return UsageError(f"no workload{among} in profile {request.profile}: `plumbline list` shows all")
        return NothingMeasuredError(self.failed_test or "nothing was measured")
