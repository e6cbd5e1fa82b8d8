"""Data on its way to the device: copies between host and device, and the loader that makes batches.

The loader's images are in memory, so that no disk is measured: a call indexes, converts and stacks images, and with
worker processes passes batches between processes.
"""

import shutil
import sys
import warnings
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from harness import (
    Bench,
    Call,
    Cost,
    Series,
    Sweep,
    Unsupported,
    Workload,
    check_one_of,
    check_positive,
)

DIRECTIONS = ("to_device", "to_host")
MEMORIES = ("pinned", "pageable")
# Mean and deviation of ImageNet's channels, in steps of a byte.
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CHANNELS = 3
SHARED = Path("/dev/shm")  # noqa: S108 - where torch keeps it


@dataclass(frozen=True)
class Transfer(Workload):
    """A copy of n float32 elements between the memories of host and device, which a CPU does not have."""

    capturable = False  # a copy from pageable memory waits for the device

    direction: str
    memory: str
    n: int

    def __post_init__(self) -> None:
        check_positive(self)
        check_one_of("direction", self.direction, DIRECTIONS)
        check_one_of("memory", self.memory, MEMORIES)

    def cost(self) -> Cost:
        """The elements cross the link once; the memory is that of the device."""
        return Cost(bytes_read=4 * self.n, bytes_written=0, memory_bytes=4 * self.n)

    def series(self) -> Series:
        """Sizes form a sweep; at large ones the time grows as n."""
        return Series(f"transfer-{self.direction}-{self.memory}", "n", self.n, 1.0)

    def prepare(self, device: torch.device) -> Call:
        """The call returns the device's side."""
        if device.type == "cpu":
            raise Unsupported("a CPU works in the host's memory: there is no device to copy to or from")
        pinned = self.memory == "pinned"
        host = torch.randn(self.n, pin_memory=pinned)
        there = host.to(device)
        if self.direction == "to_device":
            return lambda: there.copy_(host, non_blocking=pinned)

        def call() -> torch.Tensor:
            host.copy_(there, non_blocking=pinned)
            return there

        return call


class Images(Dataset[torch.Tensor]):
    """Random images, as bytes in memory; each is normalised when it is asked for."""

    def __init__(self, count: int, size: int) -> None:
        self._pixels = torch.randint(256, (count, CHANNELS, size, size), dtype=torch.uint8)
        self._mean = torch.tensor(MEAN).view(CHANNELS, 1, 1)
        self._deviation = torch.tensor(DEVIATION).view(CHANNELS, 1, 1)

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> torch.Tensor:
        """To float32, minus the mean, by the deviation."""
        return self._pixels[index].float().sub_(self._mean).div_(self._deviation)


@dataclass(frozen=True)
class Loader(Workload):
    """An epoch of `batches` batches, with so many worker processes (none: in the process itself)."""

    workers: int
    batch: int
    batches: int
    size: int

    def __post_init__(self) -> None:
        for name, value in self.sizes.items():
            least = 0 if name == "workers" else 1
            if value < least:
                raise ValueError(f"Loader.{name} is {value}: it is at least {least}")

    def items(self) -> dict[str, int]:
        """Samples in an epoch."""
        return {"samples": self.batch * self.batches}

    def cost(self) -> Cost:
        """Two FLOPs a pixel. An image is read as bytes and written as floats, and passed over three times more.

        Those are minus, divided, stacked. An epoch begins with a seed, a random number of eight bytes. In memory:
        all images, the samples of a batch, and the batch they become beside the one before. Workers hold samples in
        their own processes; a batch of theirs that arrives before its turn is in memory too, and not counted.
        """
        pixels = CHANNELS * self.size**2
        samples = self.batch * self.batches
        batch = 4 * pixels * self.batch
        constants = 2 * 4 * CHANNELS
        held = min(self.batches, 2) + (0 if self.workers else 1)
        return Cost(
            elementwise_flops=2 * pixels * samples + 1,
            bytes_read=(pixels + 3 * 4 * pixels + constants) * samples,
            bytes_written=4 * 4 * pixels * samples + 8,
            memory_bytes=pixels * samples + constants + held * batch,
        )

    def series(self) -> Series:
        """Epochs of batches alike form a sweep; the time grows with their number."""
        name = f"loader-workers{self.workers}-batch{self.batch}-size{self.size}"
        return Series(name, "batches", self.batches, 1.0)

    def _check_room(self) -> None:
        """Batches of workers travel through shared memory, two ahead of each: without room they die of a bus error."""
        needed = self.workers * 2 * 4 * CHANNELS * self.size**2 * self.batch
        if needed and SHARED.is_dir() and shutil.disk_usage(SHARED).free < needed:
            raise Unsupported(f"{self.workers} workers need {needed >> 20} MiB of shared memory in {SHARED}")

    def prepare(self, device: torch.device) -> Call:
        """Starts the workers; they stay from call to call, and go with the loader."""
        if device.type != "cpu":
            raise Unsupported("a loader is work of the host: measure it with --device cpu")
        self._check_room()
        images = Images(self.batch * self.batches, self.size)
        with warnings.catch_warnings(
            action="ignore"
        ):  # more workers than CPUs, a fork beside threads: both meant
            loader = DataLoader(
                images,
                batch_size=self.batch,
                num_workers=self.workers,
                persistent_workers=self.workers > 0,
                # What a user gets on Linux up to Python 3.13. Workers run one thread, and start no other.
                multiprocessing_context="fork" if self.workers and sys.platform == "linux" else None,
            )

            def call() -> torch.Tensor:
                last: torch.Tensor = deque(loader, maxlen=1)[0]
                return last

            if self.workers:
                call()
        return call


def transfers(*sizes: int) -> list[Transfer]:
    """In both directions, from pinned memory and from pageable."""
    return [Transfer(direction, memory, n) for direction in DIRECTIONS for memory in MEMORIES for n in sizes]


def loaders(batch: int, batches: int, size: int, *workers: int) -> list[Loader]:
    """With each number of worker processes."""
    return [Loader(n, batch, batches, size) for n in workers]


WORKLOADS = Sweep(
    quick=[
        *(Transfer(direction, "pinned", 2**22) for direction in DIRECTIONS),
        *loaders(32, 4, 64, 0, 1, 2),
    ],
    standard=[
        *transfers(*(4**k for k in range(6, 13))),
        *loaders(64, 8, 224, 0, 1, 2, 4, 8),
    ],
    # Up to 1 GiB; an epoch of 4096 images.
    full=[
        *transfers(2**26, 2**28),
        *loaders(256, 16, 224, 0, 1, 2, 4, 8, 16),
    ],
)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_data(workload: Workload, bench: Bench) -> None:
    bench(workload)
