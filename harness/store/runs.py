"""Runs on disk: their layout and the schema version.

    results/<UTC time>-<commit or "nogit">-<random>/
        cases.jsonl            a line per case, written as soon as the case is done
        samples.jsonl          the raw samples of each case, written before its line above
        operators.jsonl        the operators of each traced case, with their cost
        replays.jsonl          the operators of each whole step, measured separately
        sensors.jsonl          the sensor readings of a GPU during each case
        run.json               everything else; replaced as a whole, never written in place
        output.txt             the output of workloads
        report.html, report.md, report.json   made from the files above, at any time
        pytest-benchmark.json  an export

History of the schema
    2   the first version: statistics of each process in cases.jsonl, raw samples in samples.jsonl
    3   a case's parameters; fields renamed (`_RENAMED`)
"""

import contextlib
import fcntl
import os
import re
import secrets
import tempfile
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from harness.errors import DISTRIBUTION, RecordError, StorageError, UsageError
from harness.records import (
    CaseOperators,
    CaseReplay,
    CaseSamples,
    Header,
    Operator,
    RawSamples,
    Result,
    Run,
    SensorSeries,
)
from harness.records.base import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SCHEMA_VERSION = 3
OLDEST_VERSION = 2
CASES, HEADER, EXPORT = "cases.jsonl", "run.json", "pytest-benchmark.json"
PAGE, REPORT, DOCUMENT = "report.html", "report.md", "report.json"
SAMPLES, SENSORS, OUTPUT = "samples.jsonl", "sensors.jsonl", "output.txt"
OPERATORS, REPLAYS = "operators.jsonl", "replays.jsonl"
DEFAULT_RESULTS = Path("results")
# Number of latest runs that are searched for facts about this machine.
RECENT = 20

# Fields that schema 2 had under other names.
_RENAMED = {
    b"ceilings": b"peaks",
    b"cpu_share": b"cpu_fraction",
    b"expected": b"predicted",
    b"expected_memory": b"predicted_memory",
    b"law": b"model",
    b"laws": b"models",
    b"lever": b"optimization",
    b"levers": b"optimizations",
    b"moved": b"round_spread",
    b"rung": b"peak_level",
    b"steal_share": b"steal_fraction",
    b"steal_share_since_boot": b"steal_fraction_since_boot",
    b"told": b"identified",
    b"told_bytes": b"reported_bytes",
    b"typical": b"median",
    b"vector_flops": b"elementwise_flops",
}
# The parameters in the ids of schema 2, by family: the words that are neither family, dtype nor sizes. Ids of
# other families have no known parameters.
_PARAMETERS = {
    "adamw": ("kernel",),
    "attention": ("direction", "backend", "mask"),
    "train": ("architecture", "optimizer", "mode", "loss"),
    "transfer": ("direction", "memory"),
    **dict.fromkeys(("classify", "decode", "prefill"), ("architecture",)),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convtranspose2d"), ("direction", "layout")),
    **dict.fromkeys(("batchnorm", "crossentropy", "layernorm", "rmsnorm", "softmax"), ("direction",)),
}
_OLD_FIELD = re.compile(b'"(' + b"|".join(_RENAMED) + b')":')

_Kind = TypeVar("_Kind", bound=Record)


class _Version(Record, frozen=True):
    schema_version: int


