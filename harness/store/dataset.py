"""A data set of many runs as Parquet files, read with DuckDB.

    schema=1/<hash of the ids of its runs>.parquet

Each compaction adds files and changes none. A file is written under a temporary name and renamed, so that readers see whole files. Its footer
lists its runs. Several hosts may add runs at once: a run that two of them added is in two files, and queries count it once.
"""

import contextlib
import importlib
import re
import secrets
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, get_origin

import msgspec

from harness.errors import RecordError, StorageError, UsageError, one_line, pip_install
from harness.records import Scalar
from harness.records.base import Record
from harness.store.runs import write_whole
from harness.store.table import NAMES, Row, kinds

SCHEMA = "schema=1"
# The key of the footer's list of runs.
RUNS_KEY = "plumbline.runs"
# The SQL and Arrow types of columns. A parameter's value is stored as JSON.
TYPES: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    bool: ("BOOLEAN", lambda arrow: arrow.bool_()),
    int: ("BIGINT", lambda arrow: arrow.int64()),
    float: ("DOUBLE", lambda arrow: arrow.float64()),
    str: ("VARCHAR", lambda arrow: arrow.string()),
    dict[str, int]: ("MAP(VARCHAR, BIGINT)", lambda arrow: arrow.map_(arrow.string(), arrow.int64())),
    dict[str, float]: ("MAP(VARCHAR, DOUBLE)", lambda arrow: arrow.map_(arrow.string(), arrow.float64())),
    dict[str, Scalar]: ("MAP(VARCHAR, VARCHAR)", lambda arrow: arrow.map_(arrow.string(), arrow.string())),
    tuple[float, ...]: ("DOUBLE[]", lambda arrow: arrow.list_(arrow.float64())),
    tuple[str, ...]: ("VARCHAR[]", lambda arrow: arrow.list_(arrow.string())),
}
_REQUIRED = Row.__struct_fields__[: -len(Row.__struct_defaults__)]
_NESTED = {name: kind for name, hint in kinds().items() if (kind := get_origin(hint))}
# Number of hex digits of a complete host id.
HOST_DIGITS = 16


def needed(package: str) -> Any:
    """A package of the extra `history`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UsageError(f"a data set needs {error.name or package}: {pip_install('history')}") from error


class Place:
    """The folder or URL of a data set, as a file system of fsspec."""

    def __init__(self, target: str | Path) -> None:
        """Opens the place.

        Raises:
            UsageError: no installed file system reads such a URL; the text names what is missing.
        """
        self.title = str(target)
        fsspec = needed("fsspec")
        try:
            self.system, self._root = fsspec.core.url_to_fs(self.title)
        except Exception as error:  # file systems raise any type
            plain = isinstance(error, ImportError | ValueError)
            reason = " ".join(str(error).split()) if plain else one_line(error)
            raise UsageError(f"cannot reach {self.title}: {reason}") from error
        self.local = isinstance(self.system, needed("fsspec.implementations.local").LocalFileSystem)

    def files(self) -> list[str]:
        """The paths of the data set's files, sorted.

        Raises:
            StorageError: the place cannot be listed.
        """
        with self._errors("list files"):
            self.system.invalidate_cache()  # other hosts write there too
            return sorted(path for path in self.system.find(f"{self._root}/{SCHEMA}") if _is_part(path))

    def url(self, path: str) -> str:
        """A path as DuckDB reports it."""
        return path if self.local else str(self.system.unstrip_protocol(path))

    def write(self, name: str, content: bytes) -> None:
        """Writes a file so that a reader sees all of it or nothing.

        Raises:
            StorageError: it cannot be written.
        """
        folder = f"{self._root}/{SCHEMA}"
        temporary = f"{folder}/.{name}.{secrets.token_hex(5)}"
        with self._errors(f"write {name}"):
            self.system.makedirs(folder, exist_ok=True)
            if not self.local:
                self.system.pipe_file(temporary, content)
                self.system.mv(temporary, f"{folder}/{name}")
        if self.local:
            write_whole(Path(folder, name), content)

    @contextlib.contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # file systems raise any type
            reason = (isinstance(error, OSError) and error.strerror) or one_line(error)
            raise StorageError(f"cannot {action} in {self.title}: {reason}") from error


def _is_part(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith(".parquet") and not name.startswith(".")


class Part(Record, frozen=True):
    """One file: its path or URL, and the ids of its runs."""

    url: str
    runs: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The pattern that matches this file alone, as DuckDB takes it."""
        return _pattern(self.url)


