"""The small text files in which a kernel tells about itself (/proc, /sys)."""

from pathlib import Path


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
    return {name.strip(): value.strip() for name, found, value in pairs if found}
