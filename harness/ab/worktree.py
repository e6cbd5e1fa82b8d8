"""Git: a temporary worktree of a revision, the merge base of a branch, and the packages and suites of a checkout."""

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
from harness.pytest_plugin.collection import is_suite

PREFIX = "plumbline-base-"


def toplevel(directory: Path) -> Path:
    """The root of the checkout that contains a folder.

    Raises:
        UsageError: there is no checkout, or git is not installed.
    """
    return Path(_git(directory, "rev-parse", "--show-toplevel", need="a base revision needs a git checkout"))


def commit_of(directory: Path, revision: str) -> str:
    """The commit of a branch, tag or commit; a branch that does not exist here is searched at `origin`.

    Raises:
        UsageError: there is no such revision.
    """
    return _named(directory, revision)[0]


def merge_base(directory: Path, revision: str) -> str:
    """The commit at which this checkout left a revision: later changes of that revision are not compared.

    Of a branch that exists here and at `origin` the later merge base counts, as the branch here may not have been pulled.

    Raises:
        UsageError: there is no such revision, or no common commit.
    """
    bases = [
        base
        for commit in _named(directory, revision)
        if (base := _try(directory, "merge-base", commit, "HEAD")) is not None
    ]
    if not bases:
        raise UsageError(f"{revision} and this checkout share no commit{_hint(directory)}")
    latest = bases[0]
    for base in bases[1:]:
        if _try(directory, "merge-base", "--is-ancestor", latest, base) is not None:
            latest = base
    return latest


def _named(directory: Path, revision: str) -> list[str]:
    """The commits of that name: for a branch those here and at `origin`, else the first that exists."""
    branch, origin = f"refs/heads/{revision}", f"refs/remotes/origin/{revision}"
    here = _commit(directory, revision)
    of_both = here is not None and here == _commit(directory, branch)
    there = _commit(directory, origin) if of_both or here is None else None
    if commits := [commit for commit in (here, there) if commit is not None]:
        return commits
    raise UsageError(
        f"no revision {revision!r} in this repository: give a branch, a tag or a commit{_hint(directory)}"
    )


def _commit(directory: Path, name: str) -> str | None:
    return _try(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def _hint(directory: Path) -> str:
    shallow = _try(directory, "rev-parse", "--is-shallow-repository") == "true"
    return "; this clone is shallow: fetch the history (fetch-depth: 0)" if shallow else ""


def head(directory: Path) -> str | None:
    """The commit that is checked out; None outside of git, or before the first commit."""
    return _commit(directory, "HEAD")


def unchanged_since(directory: Path, commit: str) -> bool:
    """Whether this checkout is that commit, with no file changed."""
    return (
        head(directory) == commit and _try(directory, "status", "--porcelain", "--untracked-files=no") == ""
    )


def packages_in(directory: Path) -> set[str]:
    """The importable names of a checkout: top packages anywhere, and modules at its root or in src."""
    tracked = (_try(directory, "ls-files", "-z", "*.py") or "").split("\0")
    paths = [Path(name) for name in tracked if name]
    packages = {path.parent for path in paths if path.name == "__init__.py"}
    modules = {path.stem for path in paths if str(path.parent) in {".", "src"}}
    return (
        {path.name for path in packages if path.parent not in packages} | modules
    ) - sys.stdlib_module_names


@contextmanager
def worktree(repository: Path, commit: str) -> Iterator[Path]:
    """A checkout of a commit in a temporary folder, removed at the end.

    Raises:
        UsageError: git cannot create it.
    """
    _remove_abandoned(repository)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    place = folder / repository.name
    try:
        need = f"git cannot check out {commit[:12]}"
        _git(repository, "worktree", "add", "--detach", "--force", str(place), commit, need=need)
        yield place
    finally:
        _try(repository, "worktree", "remove", "--force", "--force", str(place))
        shutil.rmtree(folder, ignore_errors=True)
        _try(repository, "worktree", "prune")


def suites_in(directory: Path) -> list[Path]:
    """The suites of a checkout, without files that git ignores."""
    listed = _try(directory, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.py") or ""
    paths = [directory / name for name in listed.split("\0") if name]
    return [path for path in paths if is_suite(path)]


def _remove_abandoned(repository: Path) -> None:
    """Removes the worktrees that killed processes left."""
    for line in (_try(repository, "worktree", "list", "--porcelain") or "").splitlines():
        match = re.fullmatch(rf"worktree (.*/{PREFIX}(\d+)-[^/]*)/[^/]*", line)
        if match and not psutil.pid_exists(int(match[2])):
            shutil.rmtree(match[1], ignore_errors=True)
    _try(repository, "worktree", "prune")


def _git(directory: Path, *arguments: str, need: str) -> str:
    try:
        done = _run(directory, *arguments)
    except OSError as error:
        raise UsageError(f"{need}: git is not installed") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"git ended with status {done.returncode}"])[-1]
        raise UsageError(f"{need}: {last}")
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
