"""A file that another tool wrote: read whole, named by its content, without the names in it."""

import hashlib
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.errors import RecordError
from harness.records import Header
from harness.records.base import Record, salted_hash
from harness.store.table import Row, machine_of


class MachineFacts(Record, frozen=True):
    """What was measured where: the fingerprint of the machine, and names for it.

    `machine` is the model of the accelerators the run was for, else of the processor.
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


# Sizes are kept in 64 bits.
LARGEST = 2.0**63

_Kind = TypeVar("_Kind")


class Imported(Record, frozen=True):
    """What was found: rows, the names of benchmarks that measure neither time nor memory, and of a folder what is wrong with files in it."""

    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


def read_json(path: Path) -> Any:
    """The content of a file; NaN and Infinity, which other tools write, are read.

    Raises:
        RecordError: it cannot be read, or is no JSON.
    """
    try:
        text = path.read_bytes()
        content = json.loads(text)
        if b"\\ud" in text.lower():  # half a character, written as an escape, is JSON and no text
            json.dumps(content, ensure_ascii=False).encode()
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not JSON: {error}") from error
    return content


def converted(content: Any, kind: type[_Kind], path: Path) -> _Kind:
    """The content as a record; fields it does not know are ignored.

    Raises:
        RecordError: a field is missing or of another type.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path} cannot be imported: {error}") from error


def run_id(tool: str, content: Any) -> str:
    """The same for the same content, however it is laid out: the tool and 12 hex digits."""
    text = json.dumps(content, sort_keys=True)
    return f"{tool}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def host_of(name: str | None) -> str | None:
    """16 hex digits in place of a host's name: those of a run whose host is known by its name alone."""
    if not name:
        return None
    return salted_hash(f"host name\n{name}")


def utc(moment: datetime) -> str:
    """A moment as runs tell it: UTC, ISO 8601 to the second. One without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="seconds")


def is_time(value: float | None) -> bool:
    """Whether it can be a duration in seconds: a finite number above 0."""
    return value is not None and math.isfinite(value) and value > 0.0
