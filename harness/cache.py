"""Content that takes long to make and can be made again at any time, in the user's cache folder."""

import contextlib
import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs

# Entries of one name that are kept, the latest; older ones are removed.
_MOST = 16
_DIGEST = 64
# Files that change with the devices that a process sees.
_DEVICES = ("/proc/driver/nvidia/version", "/sys/module/nvidia/version", "/sys/module/amdgpu/version")
# Variables of a shell or a session, which change nothing that is cached.
_PASSING = (
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "COLUMNS",
    "LINES",
    "TERM",
    "SSH_",
    "XDG_SESSION",
    "PYTEST_CURRENT",
)


def cached(name: str, key: Iterable[str], make: Callable[[], bytes]) -> bytes:
    """The content that `make` returned before under this name and key, or returns now.

    A damaged entry is made again; without a folder that can be written it is made every time.
    """
    path = _folder() / f"{name}-{_digest(chr(0).join(key).encode())[:32]}"
    with contextlib.suppress(OSError):
        digest, content = (stored := path.read_bytes())[:_DIGEST], stored[_DIGEST:]
        if digest == _digest(content).encode():
            return content
    content = make()
    with contextlib.suppress(OSError):
        _write(path, content)
    return content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(_digest(content).encode() + content)
    Path(file.name).replace(path)
    entries = sorted(
        path.parent.glob(f"{path.name.rpartition('-')[0]}-*"), key=lambda entry: entry.stat().st_mtime
    )
    for entry in entries[:-_MOST]:
        entry.unlink(missing_ok=True)


def _folder() -> Path:
    return platformdirs.user_cache_path("plumbline")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def of_files(files: Iterable[Path]) -> str:
    """A digest of the names and the contents of files."""
    return _digest(
        b"\0".join(str(file).encode() + b"\0" + _digest(file.read_bytes()).encode() for file in files)
    )


def of_machine() -> tuple[str, ...]:
    """What decides how this harness behaves here: its sources, Python, torch, the processor, the devices and variables."""
    try:
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        torch = ""
    root = Path(__file__).resolve().parent
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    # A package that was installed or removed changes the time of its folder.
    folders = [f"{path} {Path(path).stat().st_mtime_ns}" for path in sys.path if Path(path).is_dir()]
    variables = [
        f"{name}={value}" for name, value in sorted(os.environ.items()) if not name.startswith(_PASSING)
    ]
    return (
        *(sys.version, torch, of_files(sorted(root.rglob("*.py"))), str(cpus), _processor()),
        *(_text(path) for path in _DEVICES),
        *folders,
        *variables,
    )


def _processor() -> str:
    """The facts of the processor that do not change from moment to moment."""
    return "\n".join(
        line for line in _text("/proc/cpuinfo").splitlines() if not line.startswith(("cpu MHz", "bogomips"))
    )


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
