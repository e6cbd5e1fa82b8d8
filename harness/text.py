"""Text: names from outside made safe to show, plurals, lists, times, tables of cells."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError


def visible(text: str) -> str:
    r"""The text on one line, with every character that would command a terminal or a page shown instead.

    >>> visible("two\nlines"), visible("a\x1b[2J"), visible("a\u202eb"), visible("naïve 模型")
    ('two lines', 'a\\x1b[2J', 'a\\u202eb', 'naïve 模型')
    """
    flat = text if text.isprintable() else " ".join(text.split())
    return flat if flat.isprintable() else "".join(_shown(character) for character in flat)


def _shown(character: str) -> str:
    """The escape of a character that hides, breaks a line or turns the direction of writing."""
    return character if character.isprintable() else repr(character)[1:-1]


def shortened(text: str, most: int) -> str:
    """The text with its middle left out where it is longer: names differ at both ends.

    >>> shortened("a-very-long-name-of-a-case", 14)
    'a-very…-a-case'
    """
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


_DELIMITERS = ",;\t"


def read_csv(path: Path, missing: str) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file that are not empty, each with the number of its last line; cells without white space around them.

    The delimiter is the most frequent of comma, semicolon and tab in the first line.

    Raises:
        UsageError: there is no such file (`missing` names what was looked for), or it cannot be read as CSV.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = next((line for line in io.StringIO(text) if line.strip()), "")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count))
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except FileNotFoundError:
        raise UsageError(f"{missing}: {str(path)!r}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} is not a CSV table in UTF-8: {error}") from error
    return [(line, cells) for line, cells in rows if any(cells)]


def distinct(names: Sequence[str], most: int) -> list[str]:
    """Names shortened to a width such that no two different ones become the same; those stay whole that would.

    >>> distinct(["matmul-a-float32-square-end", "matmul-a-float16-square-end", "short"], 14)
    ['matm…t32-squar', 'matm…t16-squar', 'short']
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(shortened(name, most), set()).add(name)
    short = {}
    for text, group in groups.items():
        # Where both ends are the same, what follows the first difference is shown.
        head = most // 3
        differing = (
            place for place, letters in enumerate(zip(*group, strict=False)) if len(set(letters)) > 1
        )
        start = max(next(differing, 0) - 1, head)
        for name in group:
            short[name] = (
                text if len(group) == 1 else f"{name[:head]}…{name[start : start + most - head - 1]}"
            )
    many = Counter(short.values())
    return [short[name] if many[short[name]] == 1 else name for name in names]


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "case"), counted(1200, "case"), counted(3, "other process")
    ('1 case', '1,200 cases', '3 other processes')
    """
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


def some(names: Sequence[str], most: int = 3, separator: str = ", ") -> str:
    """The first of several names, and how many more there are.

    >>> some(["a", "b", "c", "d"], 2), some(["a", "b"], 2)
    ('a, b and 2 more', 'a, b')
    """
    left = len(names) - most
    return separator.join(names[:most]) + (f" and {left} more" if left > 0 else "")


def minute(time: str | None) -> str:
    """An ISO 8601 time in UTC, to the minute and without the zone; empty for None.

    >>> minute("2026-01-02T03:04:05Z")
    '2026-01-02 03:04'
    """
    return (time or "").replace("T", " ")[:16]
