"""Which code runs, and how it was called."""

import hashlib
import importlib.metadata
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.measure.gaps import Gaps
from harness.measure.privacy import Redactor
from harness.records.environment import Code

_GIT_SECONDS = 1.0


class _Checkout(NamedTuple):
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    diff_hash: str | None = None


def read_code(directory: Path, arguments: Sequence[str], redactor: Redactor, gaps: Gaps) -> Code:
    """The command line, and the commit `directory` stands at, with whether tracked files differ from it."""
    try:
        version = importlib.metadata.version("plumbline-bench")
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
    """Why, without git's own words, which name paths."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"git took longer than {_GIT_SECONDS:g} s"
    if isinstance(error, subprocess.CalledProcessError):
        if b"not a git repository" in error.stderr:
            return "nogit: the working directory is in no git repository"
        return f"git ended with status {error.returncode}"
    return "git is not installed"
