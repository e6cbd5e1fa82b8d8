"""Files of other tools: reading, ids by content, hashed host names; and the facts that make times comparable."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import RecordError
from harness.records import Header
from harness.records.base import Record, salted_hash
from harness.store.table import Row, machine_of


class MachineFacts(Record, frozen=True):
    """What was measured where: the fingerprint of the machine, and names for it.

    `machine` is the model of the run's accelerators, else of the processor.
    """

    fingerprint: str | None = None
    device: str | None = None
    threads: int | None = None
    torch: str | None = None
    machine: str | None = None

    @classmethod
    def of(cls, header: Header) -> "MachineFacts":
        """The facts of a run."""
        environment = header.environment
        return cls(
            fingerprint=environment.fingerprint,
            device=header.settings.device,
            threads=header.settings.threads,
            torch=environment.software.torch.version,
            machine=machine_of(environment),
        )


# Sizes are stored in 64 bits.
LARGEST = 2.0**63

_Kind = TypeVar("_Kind")


class Imported(Record, frozen=True):
    """Rows; `left_out` names benchmarks that measure neither time nor memory; `unreadable` has a reason per unreadable file of a folder."""

    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def read_json(path: Path) -> Any:
    """The content of a JSON file; NaN and Infinity, which other tools write, are accepted.

    Raises:
        RecordError: it cannot be read, or is not JSON.
    """
    try:
        text = path.read_bytes()
        content = json.loads(text)
        if b"\\ud" in text.lower():  # an escaped half of a surrogate pair is valid JSON but not valid text
            json.dumps(content, ensure_ascii=False).encode()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not JSON: {error}") from error
    return content


def read_files(
    path: Path, read: Callable[[Path], Iterable[Row]], ignored: Collection[str] = ()
) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows of a file, or of all JSON files in a folder, with the reasons of those that cannot be read.

    Raises:
        RecordError: the one file cannot be read.
    """
    if not path.is_dir():
        return tuple(read(path)), ()
    rows: list[Row] = []
    unreadable: list[str] = []
    for file in sorted(path.rglob("*.json")):
        if file.name not in ignored:
            try:
                rows += list(read(file))
            except RecordError as error:
                unreadable.append(str(error))
    return tuple(rows), tuple(unreadable)


def converted(content: Any, kind: type[_Kind], path: Path) -> _Kind:
    """The content as a record; unknown fields are ignored.

    Raises:
        RecordError: a field is missing or of another type.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path} cannot be imported: {error}") from error


def run_id(tool: str, content: Any) -> str:
    """An id by content, whatever its layout: the tool and 12 hex digits."""
    text = json.dumps(content, sort_keys=True)
    return f"{tool}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def host_of(name: str | None) -> str | None:
    """A hash (16 hex digits) in place of a host's name, as in a run that knows its host by name only."""
    return salted_hash(f"host name\n{name}") if name else None


def is_time(value: float | None) -> bool:
    """Whether a value is a duration in seconds: a finite number above 0."""
    return value is not None and math.isfinite(value) and value > 0.0
