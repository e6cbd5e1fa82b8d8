"""How many cores and which caches this process really has: affinity, topology, cgroup quota.

No torch here: a worker asks before torch is loaded. `root` lets a test put a small tree of files
in the place of /proc and /sys.
"""

import ctypes
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from harness.measure.environment.kernel import cgroup_cpu_quota, read, read_integer
from harness.records.machine import CacheLevel

__all__ = [
    "affinity",
    "cache_levels",
    "cgroup_cpu_quota",
    "cores",
    "format_cpu_list",
    "online_cpus",
    "parse_cpu_list",
    "usable_physical_cores",
]

_CPUS = "sys/devices/system/cpu"
_KIB = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
# Without one of these no OpenMP library binds its threads.
_BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The CPUs of a kernel list, in order.

    >>> parse_cpu_list("0-2,8")
    (0, 1, 2, 8)
    """
    cpus: list[int] = []
    for part in text.replace(",", " ").split():
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The kernel's list of some CPUs.

    >>> format_cpu_list({8, 0, 2, 1})
    '0-2,8'
    """
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def affinity() -> tuple[int, ...] | None:
    """The logical CPUs this process may run on; None where the system has no such notion (macOS).

    The calling thread's mask and the places of OpenMP: with OMP_PROC_BIND or OMP_PLACES set, the
    thread that loads the library is bound to the first place, and its mask alone shows one core.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    places = _openmp_places() if any(name in os.environ for name in _BINDING) else frozenset()
    return tuple(sorted(os.sched_getaffinity(0) | places))


@contextmanager
def on_cpu(cpu: int | None) -> Iterator[None]:
    """Keeps the calling thread on one logical CPU; does nothing for None or without affinity."""
    if cpu is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def online_cpus(root: Path = Path("/")) -> tuple[int, ...]:
    """All logical CPUs of the machine that are switched on; empty where the kernel does not report."""
    return parse_cpu_list(read(root / _CPUS / "online") or "")


class Core(NamedTuple):
    """The place of a physical core. Core numbers restart in each cluster on some Arm systems."""

    package: int
    die: int
    cluster: int
    core: int


def cores(cpus: Iterable[int], root: Path = Path("/")) -> frozenset[Core]:
    """The distinct physical cores some logical CPUs belong to.

    A CPU whose topology the kernel does not report (some sandboxes) counts as a core of its own.
    """
    return frozenset(_core(cpu, root) for cpu in cpus)


def usable_physical_cores(root: Path = Path("/"), cpus: Collection[int] | None = None) -> int:
    """The physical cores this process can keep busy at once, at least 1.

    Distinct cores among the CPUs it may run on (`cpus`, by default its affinity), limited by the
    cgroup CPU quota rounded down: the part of a core cannot keep a thread of a barrier running.
    """
    allowed = affinity() if cpus is None else tuple(cpus)
    if allowed is None:
        return psutil.cpu_count(logical=False) or 1
    count = len(cores(allowed, root))
    quota = cgroup_cpu_quota(root)
    return max(1, count if quota is None else min(count, math.floor(quota)))


def cache_levels(root: Path = Path("/"), cpus: Collection[int] | None = None) -> list[CacheLevel]:
    """The data and unified caches this process's CPUs see, innermost first, one entry a level.

    Instances differ in the CPUs that share them. Where cores differ (performance and
    efficiency cores) `bytes` is the smallest instance: what fits there fits everywhere. Empty where
    the kernel does not report. In a virtual machine the last level is the host's whole cache.
    """
    allowed = affinity() if cpus is None else tuple(cpus)
    levels: dict[tuple[int, str], dict[str, _Cache]] = {}
    for cpu in allowed or ():
        for cache in _caches(cpu, root):
            levels.setdefault((cache.level, cache.kind), {})[cache.sharing] = cache
    return [
        CacheLevel(
            level=level,
            kind=kind,
            bytes=min(cache.bytes for cache in instances.values()),
            instances=len(instances),
            shared_by=max(len(parse_cpu_list(sharing)) for sharing in instances),
        )
        for (level, kind), instances in sorted(levels.items())
    ]


def _openmp_places() -> frozenset[int]:
    """The CPUs on which the OpenMP library loaded into this process may place threads; mostly none."""
    library = re.search(r"/\S*/lib(?:gomp|iomp5|omp)\b\S*", read(Path("/proc/self/maps")) or "")
    if library is None:
        return frozenset()
    try:
        openmp = ctypes.CDLL(library[0], mode=os.RTLD_NOW | os.RTLD_NOLOAD)
        places = range(openmp.omp_get_num_places())
        sizes = [openmp.omp_get_place_num_procs(place) for place in places]
    except (OSError, AttributeError):  # unloaded since, or older than OpenMP 4.5
        return frozenset()
    cpus: set[int] = set()
    for place, size in zip(places, sizes, strict=True):
        ids = (ctypes.c_int * size)()
        openmp.omp_get_place_proc_ids(place, ids)
        cpus.update(ids)
    return frozenset(cpus)


class _Cache(NamedTuple):
    level: int
    kind: str
    bytes: int
    sharing: str


def _core(cpu: int, root: Path) -> Core:
    topology = root / _CPUS / f"cpu{cpu}" / "topology"
    core = read_integer(topology / "core_id")
    if core is None:
        return Core(package=-1, die=-1, cluster=-1, core=cpu)
    places = (read_integer(topology / f"{name}_id") for name in ("physical_package", "die", "cluster"))
    package, die, cluster = (0 if place is None else place for place in places)
    return Core(package=package, die=die, cluster=cluster, core=core)


def _caches(cpu: int, root: Path) -> Iterator[_Cache]:
    for index in sorted((root / _CPUS / f"cpu{cpu}" / "cache").glob("index[0-9]*")):
        level = read_integer(index / "level")
        kind = (read(index / "type") or "").lower()
        size = re.fullmatch(r"(\d+)([KMG]?)", read(index / "size") or "")
        if level is None or kind not in {"data", "unified"} or size is None:
            continue
        sharing = read(index / "shared_cpu_list") or str(cpu)
        yield _Cache(level, kind, int(size[1]) * _KIB[size[2]], sharing)
