"""Speed-up with threads: a product, a sum of large tensors, and a training step of a network.

These cases run on the number of threads in their id, whatever that of the run is. They are skipped on an accelerator.
"""

from dataclasses import dataclass

import pytest
import torch

from harness import Bench, Call, Series, Sweep, Unsupported, Workload, build, check_positive, training


@dataclass(frozen=True)
class Threaded(Workload):
    """Work on so many `threads`."""

    threads: int

    def __post_init__(self) -> None:
        check_positive(self)

    def on_threads(self) -> int:
        """As many as the id says."""
        return self.threads

    def series(self) -> Series:
        """At best the time falls as the threads grow."""
        return Series(self.without("threads"), "threads", self.threads, -1.0)

    def prepare(self, device: torch.device) -> Call:
        """The work, on a CPU."""
        if device.type != "cpu":
            raise Unsupported("threads of a CPU do no work of an accelerator")
        return self.work(device)

    def work(self, device: torch.device) -> Call:
        """What is done."""
        raise NotImplementedError


@dataclass(frozen=True)
class ThreadedMatmul(Threaded):
    """A square float32 product."""

    n: int

    def work(self, device: torch.device) -> Call:
        a, b = torch.randn(self.n, self.n, device=device), torch.randn(self.n, self.n, device=device)
        return lambda: a @ b


@dataclass(frozen=True)
class ThreadedAdd(Threaded):
    """The sum of two float32 tensors, into one made beforehand."""

    n: int

    def work(self, device: torch.device) -> Call:
        a, b, out = (torch.randn(self.n, device=device) for _ in range(3))
        return lambda: torch.add(a, b, out=out)


@dataclass(frozen=True)
class ThreadedMlp(Threaded):
    """A training step of three hidden layers, with AdamW."""

    stateful = True

    batch: int
    inputs: int
    width: int
    depth: int
    classes: int

    def work(self, device: torch.device) -> Call:
        return training(build("mlp", self.sizes, device), device)


def threaded(*counts: int) -> list[Threaded]:
    """Every operation on each number of threads."""
    return [
        case
        for count in counts
        for case in (
            ThreadedMatmul(count, 1024),
            ThreadedAdd(count, 1 << 24),
            ThreadedMlp(count, 128, 512, 512, 3, 100),
        )
    ]


WORKLOADS = Sweep(
    quick=threaded(1, 2, 4, 8),
    standard=threaded(3, 6, 12, 16, 24, 32),
    full=threaded(48, 64, 96, 128),
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_threads(workload: Threaded, bench: Bench) -> None:
    bench(workload)
