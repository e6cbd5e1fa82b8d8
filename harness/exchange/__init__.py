"""Imports results of other tools, and exports runs in the formats of other tools."""

from pathlib import Path

import msgspec

from harness.errors import RecordError, UsageError
from harness.exchange import asv, pytest_benchmark
from harness.exchange.foreign import Imported, read_json
from harness.exchange.outgoing import FORMATS, exported, not_in_all
from harness.store.table import Row

__all__ = ["FORMATS", "Imported", "exported", "not_in_all", "read"]


def read(path: Path) -> Imported:
    """The rows of a file or a folder: runs that pytest-benchmark saved, or results of asv.

    A run that occurs twice counts once. Its id follows from its content, so that importing it again gives the same rows.

    Raises:
        UsageError: it does not exist, or there is nothing to import in it.
        RecordError: the file, or every file of the folder, cannot be read.
    """
    if not path.exists():
        raise UsageError(
            f"no file or folder {path}: name a file of pytest-benchmark or asv, or a folder of them"
        )
    imported = asv.read(path) if _is_of_asv(path) else pytest_benchmark.read(path)
    if not imported.rows and not imported.left_out:
        if imported.unreadable:
            raise RecordError(imported.unreadable[0])
        raise UsageError(f"nothing to import in {path}: no run of pytest-benchmark and no results of asv")
    return msgspec.structs.replace(imported, rows=_once(imported.rows))


def _is_of_asv(path: Path) -> bool:
    if path.is_dir():
        return asv.is_folder(path)
    content = read_json(path)
    if asv.is_result(content):
        return True
    if pytest_benchmark.is_saved_run(content):
        return False
    raise RecordError(f"{path} is neither a run of pytest-benchmark nor a result file of asv")


def _once(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple({(row.run, row.case): row for row in rows}.values())
