"""Fixtures shared by the tests."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from harness.measure import (
    batch,
    handler,
    pool,
    runner,
)
from harness.measure import (
    selection as tracer,
)
from harness.measure.devices import base as device
from harness.measure.environment import capture as environment
from harness.measure.openmp import bound_spinning
from harness.measure.peaks import compute as peaks
from harness.records import Sensors
from tests import made_up, simulated

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is put into the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Processes that the tests start hear an interrupt, also where the tests run in the background of a shell, which has them ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


SUITE = '''
"""Workloads that take as long as they are given, on a simulated device."""
from dataclasses import dataclass

import pytest
import torch

from harness import Cost, Series, Sweep, Unsupported, Workload
from tests import simulated


@dataclass(frozen=True)
class Work(Workload):
    kind: str
    n: int

    def cost(self):
        return Cost(flops=self.n, bytes_read=4, bytes_written=4, memory_bytes=0)

    def prepare(self, device):
        if self.kind == "missing":
            raise Unsupported("needs a device of tomorrow")
        if self.kind == "huge":
            raise MemoryError("no room for it")
        if self.kind == "crash":
            raise RuntimeError("it broke\\nbadly")
        output = torch.full((4,), float("nan") if self.kind == "nan" else 1.0)
        if self.kind == "elsewhere":
            output = torch.ones(4, device="meta")
        return lambda: simulated.work(self.kind, self.n, output)


WORKLOADS = Sweep(
    quick=[Work("steady", n) for n in (100, 200, 400)],
    standard=[Work("steady", 800)],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_work(workload, bench):
    bench(workload)
'''


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> simulated.Simulated:
    """A simulated device in place of the real one, with made-up peaks."""
    one = simulated.Simulated()
    monkeypatch.setattr(simulated, "CURRENT", one)

    def named(name: str, threads: int | None = None) -> tuple[str, int]:
        found, count = real("cpu" if name == "simulated" else name, threads)
        return ("simulated" if found == "cpu" else found), threads or min(count, 2)

    def opened(_: str, threads: int) -> simulated.Simulated:
        one.threads = threads
        return one

    real = device.named
    monkeypatch.setattr(device, "named", named)
    monkeypatch.setattr(device, "opened", opened)
    monkeypatch.setattr(pool, "WorkerProcess", simulated.InProcess)
    monkeypatch.setattr(batch, "HostWatch", lambda _: SimpleNamespace(seen=Sensors))
    monkeypatch.setattr(peaks, "measure_peaks", lambda *_: made_up.PEAKS)
    monkeypatch.setattr(environment, "capture", lambda *_: made_up.environment())
    monkeypatch.setitem(runner.SAMPLING, "quick", made_up.SAMPLING)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1")
    # What these workloads do, they do when they are traced too: those with a closed form are taken at their word.
    of = tracer.CaseTracer.of
    monkeypatch.setattr(
        tracer.CaseTracer, "of", lambda self, work, case: case if case.cost else of(self, work, case)
    )
    # Operators of torch take no time on a simulated device, and none can be timed.
    monkeypatch.setattr(handler, "replay", lambda *_: ((), 0))
    bound_spinning()
    return one


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite of simulated work; a keyword replaces the quick workloads."""

    def write(quick: str = "", name: str = "work.py") -> Path:
        text = SUITE.replace('[Work("steady", n) for n in (100, 200, 400)]', quick) if quick else SUITE
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def plumbline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process, in an empty folder: exit status, standard output, standard error."""
    from harness.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: object) -> tuple[int, str, str]:
        for name in [
            n
            for n, m in sys.modules.items()
            if str(getattr(m, "__file__", "")).startswith(str(tmp_path.parent))
        ]:
            del sys.modules[name]  # a command of its own would load its suites anew
        monkeypatch.setattr("sys.argv", ["plumbline", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            main()
        output, errors = capsys.readouterr()
        return int(exit_info.value.code or 0), output, errors

    return run


def decoded(text: str) -> Any:
    """JSON that must be all there is."""
    return msgspec.json.decode(text.encode())
