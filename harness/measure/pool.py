"""Worker processes of a run: starts them, sends requests to them, and replaces lost ones.

Process control uses `subprocess` and `multiprocessing.connection` of the standard library, and psutil to
kill processes that a workload started. docs/pages/explanation/decisions/0004 explains why a library pool does not fit.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Protocol, TypeVar

import psutil

from harness.errors import StartError, UsageError
from harness.measure.privacy import Redactor
from harness.measure.protocol import (
    Broken,
    Declined,
    Done,
    Message,
    Note,
    Open,
    Opened,
    Refused,
    Release,
    Reply,
    Request,
    Spoiled,
    encoded,
    reply_in,
)
from harness.measure.worker import CONNECTION, LIFELINE
from harness.records import Failed, Skipped

START_LIMIT_SECONDS = 120.0
LAST_OUTPUT_CHARACTERS = 300
# A worker loads this copy of the harness, whatever its interpreter and module path: both ends use one protocol.
BOOT = """
import importlib.util, sys
sys.path[:] = sys.argv[3:]
spec = importlib.util.spec_from_file_location("harness", sys.argv[1] + "/__init__.py", submodule_search_locations=[sys.argv[1]])
sys.modules["harness"] = harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(harness)
importlib.import_module(sys.argv[2]).main()
"""
HARNESS = Path(__file__).resolve().parent.parent

R = TypeVar("R", bound=Message)


class DeclinedError(Exception):
    """A case cannot be measured; `outcome` is its record."""

    def __init__(self, outcome: Skipped | Failed) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class SpoiledError(Exception):
    """A failed graph capture made a worker's process unusable."""


class LostError(Exception):
    """A worker ended or was ended; the text holds the reason and its last output."""

    def __init__(self, how: str, *, timed_out: bool = False) -> None:
        super().__init__(how)
        self.timed_out = timed_out


class Worker(Protocol):
    """A process that answers requests: all that the runner needs of a worker."""

    pids: tuple[int, ...]
    printed: bytes
    """Output of the workloads; complete after `close`."""

    def send(self, request: Request) -> None:
        """Sends a request and does not wait for the reply."""

    def receive(self, limit_seconds: float, meanwhile: Callable[[], object] | None) -> Reply:
        """The reply; `meanwhile` is called repeatedly during the wait.

        Raises:
            LostError: the worker died, or did not answer within the limit (and was killed).
        """

    def alive(self) -> bool:
        """Whether it can take a request."""

    def close(self) -> None:
        """Ends it and every process that it started."""


def _module_path() -> tuple[str, ...]:
    """The module path of this process, which a worker uses too."""
    return tuple(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - text, as in sys.path


@dataclass(frozen=True)
class Launch:
    """How a process is started: interpreter, module path, folder, and additional environment variables."""

    python: str = sys.executable
    path: tuple[str, ...] = field(default_factory=_module_path)
    directory: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, module: str) -> list[str]:
        """The command that runs `main` of a module of the harness."""
        return [self.python, "-c", BOOT, str(HARNESS), module, *self.path]

    @property
    def environment(self) -> dict[str, str]:
        """All environment variables."""
        return {**os.environ, **self.variables}


