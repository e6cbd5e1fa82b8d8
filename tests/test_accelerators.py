# ruff: noqa: N802 - the names are pynvml's
"""GPU facts from a made-up driver: units, gaps, cards that fail, devices only torch knows."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pynvml
import pytest

from harness.measure.environment import gpu as module
from harness.measure.environment.gpu import TorchDevice, read_accelerators
from harness.measure.environment.kernel import Gaps
from harness.records.base import salted_hash
from harness.records.machine import Accelerator

UUID = "GPU-8f6d2c1a-0000-1111-2222-333344445555"
SEEN = TorchDevice(
    index=0,
    uuid=UUID.removeprefix("GPU-"),
    name="NVIDIA H200",
    memory_bytes=150_000_000_000,
    compute_capability="9.0",
    multiprocessors=132,
    l2_cache_bytes=62_914_560,
)
SLICE = TorchDevice(
    index=1,
    uuid="a-slice",
    name="NVIDIA H200 MIG 1g.18gb",
    memory_bytes=18 * 2**30,
    compute_capability="9.0",
    multiprocessors=16,
    l2_cache_bytes=7 * 2**20,
)


class Unavailable(Exception):  # noqa: N818 - stands for pynvml.NVMLError
    pass


def _process(process_id: int) -> SimpleNamespace:
    return SimpleNamespace(pid=process_id)


class Driver:
    """The functions of pynvml that are asked, for cards that are all alike."""

    NVMLError = Unavailable
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    NVML_AGGREGATE_ECC = pynvml.NVML_AGGREGATE_ECC

    def __init__(self, cards: int = 1, unsupported: tuple[str, ...] = ()) -> None:
        self.cards = cards
        self.unsupported = unsupported
        self.open = 0
        self.answers: dict[str, Any] = {
            "Name": "NVIDIA H200",
            "UUID": UUID,
            "VbiosVersion": b"96.00.99.00.01",
            "CudaComputeCapability": (9, 0),
            "MemoryInfo": SimpleNamespace(total=150_754_820_096, free=1, used=2),
            "EccMode": [1, 0],
            "TotalEccErrors": 3,
            "MigMode": [0, 1],
            "PersistenceMode": 1,
            "ComputeMode": 3,
            "PowerManagementLimit": 500_000,
            "PowerManagementDefaultLimit": 700_000,
            "PowerManagementLimitConstraints": [200_000, 700_000],
            "EnforcedPowerLimit": 350_000,
            "CurrPcieLinkGeneration": 1,
            "MaxPcieLinkGeneration": 5,
            "CurrPcieLinkWidth": 8,
            "MaxPcieLinkWidth": 16,
            "PciInfo": SimpleNamespace(busId="00000000:3B:00.0"),
            "ComputeRunningProcesses": [_process(11), _process(os.getpid()), _process(12)],
            "GraphicsRunningProcesses": [_process(12), _process(13)],
        }
        for name, answer in self.answers.items():
            setattr(self, f"nvmlDeviceGet{name}", self._answering(name, answer))

    def _answering(self, name: str, answer: Any) -> Any:
        def function(handle: int, *constants: int) -> Any:
            self._check(name)
            return answer

        return function

    def _check(self, name: str) -> None:
        assert self.open == 1, "asked before nvmlInit or after nvmlShutdown"
        if name in self.unsupported:
            raise Unavailable("Not Supported")

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:
        return self.cards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._check(f"card {index}")
        return index

    def nvmlDeviceGetMaxClockInfo(self, handle: int, clock: int) -> int:
        return {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 3201}[clock]

    def nvmlDeviceGetApplicationsClock(self, handle: int, clock: int) -> int:
        self._check("ApplicationsClock")
        return {pynvml.NVML_CLOCK_SM: 1830, pynvml.NVML_CLOCK_MEM: 3201}[clock]


def test_every_field_is_filled_in_base_units(tmp_path: Path) -> None:
    slot = tmp_path / "sys/bus/pci/devices/0000:3b:00.0/numa_node"
    slot.parent.mkdir(parents=True)
    slot.write_text("1\n")
    gaps, driver = Gaps(), Driver()
    found = read_accelerators(gaps, [SEEN], tmp_path, driver)
    assert driver.open == 0
    assert gaps.reasons == {}
    assert found.uuids == (UUID,)
    assert msgspec.to_builtins(found.accelerators) == (
        {
            "name": "NVIDIA H200",
            "index": 0,
            "torch_index": 0,
            "uuid_hash": salted_hash(UUID),
            "driver_version": "580.65.06",
            "vbios_version": "96.00.99.00.01",
            "compute_capability": "9.0",
            "multiprocessors": 132,
            "l2_cache_bytes": 62_914_560,
            "memory_bytes": 150_754_820_096,
            "ecc_enabled": True,
            "ecc_uncorrected_errors": 3,
            "mig_enabled": False,
            "persistence": True,
            "compute_mode": "exclusive process",
            "power_limit_watts": 500.0,
            "power_limit_default_watts": 700.0,
            "power_limit_min_watts": 200.0,
            "power_limit_max_watts": 700.0,
            "power_limit_enforced_watts": 350.0,
            "sm_clock_max_hertz": 1.98e9,
            "memory_clock_max_hertz": 3.201e9,
            "sm_clock_application_hertz": 1.83e9,
            "memory_clock_application_hertz": 3.201e9,
            "pcie_generation": 1,
            "pcie_generation_max": 5,
            "pcie_width": 8,
            "pcie_width_max": 16,
            "numa_node": 1,
            "other_processes": 3,
        },
    )
    assert found.accelerators[0].power_cap == 0.5


def test_no_field_is_named_that_the_record_lacks() -> None:
    assert set(module._QUERIES) <= set(Accelerator.__struct_fields__)


def test_every_function_asked_exists_in_nvidia_ml_py() -> None:
    queries = [*module._QUERIES.values(), module._PCI_ADDRESS, module._COMPUTING, module._DRAWING]
    for query in queries:
        assert hasattr(pynvml, query.function)
        assert all(hasattr(pynvml, constant) for constant in query.constants)


def test_what_a_card_does_not_support_is_noted_and_the_rest_kept(tmp_path: Path) -> None:
    gaps = Gaps()
    driver = Driver(unsupported=("EccMode", "MemoryInfo", "ApplicationsClock", "GraphicsRunningProcesses"))
    (card,), _ = read_accelerators(gaps, [SEEN], tmp_path, driver)
    assert card.ecc_enabled is card.memory_bytes is card.sm_clock_application_hertz is None
    assert card.power_limit_watts == 500.0
    assert card.other_processes == 2
    assert gaps.reasons == {
        "accelerators.0.ecc_enabled": "NVML: Not Supported",
        "accelerators.0.memory_bytes": "NVML: Not Supported",
        "accelerators.0.sm_clock_application_hertz": "NVML: Not Supported",
        "accelerators.0.memory_clock_application_hertz": "NVML: Not Supported",
        "accelerators.0.numa_node": "the kernel names no memory node for this slot",
    }


def test_a_function_gone_from_a_newer_library_is_a_gap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr(Driver, "nvmlDeviceGetApplicationsClock")
    gaps = Gaps()
    (card,), _ = read_accelerators(gaps, [SEEN], tmp_path, Driver())
    assert card.sm_clock_application_hertz is None
    reason = gaps.reasons["accelerators.0.sm_clock_application_hertz"]
    assert reason == "this nvidia-ml-py has no nvmlDeviceGetApplicationsClock"


def test_a_lost_card_does_not_hide_the_others(tmp_path: Path) -> None:
    gaps = Gaps()
    found = read_accelerators(gaps, None, tmp_path, Driver(cards=2, unsupported=("card 1",)))
    assert [card.name for card in found.accelerators] == ["NVIDIA H200", None]
    assert found.uuids == (UUID,)
    assert gaps.reasons["accelerators.1.name"] == "NVML: Not Supported"


def test_torch_is_not_asked_where_that_would_start_cuda(tmp_path: Path) -> None:
    gaps = Gaps()
    (card,), _ = read_accelerators(gaps, None, tmp_path, Driver())
    assert card.torch_index is card.multiprocessors is card.l2_cache_bytes is None
    assert card.compute_capability == "9.0"
    assert "torch was not asked" in gaps.reasons["accelerators.0.multiprocessors"]


def test_a_device_only_torch_knows_stands_after_the_cards(tmp_path: Path) -> None:
    gaps = Gaps()
    found = read_accelerators(gaps, [SLICE], tmp_path, Driver()).accelerators
    assert [(card.index, card.torch_index) for card in found] == [(0, None), (None, 1)]
    assert (found[1].name, found[1].multiprocessors) == ("NVIDIA H200 MIG 1g.18gb", 16)
    assert gaps.reasons["accelerators.0.torch_index"] == "torch does not see this card"
    assert gaps.reasons["accelerators.1"] == "NVML knows no card of this id"


def test_without_a_driver_torch_alone_describes_its_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_driver: Driver) -> None:
        raise Unavailable("NVML Shared Library Not Found")

    monkeypatch.setattr(Driver, "nvmlInit", fail)
    gaps = Gaps()
    assert read_accelerators(gaps, None, tmp_path, Driver()).accelerators == ()
    assert gaps.reasons == {"accelerators": "NVML: NVML Shared Library Not Found"}
    (device,), _ = read_accelerators(Gaps(), [SEEN], tmp_path, Driver())
    assert (device.name, device.index, device.memory_bytes) == ("NVIDIA H200", None, 150_000_000_000)


def test_a_driver_without_cards_is_told_apart_from_no_driver(tmp_path: Path) -> None:
    gaps = Gaps()
    assert read_accelerators(gaps, [], tmp_path, Driver(cards=0)).accelerators == ()
    assert gaps.reasons == {"accelerators": "NVML finds no card"}