def now() -> str:
    """The time of day in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_id(commit: str | None) -> str:
    """An id that is unique over all hosts: time, commit, 40 random bits."""
    time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{time}-{commit[:8] if commit else 'nogit'}-{secrets.token_hex(5)}"


class Writer:
    """Puts a run on disk as it happens."""

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder = folder
        self.header = header
        self._unlock: Callable[[], object] = _nothing

    def lock(self) -> "Writer":
        """Prevents other processes from writing this run during the life of this process.

        Raises:
            UsageError: another process is measuring it.
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
        """Allows other processes to write this run."""
        self._unlock()

    @classmethod
    def create(cls, results: Path, header: Header) -> "Writer":
        """Makes the run's folder.

        Raises:
            UsageError: the results folder cannot be written.
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
        """Opens a run to continue it, and removes an unfinished last line.

        Raises:
            RecordError: the run cannot be read.
            UsageError: another process is measuring it.
            StorageError: the run cannot be written.
        """
        header, version = _load_header(folder / HEADER)
        if version < SCHEMA_VERSION:
            raise UsageError(
                f"{header.id} was started by an older Plumbline and cannot be resumed: start a new run"
            )
        writer = cls(folder, header).lock()
        for name in (CASES, SAMPLES, SENSORS, OPERATORS, REPLAYS):
            path = folder / name
            try:
                content = path.read_bytes() if path.exists() else b""
                if content or name == CASES:
                    with path.open("ab") as file:
                        file.truncate(content.rfind(b"\n") + 1)
            except OSError as error:
                raise StorageError(f"cannot write {path}: {error.strerror}") from error
        return writer

    def append(self, result: Result) -> None:
        """Records a case; it is on disk when this returns.

        Raises:
            StorageError: it could not be written. What was recorded before stays readable.
        """
        self._append(CASES, result.case.id, result)

    def append_samples(self, samples: CaseSamples, series: SensorSeries | None = None) -> None:
        """Stores the raw samples and sensor readings of a case, before the case is recorded.

        Raises:
            StorageError: they could not be written.
        """
        if samples.parts:
            self._append(SAMPLES, samples.case, samples)
        if series is not None:
            self._append(SENSORS, samples.case, series)

    def append_operators(self, operators: CaseOperators) -> None:
        """Stores the operators of a traced case, before the case is recorded.

        Raises:
            StorageError: they could not be written.
        """
        self._append(OPERATORS, operators.case, operators)

    def append_replay(self, replay: CaseReplay) -> None:
        """Stores the separately measured times of a case's operators, before the case is recorded.

        Raises:
            StorageError: it could not be written.
        """
        self._append(REPLAYS, replay.case, replay)

    def keep_output(self, printed: bytes) -> None:
        """Stores the output of workloads."""
        with contextlib.suppress(OSError), (self.folder / OUTPUT).open("ab") as file:
            file.write(printed)

    def _append(self, name: str, case: str, record: Record) -> None:
        path = self.folder / name
        try:
            with path.open("ab", buffering=0) as file:
                end = file.tell()
                try:
                    _write_all(file.fileno(), msgspec.json.encode(record) + b"\n")
                    os.fsync(file.fileno())
                except OSError:
                    with contextlib.suppress(OSError):
                        file.truncate(end)
                    raise
        except OSError as error:
            raise StorageError(f"cannot record {case} in {path}: {error.strerror}") from error

    def put(self, header: Header) -> None:
        """Replaces `run.json` atomically; fields of a newer version that this one does not know stay.

        Raises:
            StorageError: it could not be written; the previous file is unchanged.
        """
        fields = msgspec.to_builtins(header)
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            before = (self.folder / HEADER).read_bytes()
            known = msgspec.to_builtins(msgspec.json.decode(before, type=Header))
            _keep_unknown(fields, msgspec.json.decode(before), known)
        write_whole(self.folder / HEADER, msgspec.json.format(msgspec.json.encode(fields), indent=1))
        self.header = header


def _keep_unknown(fields: Any, before: Any, known: Any) -> None:
    """Copies into `fields` the fields of `before` that are not in `known`, the part of `before` that this version reads. In lists, only into unchanged items."""
    if isinstance(fields, dict) and isinstance(before, dict) and isinstance(known, dict):
        for name, value in before.items():
            if name not in known:
                fields.setdefault(name, value)
            elif name in fields:
                _keep_unknown(fields[name], value, known[name])
    elif isinstance(fields, list | tuple) and isinstance(before, list) and isinstance(known, list | tuple):
        for item, value, same in zip(fields, before, known, strict=False):
            if item == same:
                _keep_unknown(item, value, same)


def _nothing() -> None:
    pass


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file atomically: a reader sees the old or the new content.

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
    """The folder of a run by path, by id (or the start of an id), or `latest`.

    Raises:
        UsageError: no run or several runs match.
    """
    with contextlib.suppress(OSError):  # the reference is not a valid path, such as a name that is too long
        if (Path(reference) / HEADER).is_file():
            return Path(reference)
    runs = sorted(path.parent for path in results.glob(f"*/{HEADER}"))
    if not runs:
        named = "" if reference == "latest" else f" {reference!r}"
        raise UsageError(f"no run{named} in {results}: `plumbline bench` makes one")
    if reference == "latest":
        return runs[-1]
    matches = [run for run in runs if run.name.startswith(reference)]
    if len(matches) == 1 and reference:
        return matches[0]
    trouble = "no run" if not matches else f"{len(matches)} runs begin with"
    raise UsageError(f"{trouble} {reference!r} in {results}: give a path, an id, or latest ({runs[-1].name})")


def latest(results: Path, wanted: "Callable[[Header], bool]") -> Header | None:
    """The header of the latest run that matches, among the last `RECENT`; unreadable runs are skipped."""
    folders = sorted((path.parent for path in results.glob(f"*/{HEADER}")), reverse=True)[:RECENT]
    for folder in folders:
        with contextlib.suppress(RecordError):
            header, _ = _load_header(folder / HEADER)
            if wanted(header):
                return header
    return None


def read(folder: Path) -> Run:
    """Reads a run, complete or not; damaged cases are listed and left out.

    Of a case recorded twice (failed, then measured on resuming), the last record counts.

    Raises:
        RecordError: `run.json` cannot be read, or a newer version wrote it.
    """
    header, version = _load_header(folder / HEADER)
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
            result = _with_parameters(msgspec.json.decode(upgraded(line, version), type=Result), version)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            damage.append(f"{CASES}: line {number} is unreadable ({error}); left out")
        else:
            results[result.case.id] = result
    order = {case: place for place, case in enumerate(header.planned)}
    in_order = sorted(results.values(), key=lambda result: order.get(result.case.id, len(order)))
    return Run(
        header=header,
        results=tuple(in_order),
        damage=tuple(damage),
        operators=operators(folder),
        replays=replays(folder),
    )


def samples(folder: Path) -> dict[str, tuple[RawSamples, ...]]:
    """The readable raw samples of each case; the last record of a case counts."""
    return {line.case: line.parts for line in _lines(folder / SAMPLES, CaseSamples)}


def sensors(folder: Path) -> tuple[SensorSeries, ...]:
    """The sensor readings by case, in the order recorded."""
    return tuple(_lines(folder / SENSORS, SensorSeries))


def operators(folder: Path) -> dict[str, tuple[Operator, ...]]:
    """The readable operators of each traced case; the last record of a case counts."""
    return {line.case: line.operators for line in _lines(folder / OPERATORS, CaseOperators)}


def replays(folder: Path) -> dict[str, CaseReplay]:
    """The separately measured operators of whole steps; the last record of a case counts."""
    return {line.case: line for line in _lines(folder / REPLAYS, CaseReplay)}


def _lines(path: Path, kind: type[_Kind]) -> "Iterator[_Kind]":
    """The readable records of a side file."""
    with contextlib.suppress(OSError, msgspec.DecodeError), path.open("rb") as file:
        version = msgspec.json.decode((path.parent / HEADER).read_bytes(), type=_Version).schema_version
        for line in file:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                yield msgspec.json.decode(upgraded(line, version), type=kind)


def upgraded(content: bytes, version: int) -> bytes:
    """JSON of a schema version with the field names of the current one."""
    if version >= SCHEMA_VERSION:
        return content
    return _OLD_FIELD.sub(lambda match: b'"' + _RENAMED[match[1]] + b'":', content)


def _with_parameters(result: Result, version: int) -> Result:
    """A result of schema 2 with the parameters of its case, which only its id contains there."""
    case = result.case
    if version >= SCHEMA_VERSION or case.family not in _PARAMETERS:
        return result
    known = {case.family, case.dtype, *(f"{name}{size}" for name, size in case.sizes.items())}
    words = [word for word in case.id.split("-") if word not in known]
    parameters = dict(zip(_PARAMETERS[case.family], words, strict=False))
    return msgspec.structs.replace(result, case=msgspec.structs.replace(case, parameters=parameters))


def _load_header(path: Path) -> tuple[Header, int]:
    """The header, in the form of this version, and the version that wrote it."""
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise RecordError(
                f"{path} was written by a newer Plumbline (schema {version}, this one reads up to "
                f"{SCHEMA_VERSION}): upgrade {DISTRIBUTION}"
            )
        if version < OLDEST_VERSION:
            raise RecordError(f"{path} has schema {version}, which is no longer read: measure again")
        header = msgspec.json.decode(upgraded(content, version), type=Header)
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is not a run: {error}") from error
    return header, version
