"""Results of other tools, as rows of the history: which tool wrote them is found out from the files."""

from pathlib import Path

import msgspec

from harness.errors import RecordError, UsageError
from harness.exchange import asv, pytest_benchmark
from harness.exchange.foreign import Imported, read_json
from harness.store.table import Row


def read(path: Path) -> Imported:
    """What a file or a folder holds: runs that pytest-benchmark saved, or results of asv.

    A run that stands in it twice counts once. Its id follows from what it is: importing it again gives the same rows.

    Raises:
        UsageError: it does not exist, or there is nothing to import in it.
        RecordError: the file, or every file of the folder, cannot be read.
    """
    if not path.exists():
        raise UsageError(
            f"no file or folder {path}: name a file of pytest-benchmark or asv, or a folder of them"
        )
    found = asv.read(path) if _is_of_asv(path) else pytest_benchmark.read(path)
    if not found.rows and not found.left_out:
        if found.unreadable:
            raise RecordError(found.unreadable[0])
        raise UsageError(f"nothing to import in {path}: no run of pytest-benchmark and no results of asv")
    return msgspec.structs.replace(found, rows=_once(found.rows))


def imported(path: Path) -> tuple[Row, ...]:
    """The rows of `read`."""
    return read(path).rows


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
