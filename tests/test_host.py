"""Cores, caches and control groups, over small trees of files with answers counted by hand."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from harness.measure.environment.host import (
    affinity,
    cache_levels,
    cgroup_cpu_quota,
    cores,
    format_cpu_list,
    online_cpus,
    parse_cpu_list,
    usable_physical_cores,
)
from harness.measure.environment.kernel import (
    cgroup_cpuset,
    cgroup_memory_left,
    cgroup_memory_limit,
    cgroup_throttling,
    cgroup_version,
)
from harness.records.machine import CacheLevel

CPUS = "sys/devices/system/cpu"
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def topology(places: Mapping[int, tuple[int, ...]]) -> dict[str, str]:
    """Files for CPUs at (package, core) or (package, cluster, core)."""
    files = {}
    for cpu, place in places.items():
        files[f"{CPUS}/cpu{cpu}/topology/physical_package_id"] = str(place[0])
        files[f"{CPUS}/cpu{cpu}/topology/core_id"] = str(place[-1])
        if len(place) == 3:
            files[f"{CPUS}/cpu{cpu}/topology/cluster_id"] = str(place[1])
    return files


# Two packages of two cores with two threads each; siblings are n and n + 4.
SERVER = topology({cpu: (cpu % 4 // 2, cpu % 2) for cpu in range(8)})


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("8,0-1", (0, 1, 8)), ("", ())]
)
def test_a_cpu_list_is_read_and_written_back(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus
    assert parse_cpu_list(format_cpu_list(cpus)) == cpus


@pytest.mark.parametrize(
    ("cpus", "count"),
    [(range(8), 4), ((0, 4), 1), ((0, 1, 2, 3), 4), ((0, 4, 1), 2), ((3,), 1)],
    ids=["all", "siblings", "one-thread-each", "siblings-and-one", "one"],
)
def test_hyperthreads_are_no_cores(tmp_path: Path, cpus: tuple[int, ...], count: int) -> None:
    assert usable_physical_cores(plant(tmp_path, SERVER), cpus=cpus) == count


def test_core_numbers_that_count_anew_in_each_cluster_are_different_cores(tmp_path: Path) -> None:
    big_little = topology({0: (0, 0, 0), 1: (0, 0, 1), 2: (0, 1, 0), 3: (0, 1, 1)})
    assert len(cores(range(4), plant(tmp_path, big_little))) == 4


def test_without_topology_each_cpu_is_a_core(tmp_path: Path) -> None:
    assert usable_physical_cores(tmp_path, cpus=(0, 1, 5)) == 3


def test_no_cpu_at_all_is_still_one_core(tmp_path: Path) -> None:
    assert usable_physical_cores(tmp_path, cpus=()) == 1


@pytest.mark.parametrize(
    ("limit", "quota", "count"),
    [("max 100000", None, 4), ("250000 100000", 2.5, 2), ("50000 100000", 0.5, 1), ("900000 100000", 9.0, 4)],
)
def test_version_2_quota_limits_the_cores(
    tmp_path: Path, limit: str, quota: float | None, count: int
) -> None:
    group = {
        "proc/self/mountinfo": V2,
        "proc/self/cgroup": "0::/job",
        "sys/fs/cgroup/job/cpu.max": limit,
    }
    root = plant(tmp_path, SERVER | group)
    assert cgroup_version(root) == 2
    assert cgroup_cpu_quota(root) == quota
    assert usable_physical_cores(root, cpus=range(8)) == count


def test_the_tightest_of_nested_groups_binds(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "proc/self/mountinfo": V2,
            "proc/self/cgroup": "0::/pod/container/job",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000",
            "sys/fs/cgroup/pod/memory.max": "max",
            "sys/fs/cgroup/pod/container/cpu.max": "max 100000",
            "sys/fs/cgroup/pod/container/memory.max": "4294967296",
            "sys/fs/cgroup/pod/container/memory.current": "1073741824",
            "sys/fs/cgroup/pod/container/job/cpu.max": "400000 100000",
            "sys/fs/cgroup/pod/container/job/memory.max": "8589934592",
            "sys/fs/cgroup/pod/container/job/cpuset.cpus.effective": "2-3",
            "sys/fs/cgroup/pod/container/cpuset.cpus.effective": "0-7",
            "sys/fs/cgroup/beside/cpu.max": "10000 100000",
        },
    )
    assert cgroup_cpu_quota(root) == 1.5
    assert cgroup_memory_limit(root) == 4 * 2**30
    assert cgroup_memory_left(root) == 3 * 2**30
    assert cgroup_cpuset(root) == "2-3"


def test_version_1_groups_are_found_per_controller(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "proc/self/mountinfo": f"{V1_CPU}\n{V1_MEMORY}",
            "proc/self/cgroup": "4:memory:/box\n2:cpu,cpuacct:/box/inner\n1:name=systemd:/\n0::/",
            "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu/box/inner/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/box/inner/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "9223372036854771712",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )
    assert cgroup_version(root) == 1
    assert cgroup_cpu_quota(root) == 3.0
    assert cgroup_memory_limit(root) is None


def test_a_container_that_sees_its_own_group_as_the_mount(tmp_path: Path) -> None:
    mount = "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct"
    root = plant(
        tmp_path,
        {
            "proc/self/mountinfo": mount,
            "proc/self/cgroup": "2:cpu,cpuacct:/docker/abc",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup_cpu_quota(root) == 2.0


def test_a_group_outside_the_namespace_is_read_at_the_mount(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "proc/self/mountinfo": V2,
            "proc/self/cgroup": "0::/../../other",
            "sys/fs/cgroup/cpu.max": "200000 100000",
        },
    )
    assert cgroup_cpu_quota(root) == 2.0


def test_throttling_adds_up_over_the_groups_in_either_unit(tmp_path: Path) -> None:
    second = plant(
        tmp_path / "2",
        {
            "proc/self/mountinfo": V2,
            "proc/self/cgroup": "0::/a/b",
            "sys/fs/cgroup/cpu.stat": "usage_usec 5",
            "sys/fs/cgroup/a/cpu.stat": "usage_usec 5\nnr_periods 10\nnr_throttled 4\nthrottled_usec 2500000",
            "sys/fs/cgroup/a/b/cpu.stat": "nr_periods 7\nnr_throttled 1\nthrottled_usec 500000",
        },
    )
    assert cgroup_throttling(second) == (17, 5, 3.0)
    first = plant(
        tmp_path / "1",
        {
            "proc/self/mountinfo": V1_CPU,
            "proc/self/cgroup": "2:cpu,cpuacct:/",
            "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 3\nnr_throttled 2\nthrottled_time 1500000000",
        },
    )
    assert cgroup_throttling(first) == (3, 2, 1.5)


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_version(tmp_path) is None
    assert cgroup_cpu_quota(tmp_path) is None
    assert cgroup_cpuset(tmp_path) is None
    assert cgroup_memory_limit(tmp_path) is None
    assert cgroup_memory_left(tmp_path) is None
    assert cgroup_throttling(tmp_path) is None


def caches(cpu: int, *descriptions: str) -> dict[str, str]:
    """Files for the caches of one CPU, each described as "level type size shared_cpu_list"."""
    files = {}
    for index, description in enumerate(descriptions):
        names = ("level", "type", "size", "shared_cpu_list")
        for name, text in zip(names, description.split(), strict=True):
            files[f"{CPUS}/cpu{cpu}/cache/index{index}/{name}"] = text
    return files


def test_caches_are_counted_once_an_instance(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for cpu in range(8):
        siblings = f"{cpu % 4},{cpu % 4 + 4}"
        package = "0-1,4-5" if cpu % 4 < 2 else "2-3,6-7"
        files |= caches(
            cpu,
            f"1 Data 32K {siblings}",
            f"1 Instruction 64K {siblings}",
            f"2 Unified 1M {siblings}",
            f"3 Unified 16384K {package}",
        )
    root = plant(tmp_path, files)
    assert cache_levels(root, cpus=range(8)) == [
        CacheLevel(level=1, kind="data", bytes=32 * 1024, instances=4, shared_by=2),
        CacheLevel(level=2, kind="unified", bytes=2**20, instances=4, shared_by=2),
        CacheLevel(level=3, kind="unified", bytes=16 * 2**20, instances=2, shared_by=4),
    ]
    assert [level.instances for level in cache_levels(root, cpus=(0, 1, 4))] == [2, 2, 1]


def test_where_cores_differ_a_level_has_the_size_of_its_smallest_cache(tmp_path: Path) -> None:
    files = caches(0, "1 Data 48K 0") | caches(1, "1 Data 32K 1")
    assert cache_levels(plant(tmp_path, files), cpus=(0, 1)) == [
        CacheLevel(level=1, kind="data", bytes=32 * 1024, instances=2, shared_by=1)
    ]


def test_without_cache_files_nothing_is_made_up(tmp_path: Path) -> None:
    assert cache_levels(tmp_path, cpus=(0, 1)) == []


def test_this_machine_agrees_with_other_sources() -> None:
    cpus = affinity()
    if cpus is not None:
        assert set(cpus) >= os.sched_getaffinity(0)
        assert set(cpus) <= set(online_cpus())
    physical = psutil.cpu_count(logical=False)
    assert 1 <= usable_physical_cores() <= (physical or psutil.cpu_count() or 1)


def _openmp_library() -> Path | None:
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    return next(iter((Path(torch.origin).parent / "lib").glob("libgomp*.so*")), None)


@pytest.mark.worker
@pytest.mark.skipif(_openmp_library() is None, reason="this torch brings no libgomp")
def test_threads_bound_by_openmp_do_not_hide_cores() -> None:
    program = (
        "import ctypes, os, sys; before = os.sched_getaffinity(0); ctypes.CDLL(sys.argv[1]);"
        "from harness.measure.environment.host import affinity; print(set(affinity()) == before)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(_openmp_library())],
        env={**os.environ, "OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert answer.stdout.strip() == "True"
