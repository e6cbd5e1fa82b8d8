"""Real worker processes and what workloads do to them: each trouble ends in its record, and no orphan stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
import signal
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

        def call():
            if self.what == "segfault":
                ctypes.string_at(0)
            if self.what == "hunger":
                # What the kernel does to a process that takes all memory; nobody needs to wait for it.
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "exit":
                os._exit(7)
            if self.what == "loop":
                while True:
                    pass
            if self.what == "raise":
                raise RuntimeError("it raised")
            if self.what == "nan":
                return output * float("nan")
            if self.what == "print":
                print("words on standard output")
                print("and on standard error", file=sys.stderr)
            time.sleep(1e-4)
            return output

        return call


WORKLOADS = Sweep(quick=[Do(what) for what in WHAT])


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_do(workload, bench):
    bench(workload)
'''
# The command with ceilings that cost nothing, and with short blocks; the workers are real ones.
SCRIPT = """
import msgspec
from harness.cli import main
from harness.measure import conductor
from tests import made_up
def no_ceilings(self):
    rounds = (*self.header.ceilings, made_up.CEILINGS)
    self._writer.put(msgspec.structs.replace(self.header, ceilings=rounds))
conductor.Conductor.measure_ceilings = no_ceilings
conductor.SAMPLING["quick"] = msgspec.structs.replace(made_up.SAMPLING, limit_seconds=LIMIT)
main()
"""
ROOT = Path(__file__).resolve().parent.parent
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts `plumbline bench` on workloads, in a folder of its own."""

    def run(*what: str, limit: float = 60.0) -> "subprocess.Popen[str]":
        (tmp_path / "trouble.py").write_text(SUITE.replace("WHAT", repr(what)))
        (tmp_path / "run.py").write_text(SCRIPT.replace("LIMIT", repr(limit)))
        return subprocess.Popen(
            [sys.executable, "run.py", "bench", "trouble.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def finished(process: "subprocess.Popen[str]", folder: Path) -> tuple[int, str, str, Run]:
    output, errors = process.communicate(timeout=100)
    return process.returncode, output, errors, store.load(store.find("latest", folder / "results"))


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def wait_for(happened: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def test_each_trouble_costs_its_own_case_and_is_told(start: Start, tmp_path: Path) -> None:
    what = ("fine", "segfault", "hunger", "exit", "raise", "nan", "print")
    status, output, errors, run = finished(start(*what), tmp_path)

    outcomes = {result.case.id.removeprefix("do-"): result.outcome for result in run.results}
    assert (status, errors) == (3, "")
    assert run.complete
    assert isinstance(outcomes["fine"], Measurement)
    assert len(outcomes["fine"].view.processes) == 2
    assert outcomes["fine"].typical > 1e-4
    expected = {
        "segfault": ("killed by SIGSEGV", "Segmentation fault"),
        "hunger": ("killed by SIGKILL (as the kernel does when memory runs out)",),
        "exit": ("ended with status 7",),
        "raise": ("RuntimeError: it raised",),
        "nan": ("the output holds NaN or infinity",),
    }
    for name, words in expected.items():
        outcome = outcomes[name]
        assert isinstance(outcome, Failed), name
        for word in words:
            assert word in outcome.reason
    assert isinstance(outcomes["print"], Measurement)
    assert "words on standard output" not in output
    printed = (store.find("latest", tmp_path / "results") / store.OUTPUT).read_text()
    assert "words on standard output" in printed
    assert "and on standard error" in printed


def test_a_case_without_an_end_is_ended_at_its_limit(start: Start, tmp_path: Path) -> None:
    process = start("fine", "loop", limit=8.0)
    wait_for(lambda: len(workers_of(process)) == 2)

    status, _, _, run = finished(process, tmp_path)

    outcomes = {result.case.id.removeprefix("do-"): result.outcome for result in run.results}
    assert status == 3
    assert isinstance(outcomes["fine"], Measurement)
    assert isinstance(outcomes["loop"], Failed)
    assert outcomes["loop"].reason.startswith("took longer than its limit of 8.00 s")


@pytest.mark.parametrize("trouble", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_conductor_however_it_ends(
    start: Start, tmp_path: Path, trouble: signal.Signals
) -> None:
    process = start("loop")
    wait_for(lambda: len(workers_of(process)) == 2)
    workers = workers_of(process)
    wait_for(lambda: any(worker.cpu_times().user > 3.0 for worker in workers))  # one is in its loop

    process.send_signal(trouble)
    process.communicate(timeout=20)

    assert process.returncode == (-trouble if trouble is signal.SIGKILL else 130)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    run = store.load(store.find("latest", tmp_path / "results"))
    assert not run.complete
    assert run.results == ()


def test_a_worker_that_is_killed_costs_one_case_and_is_replaced(start: Start, tmp_path: Path) -> None:
    process = start("loop", "fine", limit=60.0)
    wait_for(lambda: len(workers_of(process)) == 2)
    workers = workers_of(process)
    wait_for(lambda: any(worker.cpu_times().user > 3.0 for worker in workers))

    max(workers, key=lambda worker: worker.cpu_times().user).kill()
    status, _, _, run = finished(process, tmp_path)

    outcomes = {result.case.id.removeprefix("do-"): result.outcome for result in run.results}
    assert status == 3
    assert isinstance(outcomes["loop"], Failed)
    assert "killed by SIGKILL" in outcomes["loop"].reason
    assert isinstance(outcomes["fine"], Measurement)
