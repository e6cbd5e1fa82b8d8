"""The worker pool when workers do not start, or send wrong replies."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import StartError, UsageError
from harness.measure import pool as pools
from harness.measure.pool import DeclinedError, Launch, LostError, WorkerPool, WorkerProcess
from harness.measure.protocol import (
    AskFree,
    Broken,
    Declined,
    Free,
    Message,
    Note,
    Opened,
    Refused,
    encoded,
    reply_in,
    request_in,
)
from harness.records import Skipped


class Scripted:
    """A worker that answers what the test says."""

    pids: tuple[int, ...] = ()
    printed = b""

    def __init__(self, *replies: Message) -> None:
        self.replies: list[Any] = [Opened(2, None), *replies]
        self.living = True

    def send(self, request: object) -> None:
        pass

    def receive(self, limit_seconds: float, meanwhile: Callable[[], object] | None) -> Any:
        if not self.replies:
            self.living = False
            raise LostError("the worker process was killed by SIGSEGV")
        return self.replies.pop(0)

    def alive(self) -> bool:
        return self.living

    def close(self) -> None:
        self.living = False


def asked(*replies: Message) -> Free:
    notes.clear()
    pool = WorkerPool("cpu", 1, notes.append, _start=lambda: Scripted(*replies))
    pool.grow(1)
    return pool.ask(0, AskFree(), Free, 1.0)


notes: list[str] = []


def test_notes_come_before_the_reply() -> None:
    assert asked(Note("compute peaks"), Note("bandwidth"), Free(7)) == Free(7)
    assert notes == ["compute peaks", "bandwidth"]


def test_each_other_reply_means_what_it_says() -> None:
    with pytest.raises(UsageError, match="no such device"):
        asked(Refused("no such device"))
    with pytest.raises(DeclinedError, match="no room"):
        asked(Declined(Skipped("no room")))
    with pytest.raises(LostError, match="the worker process broke: KeyError: 'x'"):
        asked(Broken("KeyError: 'x'"))
    with pytest.raises(TypeError, match="answered Opened, not Free"):
        asked(Opened(1, None))


def test_a_question_to_any_worker_survives_the_loss_of_one() -> None:
    started: list[Scripted] = []

    def _start() -> Scripted:
        one = Scripted(*([Free(7)] if started else []))
        started.append(one)
        return one

    pool = WorkerPool("cpu", 1, lambda _: None, _start=_start)
    pool.grow(1)
    started[0].replies = []

    assert pool.inquire(AskFree(), Free, 1.0) == Free(7)
    assert len(started) == 2


def test_messages_survive_the_wire() -> None:
    assert request_in(encoded(AskFree())) == AskFree()
    assert reply_in(encoded(Declined(Skipped("no room")))) == Declined(Skipped("no room"))


def test_a_python_that_is_not_there_is_a_start_error() -> None:
    with pytest.raises(StartError, match=r"cannot start a worker process with /no/python: No such file"):
        WorkerProcess(Launch(python="/no/python"))


@pytest.mark.worker
def test_a_worker_that_cannot_load_says_why() -> None:
    """A Python that has no harness: its last output name what is missing."""
    pool = WorkerPool("cpu", 1, lambda _: None, _start=lambda: WorkerProcess(Launch(path=("/nowhere",))))

    with pytest.raises(StartError, match=r"a worker does not start: .*status 1; last output: .*Error"):
        pool.grow(1)
    pool.close()


@pytest.mark.worker
def test_a_worker_that_does_not_answer_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says something, and waits for ever."""
    script = "import time; print('still loading', flush=True); time.sleep(1000)"
    monkeypatch.setattr(pools, "BOOT", script)
    worker = WorkerProcess(Launch(python=sys.executable))

    worker.send(AskFree())
    with pytest.raises(LostError, match='the worker process was ended; last output: "still loading"') as lost:
        worker.receive(2.0, None)

    assert lost.value.timed_out
    assert not worker.alive()
    worker.close()
    assert b"still loading" in worker.printed
