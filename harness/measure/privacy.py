"""Removes secrets, names of persons and machines, and addresses from what is recorded.

Records are made to be published. Environment variables are kept by allow-list; what is kept, and
the command line, loses credentials, home directories, user name, host name and addresses.
"""

import getpass
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.measure.environment.kernel import read
from harness.records.base import salted_hash

_RUNTIMES = ("docker", "podman", "kubepods", "containerd", "lxc")


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
    """Vendor and product of the machine, such as "Amazon EC2 m7i.2xlarge"; None where unknown."""
    directory = root / "sys/class/dmi/id"
    names = (read(directory / name) for name in ("sys_vendor", "product_name"))
    model = read(root / "proc/device-tree/model")
    return " ".join(text for text in names if text) or (model.rstrip("\0") if model else None)


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


REMOVED = "<removed>"

# Variables that change what runs or how fast.
_PREFIXES = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "CUDA_",
    "CUBLAS_",
    "CUDNN_",
    "NCCL_",
    "PYTORCH_",
    "TORCH_",
    "ATEN_",
    "ONEDNN_",
    "DNNL_",
    "MALLOC_",
)
_NAMES = {"NVIDIA_TF32_OVERRIDE", "GLIBC_TUNABLES", "LD_PRELOAD", "THP_MEM_ALLOC_ENABLE"}

_SENSITIVE = r"(?:token|key|secret|passw(?:or)?d|passphrase|credential|auth)"
_SENSITIVE_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+(?=@)")
# name=value, "name": "value" and ?name=value inside a longer text.
_ASSIGNMENT = re.compile(rf"([\w.-]*{_SENSITIVE}[\w.-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}}]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer\s+)[^\s\"']+", re.IGNORECASE)
# Prefixes of GitHub, Hugging Face, OpenAI-like, GitLab, Slack and AWS credentials.
_KNOWN_SECRET = re.compile(r"\b(?:gh[opsur]_|github_pat_|hf_|sk-|glpat-|xox[a-z]-|AKIA)[\w-]{10,}")
_ADDRESS = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"  # IPv4
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])"  # IPv6 and hardware addresses
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}(?![\w:])",  # IPv6, shortened
    re.IGNORECASE,
)
_GPU_SERIAL = re.compile(r"\b(?:GPU|MIG)-[0-9a-f]{8}[\w/-]*", re.IGNORECASE)
# Other people's homes too, wherever a system keeps them (/data/home/ada).
_HOMES = re.compile(r"(?<![\w.~-])(?:/[\w.-]+)*?/(?:home|Users)/[^/\s:;,'\"=]+")


@dataclass(frozen=True)
class Redactor:
    """Removes names of this person and machine, secrets and addresses from texts.

    >>> redactor = Redactor(home="/data/home/ada", user="ada", host="lovelace.example.org")
    >>> redactor.text("/data/home/ada/models on lovelace, see /scratch/ada/log")
    '~/models on <host>, see /scratch/<user>/log'
    """

    home: str
    user: str
    host: str

    @classmethod
    def of_this_machine(cls) -> "Redactor":
        """For this person and machine; a name that the system does not know is not searched."""
        try:
            user = getpass.getuser()
        except (OSError, KeyError, ImportError):  # no entry for the user id, as in many containers
            user = ""
        return cls(home=os.path.expanduser("~"), user=user, host=socket.gethostname())  # noqa: PTH111

    def text(self, text: str) -> str:
        """The text without names, home directories, addresses, GPU serials and credentials."""
        for home in self._homes():
            text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
        text = _URL_CREDENTIALS.sub(REMOVED, _HOMES.sub("~", text))
        text = _ASSIGNMENT.sub(rf"\g<1>{REMOVED}", _BEARER.sub(rf"\g<1>{REMOVED}", text))
        text = _ADDRESS.sub("<address>", _GPU_SERIAL.sub("<gpu>", _KNOWN_SECRET.sub(REMOVED, text)))
        for name in _distinct(self.host, self.host.partition(".")[0]):
            text = _word(name).sub("<host>", text)
        return _word(self.user).sub("<user>", text) if self.user else text

    def command(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """A command line: the program by its name alone, and no value of an option that names a secret.

        >>> Redactor("/root", "", "").command(["/usr/bin/plumbline", "run", "--token", "abc", "--api-key=x y"])
        ('plumbline', 'run', '--token', '<removed>', '--api-key=<removed>')
        """
        kept = [self.text(_program(arguments[0]))] if arguments else []
        awaited = False
        for argument in arguments[1:]:
            name, assigned, _ = argument.partition("=")
            if awaited:
                kept.append(REMOVED)
            elif assigned and _is_sensitive(name):
                kept.append(f"{self.text(name)}={REMOVED}")
            else:
                kept.append(self.text(argument))
            # The value of `--token value` is the next argument.
            awaited = not (awaited or assigned) and name.startswith("-") and _is_sensitive(name)
        return tuple(kept)

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables that change results, by allow-list; one that may hold a secret is left out.

        >>> Redactor("/root", "", "").variables({"OMP_NUM_THREADS": "4", "PATH": "/bin", "TORCH_TOKEN": "x"})
        {'OMP_NUM_THREADS': '4'}
        """
        return {
            name: self.text(value)
            for name, value in sorted(environment.items())
            if (name.startswith(_PREFIXES) or name in _NAMES) and not _may_hold_a_secret(name, value)
        }

    def _homes(self) -> list[str]:
        # "/" is the home of users without one; every path would begin with it.
        return [h for h in _distinct(self.home, str(Path(self.home).resolve())) if h.strip("/")]


def _is_sensitive(name: str) -> bool:
    return _SENSITIVE_NAME.search(name) is not None


def _may_hold_a_secret(name: str, value: str) -> bool:
    patterns = (_URL_CREDENTIALS, _ASSIGNMENT, _BEARER, _KNOWN_SECRET)
    return _is_sensitive(name) or any(pattern.search(value) for pattern in patterns)


def _program(path: str) -> str:
    """`python -m package` leaves the path of a file named `__main__.py`."""
    program = Path(path)
    return program.parent.name if program.name == "__main__.py" else program.name


def _distinct(*names: str) -> Iterable[str]:
    return dict.fromkeys(name for name in names if name)


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", re.IGNORECASE)
