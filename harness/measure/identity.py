"""Which machine this is, as a hash: two runs can be told to come from one machine, and no more.

A machine id may be shown to nobody unhashed (machine-id(5)); names, addresses and serial numbers
are hashed for the same reason. The salt is fixed, so that runs of two users on one machine agree.
"""

import hashlib
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.measure.files import read

_SALT = "plumbline host 1"
_RUNTIMES = ("docker", "podman", "kubepods", "containerd", "lxc")


def salted_hash(text: str) -> str:
    """16 hex digits that stand for `text` and do not show it."""
    return hashlib.sha256(f"{_SALT}\n{text}".encode()).hexdigest()[:16]


def host_id(root: Path = Path("/"), gpu_uuids: Iterable[str] = ()) -> tuple[str, str]:
    """The machine's hash, and which facts it is made of.

    The first of machine id, product id of the board, address of a network card, host name; and the
    GPUs' ids where there are any. A machine id baked into a container image is that of every
    container of the image: without GPUs they count as one machine.
    """
    source, fact = next(_facts(root))
    gpus = sorted(gpu_uuids)
    return salted_hash("\n".join([source, fact, *gpus])), f"{source} and GPUs" if gpus else source


def container(root: Path = Path("/")) -> str | None:
    """The container runtime this process runs under; None where there is no sign of one."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    groups = read(root / "proc/self/cgroup") or ""
    return next((name for name in _RUNTIMES if name in groups), None)


def platform_name(root: Path = Path("/")) -> str | None:
    """Vendor and product of the machine, such as "Amazon EC2 m7i.2xlarge"; None where not told."""
    directory = root / "sys/class/dmi/id"
    told = (read(directory / name) for name in ("sys_vendor", "product_name"))
    model = read(root / "proc/device-tree/model")
    return " ".join(text for text in told if text) or (model.rstrip("\0") if model else None)


def _facts(root: Path) -> Iterator[tuple[str, str]]:
    for path in ("etc/machine-id", "var/lib/dbus/machine-id"):
        # A fresh image holds nothing, or the word "uninitialized".
        machine_id = read(root / path) or ""
        if re.fullmatch(r"[0-9a-f]{32}", machine_id):
            yield "machine id", machine_id
    if board_id := read(root / "sys/class/dmi/id/product_uuid"):
        yield "board id", board_id
    for card in sorted((root / "sys/class/net").glob("*")):
        address = read(card / "address") or ""
        if (card / "device").exists() and _is_burnt_in(address):
            yield "network card", address
    yield "host name", socket.gethostname()


def _is_burnt_in(address: str) -> bool:
    """Whether a maker gave it; a local one (second bit of the first byte) repeats among containers."""
    return bool(re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", address)) and not int(address[:2], 16) & 0b11
