"""A worker: a fresh process that measures what it is asked to, and ends when its conductor does.

    python -c "from harness.measure.worker import main; main()" CONNECTION LIFELINE CONDUCTOR

It answers over one end of a socket pair (CONNECTION, a descriptor). Standard output and error belong to the workload: whatever
is printed there disturbs no message.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from harness.measure.messages import Broken, Message, encoded, request_in
from harness.measure.openmp import bound_spinning

# prctl(2): the signal this process gets when the thread that started it ends.
PR_SET_PDEATHSIG = 1
# proc(5), oom_score_adj: when memory runs out, this process goes before any other.
FIRST_TO_GO = "1000"


def main() -> None:
    """Answers requests until the other end is closed."""
    connection = Connection(int(sys.argv[1]))
    die_with(int(sys.argv[2]), int(sys.argv[3]))
    faulthandler.enable()  # the last words of one that crashes
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the conductor decides
    bound_spinning()
    serve(connection)


def die_with(lifeline: int, conductor: int) -> None:
    """Ends this process with its conductor, even one that is killed while a call here never returns.

    Linux does it for us. Elsewhere a thread waits for the end of a pipe whose other end the conductor holds.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != conductor:  # it ended before that took effect
            os._exit(1)
    else:
        threading.Thread(target=_wait_and_die, args=(lifeline,), daemon=True).start()


def _wait_and_die(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def serve(connection: Connection) -> None:
    """Answers one request after another."""

    def send(message: Message) -> None:
        connection.send_bytes(encoded(message))

    desk = None
    while True:
        try:
            request = request_in(connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            if desk is None:
                from harness.measure.desk import Desk  # noqa: PLC0415 - loads torch

                desk = Desk(send)
            reply: Message = desk.answer(request)
        except Exception as error:  # noqa: BLE001 - a fault of our own
            traceback.print_exc()
            reply = Broken(f"{type(error).__name__}: {error}")
        send(reply)


if __name__ == "__main__":
    main()
