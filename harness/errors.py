"""The errors a user can meet.

    PlumblineError          the root; its text is one whole line, ready to print
     +-- UsageError         wrong input: names what was wrong and what is allowed  (exit status 2)
     +-- RecordError        a run that cannot be read, or belongs to a newer version (exit status 2)
     +-- StorageError       a record could not be written: disk full, no permission  (exit status 3)
     +-- StartError         a process that should measure does not come up           (exit status 3)
     +-- NothingMeasuredError   no case got as far as a record                         (exit status 3)
     +-- Unsupported        this device cannot do it: becomes a Skipped record, ends nothing

"Impossible here" and "it crashed" are records (`Skipped`, `Failed`), not errors: one case must
never end a run.
"""

# The name under which this package is published; the command and the import name are `plumbline`.
DISTRIBUTION = "torch-plumbline"


def pip_install(extra: str = "") -> str:
    """The command that installs this package, with an extra where one is named.

    >>> pip_install("models")
    "pip install 'torch-plumbline[models]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"


def one_line(error: BaseException) -> str:
    r"""What went wrong, with the kind of error, on one line of bearable length.

    >>> one_line(RuntimeError("it broke\nbadly"))
    'RuntimeError: it broke badly'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


class PlumblineError(Exception):
    """The root of every error raised on purpose; `exit_status` is what the command returns."""

    exit_status = 2


class UsageError(PlumblineError):
    """The input was wrong; the text names it and says what is allowed."""


class RecordError(PlumblineError):
    """A stored run is unreadable or was written by a newer version."""


class StorageError(PlumblineError):
    """A record could not be written; everything recorded before it is intact."""

    exit_status = 3


class StartError(PlumblineError):
    """A worker process does not come up; the text says how far it got."""

    exit_status = 3


class NothingMeasuredError(PlumblineError):
    """No case got as far as a record; the text says what stopped the first."""

    exit_status = 3


class Unsupported(PlumblineError):  # noqa: N818 - a workload says it: `raise Unsupported("TF32 needs ...")`
    """The device cannot run this workload; the text says why."""
