"""Processor, memory and state, over small trees of files with answers counted by hand."""

from pathlib import Path

import pytest

from harness.measure.environment.cpu import read_processor, reported_clock_hertz
from harness.measure.environment.kernel import Gaps
from harness.measure.environment.surroundings import read_limits, read_memory, read_state
from harness.records.environment import ThreadPool
from harness.records.machine import NumaNode


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_a_server_processor(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu"
    block = (
        "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Gold @ 2.10GHz\n"
        "stepping\t: 8\nmicrocode\t: 0x2b\ncpu MHz\t\t: {}\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_tile fma smep"
    )
    write(tmp_path, "proc/cpuinfo", block.format("800.5") + "\n\n" + block.format("3500.25"))
    write(tmp_path, f"{cpu}/online", "0-3")
    for number in range(4):
        write(tmp_path, f"{cpu}/cpu{number}/topology/physical_package_id", str(number // 2))
        write(tmp_path, f"{cpu}/cpu{number}/topology/core_id", "0")
        write(
            tmp_path, f"{cpu}/cpu{number}/cpufreq/scaling_governor", "performance" if number else "powersave"
        )
        write(tmp_path, f"{cpu}/cpu{number}/cpufreq/cpuinfo_min_freq", "800000")
        write(tmp_path, f"{cpu}/cpu{number}/cpufreq/cpuinfo_max_freq", str(3_500_000 + number * 100_000))
        write(tmp_path, f"{cpu}/cpu{number}/cpufreq/scaling_max_freq", "2000000")
    write(tmp_path, f"{cpu}/smt/active", "1")
    write(tmp_path, f"{cpu}/intel_pstate/no_turbo", "1")
    write(tmp_path, f"{cpu}/vulnerabilities/meltdown", "Not affected")
    write(tmp_path, f"{cpu}/vulnerabilities/retbleed", "Mitigation: IBRS")
    write(tmp_path, "sys/devices/system/node/node0/cpulist", "0-1")
    write(tmp_path, "sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:       1024 kB")
    write(tmp_path, "sys/devices/system/node/node1/cpulist", "2-3")
    processor = read_processor(tmp_path, {}, Gaps())
    assert (processor.family, processor.model, processor.stepping) == (6, 143, 8)
    assert (processor.sockets, processor.physical_cores, processor.logical_cpus) == (2, 2, 4)
    assert processor.simultaneous_multithreading is True
    assert processor.isa == ("amx_tile", "avx2", "avx512_vnni", "avx512f", "fma")
    assert processor.governor == "performance+powersave"
    assert processor.boost is False
    assert (processor.base_hertz, processor.min_hertz) == (2.1e9, 0.8e9)
    assert (processor.max_hertz, processor.limit_hertz) == (3.8e9, 2.0e9)
    assert processor.hypervisor is False
    assert processor.mitigations == {"retbleed": "Mitigation: IBRS"}
    assert processor.numa_nodes == (
        NumaNode(cpus="0-1", memory_bytes=2**20),
        NumaNode(cpus="2-3", memory_bytes=None),
    )
    assert reported_clock_hertz(tmp_path) == 3500.25e6


def test_an_arm_processor_and_a_silent_kernel(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/cpuinfo",
        "Features\t: fp asimd asimdhp sve bf16 i8mm crc32\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU part\t: 0xd40\nCPU revision\t: 1",
    )
    gaps = Gaps()
    capabilities = {"cpu_name": "Neoverse V1", "l1d_cache_size": 65536, "l2_cache_size": 2**20, "sve": True}
    processor = read_processor(tmp_path, capabilities, gaps)
    assert (processor.vendor, processor.model_name) == ("0x41", "Neoverse V1")
    assert (processor.family, processor.model, processor.stepping) == (8, 0xD40, 1)
    assert processor.isa == ("asimd", "asimdhp", "bf16", "i8mm", "sve")
    assert processor.hypervisor is None
    assert [(c.level, c.bytes) for c in processor.caches] == [(1, 65536), (2, 2**20)]
    assert "caches" in gaps.reasons
    assert "numa_nodes" in gaps.reasons


def test_memory_limits_and_state_from_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/meminfo",
        "MemTotal: 1000 kB\nMemAvailable: 600 kB\nSwapTotal: 8 kB\nHugePages_Total: 3\nHugepagesize: 2048 kB",
    )
    write(tmp_path, "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    write(tmp_path, "proc/sys/vm/overcommit_memory", "1")
    write(
        tmp_path,
        "proc/self/maps",
        "7f00 r-xp 0 /usr/lib/libjemalloc.so.2\n7f01 r--p 0 /usr/lib/libjemalloc.so.2",
    )
    variables = {"LD_PRELOAD": "/usr/lib/libjemalloc.so.2:/opt/libiomp5.so"}
    gaps = Gaps()
    memory = read_memory(tmp_path, variables, gaps)
    assert (memory.total_bytes, memory.available_bytes, memory.swap_bytes) == (1_024_000, 614_400, 8192)
    assert (memory.huge_pages, memory.huge_page_bytes, memory.overcommit_mode) == (3, 2**21, 1)
    assert memory.transparent_huge_pages == "madvise"
    assert memory.preloads == ("libjemalloc.so.2", "libiomp5.so")
    assert memory.allocators == ("libjemalloc.so.2",)
    assert set(gaps.reasons) == {"transparent_huge_page_defrag"}

    write(tmp_path, "proc/loadavg", "0.50 1.25 2.00 3/120 4242")
    write(tmp_path, "proc/uptime", "3600.5 7000.0")
    write(tmp_path, "proc/pressure/cpu", "some avg10=12.50 avg60=1.00 avg300=0.10 total=5")
    write(tmp_path, "proc/stat", "cpu  50 10 20 100 5 5 0 10 7 0\ncpu0 1 2 3 4 5 6 7 8 9 0")
    state = read_state(tmp_path, gaps)
    assert state.load_average == (0.5, 1.25, 2.0)
    assert (state.runnable_tasks, state.uptime_seconds) == (3, 3600.5)
    assert state.cpu_pressure_some_avg10 == 0.125
    assert state.steal_fraction_since_boot == 10 / 200
    assert state.throttled_periods is None
    assert "throttled_periods" in gaps.reasons


@pytest.mark.parametrize(
    ("library", "variables", "policy"),
    [
        ("libgomp.so.1", {}, "default"),
        ("libgomp.so.1", {"OMP_WAIT_POLICY": "PASSIVE"}, "OMP_WAIT_POLICY=PASSIVE"),
        ("libgomp.so.1", {"GOMP_SPINCOUNT": "9", "OMP_WAIT_POLICY": "ACTIVE"}, "GOMP_SPINCOUNT=9"),
        ("libiomp5.so", {"GOMP_SPINCOUNT": "9", "KMP_BLOCKTIME": "1"}, "KMP_BLOCKTIME=1"),
        (None, {"OMP_WAIT_POLICY": "PASSIVE"}, None),
    ],
)
def test_the_wait_policy_is_that_of_the_library_in_use(
    library: str | None, variables: dict[str, str], policy: str | None
) -> None:
    pools = [
        ThreadPool(user_api="openmp", internal_api="openmp", library=name, version=None, threads=2)
        for name in [library]
        if name
    ]
    assert read_limits(Path("/"), variables, pools, Gaps()).openmp_wait_policy == policy
