"""Captures what the machine is: every source asked once, each failure a reason and no exception."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pynvml
import torch

from harness.measure.accelerators import TorchDevice, read_accelerators
from harness.measure.code import read_code
from harness.measure.gaps import Gaps
from harness.measure.identity import container, host_id, platform_name
from harness.measure.privacy import Redactor
from harness.measure.processor import read_processor
from harness.measure.software import read_numerics, read_software
from harness.measure.surroundings import read_limits, read_memory, read_state
from harness.records.environment import Environment
from harness.records.machine import Host


@dataclass(frozen=True)
class Sources:
    """Where the facts come from: by default this machine and this process.

    `directory` is where the code stands, `root` holds proc, sys and etc, `nvml` has pynvml's functions.
    """

    root: Path = Path("/")
    directory: Path = field(default_factory=Path.cwd)
    arguments: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    nvml: Any = pynvml


def capture(device_name: str | None = None, sources: Sources | None = None) -> Environment:
    """The machine, the software and their settings now, in well under a second.

    `device_name` is the device of the run ("cpu", "cuda", "cuda:0"). Only a CUDA device lets torch
    start CUDA in this process, for the facts NVML does not have.
    """
    here = sources or Sources()
    gaps = Gaps()
    redactor = Redactor.of_this_machine()
    software = read_software(here.root, here.variables, redactor, gaps.under("software"))
    found = read_accelerators(gaps, _torch_devices(device_name), here.root, here.nvml)
    return Environment(
        device_name=device_name,
        code=read_code(here.directory, here.arguments, redactor, gaps.under("code")),
        software=software,
        numerics=read_numerics(gaps.under("numerics")),
        processor=read_processor(here.root, _capabilities(), gaps.under("processor")),
        memory=read_memory(here.root, here.variables, gaps.under("memory")),
        limits=read_limits(here.root, here.variables, software.thread_pools, gaps.under("limits")),
        accelerators=found.accelerators,
        host=_read_host(here.root, found.uuids, gaps.under("host")),
        state=read_state(here.root, gaps.under("state")),
        unavailable=gaps.reasons,
    )


def _capabilities() -> Mapping[str, object]:
    """What torch's cpuinfo library says of the CPU: a stand-in, so a torch without it is no failure."""
    ask = getattr(torch.cpu, "get_capabilities", dict)
    told: Mapping[str, object] = ask()
    return told


def _read_host(root: Path, gpu_uuids: Sequence[str], gaps: Gaps) -> Host:
    identity, source = host_id(root, gpu_uuids)
    return Host(
        id=identity,
        id_source=source,
        platform=gaps.known("platform", platform_name(root), "no DMI or device tree table"),
        container=gaps.known("container", container(root), "no sign of a container"),
    )


def _torch_devices(device_name: str | None) -> list[TorchDevice] | None:
    """What torch says of the CUDA devices; None where asking would start CUDA for a run that needs none."""
    cuda: Any = torch.cuda
    if not (device_name or "").startswith("cuda") and not cuda.is_initialized():
        return None
    return [_torch_device(index) for index in range(cuda.device_count())] if cuda.is_available() else []


def _torch_device(index: int) -> TorchDevice:
    told = torch.cuda.get_device_properties(index)
    return TorchDevice(
        index=index,
        uuid=str(told.uuid),
        name=told.name,
        memory_bytes=told.total_memory,
        compute_capability=f"{told.major}.{told.minor}",
        multiprocessors=told.multi_processor_count,
        l2_cache_bytes=told.L2_cache_size,
    )
