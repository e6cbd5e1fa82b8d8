"""Where a data set lies: a folder, or a place in object storage that fsspec knows. Files there appear whole, or not at all.

    schema=1/month=YYYY-MM/<hash of the ids of its runs>.parquet

Names of files are told from `schema=1` on.
"""

import contextlib
import importlib
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from harness.errors import StorageError, UsageError, one_line, pip_install
from harness.store.runs import write_whole

SCHEMA = "schema=1"
_PARTS = f"{SCHEMA}/month=*/*.parquet"
# A file is written under another name first where it could be seen while it grows. Object storage shows whole objects alone.
_GROWING = frozenset({"ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs"})


def needed(package: str) -> Any:
    """A package of the extra `history`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UsageError(f"a data set needs {error.name or package}: {pip_install('history')}") from error


class Place(Protocol):
    """What a data set asks of where it lies."""

    title: str

    def connect(self, connection: Any) -> None:
        """Teaches DuckDB to read there."""

    def parts(self) -> list[str]:
        """The names of the data set's files, sorted."""

    def address(self, part: str) -> str:
        """What DuckDB calls a file."""

    def read(self, part: str) -> bytes:
        """A file."""

    def write(self, part: str, content: bytes) -> None:
        """Writes a file, or writes it again: a reader sees none of it or all of it."""

    def remove(self, part: str) -> None:
        """Removes a file; that it is gone already is as well."""


def place(target: str | Path) -> Place:
    """The place of this path or URL.

    Raises:
        UsageError: nothing here can read or write such a URL; the text names what is missing.
    """
    text = str(target).removeprefix("file://")
    if "://" not in text:
        return Folder(Path(text))
    fsspec = needed("fsspec")
    try:
        system, root = fsspec.core.url_to_fs(text)
    except (ImportError, ValueError) as error:
        raise UsageError(f"cannot reach {text}: {' '.join(str(error).split())}") from error
    except Exception as error:  # file systems raise what they like
        raise UsageError(f"cannot reach {text}: {one_line(error)}") from error
    return Bucket(text, system, root)


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.title = str(root)

    def connect(self, connection: Any) -> None:
        """DuckDB reads files by itself."""

    def parts(self) -> list[str]:
        """The names of the files."""
        found = (path.relative_to(self.root).as_posix() for path in self.root.glob(_PARTS))
        return sorted(name for name in found if not name.rpartition("/")[2].startswith("."))

    def address(self, part: str) -> str:
        """Its path."""
        return _literal(str(self.root / part))

    def read(self, part: str) -> bytes:
        """A file.

        Raises:
            StorageError: it cannot be read.
        """
        with _told("read", self.title, part):
            return (self.root / part).read_bytes()

    def write(self, part: str, content: bytes) -> None:
        """Writes a file.

        Raises:
            StorageError: it cannot be written.
        """
        path = self.root / part
        with _told("write", self.title, part):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)

    def remove(self, part: str) -> None:
        """Removes a file.

        Raises:
            StorageError: it cannot be removed.
        """
        with _told("remove", self.title, part):
            (self.root / part).unlink(missing_ok=True)


class Bucket:
    """A file system of fsspec: `s3://`, `gs://` and their like."""

    def __init__(self, url: str, system: Any, root: str) -> None:
        self.title, self._system, self._root = url, system, root.rstrip("/")
        kinds = system.protocol
        self._growing = bool(_GROWING & {kinds, *([] if isinstance(kinds, str) else kinds)})

    def connect(self, connection: Any) -> None:
        """DuckDB reads through fsspec."""
        connection.register_filesystem(self._system)

    def parts(self) -> list[str]:
        """The names of the files.

        Raises:
            StorageError: the place cannot be listed.
        """
        with _told("list", self.title):
            self._system.invalidate_cache()  # other hosts write there too
            found = self._system.glob(f"{_literal(self._root)}/{_PARTS}")
        names = ("/".join(str(path).split("/")[-3:]) for path in found)
        return sorted(name for name in names if not name.rpartition("/")[2].startswith("."))

    def address(self, part: str) -> str:
        """Its URL."""
        return _literal(str(self._system.unstrip_protocol(f"{self._root}/{part}")))

    def read(self, part: str) -> bytes:
        """A file.

        Raises:
            StorageError: it cannot be read.
        """
        with _told("read", self.title, part):
            return bytes(self._system.cat_file(f"{self._root}/{part}"))

    def write(self, part: str, content: bytes) -> None:
        """Writes a file.

        Raises:
            StorageError: it cannot be written.
        """
        path = f"{self._root}/{part}"
        folder, _, name = path.rpartition("/")
        with _told("write", self.title, part):
            self._system.makedirs(folder, exist_ok=True)
            if not self._growing:
                self._system.pipe_file(path, content)
                return
            temporary = f"{folder}/.{name}.{secrets.token_hex(5)}"
            self._system.pipe_file(temporary, content)
            self._system.mv(temporary, path)

    def remove(self, part: str) -> None:
        """Removes a file.

        Raises:
            StorageError: it cannot be removed.
        """
        with _told("remove", self.title, part), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(f"{self._root}/{part}")


def _literal(path: str) -> str:
    """A path in which nothing stands for other files."""
    return re.sub(r"([*?\[])", r"[\1]", path)


@contextlib.contextmanager
def _told(verb: str, title: str, part: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot {verb} {part or 'files'} in {title}: {error.strerror or error}"
        ) from error
    except Exception as error:  # file systems raise what they like
        raise StorageError(f"cannot {verb} {part or 'files'} in {title}: {one_line(error)}") from error
