"""What the machine is: enough to explain a difference in performance a year later.

    Environment
     +-- code          what ran: commit, dirty or not, the command
     +-- software      system, Python, torch, libraries, variables that change results
     +-- numerics      torch's precision and determinism settings
     +-- processor     model, cores, caches, instruction sets, clocks, mitigations
     +-- memory        size, huge pages, allocators
     +-- limits        what of it this process may use: affinity, cgroup, threads
     +-- accelerators  one for each GPU
     +-- host          which machine, without its name
     +-- state         what else went on at the moment of capture

None means "could not be had" and `Environment.unavailable` says why. No host name, user name,
address, serial number or path under a home directory is in any of them.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from harness.records.base import Record, digest
from harness.records.machine import Accelerator, Host, Limits, Memory, Processor

Scalar = str | int | float | bool | None


class Code(Record, frozen=True):
    """The code. The commit is that of the working directory; `diff_hash` distinguishes dirty trees."""

    plumbline_version: str | None
    command: tuple[str, ...]
    commit: str | None
    branch: str | None
    dirty: bool | None
    diff_hash: str | None


class Torch(Record, frozen=True):
    """The torch build. `config_hash` is of `torch.__config__.show()`; `cudnn` is cuDNN's own integer."""

    version: str
    git_version: str | None
    config_hash: str
    cpu_capability: str
    parallel_backend: str | None
    blas: str | None
    onednn: str | None
    openmp: str | None
    cuda_runtime: str | None
    cudnn: int | None
    nccl: str | None
    hip: str | None


class ThreadPool(Record, frozen=True):
    """A library with its own threads, loaded into this process (BLAS or OpenMP)."""

    user_api: str
    internal_api: str
    library: str
    version: str | None
    threads: int
    threading_layer: str | None = None
    architecture: str | None = None


class Software(Record, frozen=True):
    """What the code ran on. `packages` are those that matter; `packages_hash` covers all installed ones."""

    operating_system: str | None
    kernel: str | None
    libc: str | None
    python: str
    python_implementation: str
    torch: Torch
    thread_pools: tuple[ThreadPool, ...]
    packages: dict[str, str]
    packages_hash: str
    environment_variables: dict[str, str]


class Numerics(Record, frozen=True):
    """Settings of torch that trade accuracy or repeatability for speed.

    The precisions are torch's own names ("ieee", "tf32", "bf16"); "none" inherits from the backend
    above, and in the end from the defaults.
    """

    default_dtype: str
    float32_matmul_precision: str | None
    cuda_matmul_precision: str | None
    cudnn_convolution_precision: str | None
    cudnn_rnn_precision: str | None
    mkldnn_matmul_precision: str | None
    mkldnn_convolution_precision: str | None
    fp16_reduced_precision_reduction: bool | None
    bf16_reduced_precision_reduction: bool | None
    fp16_accumulation: bool | None
    cudnn_benchmark: bool
    cudnn_deterministic: bool
    deterministic_algorithms: bool
    mkldnn_enabled: bool
    attention_backends: tuple[str, ...]


class State(Record, frozen=True):
    """What went on at the moment of capture; no two captures agree in it.

    `cpu_pressure_some_avg10` and `steal_fraction_since_boot` are ratios, `reported_clock_hertz` is the
    fastest "cpu MHz" that the kernel reports (in a virtual machine often the nominal one), the throttled
    counters add up those of the enclosing control groups.
    """

    captured_at: str
    load_average: tuple[float, float, float] | None
    uptime_seconds: float | None
    cpu_pressure_some_avg10: float | None
    runnable_tasks: int | None
    steal_fraction_since_boot: float | None
    reported_clock_hertz: float | None
    quota_periods: int | None
    throttled_periods: int | None
    throttled_seconds: float | None


class Difference(Record, frozen=True):
    """A field in which two environments differ; `field` is dotted, as in `software.torch.version`."""

    field: str
    this: Scalar
    other: Scalar


