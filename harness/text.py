"""Text from outside: names, reasons and variables made safe to show, and tables of cells."""

import csv
import io
from pathlib import Path

from harness.errors import UsageError


def visible(text: str) -> str:
    r"""The text on one line, with every character that would command a terminal or a page shown instead.

    >>> visible("two\nlines"), visible("a\x1b[2J"), visible("a\u202eb"), visible("naïve 模型")
    ('two lines', 'a\\x1b[2J', 'a\\u202eb', 'naïve 模型')
    """
    flat = text if text.isprintable() else " ".join(text.split())
    return flat if flat.isprintable() else "".join(_shown(one) for one in flat)


def _shown(one: str) -> str:
    """What turns the direction of writing, or hides, or breaks a line: shown by its number, never obeyed."""
    return one if one.isprintable() else repr(one)[1:-1]


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
