"""Reads the small text files of the kernel (/proc, /sys), and collects the reasons of missing facts."""

from pathlib import Path
from typing import TypeVar


def read(path: Path) -> str | None:
    """The stripped text of a file; None where it is missing, unreadable or no text."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_integer(path: Path) -> int | None:
    """The whole number a file holds; None where it is missing, unreadable or holds something else."""
    text = read(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def fields(path: Path, separator: str = ":") -> dict[str, str]:
    """The "name: value" lines of a file, names and values stripped; empty where it cannot be read."""
    pairs = (line.partition(separator) for line in (read(path) or "").splitlines())
    return {name.strip(): value.strip() for name, separated, value in pairs if separated}


_Value = TypeVar("_Value")


class Gaps:
    """Reasons by dotted field path; a part of the record gets its own view with `under`.

    >>> gaps = Gaps()
    >>> gaps.under("processor").known("microcode", None, "not reported by this kernel")
    >>> gaps.reasons
    {'processor.microcode': 'not reported by this kernel'}
    """

    def __init__(self, prefix: str = "", reasons: dict[str, str] | None = None) -> None:
        self._prefix = prefix
        self.reasons = {} if reasons is None else reasons

    def under(self, part: str) -> "Gaps":
        """The same reasons, with every path from here on below `part`."""
        return Gaps(f"{self._prefix}{part}.", self.reasons)

    def known(self, field: str, value: _Value | None, reason: str) -> _Value | None:
        """`value`, and the reason noted where it is None."""
        if value is None:
            self.note(field, reason)
        return value

    def note(self, field: str, reason: str) -> None:
        """Notes why `field` could not be had."""
        self.reasons[f"{self._prefix}{field}"] = reason