class WorkerProcess:
    """A worker in its own process and session, so that ^C in a terminal reaches the runner alone."""

    def __init__(self, launch: Launch | None = None) -> None:
        launch = launch or Launch()
        ours, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._output_start = 0
        ends = {CONNECTION: str(theirs.fileno()), LIFELINE: str(lifeline)}
        try:
            self._process = subprocess.Popen(
                launch.command("harness.measure.worker"),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(theirs.fileno(), lifeline),
                start_new_session=True,
                cwd=launch.directory,
                env={**launch.environment, **ends},
            )
        except OSError as error:
            ours.close()
            os.close(self._lifeline)
            self._output.close()
            raise StartError(
                f"cannot start a worker process with {launch.python}: {error.strerror}"
            ) from error
        finally:
            theirs.close()
            os.close(lifeline)
        self._connection: Connection = ours
        self.pids: tuple[int, ...] = (self._process.pid,)
        self.printed = b""

    def send(self, request: Request) -> None:
        """Sends a request; a lost worker shows in `receive`."""
        self._output_start = os.fstat(self._output.fileno()).st_size
        with contextlib.suppress(OSError):
            self._connection.send_bytes(encoded(request))

    def receive(self, limit_seconds: float, meanwhile: Callable[[], object] | None) -> Reply:
        """The reply."""
        until = time.monotonic() + limit_seconds
        try:
            if meanwhile:
                meanwhile()
            while not self._connection.poll(min(_PERIOD if meanwhile else 60.0, until - time.monotonic())):
                if time.monotonic() >= until:
                    self._kill()
                    raise LostError(f"the worker process was ended{self._last_output()}", timed_out=True)
                if meanwhile:
                    meanwhile()
            return reply_in(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise LostError(self._exit_reason()) from error

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process and its children at once: every result has arrived."""
        if self._output.closed:
            return
        self._kill()
        self.printed = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0)
        self._connection.close()
        os.close(self._lifeline)
        self._output.close()

    def _kill(self) -> None:
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self._process.pid).children(recursive=True)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for child in family:
            with contextlib.suppress(psutil.Error):
                child.kill()

    def _exit_reason(self) -> str:
        """Why the process ended, with its last output."""
        try:
            status = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:  # it closed its end and still runs
            self._kill()
            return f"the worker process hung up{self._last_output()}"
        if status >= 0:
            return f"the worker process ended with status {status}{self._last_output()}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        hint = " (as the kernel does when memory runs out)" if name == "SIGKILL" else ""
        return f"the worker process was killed by {name}{hint}{self._last_output()}"

    def _last_output(self) -> str:
        """The end of the output since the last request, or the fault handler's report if there is one."""
        size = os.fstat(self._output.fileno()).st_size
        printed = os.pread(self._output.fileno(), size - self._output_start, self._output_start).decode(
            errors="replace"
        )
        lines = [" ".join(line.split()) for line in printed.splitlines() if line.strip()]
        fatal = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
        text = Redactor.of_this_machine().text(
            " ".join(lines[-3:] if fatal is None else lines[fatal : fatal + 3])
        )
        return f'; last output: "{text[-LAST_OUTPUT_CHARACTERS:]}"' if text else ""


# Seconds between two calls of `meanwhile`.
_PERIOD = 0.02


class WorkerPool:
    """The workers of a run. One is active at a time; idle ones use no CPU time."""

    def __init__(
        self,
        device: str,
        threads: int,
        note: Callable[[str], None],
        _start: Callable[[], Worker] | None = None,
    ) -> None:
        self._device, self._threads, self._note = device, threads, note
        self._start: Callable[[], Worker] = _start or WorkerProcess
        self._workers: list[Worker] = []
        self.opened: Opened | None = None
        self.meanwhile: Callable[[], object] | None = None
        self.output = b""

    def __len__(self) -> int:
        return len(self._workers)

    def sibling(self) -> "WorkerPool":
        """Another pool with the same settings and no workers."""
        return WorkerPool(self._device, self._threads, self._note, self._start)

    def grow(self, count: int) -> None:
        """Starts workers, in parallel, until there are `count`.

        Raises:
            StartError: a worker does not start.
        """
        fresh: list[Worker] = [self._start() for _ in range(count - len(self._workers))]
        self._workers += fresh
        for worker in fresh:
            worker.send(Open(self._device, self._threads))
        for worker in fresh:
            try:
                self.opened = self._answer(worker, Opened, START_LIMIT_SECONDS)
            except LostError as lost:
                raise StartError(f"a worker does not start: {lost}") from lost

    def ask(self, index: int, request: Request, kind: type[R], limit_seconds: float) -> R:
        """The reply of one worker, which must be of type `kind`.

        Raises:
            LostError: the worker ended; `replace_lost` replaces it.
            DeclinedError: the case cannot be measured.
            SpoiledError: the calls cannot be captured, and the worker was ended; `replace_lost` replaces it.
            UsageError: the request was refused, with the reason for the user.
        """
        self._workers[index].send(request)
        return self._answer(self._workers[index], kind, limit_seconds)

    def inquire(self, request: Request, kind: type[R], limit_seconds: float) -> R:
        """The reply of any worker; if it is lost, its replacement gets the request once more.

        Raises:
            StartError: the replacement is lost too.
        """
        self.replace_lost()
        with contextlib.suppress(LostError):
            return self.ask(0, request, kind, limit_seconds)
        self.replace_lost()
        try:
            return self.ask(0, request, kind, limit_seconds)
        except LostError as lost:
            raise StartError(f"no worker process stays alive: {lost}") from lost

    def release(self, case: str | None, limit_seconds: float) -> None:
        """Frees a case, or all cases (None), in every worker.

        Raises:
            LostError: a worker ended.
        """
        for index in range(len(self._workers)):
            self.ask(index, Release(case), Done, limit_seconds)

    def replace_lost(self) -> None:
        """Replaces the workers that ended."""
        gone = [worker for worker in self._workers if not worker.alive()]
        for worker in gone:
            self._dismiss(worker)
        if gone:
            self.grow(len(self._workers) + len(gone))

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers."""
        return tuple(pid for worker in self._workers for pid in worker.pids)

    def close(self) -> None:
        """Ends all workers."""
        for worker in tuple(self._workers):
            self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.close()
        self.output += worker.printed

    def _answer(self, worker: Worker, kind: type[R], limit_seconds: float) -> R:
        while True:
            reply = worker.receive(limit_seconds, self.meanwhile)
            match reply:
                case Note(text=text):
                    self._note(text)
                case Declined(outcome=outcome):
                    raise DeclinedError(outcome)
                case Spoiled(reason=reason):
                    worker.close()
                    raise SpoiledError(reason)
                case Refused(text=text):
                    raise UsageError(text)
                case Broken(text=text):
                    worker.close()
                    raise LostError(f"the worker process broke: {text}")
                case _ if isinstance(reply, kind):
                    return reply
                case _:
                    raise TypeError(f"a worker answered {type(reply).__name__}, not {kind.__name__}")
