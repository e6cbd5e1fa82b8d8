"""The kinds of work that a self-test measures: compute, a train step, memory; and spins of known length."""

import time
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from harness.workload import Call, Workload


@dataclass(frozen=True)
class Product(Workload):
    """A product of n x n float32 matrices in the caches: bound by compute."""

    n: int

    def prepare(self, device: torch.device) -> Call:
        """Random normal operands."""
        a, b = torch.randn(self.n, self.n, device=device), torch.randn(self.n, self.n, device=device)
        c = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=c)


@dataclass(frozen=True)
class Step(Workload):
    """A train step of an MLP of 128-256-64-10 units on `batch` rows: ReLU, cross-entropy, Adam."""

    batch: int

    def prepare(self, device: torch.device) -> Call:
        """Random weights, inputs and labels."""
        units = (128, 256, 64, 10)
        hidden = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(units[:-1])]
        net = nn.Sequential(*hidden, nn.Linear(*units[-2:])).to(device)
        optimizer = torch.optim.Adam(net.parameters())
        inputs = torch.randn(self.batch, units[0], device=device)
        labels = torch.randint(units[-1], (self.batch,), device=device)

        def step() -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = nn.functional.cross_entropy(net(inputs), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return loss.detach()

        return step


@dataclass(frozen=True)
class Triad(Workload):
    """a = b + 3 c over arrays of n float32, far beyond any cache: bound by main memory."""

    n: int

    def prepare(self, device: torch.device) -> Call:
        """Random normal operands."""
        b, c = torch.randn(self.n, device=device), torch.randn(self.n, device=device)
        a = torch.empty_like(b)
        return lambda: torch.add(b, c, alpha=3.0, out=a)


@dataclass(frozen=True)
class Spin(Workload):
    """Busy waiting for `microseconds`, by another clock than the timer's."""

    microseconds: int

    def prepare(self, device: torch.device) -> Call:
        """Waits by the raw monotonic clock, which no time service adjusts; on CUDA by the clock of the SM."""
        output = torch.zeros((), device=device)
        nanoseconds = 1000 * self.microseconds
        if device.type == "cuda":
            cycles = round(self.microseconds * 1e-6 * _cycles_per_second())

            def spin_there() -> torch.Tensor:
                torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]  # noqa: SLF001
                return output

            return spin_there
        clock = getattr(time, "CLOCK_MONOTONIC_RAW", time.CLOCK_MONOTONIC)
        now = time.clock_gettime_ns

        def spin() -> torch.Tensor:
            until = now(clock) + nanoseconds
            while now(clock) < until:
                pass
            return output

        return spin


def _cycles_per_second() -> float:
    """The rate of the SM's clock, by the host's clock over a tenth of a second."""
    cycles = 200_000_000
    torch.cuda.synchronize()
    torch.cuda._sleep(cycles // 10)  # type: ignore[no-untyped-call]  # noqa: SLF001
    torch.cuda.synchronize()
    began = time.perf_counter()
    torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]  # noqa: SLF001
    torch.cuda.synchronize()
    return cycles / (time.perf_counter() - began)


@dataclass(frozen=True)
class Kind:
    """A kind of work with its name in a profile."""

    name: str
    workload: Workload
    threads: int


def kinds(device: str, threads: int) -> tuple[Kind, ...]:
    """The kinds for a device; on a CPU with one thread, which leaves room for background load, and with all."""
    if device != "cpu":
        return (
            Kind("compute", Product(2048), threads),
            Kind("train step", Step(8192), threads),
            Kind("memory", Triad(2**26), threads),
        )
    alone = (Kind("compute", Product(512), 1), Kind("train step", Step(256), 1))
    crowd = (
        Kind("compute", Product(512), threads),
        Kind("train step", Step(256), threads),
        Kind("memory", Triad(2**24), threads),
    )
    return (*alone, *crowd) if threads > 1 else (*alone, crowd[-1])


SPINS = (Spin(20), Spin(200), Spin(2000))
