"""Main memory, the limits of this process, and the current load."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from harness.measure.environment.cpu import reported_clock_hertz
from harness.measure.environment.host import affinity, format_cpu_list, usable_physical_cores
from harness.measure.environment.kernel import (
    Gaps,
    cgroup_cpu_quota,
    cgroup_cpuset,
    cgroup_memory_limit,
    cgroup_throttling,
    cgroup_version,
    fields,
    read,
    read_integer,
)
from harness.records.environment import State, ThreadPool
from harness.records.machine import Limits, Memory

_UNKNOWN = "the kernel does not report"
_HUGE_PAGES = "sys/kernel/mm/transparent_hugepage"
_ALLOCATORS = re.compile(r"lib(?:jemalloc|tcmalloc|mimalloc|tbbmalloc|hoard)[^/\s]*\.so[.\d]*")
# Which variable decides how a library's idle threads wait; the first that is set counts.
_WAITING = {
    "libgomp": ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"),
    "libiomp": ("KMP_BLOCKTIME", "OMP_WAIT_POLICY"),
    "libomp": ("KMP_BLOCKTIME", "OMP_WAIT_POLICY"),
}


def read_memory(root: Path, environment: Mapping[str, str], gaps: Gaps) -> Memory:
    """Main memory and its allocation settings."""
    meminfo = fields(root / "proc/meminfo")
    total, available, swap = (_bytes(meminfo, name) for name in ("MemTotal", "MemAvailable", "SwapTotal"))
    if not meminfo:
        total, available = psutil.virtual_memory().total, psutil.virtual_memory().available
    preloads = " ".join(environment.get(n, "") for n in ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES"))
    huge_pages = meminfo.get("HugePages_Total")
    return Memory(
        total_bytes=gaps.known("total_bytes", total, _UNKNOWN),
        available_bytes=gaps.known("available_bytes", available, _UNKNOWN),
        swap_bytes=gaps.known("swap_bytes", swap, _UNKNOWN),
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
        transparent_huge_pages=gaps.known("transparent_huge_pages", _chosen(root, "enabled"), _UNKNOWN),
        transparent_huge_page_defrag=gaps.known(
            "transparent_huge_page_defrag", _chosen(root, "defrag"), _UNKNOWN
        ),
        huge_pages=gaps.known("huge_pages", int(huge_pages) if huge_pages else None, _UNKNOWN),
        huge_page_bytes=gaps.known("huge_page_bytes", _bytes(meminfo, "Hugepagesize"), _UNKNOWN),
        overcommit_mode=gaps.known(
            "overcommit_mode", read_integer(root / "proc/sys/vm/overcommit_memory"), _UNKNOWN
        ),
        preloads=tuple(Path(path).name for path in re.split(r"[\s:]+", preloads) if path),
        allocators=tuple(sorted(set(_ALLOCATORS.findall(read(root / "proc/self/maps") or "")))),
    )


def read_limits(
    root: Path,
    environment: Mapping[str, str],
    thread_pools: Sequence[ThreadPool],
    gaps: Gaps,
    torch_threads: tuple[int, int] | None = None,
) -> Limits:
    """What of the machine this process may use, and how many threads torch uses, within an operator and between operators."""
    if torch_threads is None:
        import torch  # noqa: PLC0415 - a second or more

        torch_threads = torch.get_num_threads(), torch.get_num_interop_threads()
    cpus, version = affinity(), cgroup_version(root)
    no_group = "no control group is mounted"
    return Limits(
        affinity=gaps.known(
            "affinity", None if cpus is None else format_cpu_list(cpus), "the system has no affinity"
        ),
        cgroup_version=gaps.known("cgroup_version", version, no_group),
        cpu_quota=gaps.known("cpu_quota", cgroup_cpu_quota(root), "no quota is set" if version else no_group),
        cpuset=gaps.known("cpuset", cgroup_cpuset(root), "no set is given" if version else no_group),
        memory_limit_bytes=gaps.known(
            "memory_limit_bytes", cgroup_memory_limit(root), "no limit is set" if version else no_group
        ),
        usable_physical_cores=usable_physical_cores(root),
        intraop_threads=torch_threads[0],
        interop_threads=torch_threads[1],
        openmp_wait_policy=gaps.known(
            "openmp_wait_policy", _wait_policy(environment, thread_pools), "no OpenMP library is loaded"
        ),
        nice=os.getpriority(os.PRIO_PROCESS, 0),
    )


def read_state(root: Path, gaps: Gaps) -> State:
    """The current load and pressure, and the CPU time taken away so far."""
    load, runnable = _load(root)
    throttling = cgroup_throttling(root)
    if throttling is None:
        for field in ("quota_periods", "throttled_periods", "throttled_seconds"):
            gaps.note(field, "no control group counts them")
    return State(
        captured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        load_average=gaps.known("load_average", load, _UNKNOWN),
        uptime_seconds=_uptime_seconds(root),
        cpu_pressure_some_avg10=gaps.known(
            "cpu_pressure_some_avg10", _cpu_pressure(root), "no pressure information in this kernel"
        ),
        runnable_tasks=gaps.known("runnable_tasks", runnable, _UNKNOWN),
        steal_fraction_since_boot=gaps.known("steal_fraction_since_boot", _steal_fraction(root), _UNKNOWN),
        reported_clock_hertz=gaps.known("reported_clock_hertz", reported_clock_hertz(root), _UNKNOWN),
        quota_periods=throttling.periods if throttling else None,
        throttled_periods=throttling.throttled_periods if throttling else None,
        throttled_seconds=throttling.throttled_seconds if throttling else None,
    )


def _bytes(meminfo: Mapping[str, str], name: str) -> int | None:
    """A size of /proc/meminfo, which means 1024 bytes by "kB"."""
    size = re.fullmatch(r"(\d+) kB", meminfo.get(name, ""))
    return int(size[1]) * 1024 if size else None


def _chosen(root: Path, setting: str) -> str | None:
    """The word in brackets: `always [madvise] never`."""
    chosen = re.search(r"\[(.+)\]", read(root / _HUGE_PAGES / setting) or "")
    return chosen[1] if chosen else None


def _wait_policy(environment: Mapping[str, str], thread_pools: Sequence[ThreadPool]) -> str | None:
    """The setting that counts for the OpenMP library that is loaded, or "default"."""
    libraries = [pool.library for pool in thread_pools if pool.user_api == "openmp"]
    for prefix, names in _WAITING.items():
        if any(library.startswith(prefix) for library in libraries):
            settings = (f"{name}={environment[name]}" for name in names if name in environment)
            return next(settings, "default")
    return "default" if libraries else None


def _load(root: Path) -> tuple[tuple[float, float, float] | None, int | None]:
    """The load averages over 1, 5 and 15 minutes, and the tasks that run or could (this one is among them)."""
    words = (read(root / "proc/loadavg") or "").split()
    if len(words) < 4:
        return os.getloadavg(), None
    one, five, fifteen = (float(word) for word in words[:3])
    return (one, five, fifteen), int(words[3].partition("/")[0])


def _uptime_seconds(root: Path) -> float:
    text = read(root / "proc/uptime")
    return float(text.split()[0]) if text else time.time() - psutil.boot_time()


def _cpu_pressure(root: Path) -> float | None:
    """The fraction of the last 10 s in which some task waited for a CPU (Documentation/accounting/psi.rst)."""
    some = re.search(r"some avg10=([\d.]+)", read(root / "proc/pressure/cpu") or "")
    return float(some[1]) / 100 if some else None


def _steal_fraction(root: Path) -> float | None:
    """The fraction of all CPU time since boot that the hypervisor gave to others: proc(5), /proc/stat."""
    text = re.search(r"(?m)^cpu +(.+)$", read(root / "proc/stat") or "")
    # Guest time, which follows, is counted in user time already.
    times = [int(word) for word in text[1].split()[:8]] if text else []
    total = sum(times)
    return times[7] / total if len(times) == 8 and total > 0 else None
