"""A worker: a fresh process that answers the runner's requests and ends with the runner.

It answers over a socket pair, whose descriptor an environment variable names. Standard output and error belong to
the workload: its output disturbs no message.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from harness.measure.openmp import bound_spinning
from harness.measure.protocol import Broken, Message, encoded, request_in

# Environment variables that name descriptors: the end of a socket pair, and that of a pipe.
CONNECTION, LIFELINE = "PLUMBLINE_CONNECTION", "PLUMBLINE_LIFELINE"
# proc(5), oom_score_adj: when memory runs out, this process goes before any other.
FIRST_TO_GO = "1000"


def main() -> None:
    """Answers requests until the other end is closed."""
    connection = Connection(int(os.environ.pop(CONNECTION)))
    end_with_runner(int(os.environ.pop(LIFELINE)), connection)
    faulthandler.enable()  # prints the stack of a crash
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner decides
    bound_spinning()
    serve(connection)


def end_with_runner(lifeline: int, connection: Connection) -> None:
    """Forks a guard: a copy of this small process that waits for the end of the runner.

    When the runner's end of the pipe closes, the guard kills this process and its children,
    even if a call here never returns.
    """
    if os.fork():
        os.close(lifeline)
        return
    connection.close()
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def serve(connection: Connection) -> None:
    """Answers one request after another."""

    def send(message: Message) -> None:
        connection.send_bytes(encoded(message))

    handler = None
    while True:
        try:
            request = request_in(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            if handler is None:
                from harness.measure.handler import Handler  # noqa: PLC0415 - loads torch

                handler = Handler(send)
            reply: Message = handler.answer(request)
        except Exception as error:  # noqa: BLE001 - a fault of our own
            traceback.print_exc()
            reply = Broken(f"{type(error).__name__}: {error}")
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it is the workload's
            sys.stdout.flush()  # once answered, this process may be killed at any time
        send(reply)
