"""The two sides of a trial: their interpreters, checkouts and settings, and the cases that each of them collects."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from harness.ab.worktree import commit_of, head, toplevel, unchanged_since, worktree
from harness.errors import DISTRIBUTION, NothingMeasuredError, PlumblineError, UsageError
from harness.measure.pickling import pack_workload
from harness.measure.pool import Launch
from harness.pytest_plugin.collection import Request, collected, suites_below, with_traced_cost
from harness.records import Case

if TYPE_CHECKING:
    from harness.ab.run import Options

# What a worker and the collection of suites import besides the harness.
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
# Variables that have no effect on a worker, with the option to use instead.
NO_EFFECT = {
    **dict.fromkeys(("PYTHONPATH", "PYTHONHOME"), "give --base-python or --base-rev"),
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "give threads=N"),
}
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class SideSetup:
    """One side: how its processes start, and which folder `checkout` it has in place of `root`."""

    name: str
    launch: Launch
    device: str
    threads: int
    settings: dict[str, str] = field(default_factory=dict)
    root: Path | None = None
    checkout: Path | None = None

    def place(self, path: Path) -> Path:
        """The path on that side of a file of this checkout."""
        if self.root is None or self.checkout is None or not path.is_relative_to(self.root):
            return path
        if path.is_relative_to(sys.prefix):  # installed, if within the checkout
            return path
        return self.checkout / path.relative_to(self.root)

    def with_settings(self, texts: Sequence[str]) -> "SideSetup":
        """The side with settings: `threads=1`, `device=cuda:1`, or an environment variable.

        Raises:
            UsageError: no such setting.
        """
        side = self
        for text in texts:
            key, equals, value = text.partition("=")
            if not equals or not value:
                raise UsageError(f"{text!r}: not a setting; settings are KEY=VALUE, such as threads=1")
            side = replace(_with(side, key, value), settings={**side.settings, key: value})
        return side


def _with(side: SideSetup, key: str, value: str) -> SideSetup:
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
    options: "Options", device: str, threads: int, note: Callable[[str], object] = lambda _: None
) -> Iterator[tuple[SideSetup, SideSetup]]:
    """Base and candidate, ready to be started; a worktree exists as long as this context.

    Raises:
        UsageError: the interpreter or revision does not exist, or the installation fails.
    """
    named = _interpreter(options.base_python)
    candidate = SideSetup("candidate", Launch(), device, threads).with_settings(options.candidate_set)
    base = SideSetup("base", Launch(), device, threads).with_settings(options.base_set)
    if options.base_rev is None:
        if options.install:
            raise UsageError("--install prepares the checkout of --base-rev: give both")
        yield _with_interpreter(base, named), candidate
        return
    root = toplevel(Path.cwd())
    commit = commit_of(root, options.base_rev)
    with worktree(root, commit) as checkout:
        revision = options.base_name or options.base_rev
        python = _installed(checkout, options.install, revision, note)
        base = replace(
            _with_interpreter(base, named or python),
            name=f"base ({revision}, {commit[:8]})",
            root=root,
            checkout=checkout,
        )
        candidate = replace(candidate, name=f"candidate ({_state(root)})", root=root, checkout=root)
        yield _own_checkout_first(base, checkout), _own_checkout_first(candidate, root)


def _state(root: Path) -> str:
    """What is checked out, for a name."""
    commit = head(root)
    if commit is None:
        return "nothing committed"
    return commit[:8] if unchanged_since(root, commit) else f"{commit[:8]} with changes"


def _with_interpreter(side: SideSetup, python: str | None) -> SideSetup:
    """The side with another interpreter and its installed packages."""
    if python is None:
        return side
    here = str(Path.cwd())
    path = (*((here,) if here in side.launch.path else ()), *probed(python))
    return replace(side, launch=replace(side.launch, python=python, path=path))


def _interpreter(python: str | None) -> str | None:
    """The absolute path of an interpreter, with links kept, as the interpreter of a venv is a link."""
    if python is None:
        return None
    path = shutil.which(python)
    if path is None:
        raise UsageError(f"--base-python {python} does not run: give the path of a Python")
    return os.path.abspath(path)  # noqa: PTH100 - `resolve` would follow the link


def _own_checkout_first(side: SideSetup, checkout: Path) -> SideSetup:
    """The side with the modules of its own checkout first on the path, and the same working folder.

    Entries that are not part of the checkout, such as an environment of installed packages, stay.
    """
    placed = [(side.place(Path(entry)), entry) for entry in side.launch.path]
    kept = [str(path if path.exists() else entry) for path, entry in placed]
    first = [str(folder) for folder in (checkout, checkout / "src") if folder.is_dir()]
    directory = side.place(Path.cwd())
    return replace(
        side,
        launch=replace(
            side.launch,
            path=tuple(dict.fromkeys([*first, *kept])),
            directory=directory if directory.is_dir() else checkout,
        ),
    )


def probed(python: str) -> list[str]:
    """The module path of another interpreter.

    Raises:
        UsageError: it does not run, is too old, or lacks what a worker needs.
    """
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], capture_output=True, text=True, check=True, timeout=120, cwd="/"
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise UsageError(f"--base-python {python} does not run: give the path of a Python") from error
    if tuple(answer["version"]) < OLDEST_PYTHON:
        version = ".".join(map(str, answer["version"]))
        raise UsageError(f"--base-python {python} is Python {version}: Plumbline needs at least 3.11")
    if answer["missing"]:
        raise UsageError(
            f"--base-python {python} has no {', '.join(answer['missing'])}: install {DISTRIBUTION} there"
        )
    return [str(entry) for entry in answer["path"]]


def _installed(
    checkout: Path, command: str | None, revision: str, note: Callable[[str], object]
) -> str | None:
    """Prepares a checkout with the user's command; the interpreter in the `.venv` that it creates, if any."""
    if command is None:
        return None
    note(f"preparing the base: {command}")
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=checkout, stdout=output, stderr=output, start_new_session=True
        )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # and all it started
            process.wait()
            raise
        output.seek(0)
        lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    if status:
        last = f": {lines[-1].strip()}" if lines else ""
        raise UsageError(f"{revision} does not install: {command!r} ended with status {status}{last}")
    python = checkout / ".venv" / "bin" / Path(sys.executable).name
    python = python if python.exists() else python.with_name("python")
    return str(python) if python.exists() else None