def _pattern(url: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", url)


class ListedSeries(Record, frozen=True):
    """A series of times, with its numbers of measured points and hosts, and the start of its latest run (UTC)."""

    series: str
    case: str
    machine: str | None
    threads: int | None
    points: int
    hosts: int
    latest: str


class DataSet:
    """An open data set. `connection` is DuckDB's, with the view `results`; `unreadable` maps files left out to the reason.

    `results` has a row per case of each run, with the columns of `harness.store.table.Row`. Columns that a newer version wrote are left out.
    A connection sees the files that existed when it was opened.
    """

    def __init__(
        self, target: str | Path, note: Callable[[str], object] = warnings.warn, *, fresh: bool = False
    ) -> None:
        """Opens it; `note` gets a line for each file left out. `fresh`: an empty data set is allowed.

        Raises:
            UsageError: there is no data set, or DuckDB or the file system of the URL is not installed.
            StorageError: the place cannot be listed.
        """
        self._place, self._note, self._duckdb = Place(target), note, needed("duckdb")
        self.connection = self._duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true")
        if not self._place.local:
            self.connection.register_filesystem(self._place.system)
        columns = ", ".join(f'"{name}" {_column(name, kind)}' for name, kind in kinds().items())
        self.connection.execute(f"CREATE TABLE shape ({columns})")
        self.connection.execute("CREATE TABLE twice (address VARCHAR, run VARCHAR)")
        self.unreadable: dict[str, str] = {}
        self.parts = tuple(self._footers([self._place.url(path) for path in self._place.files()]))
        self._show()
        if not self.parts and not fresh:
            if self.unreadable:
                raise RecordError(f"no file of the data set in {target} can be read")
            raise UsageError(f"no data set in {target}: `plumbline compact --to {target}` makes one")

    @property
    def runs(self) -> set[str]:
        """The ids of all runs."""
        return {run for part in self.parts for run in part.runs}

    def series(self, case: str | None = None) -> tuple[ListedSeries, ...]:
        """All series by case; with `case`, those of the cases that a shell pattern such as `matmul-*` matches.

        Raises:
            RecordError: the files cannot be read.
        """
        where, values = _where(case=case)
        columns = 'series, any_value("case"), any_value(machine), any_value(threads), count(median_seconds), count(DISTINCT host)'
        listed = self.sql(
            f"SELECT {columns}, epoch_us(max(started_at)) FROM results{where} GROUP BY series ORDER BY 2, 3, 4, 1",  # noqa: S608 - constant text
            values,
        )
        return tuple(
            ListedSeries(key, name, machine, threads, points, hosts, _time(latest))
            for key, name, machine, threads, points, hosts, latest in listed
        )

    def rows(
        self,
        *,
        case: str | None = None,
        series: str | None = None,
        host: str | None = None,
        since: str | None = None,
        columns: Collection[str] = NAMES,
    ) -> list[Row]:
        """The rows of a case (or a shell pattern), a series, a host, of runs started at `since` (ISO 8601) or later, by time and run.

        Only `columns` and the required columns are read; the others keep their defaults. Fewer columns are faster.

        Raises:
            UsageError: there is no such column.
            RecordError: the files cannot be read.
        """
        if unknown := set(columns) - set(NAMES):
            raise UsageError(f"no column {min(unknown)!r}: there are {', '.join(NAMES)}")
        names = [name for name in NAMES if name in columns or name in _REQUIRED]
        selected = ", ".join(
            "epoch_us(started_at)" if name == "started_at" else f'"{name}"' for name in names
        )
        where, values = _where(case=case, series=series, host=host, since=since)
        rows = self.sql(f"SELECT {selected} FROM results{where}", values)  # noqa: S608 - constant text
        rows.sort(key=itemgetter(*map(names.index, ("started_at", "run", "case"))))  # faster than in DuckDB
        return [_row(dict(zip(names, row, strict=True))) for row in rows]

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The result of a query over `results`. A file that proves damaged is reported and left out.

        Raises:
            UsageError: the query is not valid.
            RecordError: the files cannot be read.
        """
        duckdb = self._duckdb
        invalid = (
            duckdb.ParserException,
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ConversionException,
        )
        try:
            return list(self.connection.execute(query, parameters).fetchall())
        except invalid as error:
            raise UsageError(f"cannot answer the query: {one_line(error)}") from error
        except (duckdb.Error, OSError, UnicodeDecodeError) as error:
            whole = tuple(part for part in self.parts if self._is_whole(part))
            if whole == self.parts:
                raise RecordError(f"cannot read {self._place.title}: {one_line(error)}") from error
            self.parts = whole
            self._show()
            return self.sql(query, parameters)

    def _footers(self, urls: list[str]) -> list[Part]:
        """The files that a compaction wrote, read together; one by one where some cannot be read."""
        if not urls:
            return []
        query = "SELECT file_name, value FROM parquet_kv_metadata($1) WHERE key = $2"
        try:
            footers = self.connection.execute(
                query, [list(map(_pattern, urls)), RUNS_KEY.encode()]
            ).fetchall()
        except (self._duckdb.Error, OSError) as error:
            if len(urls) > 1:
                return [part for url in urls for part in self._footers([url])]
            self._leave_out(urls[0], one_line(error))
            return []
        runs, parts = dict(footers), []
        for url in urls:
            try:
                parts.append(Part(url, msgspec.json.decode(runs.get(url, b""), type=tuple[str, ...])))
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._leave_out(url, "`plumbline compact` did not write it")
        return parts

    def _is_whole(self, part: Part) -> bool:
        try:
            self.connection.execute("SELECT bit_xor(hash(t)) FROM read_parquet([$1]) t", [part.pattern])
        except (self._duckdb.Error, OSError) as error:
            self._leave_out(part.url, one_line(error))
            return False
        return True

    def _leave_out(self, url: str, reason: str) -> None:
        self.unreadable[url] = reason
        self._note(f"{url} is left out: {reason}")

    def _show(self) -> None:
        """Makes the view: columns of this version, and each run from the first file that has it."""
        seen: set[str] = set()
        twice = []
        for part in self.parts:
            twice += [(part.url, run) for run in part.runs if run in seen]
            seen.update(part.runs)
        self.connection.execute("DELETE FROM twice")
        if twice:
            self.connection.executemany("INSERT INTO twice VALUES (?, ?)", twice)
        source = "shape"
        if self.parts:
            paths = ", ".join("'" + part.pattern.replace("'", "''") + "'" for part in self.parts)
            once = " ANTI JOIN twice ON twice.run = p.run AND twice.address = p.filename" if twice else ""
            source = (
                "(SELECT * FROM shape UNION ALL BY NAME "  # noqa: S608 - addresses are quoted
                f"SELECT p.* FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false, filename = true) p{once})"
            )
        columns = ", ".join(f'"{name}"' for name in NAMES)
        self.connection.execute(f"CREATE OR REPLACE VIEW results AS SELECT {columns} FROM {source}")  # noqa: S608 - the same


def _column(name: str, kind: Any) -> str:
    return "TIMESTAMP WITH TIME ZONE" if name == "started_at" else TYPES[kind][0]


def _where(
    *, case: str | None, series: str | None = None, host: str | None = None, since: str | None = None
) -> tuple[str, list[str]]:
    glob = case is not None and any(sign in case for sign in "*?[")
    conditions: list[tuple[str, list[str | None]]] = [
        ('("case" = ? OR "case" GLOB ?)', [case, case]) if glob else ('"case" = ?', [case]),
        ("series = ?", [series]),
        ("host = ?", [host]) if host and len(host) == HOST_DIGITS else ("starts_with(host, ?)", [host]),
        ("started_at >= ?::TIMESTAMPTZ", [since]),
    ]
    given = [(text, values) for text, values in conditions if None not in values]
    where = " WHERE " + " AND ".join(text for text, _ in given) if given else ""
    return where, [value for _, values in given for value in values if value is not None]


def _time(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()


def _row(values: dict[str, Any]) -> Row:
    values["started_at"] = _time(values["started_at"])
    for name in _NESTED.keys() & values.keys():
        values[name] = _NESTED[name](values[name] or ())
    if parameters := values.get("parameters"):
        values["parameters"] = {name: msgspec.json.decode(value) for name, value in parameters.items()}
    return Row(**values)
