"""Tests the harness on this machine: false alarms, power, coverage and timer."""

from collections.abc import Callable
from pathlib import Path

from harness import store
from harness.measure.openmp import bound_spinning
from harness.records.noise import NoiseProfile


def run_selftest(
    device: str, threads: int | None, pairs: int, results: Path, note: Callable[[str], None]
) -> tuple[NoiseProfile, Path]:
    """Measures, and stores the noise profile of the host; returns it and its file.

    Raises:
        UsageError: the device does not exist, or there are too few pairs.
        StartError: a worker process does not start.
        StorageError: the profile cannot be written.
    """
    bound_spinning()
    from harness.measure.devices.base import named  # noqa: PLC0415 - loads torch, after the line above
    from harness.selftest.run import selftest  # noqa: PLC0415

    profile = selftest(*named(device, threads), pairs, note)
    return profile, store.put_profile(results, profile)
