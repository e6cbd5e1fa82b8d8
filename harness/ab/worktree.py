"""A git worktree of a revision, for as long as it is needed; it is removed whatever happens."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from harness.errors import UsageError

PREFIX = "plumbline-base-"


def toplevel(directory: Path) -> Path:
    """The root of the checkout a folder is in.

    Raises:
        UsageError: it is in none, or git is not installed.
    """
    return Path(_git(directory, "rev-parse", "--show-toplevel", said="a base revision needs a git checkout"))


def commit_of(directory: Path, revision: str) -> str:
    """The commit that a branch, tag or commit names; a branch that is not here is looked for at `origin`.

    Raises:
        UsageError: there is none.
    """
    return _named(directory, revision)[0]


def merge_base(directory: Path, revision: str) -> str:
    """The commit at which this checkout left a revision: what came into that since is no doing of this one.

    Of a branch here and at `origin` it is where it left the later one: a branch here that was long not pulled is no base.

    Raises:
        UsageError: there is no such revision, or they have nothing in common.
    """
    left = [_try(directory, "merge-base", commit, "HEAD") for commit in _named(directory, revision)]
    found = [commit for commit in left if commit is not None]
    if not found:
        raise UsageError(f"{revision} and this checkout share no commit{_hint(directory)}")
    last = found[0]
    for other in found[1:]:
        if _try(directory, "merge-base", "--is-ancestor", last, other) is not None:
            last = other
    return last


def _named(directory: Path, revision: str) -> list[str]:
    """The commits of that name: of a branch the one here and the one at `origin`, of anything else the first that there is."""
    branch, origin = f"refs/heads/{revision}", f"refs/remotes/origin/{revision}"
    here = _commit(directory, revision)
    of_both = here is not None and here == _commit(directory, branch)
    there = _commit(directory, origin) if of_both or here is None else None
    if found := [commit for commit in (here, there) if commit is not None]:
        return found
    raise UsageError(
        f"no revision {revision!r} in this repository: give a branch, a tag or a commit{_hint(directory)}"
    )


def _commit(directory: Path, name: str) -> str | None:
    return _try(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def _hint(directory: Path) -> str:
    shallow = _try(directory, "rev-parse", "--is-shallow-repository") == "true"
    return "; this clone is shallow: fetch the history (fetch-depth: 0)" if shallow else ""


def head(directory: Path) -> str | None:
    """The commit that is checked out there; None outside of git, or before the first."""
    return _commit(directory, "HEAD")


def unchanged_since(directory: Path, commit: str) -> bool:
    """Whether this checkout is that commit, with no file changed."""
    return (
        head(directory) == commit and _try(directory, "status", "--porcelain", "--untracked-files=no") == ""
    )


def packages_in(directory: Path) -> set[str]:
    """What a checkout can be imported as: packages that are in no other, wherever they lie, and modules at its root or in src."""
    tracked = (_try(directory, "ls-files", "-z", "*.py") or "").split("\0")
    paths = [Path(one) for one in tracked if one]
    packages = {path.parent for path in paths if path.name == "__init__.py"}
    modules = {path.stem for path in paths if str(path.parent) in {".", "src"}}
    return (
        {path.name for path in packages if path.parent not in packages} | modules
    ) - sys.stdlib_module_names


@contextmanager
def worktree(repository: Path, commit: str) -> Iterator[Path]:
    """A checkout of a commit beside the repository's own, in a temporary folder.

    Raises:
        UsageError: git cannot make it.
    """
    _sweep(repository)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    place = folder / repository.name
    try:
        said = f"git cannot check out {commit[:12]}"
        _git(repository, "worktree", "add", "--detach", "--force", str(place), commit, said=said)
        yield place
    finally:
        _try(repository, "worktree", "remove", "--force", "--force", str(place))
        shutil.rmtree(folder, ignore_errors=True)
        _try(repository, "worktree", "prune")


def suites_in(directory: Path) -> list[Path]:
    """The suites of a checkout: Python files that git does not ignore, import the harness, and assign `WORKLOADS`."""
    listed = _try(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py") or ""
    return [directory / name for name in listed.split("\0") if name and _is_suite(directory / name)]


def _is_suite(path: Path) -> bool:
    text = path.read_text(errors="replace") if path.is_file() else ""
    if "WORKLOADS" not in text or "harness" not in text:
        return False
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return False
    imports = any(
        isinstance(statement, ast.ImportFrom) and statement.module == "harness" for statement in statements
    )
    assigned = [statement.targets for statement in statements if isinstance(statement, ast.Assign)]
    names = {target.id for targets in assigned for target in targets if isinstance(target, ast.Name)}
    return imports and "WORKLOADS" in names


def _sweep(repository: Path) -> None:
    """Removes the worktrees of processes that were killed before they could."""
    for line in (_try(repository, "worktree", "list", "--porcelain") or "").splitlines():
        left = re.fullmatch(rf"worktree (.*/{PREFIX}(\d+)-[^/]*)/[^/]*", line)
        if left and not psutil.pid_exists(int(left[2])):
            shutil.rmtree(left[1], ignore_errors=True)
    _try(repository, "worktree", "prune")


def _git(directory: Path, *arguments: str, said: str) -> str:
    try:
        done = _run(directory, *arguments)
    except OSError as error:
        raise UsageError(f"{said}: git is not installed") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"git ended with status {done.returncode}"])[-1]
        raise UsageError(f"{said}: {last}")
    return done.stdout.strip()


def _try(directory: Path, *arguments: str) -> str | None:
    try:
        done = _run(directory, *arguments)
    except OSError:
        return None
    return None if done.returncode else done.stdout.strip()


def _run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False
    )
