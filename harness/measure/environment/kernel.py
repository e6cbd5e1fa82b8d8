"""Reads the small text files of the kernel (/proc, /sys) and control groups, and collects the reasons of missing facts.

Groups nest, and every enclosing one binds: a limit is the tightest on the way up. Versions 1 and 2
may both be mounted. In a container the mount often shows only the container's own group, while
/proc/self/cgroup may name the path the host sees (cgroups(7), cgroup_namespaces(7)).
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar


def read(path: Path) -> str | None:
    """The stripped text of a file; None where it is missing, unreadable or no text."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """The whole number a file holds; None where it is missing, unreadable or holds something else."""
    text = read(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def fields(path: Path, separator: str = ":") -> dict[str, str]:
    """The "name: value" lines of a file, names and values stripped; empty where it cannot be read."""
    pairs = (line.partition(separator) for line in (read(path) or "").splitlines())
    return {name.strip(): value.strip() for name, separated, value in pairs if separated}


_Value = TypeVar("_Value")


class Gaps:
    """Reasons by dotted field path; a part of the record gets its own view with `under`.

    >>> gaps = Gaps()
    >>> gaps.under("processor").known("microcode", None, "not reported by this kernel")
    >>> gaps.reasons
    {'processor.microcode': 'not reported by this kernel'}
    """

    def __init__(self, prefix: str = "", reasons: dict[str, str] | None = None) -> None:
        self._prefix = prefix
        self.reasons = {} if reasons is None else reasons

    def under(self, part: str) -> "Gaps":
        """The same reasons, with every path from here on below `part`."""
        return Gaps(f"{self._prefix}{part}.", self.reasons)

    def known(self, field: str, value: _Value | None, reason: str) -> _Value | None:
        """`value`, and the reason noted where it is None."""
        if value is None:
            self.note(field, reason)
        return value

    def note(self, field: str, reason: str) -> None:
        """Notes why `field` could not be had."""
        self.reasons[f"{self._prefix}{field}"] = reason


# Version 1 reports "no limit" as the largest page-aligned long, which depends on the page size.
_UNLIMITED_BYTES = 2**62


class Throttling(NamedTuple):
    """How often and how long the CPU quotas of the enclosing groups stopped their tasks."""

    periods: int
    throttled_periods: int
    throttled_seconds: float


class _Mount(NamedTuple):
    directory: Path
    root: PurePosixPath
    version: int
    controllers: frozenset[str]


def cgroup_version(root: Path = Path("/")) -> int | None:
    """1 or 2: the version that rules CPU time; None where no control group is mounted."""
    versions = [m.version for m in _mounts(root) if m.version == 2 or "cpu" in m.controllers]
    return min(versions, default=None)


def cgroup_cpu_quota(root: Path = Path("/")) -> float | None:
    """How many CPUs' worth of time this process may use; None where no quota is set."""
    quotas = [_quota(group) for group in _groups("cpu", root)]
    return min((quota for quota in quotas if quota is not None), default=None)


def cgroup_cpuset(root: Path = Path("/")) -> str | None:
    """The logical CPUs of the innermost group as a list ("0-3,8"); None where none is set."""
    for group in _groups("cpuset", root):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
            if text := read(group / name):
                return text
    return None


def cgroup_memory_limit(root: Path = Path("/")) -> int | None:
    """The most memory in bytes this process and its group may use; None where there is no limit."""
    limits = []
    for group in _groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            limit = read_integer(group / name)
            if limit is not None and limit < _UNLIMITED_BYTES:
                limits.append(limit)
    return min(limits, default=None)


def cgroup_memory_left(root: Path = Path("/")) -> int | None:
    """The bytes this process may still take before a limit kills it; None where there is no limit."""
    left = []
    for group in _groups("memory", root):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = read_integer(group / limit_name), read_integer(group / used_name)
            if limit is not None and used is not None and limit < _UNLIMITED_BYTES:
                left.append(max(limit - used, 0))
    return min(left, default=None)


def cgroup_throttling(root: Path = Path("/")) -> Throttling | None:
    """The counters of all enclosing groups added up; None where no group keeps them."""
    statistics = [_statistics(group) for group in _groups("cpu", root)]
    counted = [s for s in statistics if "nr_throttled" in s]
    if not counted:
        return None
    return Throttling(
        periods=sum(s.get("nr_periods", 0) for s in counted),
        throttled_periods=sum(s["nr_throttled"] for s in counted),
        # Version 1 counts nanoseconds (`throttled_time`), version 2 microseconds.
        throttled_seconds=sum(
            s.get("throttled_time", 0) * 1e-9 + s.get("throttled_usec", 0) * 1e-6 for s in counted
        ),
    )


def _quota(group: Path) -> float | None:
    if text := read(group / "cpu.max"):
        quota, _, period = text.partition(" ")
        return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None
    quota_microseconds = read_integer(group / "cpu.cfs_quota_us")
    period_microseconds = read_integer(group / "cpu.cfs_period_us")
    if quota_microseconds is None or quota_microseconds <= 0 or not period_microseconds:
        return None
    return quota_microseconds / period_microseconds


def _statistics(group: Path) -> dict[str, int]:
    pairs = (line.split() for line in (read(group / "cpu.stat") or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The directories of this process's groups under one controller, innermost first."""
    paths = _paths(root)
    for mount in _mounts(root):
        if mount.version == 2:
            path = paths.get("")
        else:
            path = paths.get(controller) if controller in mount.controllers else None
        if path is None:
            continue
        below = _below(path, mount.root)
        for ancestor in (below, *below.parents):
            yield mount.directory / ancestor


def _below(path: PurePosixPath, mount_root: PurePosixPath) -> PurePosixPath:
    """The path as seen from the mount point; the mount point itself where the group lies outside it."""
    if ".." in path.parts or not path.is_relative_to(mount_root):
        return PurePosixPath()
    return path.relative_to(mount_root)


def _paths(root: Path) -> dict[str, PurePosixPath]:
    """The group's path by controller; version 2 is the empty name."""
    paths = {}
    for line in (read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = PurePosixPath(path)
    return paths


def _mounts(root: Path) -> list[_Mount]:
    mounts = []
    for line in (read(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.partition(" ")
        if kind not in {"cgroup", "cgroup2"}:
            continue
        mount_root, mount_point = (_unescaped(field) for field in before.split()[3:5])
        mounts.append(
            _Mount(
                directory=root / mount_point.lstrip("/"),
                root=PurePosixPath(mount_root),
                version=2 if kind == "cgroup2" else 1,
                controllers=frozenset(options.rpartition(" ")[2].split(",")),
            )
        )
    return mounts


def _unescaped(field: str) -> str:
    r"""Spaces and the like stand as octal escapes in mountinfo: proc(5).

    >>> _unescaped(r"/with\040space")
    '/with space'
    """
    return re.sub(r"\\([0-7]{3})", lambda escape: chr(int(escape[1], 8)), field)
