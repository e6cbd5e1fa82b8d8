"""Runs `plumbline bench`: pytest collects and measures, then the run is checked and reported."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from harness import store
from harness.check.judge import exit_status, judge
from harness.errors import UsageError
from harness.measure.openmp import bound_spinning
from harness.pytest_plugin.collection import Request, Watcher, run_pytest
from harness.pytest_plugin.session import MODEL
from harness.records import Run
from harness.report.live import Live
from harness.report.outcome import show, show_brief
from harness.report.publish import as_html, as_json, as_markdown
from harness.report.sources import Source
from harness.report.terminal import screen

INTERRUPTED = 130


def run(request: Request, resume: str | None = None, *, verbose: bool = False) -> int:
    """Measures, checks and reports; returns the exit status.

    Raises:
        PlumblineError: wrong input, or a record cannot be written.
    """
    bound_spinning()
    from harness.measure.devices.base import named  # noqa: PLC0415 - loads torch, after the line above

    if resume is not None:
        request, resume = _resumed(request, resume)
    named(request.device, request.threads)
    if request.models:
        from harness.models.suite import check  # noqa: PLC0415 - loads torch

        with redirect_stdout(sys.stderr):
            check(request.models)
    console = screen()
    live = Live(console)
    watcher = Watcher()
    with tempfile.TemporaryDirectory() as temporary:
        export = Path(temporary) / store.EXPORT
        options = [f"--benchmark-json={export}", f"--plumbline-results={request.results}"]
        options += [f"--plumbline-resume={resume}"] if resume else []
        try:
            exit_code, output = run_pytest(request, options, [live, watcher])
        finally:
            live.close()
        session = watcher.session
        if session is None or session.runner is None:
            raise watcher.failure_of(request, exit_code)
        folder = session.runner.folder
        if session.error is not None:
            show_brief(judge(store.read(folder)), console)
            raise session.error
        if export.exists():
            store.write_whole(folder / store.EXPORT, export.read_bytes())
    concluded = conclude(folder)
    (show if verbose else show_brief)(concluded, console)
    if paths := list(write_reports(folder, concluded)):
        beside = f" (also {', '.join(path.name for path in paths[1:])})" if paths[1:] else ""
        console.print(f"report: {paths[0]}{beside}", highlight=False, markup=False, soft_wrap=True)
    if exit_code == pytest.ExitCode.INTERNAL_ERROR:
        sys.stderr.write(output)
        return 3
    return INTERRUPTED if watcher.interrupted else exit_status(concluded)


def conclude(folder: Path) -> Run:
    """Checks a run; fits and verdicts are stored once it is complete."""
    concluded = judge(store.read(folder))
    if concluded.complete:
        store.Writer(folder, concluded.header).put(concluded.header)
    return concluded


def write_reports(folder: Path, concluded: Run) -> Iterator[Path]:
    """Writes the report of a run in each form and yields the paths; a form that cannot be created here is left out with a message."""
    sources = (Source(concluded, store.sensors(folder)),)
    forms: dict[str, Callable[[], bytes]] = {
        store.PAGE: lambda: as_html(sources).encode(),
        store.REPORT: lambda: as_markdown(sources).encode(),
        store.DOCUMENT: lambda: as_json(sources),
    }
    for name, content in forms.items():
        try:
            store.write_whole(folder / name, content())
        except UsageError as error:
            sys.stderr.write(f"no {name}: {error}\n")
        else:
            yield folder / name


def _resumed(request: Request, reference: str) -> tuple[Request, str]:
    if request != Request(results=request.results):
        raise UsageError(
            "--resume: suites, -k, profile, device and threads come from the run; leave them out"
        )
    folder = store.find(reference, request.results)
    resumed = store.read(folder)
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
