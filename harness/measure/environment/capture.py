"""Captures the environment: each source is read once, and a failure becomes a reason, not an exception."""

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pynvml

from harness import cache
from harness.errors import DISTRIBUTION
from harness.measure.environment.cpu import read_processor
from harness.measure.environment.gpu import TorchDevice, read_accelerators
from harness.measure.environment.kernel import Gaps
from harness.measure.environment.surroundings import read_limits, read_memory, read_state
from harness.measure.privacy import Redactor, container, host_id, platform_name
from harness.records.base import Record
from harness.records.environment import Code, Environment, Numerics, Software
from harness.records.machine import Host

_GIT_SECONDS = 1.0


class _Checkout(NamedTuple):
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    diff_hash: str | None = None


def read_code(directory: Path, arguments: Sequence[str], redactor: Redactor, gaps: Gaps) -> Code:
    """The command line, and the commit `directory` stands at, with whether tracked files differ from it."""
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        version = None
    checkout = _checkout(directory, gaps)
    return Code(
        plumbline_version=gaps.known("plumbline_version", version, "not installed as a package"),
        command=redactor.command(arguments),
        commit=checkout.commit,
        branch=None if checkout.branch is None else redactor.text(checkout.branch),
        dirty=checkout.dirty,
        diff_hash=checkout.diff_hash,
    )


def _checkout(directory: Path, gaps: Gaps) -> _Checkout:
    try:
        status = _git(directory, "status", "--porcelain=v2", "--branch", "--untracked-files=no").decode()
    except (OSError, subprocess.SubprocessError) as error:
        for field in _Checkout._fields:
            gaps.note(field, _reason(error))
        return _Checkout()
    head = dict(re.findall(r"(?m)^# branch\.(oid|head) (.+)$", status))
    commit = None if head["oid"] == "(initial)" else head["oid"]
    branch = None if head["head"] == "(detached)" else head["head"]
    changed = re.search(r"(?m)^[^#\n]", status) is not None
    no_commit = "the branch has no commit yet"
    return _Checkout(
        commit=gaps.known("commit", commit, no_commit),
        branch=gaps.known("branch", branch, "HEAD is detached"),
        dirty=gaps.known("dirty", changed if commit else None, no_commit),
        diff_hash=_diff_hash(directory, gaps, comparable=commit is not None and changed),
    )


def _diff_hash(directory: Path, gaps: Gaps, *, comparable: bool) -> str | None:
    if not comparable:
        return gaps.known("diff_hash", None, "no commit to differ from, or no difference")
    try:
        difference = _git(directory, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD")
    except (OSError, subprocess.SubprocessError) as error:
        return gaps.known("diff_hash", None, _reason(error))
    return hashlib.sha256(difference).hexdigest()[:16]


def _git(directory: Path, *arguments: str) -> bytes:
    # No lock on the index: others may be working in the checkout. English, for `_reason`.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, check=True, timeout=_GIT_SECONDS
    ).stdout


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    """The reason, without git's own message, which contains paths."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"git took longer than {_GIT_SECONDS:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        if b"not a git repository" in error.stderr:
            return "nogit: the working directory is in no git repository"
        return f"git ended with status {error.returncode}"
    return "git is not installed"


@dataclass(frozen=True)
class Sources:
    """Where the facts come from: by default this machine and this process.

    `directory` is where the code stands, `root` holds proc, sys and etc, `nvml` has pynvml's functions.
    """

    root: Path = Path("/")
    directory: Path = field(default_factory=Path.cwd)
    arguments: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    nvml: Any = pynvml


class _TorchFacts(Record, frozen=True):
    """The facts that need torch, which takes a second or more to load, and the reasons for those that are missing."""

    software: Software
    numerics: Numerics
    capabilities: dict[str, Any]
    threads: tuple[int, int]
    unavailable: dict[str, str]


def capture(device_name: str | None = None, sources: Sources | None = None) -> Environment:
    """The machine, the software and their settings now, in well under a second.

    `device_name` is the device of the run ("cpu", "cuda", "cuda:0"). Only a CUDA device lets torch
    start CUDA in this process, for the facts NVML does not have.
    """
    here = sources or Sources()
    return _captured(here, _read_torch(here), device_name, _torch_devices(device_name))


def capture_cached() -> Environment:
    """The same without loading torch, where the facts that need it are in the cache; all others are read now."""
    here = Sources()
    facts = cache.cached("torch", cache.of_machine(), lambda: msgspec.json.encode(_read_torch(here)))
    return _captured(here, msgspec.json.decode(facts, type=_TorchFacts), None, None)


def _captured(
    here: Sources, facts: _TorchFacts, device_name: str | None, devices: list[TorchDevice] | None
) -> Environment:
    gaps = Gaps()
    gaps.reasons.update(facts.unavailable)
    redactor = Redactor.of_this_machine()
    found = read_accelerators(gaps, devices, here.root, here.nvml)
    software = facts.software
    return Environment(
        device_name=device_name,
        code=read_code(here.directory, here.arguments, redactor, gaps.under("code")),
        software=software,
        numerics=facts.numerics,
        processor=read_processor(here.root, facts.capabilities, gaps.under("processor")),
        memory=read_memory(here.root, here.variables, gaps.under("memory")),
        limits=read_limits(
            here.root, here.variables, software.thread_pools, gaps.under("limits"), facts.threads
        ),
        accelerators=found.accelerators,
        host=_read_host(here.root, found.uuids, gaps.under("host")),
        state=read_state(here.root, gaps.under("state")),
        unavailable=gaps.reasons,
    )


def _read_torch(here: Sources) -> _TorchFacts:
    import torch  # noqa: PLC0415 - a second or more

    from harness.measure.environment.software import read_numerics, read_software  # noqa: PLC0415

    gaps = Gaps()
    redactor = Redactor.of_this_machine()
    # torch's cpuinfo library; a torch without it is no failure.
    ask = getattr(torch.cpu, "get_capabilities", dict)
    return _TorchFacts(
        software=read_software(here.root, here.variables, redactor, gaps.under("software")),
        numerics=read_numerics(gaps.under("numerics")),
        capabilities=dict(ask()),
        threads=(torch.get_num_threads(), torch.get_num_interop_threads()),
        unavailable=gaps.reasons,
    )


def _read_host(root: Path, gpu_uuids: Sequence[str], gaps: Gaps) -> Host:
    identity, source = host_id(root, gpu_uuids)
    return Host(
        id=identity,
        id_source=source,
        platform=gaps.known("platform", platform_name(root), "no DMI or device tree table"),
        container=gaps.known("container", container(root), "no sign of a container"),
    )


def _torch_devices(device_name: str | None) -> list[TorchDevice] | None:
    """What torch says of the CUDA devices; None where asking would start CUDA for a run that needs none."""
    import torch  # noqa: PLC0415 - a second or more

    cuda: Any = torch.cuda
    if not (device_name or "").startswith("cuda") and not cuda.is_initialized():
        return None
    return [_torch_device(index) for index in range(cuda.device_count())] if cuda.is_available() else []


def _torch_device(index: int) -> TorchDevice:
    import torch  # noqa: PLC0415 - a second or more

    properties = torch.cuda.get_device_properties(index)
    return TorchDevice(
        index=index,
        uuid=str(properties.uuid),
        name=properties.name,
        memory_bytes=properties.total_memory,
        compute_capability=f"{properties.major}.{properties.minor}",
        multiprocessors=properties.multi_processor_count,
        l2_cache_bytes=properties.L2_cache_size,
    )
