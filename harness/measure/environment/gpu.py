"""Reads the properties and settings of GPUs: from NVML, and from torch where NVML has none.

Reads only; nothing here changes a setting. NVML counts in milliwatts, megahertz and bytes (NVML API
reference, "Device Queries"). torch is heard through `TorchDevice` alone, so this module loads
without it, and asking NVML starts no CUDA context.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pynvml

from harness.measure.environment.kernel import Gaps, read_integer
from harness.records.base import salted_hash
from harness.records.machine import Accelerator

_COMPUTE_MODES = {0: "default", 1: "exclusive thread", 2: "prohibited", 3: "exclusive process"}


@dataclass(frozen=True)
class TorchDevice:
    """The properties that torch reports of one device; `uuid` lacks the driver's prefix "GPU-"."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    compute_capability: str
    multiprocessors: int
    l2_cache_bytes: int


class Found(NamedTuple):
    """The accelerators, and the ids of the cards, which are never to be stored."""

    accelerators: tuple[Accelerator, ...]
    uuids: tuple[str, ...] = ()


def read_accelerators(
    gaps: Gaps,
    torch_devices: Sequence[TorchDevice] | None = None,
    root: Path = Path("/"),
    nvml: Any = pynvml,
) -> Found:
    """Every card the NVIDIA driver knows, then the devices only torch knows (MIG slices, other makers).

    `torch_devices` is None where a query of torch would start CUDA in this process.
    """
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _torch_alone(gaps, torch_devices or (), f"NVML: {error}")
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        cards = [_Card(nvml, index, gaps, root) for index in range(nvml.nvmlDeviceGetCount())]
        uuids = tuple(uuid for card in cards if (uuid := card.uuid()) is not None)
        described = tuple(card.describe(driver, torch_devices) for card in cards)
    except nvml.NVMLError as error:
        return _torch_alone(gaps, torch_devices or (), f"NVML: {error}")
    finally:
        nvml.nvmlShutdown()
    strangers = [d for d in torch_devices or () if d.uuid not in {_bare(uuid) for uuid in uuids}]
    reason = "NVML knows no card of this id" if described else "NVML finds no card"
    unmatched = _torch_alone(gaps, strangers, reason, described)
    return Found(unmatched.accelerators, uuids)


def _torch_alone(
    gaps: Gaps, devices: Sequence[TorchDevice], reason: str, described: tuple[Accelerator, ...] = ()
) -> Found:
    """`found`, and after it the devices that torch alone describes."""
    if not described and not devices:
        gaps.note("accelerators", reason)
    for position in range(len(described), len(described) + len(devices)):
        gaps.note(f"accelerators.{position}", reason)
    return Found(described + tuple(_described_by_torch(device) for device in devices))


def _described_by_torch(device: TorchDevice) -> Accelerator:
    return Accelerator(
        name=device.name,
        torch_index=device.index,
        memory_bytes=device.memory_bytes,
        compute_capability=device.compute_capability,
        multiprocessors=device.multiprocessors,
        l2_cache_bytes=device.l2_cache_bytes,
    )


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _bare(uuid: str) -> str:
    return uuid.removeprefix("GPU-")


def _hash(uuid: str | bytes) -> str:
    return salted_hash(_text(uuid))


def _watts(milliwatts: int) -> float:
    return milliwatts / 1e3


def _hertz(megahertz: int) -> float:
    return megahertz * 1e6


def _on(state: int) -> bool:
    return state == 1


def _on_now(states: Sequence[int]) -> bool:
    """Of a pair: the state now, and the one after the next restart."""
    return states[0] == 1


def _process_ids(processes: Sequence[Any]) -> set[int]:
    return {process.pid for process in processes}


def _compute_mode(mode: int) -> str:
    return _COMPUTE_MODES.get(mode, f"mode {mode}")


class _Query(NamedTuple):
    """The query of one field: NVML's function, its constants after the card, the conversion."""

    function: str
    convert: Callable[[Any], object]
    constants: tuple[str, ...] = ()


