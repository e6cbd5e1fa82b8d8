"""Reads the CPU's properties and the kernel's settings for it. Needs neither torch nor root rights.

Sources: /proc/cpuinfo and, under /sys/devices/system, cpu (Documentation/ABI/testing/sysfs-devices-
system-cpu), node and clocksource. Where a kernel reports nothing (macOS, some sandboxes),
torch's cpuinfo library replaces it.
"""

import platform
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from harness.measure.environment.host import affinity, cache_levels, cores, online_cpus
from harness.measure.environment.kernel import Gaps, fields, read, read_integer
from harness.records.machine import CacheLevel, NumaNode, Processor

_CPUS = "sys/devices/system/cpu"
# Instruction sets that change which kernel runs; x86 names as in /proc/cpuinfo and as in
# torch.cpu.get_capabilities(). Apart from the Arm ones, one of whose names means memory encryption
# on x86.
_X86_ISA = re.compile(r"sse4_2|avx|avx2|avx_\w+|avx512\w*|avx10\w*|amx_\w+|fma|fma3|fma4|f16c")
_ARM_ISA = re.compile(
    r"neon|asimd|asimdhp|asimddp|asimdfhm|fphp|fp16\w*|i8mm|bf16|ebf16|dot|dotprod|s[vm]e\w*"
)
_HYPERVISOR_CLOCKS = {"kvm-clock": "KVM", "xen": "Xen", "hyperv": "Microsoft"}
_UNKNOWN = "the kernel does not report"
_NO_FREQUENCY = "no cpufreq directory (usual in a virtual machine)"


def read_processor(root: Path, capabilities: Mapping[str, object], gaps: Gaps) -> Processor:
    """The processor; `capabilities` is the result of `torch.cpu.get_capabilities()`."""
    info = _cpuinfo(root)
    online = online_cpus(root)
    return Processor(
        architecture=platform.machine(),
        vendor=gaps.known("vendor", info.get("vendor_id") or info.get("CPU implementer"), _UNKNOWN),
        model_name=gaps.known("model_name", _model_name(info, capabilities), _UNKNOWN),
        family=gaps.known("family", _number(info, "cpu family", "CPU architecture"), _UNKNOWN),
        model=gaps.known("model", _number(info, "model", "CPU part"), _UNKNOWN),
        stepping=gaps.known("stepping", _number(info, "stepping", "CPU revision"), _UNKNOWN),
        microcode=gaps.known("microcode", info.get("microcode"), "not in /proc/cpuinfo"),
        sockets=gaps.known("sockets", _sockets(online, root, capabilities), _UNKNOWN),
        physical_cores=gaps.known("physical_cores", _physical_cores(online, root), _UNKNOWN),
        logical_cpus=gaps.known("logical_cpus", len(online) or psutil.cpu_count(), _UNKNOWN),
        simultaneous_multithreading=gaps.known(
            "simultaneous_multithreading", _switch(root / _CPUS / "smt/active"), "no smt/active file"
        ),
        numa_nodes=_numa_nodes(root, gaps),
        caches=_caches(root, capabilities, gaps),
        isa=_isa(info, capabilities),
        governor=gaps.known("governor", _one_of_all(root, online, "scaling_governor"), _NO_FREQUENCY),
        frequency_driver=gaps.known(
            "frequency_driver", _one_of_all(root, online, "scaling_driver"), _NO_FREQUENCY
        ),
        boost=gaps.known("boost", _boost(root), "neither cpufreq/boost nor intel_pstate/no_turbo"),
        base_hertz=gaps.known(
            "base_hertz", _base_hertz(root, info), "neither cpufreq nor the name contains it"
        ),
        min_hertz=gaps.known("min_hertz", _hertz(root, online, "cpuinfo_min_freq", min), _NO_FREQUENCY),
        max_hertz=gaps.known("max_hertz", _hertz(root, online, "cpuinfo_max_freq", max), _NO_FREQUENCY),
        limit_hertz=gaps.known("limit_hertz", _hertz(root, online, "scaling_max_freq", max), _NO_FREQUENCY),
        clock_source=gaps.known("clock_source", read(_clock_sources(root) / "current_clocksource"), _UNKNOWN),
        isolated_cpus=gaps.known("isolated_cpus", read(root / _CPUS / "isolated"), _UNKNOWN),
        hypervisor=gaps.known("hypervisor", _hypervisor(root, info), "this processor has no flag for it"),
        hypervisor_vendor=_hypervisor_vendor(root, info, gaps),
        mitigations=_mitigations(root),
    )


def reported_clock_hertz(root: Path = Path("/")) -> float | None:
    """The fastest clock the kernel reports of any CPU; nominal, not true, in many virtual machines."""
    text = read(root / "proc/cpuinfo") or ""
    clocks = [float(megahertz) * 1e6 for megahertz in re.findall(r"(?m)^cpu MHz\s*:\s*([\d.]+)", text)]
    return max(clocks, default=None)


def _cpuinfo(root: Path) -> dict[str, str]:
    """The last processor's block: on a hybrid processor the others may differ."""
    return fields(root / "proc/cpuinfo")


