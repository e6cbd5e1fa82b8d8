"""The two sides of a trial: with which interpreter, from which checkout, under which settings each of them runs."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.ab.worktree import commit_of, head, toplevel, unchanged_since, worktree
from harness.errors import DISTRIBUTION, UsageError
from harness.measure.pool import Launch

# What a worker and the collection of suites load besides the harness.
NEEDED = (
    "torch",
    "msgspec",
    "cloudpickle",
    "numpy",
    "psutil",
    "pynvml",
    "pytest",
    "pytest_benchmark",
    "threadpoolctl",
)
_PROBE = f"""
import importlib.util, json, sys
missing = [name for name in {NEEDED!r} if importlib.util.find_spec(name) is None]
print(json.dumps({{"version": sys.version_info[:2], "path": sys.path[1:], "missing": missing}}))
"""
OLDEST_PYTHON = (3, 11)
# Variables that a worker takes no notice of, with what it does.
NO_EFFECT = {
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME"), "give --base-python or --base-rev"),
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "give threads=N"),
}
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Wanted:
    """How the base differs from this checkout and this interpreter; `base` and `candidate` are settings as KEY=VALUE.

    `called` is what the user calls the revision.
    """

    python: str | None = None
    revision: str | None = None
    called: str = ""
    install: str | None = None
    base: tuple[str, ...] = ()
    candidate: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placed:
    """One side: how its processes are started, and where what lies under `root` here lies there."""

    name: str
    launch: Launch
    device: str
    threads: int
    settings: dict[str, str] = field(default_factory=dict)
    root: Path | None = None
    there: Path | None = None

    def place(self, path: Path) -> Path:
        """Where a file of this checkout lies on that side."""
        if self.root is None or self.there is None or not path.is_relative_to(self.root):
            return path
        if path.is_relative_to(sys.prefix):  # installed, if within the checkout
            return path
        return self.there / path.relative_to(self.root)

    def with_settings(self, texts: Sequence[str]) -> "Placed":
        """The side with settings: `threads=1`, `device=cuda:1`, or an environment variable.

        Raises:
            UsageError: no such setting.
        """
        side = self
        for text in texts:
            key, equals, value = text.partition("=")
            if not equals or not value:
                raise UsageError(f"{text!r}: settings are KEY=VALUE, such as threads=1")
            side = replace(_with(side, key, value), settings={**side.settings, key: value})
        return side


def _with(side: Placed, key: str, value: str) -> Placed:
    if key == "threads" and value.isdigit() and int(value):
        return replace(side, threads=int(value))
    if key == "device":
        from harness.measure.devices.base import named  # noqa: PLC0415 - loads torch

        return replace(side, device=named(value)[0])
    if key in NO_EFFECT:
        raise UsageError(f"{key}={value} has no effect on a worker: {NO_EFFECT[key]}")
    if _VARIABLE.fullmatch(key):
        return replace(side, launch=replace(side.launch, variables={**side.launch.variables, key: value}))
    raise UsageError(
        f"{key}={value}: a setting is threads=N, device=NAME, or an environment variable in capitals"
    )


@contextmanager
def sides(
    wanted: Wanted, device: str, threads: int, note: Callable[[str], object] = lambda _: None
) -> Iterator[tuple[Placed, Placed]]:
    """Base and candidate, ready to be started; a worktree is there as long as this lasts.

    Raises:
        UsageError: no such interpreter or revision, or it does not install.
    """
    asked = _interpreter(wanted.python)
    candidate = Placed("candidate", Launch(), device, threads).with_settings(wanted.candidate)
    base = Placed("base", Launch(), device, threads).with_settings(wanted.base)
    if wanted.revision is None:
        if wanted.install:
            raise UsageError("--install prepares the checkout of --base-rev: give both")
        yield _on(base, asked), candidate
        return
    root = toplevel(Path.cwd())
    commit = commit_of(root, wanted.revision)
    with worktree(root, commit) as there:
        called = wanted.called or wanted.revision
        made = _installed(there, wanted.install, called, note)
        python = asked or made
        base = replace(_on(base, python), name=f"base ({called}, {commit[:8]})", root=root, there=there)
        candidate = replace(candidate, name=f"candidate ({_state(root)})", root=root, there=root)
        yield _round_spread(base, there), _round_spread(candidate, root)


def _state(root: Path) -> str:
    """What is checked out, in words."""
    commit = head(root)
    if commit is None:
        return "nothing committed"
    return commit[:8] if unchanged_since(root, commit) else f"{commit[:8]} with changes"


def _on(side: Placed, python: str | None) -> Placed:
    """The side with another interpreter, and what that has installed."""
    if python is None:
        return side
    here = str(Path.cwd())
    path = (*((here,) if here in side.launch.path else ()), *probed(python))
    return replace(side, launch=replace(side.launch, python=python, path=path))


def _interpreter(python: str | None) -> str | None:
    """Its whole path: of one that is named from here, or found where commands are. Links are kept, as a venv's interpreter is one."""
    if python is None:
        return None
    found = shutil.which(python)
    if found is None:
        raise UsageError(f"--base-python {python} does not run: give the path of a Python")
    return os.path.abspath(found)  # noqa: PTH100 - `resolve` would follow the link


def _round_spread(side: Placed, there: Path) -> Placed:
    """The side with the modules of its own checkout before all others, and the same folder to stand in.

    What is on the path and not part of the checkout, such as an environment of installed packages, stays.
    """
    path = [side.place(Path(one)) for one in side.launch.path]
    kept = [str(new if new.exists() else old) for new, old in zip(path, side.launch.path, strict=True)]
    first = [str(one) for one in (there, there / "src") if one.is_dir()]
    directory = side.place(Path.cwd())
    return replace(
        side,
        launch=replace(
            side.launch,
            path=tuple(dict.fromkeys([*first, *kept])),
            directory=directory if directory.is_dir() else there,
        ),
    )


def probed(python: str) -> list[str]:
    """Where another interpreter finds its modules.

    Raises:
        UsageError: it does not run, is too old, or lacks what a worker needs.
    """
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, check=True, timeout=120, cwd="/"
        )
        told = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise UsageError(f"--base-python {python} does not run: give the path of a Python") from error
    if tuple(told["version"]) < OLDEST_PYTHON:
        version = ".".join(map(str, told["version"]))
        raise UsageError(f"--base-python {python} is Python {version}: at least 3.11 is needed")
    if told["missing"]:
        raise UsageError(
            f"--base-python {python} has no {', '.join(told['missing'])}: install {DISTRIBUTION} there"
        )
    return [str(one) for one in told["path"]]


def _installed(there: Path, command: str | None, revision: str, note: Callable[[str], object]) -> str | None:
    """Prepares a checkout by the user's command; the interpreter that left behind in `.venv`, if it did."""
    if command is None:
        return None
    note(f"preparing the base: {command}")
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=there, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # and all it started
            process.wait()
            raise
        output.seek(0)
        said = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    if status:
        last = f": {said[-1].strip()}" if said else ""
        raise UsageError(f"{revision} does not install: {command!r} ended with status {status}{last}")
    python = there / ".venv" / "bin" / Path(sys.executable).name
    found = python if python.exists() else python.with_name("python")
    return str(found) if found.exists() else None