_QUERIES = {
    "name": _Query("nvmlDeviceGetName", _text),
    "uuid_hash": _Query("nvmlDeviceGetUUID", _hash),
    "vbios_version": _Query("nvmlDeviceGetVbiosVersion", _text),
    "compute_capability": _Query("nvmlDeviceGetCudaComputeCapability", lambda v: f"{v[0]}.{v[1]}"),
    "memory_bytes": _Query("nvmlDeviceGetMemoryInfo", lambda memory: int(memory.total)),
    "ecc_enabled": _Query("nvmlDeviceGetEccMode", _on_now),
    "ecc_uncorrected_errors": _Query(
        "nvmlDeviceGetTotalEccErrors", int, ("NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_AGGREGATE_ECC")
    ),
    "mig_enabled": _Query("nvmlDeviceGetMigMode", _on_now),
    "persistence": _Query("nvmlDeviceGetPersistenceMode", _on),
    "compute_mode": _Query("nvmlDeviceGetComputeMode", _compute_mode),
    "power_limit_watts": _Query("nvmlDeviceGetPowerManagementLimit", _watts),
    "power_limit_default_watts": _Query("nvmlDeviceGetPowerManagementDefaultLimit", _watts),
    "power_limit_min_watts": _Query("nvmlDeviceGetPowerManagementLimitConstraints", lambda v: _watts(v[0])),
    "power_limit_max_watts": _Query("nvmlDeviceGetPowerManagementLimitConstraints", lambda v: _watts(v[1])),
    "power_limit_enforced_watts": _Query("nvmlDeviceGetEnforcedPowerLimit", _watts),
    "sm_clock_max_hertz": _Query("nvmlDeviceGetMaxClockInfo", _hertz, ("NVML_CLOCK_SM",)),
    "memory_clock_max_hertz": _Query("nvmlDeviceGetMaxClockInfo", _hertz, ("NVML_CLOCK_MEM",)),
    # Deprecated since CUDA 13, to go with CUDA 14: then this field stays None, with the reason.
    "sm_clock_application_hertz": _Query("nvmlDeviceGetApplicationsClock", _hertz, ("NVML_CLOCK_SM",)),
    "memory_clock_application_hertz": _Query("nvmlDeviceGetApplicationsClock", _hertz, ("NVML_CLOCK_MEM",)),
    "pcie_generation": _Query("nvmlDeviceGetCurrPcieLinkGeneration", int),
    "pcie_generation_max": _Query("nvmlDeviceGetMaxPcieLinkGeneration", int),
    "pcie_width": _Query("nvmlDeviceGetCurrPcieLinkWidth", int),
    "pcie_width_max": _Query("nvmlDeviceGetMaxPcieLinkWidth", int),
}
_PCI_ADDRESS = _Query("nvmlDeviceGetPciInfo", lambda pci: _text(pci.busId))
_COMPUTING = _Query("nvmlDeviceGetComputeRunningProcesses", _process_ids)
_DRAWING = _Query("nvmlDeviceGetGraphicsRunningProcesses", _process_ids)


class _Card:
    """One card, queried field by field; an unsupported field is noted and costs no further one."""

    def __init__(self, nvml: Any, index: int, gaps: Gaps, root: Path) -> None:
        self._nvml = nvml
        self._index = index
        self._gaps = gaps.under(f"accelerators.{index}")
        self._root = root

    def uuid(self) -> str | None:
        """The card's id as the driver writes it, "GPU-...": not to be stored."""
        uuid: str | None = self._ask("uuid_hash", _Query("nvmlDeviceGetUUID", _text))
        return uuid

    def describe(self, driver: str, torch_devices: Sequence[TorchDevice] | None) -> Accelerator:
        """All facts of NVML and, where it was queried and sees this card, of torch."""
        facts = {field: self._ask(field, query) for field, query in _QUERIES.items()}
        device = self._as_torch_sees_it(torch_devices)
        return Accelerator(
            index=self._index,
            driver_version=driver,
            numa_node=self._numa_node(),
            other_processes=self._other_processes(),
            torch_index=device.index if device else None,
            multiprocessors=device.multiprocessors if device else None,
            l2_cache_bytes=device.l2_cache_bytes if device else None,
            **facts,
        )

    def _ask(self, field: str | None, query: _Query) -> Any:
        """The converted answer; None, with the reason noted under `field`, where there is none."""
        function = getattr(self._nvml, query.function, None)
        if function is None:
            return self._without(field, f"this nvidia-ml-py has no {query.function}")
        constants = [getattr(self._nvml, name) for name in query.constants]
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(self._index)
            return query.convert(function(handle, *constants))
        except self._nvml.NVMLError as error:
            return self._without(field, f"NVML: {error}")

    def _without(self, field: str | None, reason: str) -> None:
        if field is not None:
            self._gaps.note(field, reason)

    def _as_torch_sees_it(self, devices: Sequence[TorchDevice] | None) -> TorchDevice | None:
        uuid = self.uuid()
        device = next((d for d in devices or () if uuid is not None and d.uuid == _bare(uuid)), None)
        if device is None:
            reason = (
                "torch was not asked: that would start CUDA here"
                if devices is None
                else "torch does not see this card"
            )
            for field in ("torch_index", "multiprocessors", "l2_cache_bytes"):
                self._gaps.note(field, reason)
        return device

    def _numa_node(self) -> int | None:
        """The memory node of the slot; the kernel reports -1 where there is only one."""
        address = self._ask("numa_node", _PCI_ADDRESS)
        if address is None:
            return None
        # NVML writes the domain with eight digits, the kernel with four.
        domain, _, place = address.lower().partition(":")
        node = read_integer(self._root / f"sys/bus/pci/devices/{domain[-4:]}:{place}/numa_node")
        known = node if node is not None and node >= 0 else None
        return self._gaps.known("numa_node", known, "the kernel names no memory node for this slot")

    def _other_processes(self) -> int | None:
        """Those that compute or draw on the card, without this one."""
        computing = self._ask("other_processes", _COMPUTING)
        if computing is None:
            return None
        return len((computing | (self._ask(None, _DRAWING) or set())) - {os.getpid()})