def _number(info: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        try:
            return int(info[name], 0)
        except (KeyError, ValueError):
            continue
    return None


def _model_name(info: Mapping[str, str], capabilities: Mapping[str, object]) -> str | None:
    return info.get("model name") or str(capabilities.get("cpu_name") or "") or None


def _sockets(online: Iterable[int], root: Path, capabilities: Mapping[str, object]) -> int | None:
    packages = {core.package for core in cores(online, root)}
    sockets = capabilities.get("num_sockets")
    return len(packages) or (sockets if isinstance(sockets, int) else None)


def _physical_cores(online: Iterable[int], root: Path) -> int | None:
    return len(cores(online, root)) or psutil.cpu_count(logical=False)


def _switch(path: Path) -> bool | None:
    number = read_integer(path)
    return None if number is None else number == 1


def _numa_nodes(root: Path, gaps: Gaps) -> tuple[NumaNode, ...]:
    directories = (root / "sys/devices/system/node").glob("node[0-9]*")
    nodes: list[NumaNode] = []
    for directory in sorted(directories, key=lambda path: int(path.name.removeprefix("node"))):
        memory = re.search(r"MemTotal:\s+(\d+) kB", read(directory / "meminfo") or "")
        memory_bytes = int(memory[1]) * 1024 if memory else None
        gaps.known(f"numa_nodes.{len(nodes)}.memory_bytes", memory_bytes, _UNKNOWN)
        nodes.append(NumaNode(cpus=read(directory / "cpulist") or "", memory_bytes=memory_bytes))
    if not nodes:
        gaps.note("numa_nodes", _UNKNOWN)
    return tuple(nodes)


def _caches(root: Path, capabilities: Mapping[str, object], gaps: Gaps) -> tuple[CacheLevel, ...]:
    levels = tuple(cache_levels(root, affinity() or online_cpus(root)))
    if levels:
        return levels
    gaps.note("caches", "the kernel does not report; levels 1 and 2 from torch, one instance each")
    sizes = ((1, "data", "l1d_cache_size"), (2, "unified", "l2_cache_size"))
    return tuple(
        CacheLevel(level=level, kind=kind, bytes=size, instances=1)
        for level, kind, name in sizes
        if isinstance(size := capabilities.get(name), int) and size > 0
    )


def _isa(info: Mapping[str, str], capabilities: Mapping[str, object]) -> tuple[str, ...]:
    reported = (info.get("flags") or info.get("Features") or "").split()
    flags = reported or [name for name, present in capabilities.items() if present is True]
    arm = "Features" in info or (not reported and platform.machine() in {"arm64", "aarch64"})
    wanted = _ARM_ISA if arm else _X86_ISA
    return tuple(sorted(flag for flag in flags if wanted.fullmatch(flag)))


def _frequency_files(root: Path, cpus: Iterable[int], name: str) -> list[Path]:
    return [root / _CPUS / f"cpu{cpu}" / "cpufreq" / name for cpu in cpus]


def _one_of_all(root: Path, cpus: Iterable[int], name: str) -> str | None:
    texts = {text for path in _frequency_files(root, cpus, name) if (text := read(path))}
    return "+".join(sorted(texts)) or None


def _hertz(root: Path, cpus: Iterable[int], name: str, choose: Callable[[list[int]], int]) -> float | None:
    values = (read_integer(path) for path in _frequency_files(root, cpus, name))
    kilohertz = [value for value in values if value is not None]
    return choose(kilohertz) * 1e3 if kilohertz else None


def _base_hertz(root: Path, info: Mapping[str, str]) -> float | None:
    kilohertz = read_integer(root / _CPUS / "cpu0/cpufreq/base_frequency")
    if kilohertz is not None:
        return kilohertz * 1e3
    megahertz = read_integer(root / _CPUS / "cpu0/acpi_cppc/nominal_freq")
    if megahertz:
        return megahertz * 1e6
    named = re.search(r"@ ([\d.]+)GHz", info.get("model name", ""))
    return float(named[1]) * 1e9 if named else None


def _boost(root: Path) -> bool | None:
    boost = _switch(root / _CPUS / "cpufreq/boost")
    no_turbo = _switch(root / _CPUS / "intel_pstate/no_turbo")
    return boost if no_turbo is None else not no_turbo


def _clock_sources(root: Path) -> Path:
    return root / "sys/devices/system/clocksource/clocksource0"


def _hypervisor(root: Path, info: Mapping[str, str]) -> bool | None:
    if "flags" in info:
        return "hypervisor" in info["flags"].split()
    return True if read(root / "sys/hypervisor/type") else None


def _hypervisor_vendor(root: Path, info: Mapping[str, str], gaps: Gaps) -> str | None:
    if not _hypervisor(root, info):
        gaps.note("hypervisor_vendor", "no hypervisor is seen")
        return None
    clocks = read(_clock_sources(root) / "available_clocksource") or ""
    by_clock = (vendor for name, vendor in _HYPERVISOR_CLOCKS.items() if name in clocks)
    vendor = (
        read(root / "sys/hypervisor/type")
        or next(by_clock, None)
        or read(root / "sys/class/dmi/id/sys_vendor")
    )
    return gaps.known("hypervisor_vendor", vendor, "neither its clock nor the machine's tables name it")


def _mitigations(root: Path) -> dict[str, str]:
    texts = ((path.name, read(path)) for path in sorted((root / _CPUS / "vulnerabilities").glob("*")))
    return {name: text for name, text in texts if text and text != "Not affected"}
