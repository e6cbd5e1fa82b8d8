"""The progress of a run while it happens: a bar in a terminal, plain lines elsewhere."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness import units
from harness.records import Failed, Header, Result, Skipped
from harness.report.case_tables import rate


class Live:
    """Listens to a run; a plugin for pytest."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = not console.is_terminal
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=self._plain,
            auto_refresh=False,  # a refreshing thread would disturb what it tells of
        )
        self._task = self._progress.add_task("", total=None)
        self._total = 0
        self._seen: set[str] = set()
        self._began = 0.0

    def pytest_plumbline_started(self, header: Header, done: int) -> None:
        """Shows where the run is recorded."""
        self._total = len(header.planned)
        self._say(f"run {header.id}: {self._total} cases on {header.settings.device}")
        if done:
            self._say(f"{done} of them are on record already")
        self._began = time.monotonic()
        self._progress.update(self._task, total=self._total)
        self._progress.start()

    def pytest_plumbline_note(self, text: str) -> None:
        """Shows what else is being measured."""
        self._progress.update(self._task, description=text, refresh=True)
        if not self._seen:
            self._began = time.monotonic()  # cases begin after it: their pace tells the time left
        if self._plain:
            self._say(text)

    def pytest_plumbline_result(self, result: Result) -> None:
        """Counts a case, and tells of it where there is no bar; troubles are told everywhere."""
        self._seen.add(result.case.id)  # a case whose test fails afterwards is told of twice
        self._progress.update(self._task, completed=len(self._seen))
        trouble = isinstance(result.outcome, Failed)
        if self._plain or trouble:
            self._say(f"{self._position()} {result.case.id}  {_outcome(result)}")

    def close(self) -> None:
        """Takes the bar away."""
        self._progress.stop()

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _position(self) -> str:
        elapsed = time.monotonic() - self._began
        count = len(self._seen)
        left = elapsed / count * (self._total - count)
        return f"[{count}/{self._total}, {left:.0f} s left]"


def _outcome(result: Result) -> str:
    match result.outcome:
        case Skipped(reason=reason):
            return f"skipped: {reason}"
        case Failed(reason=reason):
            return f"FAILED: {reason}"
        case measurement:
            words = [units.seconds(measurement.median), rate(result), *measurement.flags]
            return "  ".join(word for word in words if word)