class Environment(Record, frozen=True):
    """What the machine is and how it was set. `device_name` is the device the run was for, if any."""

    code: Code
    software: Software
    numerics: Numerics
    processor: Processor
    memory: Memory
    limits: Limits
    accelerators: tuple[Accelerator, ...]
    host: Host
    state: State
    device_name: str | None = None
    unavailable: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def devices(self) -> tuple[Accelerator, ...]:
        """The accelerators the run was for: none for "cpu", one for "cuda:1", else all visible ones."""
        kind, _, index = (self.device_name or "").partition(":")
        if kind == "cpu":
            return ()
        visible = tuple(a for a in self.accelerators if a.torch_index is not None)
        if index.isdigit():
            return tuple(a for a in visible if a.torch_index == int(index)) or self.accelerators
        return visible or self.accelerators

    @property
    def usable_memory_bytes(self) -> int | None:
        """Main memory, or what the control group leaves of it."""
        sizes = [b for b in (self.memory.total_bytes, self.limits.memory_limit_bytes) if b is not None]
        return min(sizes, default=None)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that must agree before two runs may be compared.

        A hash of: kind of device and names of the GPUs the run was for, CPU (architecture, vendor,
        family, model, model name), instruction sets, usable physical cores, and usable memory to
        the nearest half power of two. Versions, clocks and power limits are not in it: they explain
        a difference, so they must not forbid the comparison that shows it.
        """
        cpu, memory = self.processor, self.usable_memory_bytes
        device = self.device_name or ("cuda" if self.accelerators else "cpu")
        facts = {
            "device": device.partition(":")[0],
            "accelerators": sorted(f"{a.name} MIG={a.mig_enabled}" for a in self.devices),
            "cpu": [cpu.architecture, cpu.vendor, cpu.family, cpu.model, cpu.model_name],
            "isa": sorted(cpu.isa),
            "usable_physical_cores": self.limits.usable_physical_cores,
            "memory_class": round(2 * math.log2(memory)) if memory else None,
        }
        return digest(facts)

    @property
    def stack(self) -> dict[str, Scalar]:
        """What a series of times may change with though nobody changed the code, by dotted name.

        Torch and the libraries under it, driver, kernel, microcode, clocks and power limits, precision settings, variables that change results.
        Of accelerators only those the run was for. What is not known is left out.
        """
        used = {
            f"accelerators.{place}." for place, one in enumerate(self.accelerators) if one in self.devices
        }
        return {
            field: value
            for field, value in _leaves(self)
            if value is not None
            and (field in _STACK or field.startswith(_STACK_PARTS) or _is_accelerators(field, used))
        }

    @property
    def stack_hash(self) -> str:
        """16 hex digits that stand for the stack."""
        return digest(self.stack)

    def differences(self, other: "Environment") -> tuple[Difference, ...]:
        """The fields that differ from `other`, in the order of the record.

        Left out: what no two captures agree in (`state`, the command, free memory, the momentary
        state of a PCIe link, processes on a GPU) and reasons in `unavailable`. Sizes of main memory
        agree within 1%: the kernel keeps a part of its own, which changes with its version.
        """
        here, there = dict(_leaves(self)), dict(_leaves(other))
        fields = [*here, *(field for field in there if field not in here)]
        return tuple(
            Difference(field=field, this=here.get(field), other=there.get(field))
            for field in fields
            if not _volatile(field) and not _agree(field, here.get(field), there.get(field))
        )


_VOLATILE_PARTS = ("state.", "unavailable.")
_VOLATILE = {"code.command", "memory.available_bytes"}
_VOLATILE_OF_ACCELERATOR = {"other_processes", "pcie_generation", "pcie_width"}
_STACK = {
    "software.kernel",
    "software.python",
    "software.torch.version",
    "software.torch.git_version",
    "software.torch.config_hash",
    "software.torch.cuda_runtime",
    "software.torch.cudnn",
    "software.torch.nccl",
    "software.torch.hip",
    "processor.microcode",
    "processor.governor",
    "processor.boost",
    "processor.limit_hertz",
    "memory.transparent_huge_pages",
    "limits.cpu_quota",
    "limits.openmp_wait_policy",
}
_STACK_PARTS = ("numerics.", "software.environment_variables.")
_STACK_OF_ACCELERATOR = {
    "driver_version",
    "vbios_version",
    "ecc_enabled",
    "power_limit_watts",
    "sm_clock_application_hertz",
    "memory_clock_application_hertz",
}
_MAIN_MEMORY = {"memory.total_bytes", "memory.swap_bytes"}


def _leaves(environment: Environment) -> Iterator[tuple[str, Scalar]]:
    yield from _flatten(msgspec.to_builtins(environment), "")


def _flatten(value: Any, path: str) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flatten(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple) and any(isinstance(part, dict) for part in value):
        for position, part in enumerate(value):
            # The order of libraries varies: a library is compared with itself, not by its position.
            yield from _flatten(part, f"{path}.{part.get('library', position)}")
    elif isinstance(value, list | tuple):
        # An empty list yields nothing: it then differs from a filled one as None does.
        yield from [(path, ", ".join(map(str, value)))] if value else []
    else:
        yield path, value


def _volatile(field: str) -> bool:
    if field.startswith("accelerators."):
        return field.rpartition(".")[2] in _VOLATILE_OF_ACCELERATOR
    return field in _VOLATILE or field.startswith(_VOLATILE_PARTS)


def _is_accelerators(field: str, used: set[str]) -> bool:
    owner, _, name = field.rpartition(".")
    return name in _STACK_OF_ACCELERATOR and f"{owner}." in used


def _agree(field: str, here: Scalar, there: Scalar) -> bool:
    rough = field in _MAIN_MEMORY or (field.startswith("processor.numa") and field.endswith("_bytes"))
    if rough and isinstance(here, int) and isinstance(there, int):
        return math.isclose(here, there, rel_tol=0.01)
    return here == there
