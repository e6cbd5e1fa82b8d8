"""The version of this software."""

import importlib.metadata
import tomllib
from pathlib import Path

from harness.errors import DISTRIBUTION


def version() -> str:
    """That of the installed package; in a bare checkout, which nothing installed, that of its `pyproject.toml`.

    >>> version().partition("+")[0].count(".")
    2
    """
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
        return f"{project['version']}+checkout"
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "0.0.0+unknown"


__version__ = version()
