"""Runs on disk. The only module that knows the file layout and owns the schema version.

    results/<UTC time>-<commit or "nogit">-<random>/
        cases.jsonl            a line per case, on disk as soon as the case is done
        run.json               everything else; replaced as a whole, never written in place
        report.md              made from the two, again at any time
        pytest-benchmark.json  an export

History of the schema
    1   the first
"""

import contextlib
import fcntl
import os
import secrets
import tempfile
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.errors import RecordError, StorageError, UsageError
from harness.records import Header, Result, Run
from harness.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

SCHEMA_VERSION = 1
CASES, HEADER, REPORT, EXPORT = "cases.jsonl", "run.json", "report.md", "pytest-benchmark.json"
DEFAULT_RESULTS = Path("results")


class _Version(Record, frozen=True):
    schema_version: int


def now() -> str:
    """The time of day in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id(commit: str | None) -> str:
    """A name no other run has, on this host or another: time, commit, 24 random bits."""
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{time}-{commit[:8] if commit else 'nogit'}-{secrets.token_hex(3)}"


class Writer:
    """Puts a run on disk as it happens."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder = folder
        self.header = header
        self._unlock: Callable[[], object] = _nothing

    def lock(self) -> "Writer":
        """Keeps every other process from writing this run while this one lives.

        Raises:
            UsageError: another process measures it now.
            StorageError: it cannot be written.
        """
        try:
            descriptor = os.open(self.folder / CASES, os.O_WRONLY)
            self._unlock = weakref.finalize(self, os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{self.folder} is being measured by another process") from error
        except OSError as error:
            raise StorageError(f"cannot write {self.folder / CASES}: {error.strerror}") from error
        return self

    def close(self) -> None:
        """Lets other processes write this run again."""
        self._unlock()

    @classmethod
    def create(cls, results: Path, header: Header) -> "Writer":
        """Makes the run's folder.

        Raises:
            UsageError: the results folder cannot be written; nothing was measured yet.
        """
        folder = results / header.id
        try:
            folder.mkdir(parents=True)
            (folder / CASES).touch()
        except OSError as error:
            raise UsageError(f"cannot write results under {results}: {error.strerror}") from error
        writer = cls(folder, header).lock()
        writer.put(header)
        return writer

    @classmethod
    def reopen(cls, folder: Path) -> "Writer":
        """Opens a run to go on with it, and cuts off a last line that was not finished.

        Raises:
            RecordError: the run cannot be read.
            UsageError: another process measures it now.
            StorageError: the run cannot be written.
        """
        writer = cls(folder, load(folder).header).lock()
        cases = folder / CASES
        try:
            content = cases.read_bytes() if cases.exists() else b""
            with cases.open("ab") as file:
                file.truncate(content.rfind(b"\n") + 1)
        except OSError as error:
            raise StorageError(f"cannot write {cases}: {error.strerror}") from error
        return writer

    def append(self, result: Result) -> None:
        """Records a case; it is on disk when this returns.

        Raises:
            StorageError: it could not be written. What was recorded before stays readable.
        """
        path = self.folder / CASES
        try:
            with path.open("ab", buffering=0) as file:
                end = file.tell()
                try:
                    _write_all(file.fileno(), msgspec.json.encode(result) + b"\n")
                    os.fsync(file.fileno())
                except OSError:
                    with contextlib.suppress(OSError):
                        file.truncate(end)
                    raise
        except OSError as error:
            raise StorageError(f"cannot record {result.case.id} in {path}: {error.strerror}") from error

    def put(self, header: Header) -> None:
        """Replaces `run.json` in one step.

        Raises:
            StorageError: it could not be written; the one before it is still there.
        """
        write_whole(self.folder / HEADER, msgspec.json.format(msgspec.json.encode(header), indent=1))
        self.header = header


def _nothing() -> None:
    pass


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part.

    Raises:
        StorageError: it could not be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def find(reference: str, results: Path = DEFAULT_RESULTS) -> Path:
    """The folder of a run named by path, by id (or the start of one), or `latest`.

    Raises:
        UsageError: there is none, or more than one.
    """
    with contextlib.suppress(OSError):  # a reference no path can be, such as one too long
        if (Path(reference) / HEADER).is_file():
            return Path(reference)
    runs = sorted(path.parent for path in results.glob(f"*/{HEADER}"))
    if not runs:
        raise UsageError(f"no run in {results}: `plumbline bench` makes one")
    if reference == "latest":
        return runs[-1]
    matches = [run for run in runs if run.name.startswith(reference)]
    if len(matches) == 1 and reference:
        return matches[0]
    trouble = "no run" if not matches else f"{len(matches)} runs begin with"
    raise UsageError(f"{trouble} {reference!r} in {results}: give a path, an id, or latest ({runs[-1].name})")


def load(folder: Path) -> Run:
    """Reads a run, complete or not; what is damaged in its cases is named and left out.

    A case recorded twice (a failed one, measured again on resuming) counts as it came out last.

    Raises:
        RecordError: `run.json` cannot be read, or a newer version wrote it.
    """
    header = _load_header(folder / HEADER)
    results: dict[str, Result] = {}
    damage = []
    try:
        content = (folder / CASES).read_bytes()
    except FileNotFoundError:
        content, damage = b"", [f"{CASES} is missing"]
    except OSError as error:
        raise RecordError(f"cannot read {folder / CASES}: {error.strerror}") from error
    lines = content.split(b"\n")
    if lines.pop():
        damage.append(f"{CASES}: the last line is cut off; its case counts as not measured")
    for number, line in enumerate(lines, start=1):
        try:
            result = msgspec.json.decode(line, type=Result)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            damage.append(f"{CASES}: line {number} is unreadable ({error}); left out")
        else:
            results[result.case.id] = result
    return Run(header=header, results=tuple(results.values()), damage=tuple(damage))


def _load_header(path: Path) -> Header:
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise RecordError(
                f"{path} was written by a newer Plumbline (schema {version}, this one reads up to "
                f"{SCHEMA_VERSION}): upgrade plumbline-bench"
            )
        return msgspec.json.decode(content, type=Header)
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is not a run: {error}") from error


def frame(run: Run) -> "pd.DataFrame":
    """A row per case: what it is, what was predicted, how it came out; base units throughout."""
    import pandas as pd  # noqa: PLC0415 - a fifth of a second that only this function needs

    return pd.DataFrame(rows(run))


def rows(run: Run) -> list[dict[str, object]]:
    """The rows of `frame` as plain values."""
    return [_row(run, result) for result in run.results]


def _row(run: Run, result: Result) -> dict[str, object]:
    case, measurement = result.case, result.measurement
    row: dict[str, object] = {
        "run": run.header.id,
        "case": case.id,
        "suite": case.suite,
        "family": case.family,
        "dtype": case.dtype,
        "threads": run.header.settings.threads,
        "outcome": type(result.outcome).__name__.lower(),
        "reason": getattr(result.outcome, "reason", None),
        **case.sizes,
    }
    if case.cost is not None:
        row |= {"flops": case.cost.flops, "bytes_moved": case.cost.bytes_moved}
    if result.prediction is not None:
        row |= {"roofline_seconds": result.prediction.seconds, "bound": result.prediction.bound}
    if measurement is not None:
        row |= {
            "typical_seconds": measurement.typical,
            "best_seconds": measurement.best,
            "relative_iqr": measurement.relative_iqr,
            "samples": len(measurement.seconds),
            "clean_share": measurement.clean_share,
            "peak_memory_bytes": measurement.peak_memory_bytes,
            "flags": ",".join(measurement.flags),
            "flops_per_second": result.flops_per_second,
            "bytes_per_second": result.bytes_per_second,
            "efficiency": result.efficiency,
        }
    return row
