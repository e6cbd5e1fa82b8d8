"""Real worker processes and what workloads do to them: each trouble ends in its record, and no orphan stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness import store
from harness.records import Failed, Measurement, Run

pytestmark = pytest.mark.worker

SUITE = '''
"""Workloads that do to their process what they are named for."""
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch

from harness import Sweep, Workload


@dataclass(frozen=True)
class Do(Workload):
    what: str

    def prepare(self, device):
        output = torch.ones(4)
        said = ["words on standard output"]

        def call():
            if self.what == "segfault":
                ctypes.string_at(0)
            if self.what == "hunger":
                # What the kernel does to a process that takes all memory; nobody needs to wait for it.
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "exit":
                os._exit(7)
            if self.what == "loop":
                child = subprocess.Popen(["sleep", "1000"])
                pathlib.Path("child").write_text(str(child.pid))
                pathlib.Path("looping").touch()
                while True:
                    pass
            if self.what == "raise":
                raise RuntimeError("it raised")
            if self.what == "nan":
                return output * float("nan")
            if self.what == "print":
                if said:  # a few words, which fill no buffer
                    print(said.pop())
                print("and on standard error", file=sys.stderr)
            time.sleep(1e-4)
            return output

        return call


WORKLOADS = Sweep(quick=[Do(what) for what in WHAT])


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_do(workload, bench):
    bench(workload)
'''
# The command with peaks that cost nothing, and with short blocks; the workers are real ones.
SCRIPT = """
import msgspec
from harness.cli import main
from harness.measure import runner
from tests import made_up
def no_peaks(self):
    rounds = (*self.header.peaks, made_up.PEAKS)
    self._writer.put(msgspec.structs.replace(self.header, peaks=rounds))
runner.Runner.measure_peaks = no_peaks
runner.SAMPLING["quick"] = msgspec.structs.replace(made_up.SAMPLING, limit_seconds=LIMIT)
main()
"""
ROOT = Path(__file__).resolve().parent.parent


started: "list[subprocess.Popen[str]]" = []


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    while started:
        started.pop().kill()


def start(folder: Path, *what: str, limit: float) -> "subprocess.Popen[str]":
    """Starts `plumbline bench` on workloads, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "trouble.py").write_text(SUITE.replace("WHAT", repr(what)))
    (folder / "run.py").write_text(SCRIPT.replace("LIMIT", repr(limit)))
    process = subprocess.Popen(
        [sys.executable, "run.py", "bench", "trouble.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    return process


def latest(folder: Path) -> Run:
    return store.read(store.find("latest", folder / "results"))


def wait_for(happened: Callable[[], object], seconds: float = 100.0) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


@pytest.mark.slow
def test_each_trouble_costs_its_own_case_and_is_told(tmp_path: Path) -> None:
    what = ("fine", "segfault", "hunger", "exit", "loop", "raise", "nan", "print")
    process = start(tmp_path, *what, limit=12.0)
    output, errors = process.communicate(timeout=200)

    run = latest(tmp_path)
    outcomes = {result.case.id.removeprefix("do-"): result.outcome for result in run.results}
    assert (process.returncode, errors) == (3, "")
    assert run.complete
    for name in ("fine", "print"):
        outcome = outcomes[name]
        assert isinstance(outcome, Measurement), name
        assert len(outcome.view.processes) == 2
        assert outcome.median > 1e-4
    expected = {
        "segfault": ("killed by SIGSEGV", "Segmentation fault"),
        "hunger": ("killed by SIGKILL (as the kernel does when memory runs out)",),
        "exit": ("ended with status 7",),
        "loop": ("took longer than its limit of 12.0 s, traced: the worker process was ended",),
        "raise": ("RuntimeError: it raised",),
        "nan": ("the output holds NaN or infinity",),
    }
    for name, words in expected.items():
        outcome = outcomes[name]
        assert isinstance(outcome, Failed), name
        for word in words:
            assert word in outcome.reason
    assert "words on standard output" not in output
    printed = (store.find("latest", tmp_path / "results") / store.OUTPUT).read_text()
    assert "words on standard output" in printed
    assert "and on standard error" in printed


@pytest.mark.slow
def test_workers_end_with_their_runner_however_it_ends(tmp_path: Path) -> None:
    """Each runner has a process in a loop that never returns, and two that wait."""
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    folders = [tmp_path / end.name for end in ends]
    runners = [start(folder, "loop", limit=300.0) for folder in folders]
    wait_for(lambda: all((folder / "looping").exists() for folder in folders))
    workers = [psutil.Process(runner.pid).children() for runner in runners]
    assert [len(each) for each in workers] == [3, 3, 3]  # one of them traces
    children = [psutil.Process(int((folder / "child").read_text())) for folder in folders]

    for runner, end in zip(runners, ends, strict=True):
        runner.send_signal(end)
    for runner in runners:
        runner.communicate(timeout=60)

    assert [runner.returncode for runner in runners] == [130, 130, -signal.SIGKILL]
    _, alive = psutil.wait_procs([*children, *(worker for each in workers for worker in each)], timeout=20)
    assert alive == []
    for folder in folders:
        run = latest(folder)
        assert not run.complete
        assert run.results == ()