class CollectedCase(msgspec.Struct, frozen=True):
    """A workload as it is sent between processes, and the case that it is."""

    case: Case
    pickled: bytes
    module: str
    path: str | None


class Collection(msgspec.Struct, frozen=True):
    """What each side collects: suites by path (files or folders) and own models.

    `only`: the parameters of the cases to keep, each with the name of its suite; empty for all cases.
    """

    suites: tuple[str, ...]
    models: tuple[str, ...]
    expression: str
    profile: str
    only: tuple[tuple[str, dict[str, Any]], ...] = ()


def collect_on(side: SideSetup, collection: Collection) -> dict[str, CollectedCase]:
    """The workloads of a side by id, with their costs; empty where it has none of the suites.

    A process of the side's own interpreter collects them and measures nothing.

    Raises:
        UsageError: a suite or a model does not load there.
        NothingMeasuredError: the process ended without an answer.
    """
    placed = [side.place(Path(suite)) for suite in collection.suites]
    suites = tuple(str(path) for path in placed if path.is_file() or suites_below(path))
    if not suites and not collection.models:
        return {}
    models = tuple(_placed_model(side, model) for model in collection.models)
    request = msgspec.json.encode(msgspec.structs.replace(collection, suites=suites, models=models)).decode()
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "cases"
        done = subprocess.run(
            side.launch.command("harness.ab.sides"),
            input=json.dumps([request, str(answer)]),
            capture_output=True,
            text=True,
            check=False,
            cwd=side.launch.directory,
            env=side.launch.environment,
        )
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            error = UsageError if done.returncode == UsageError.exit_status else NothingMeasuredError
            raise error(f"{side.name}: {last}")
        cases = msgspec.msgpack.decode(answer.read_bytes(), type=list[CollectedCase])
    return {collected.case.id: collected for collected in cases}


def _placed_model(side: SideSetup, model: str) -> str:
    """The model of that side; a module, or a file with a relative path, resolves there by itself."""
    file, colon, function = model.rpartition(":")
    return f"{side.place(Path(file))}{colon}{function}" if Path(file).is_absolute() else model


def main() -> None:
    """Reads a collection and the path of the answer from standard input, and writes the cases there."""
    request, answer = json.loads(sys.stdin.read())
    try:
        with redirect_stdout(sys.stderr):
            cases = _collected(msgspec.json.decode(request.encode(), type=Collection))
    except PlumblineError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(error.exit_status)
    Path(answer).write_bytes(msgspec.msgpack.encode(cases))


def _collected(collection: Collection) -> list[CollectedCase]:
    request = Request(
        suites=collection.suites,
        models=collection.models,
        expression=collection.expression,
        profile=collection.profile,
    )
    return [
        CollectedCase(with_traced_cost(workload, workload.describe(suite)), *pack_workload(workload))
        for workload, suite in collected(request, or_none=True)
        if not collection.only or _matches(workload, suite, collection.only)
    ]


def _matches(workload: object, suite: str, only: Sequence[tuple[str, dict[str, Any]]]) -> bool:
    return any(
        suite == name and all(getattr(workload, key, None) == value for key, value in parameters.items())
        for name, parameters in only
    )
