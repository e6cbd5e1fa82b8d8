"""The progress of a run while it happens: a bar in a terminal, plain lines elsewhere."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from harness import units
from harness.records import Failed, Header, Result, Skipped
from harness.report.case_tables import rate
from harness.text import counted

# Where there is no bar, progress is a line now and then.
_QUIET_SECONDS = 10.0


class Live:
    """Listens to a run; a plugin for pytest."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = not console.is_terminal
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=self._plain,
            auto_refresh=False,  # a refreshing thread would disturb the measurement
        )
        self._task = self._progress.add_task("", total=None, left="")
        self._total = 0
        self._seen: set[str] = set()
        self._began = 0.0
        self._pace: float | None = None
        self._printed = 0.0

    def pytest_plumbline_started(self, header: Header, done: int) -> None:
        """Shows where the run is recorded."""
        self._total = len(header.planned)
        self._print(f"run {header.id}: {counted(self._total, 'case')} on {header.settings.device}")
        if done:
            self._print(f"{done} of them are on record already")
        self._began = time.monotonic()
        self._progress.update(self._task, total=self._total)
        self._progress.start()

    def pytest_plumbline_note(self, text: str) -> None:
        """Shows what else is being measured; a new batch updates the pace."""
        now = time.monotonic()
        if self._seen:
            # The cases of a batch end together, so a pace is right only between batches.
            self._pace = (now - self._began) / len(self._seen)
        else:
            self._began = now  # peaks come first, and do not count
        self._progress.update(self._task, description=text, left=self._left(), refresh=True)
        self._print_at_times(text)

    def pytest_plumbline_result(self, result: Result) -> None:
        """Counts a case, and shows it from time to time where there is no bar; failures are shown always."""
        self._seen.add(result.case.id)  # a case whose test fails afterwards is reported twice
        self._progress.update(self._task, completed=len(self._seen), left=self._left())
        position = ", ".join(filter(None, (f"{len(self._seen)}/{self._total}", self._left())))
        line = f"[{position}] {result.case.id}  {_outcome(result)}"
        if isinstance(result.outcome, Failed) or (self._plain and len(self._seen) == self._total):
            self._print(line)
        else:
            self._print_at_times(line)

    def close(self) -> None:
        """Takes the bar away."""
        self._progress.stop()

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _print_at_times(self, line: str) -> None:
        """Prints a line where there is no bar and none was printed for some seconds."""
        if self._plain and time.monotonic() - self._printed >= _QUIET_SECONDS:
            self._print(line)

    def _left(self) -> str:
        """The time left by the pace of the batches that are done; empty during the first."""
        left = self._total - len(self._seen)
        if left and self._pace is None:
            return ""
        return f"{self._pace * left if self._pace else 0.0:.0f} s left"


def _outcome(result: Result) -> str:
    match result.outcome:
        case Skipped(reason=reason):
            return f"skipped: {reason}"
        case Failed(reason=reason):
            return f"FAILED: {reason}"
        case measurement:
            words = [units.seconds(measurement.median), rate(result), *measurement.flags]
            return "  ".join(word for word in words if word)
