"""A data set of many runs as Parquet files, asked with DuckDB. Base units throughout.

`results` is the view that SQL sees: a row per case of each run, with the columns of `harness.store.table.Row`. A run that two compactions added at
once is in two files, and counts once. Columns that a newer version wrote are left out. A file that cannot be read, or that no compaction
wrote, is named and left out.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from harness.errors import RecordError, UsageError, one_line
from harness.records.base import Record
from harness.store.place import needed, place
from harness.store.table import Row

# Where a file's footer names its runs.
RUNS_KEY = "plumbline.runs"
NAMES = Row.__struct_fields__
_SQL: dict[Any, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "VARCHAR",
    dict[str, int]: "MAP(VARCHAR, BIGINT)",
    tuple[float, ...]: "DOUBLE[]",
    tuple[str, ...]: "VARCHAR[]",
}
# What a row cannot be without.
_ALWAYS = Row.__struct_fields__[: -len(Row.__struct_defaults__)]
# Files that another process merges vanish: so often is looked again.
_ATTEMPTS = 20


class Part(Record, frozen=True):
    """One file: its name, what DuckDB calls it, its runs and how many rows it has."""

    name: str
    address: str
    runs: tuple[str, ...]
    rows: int


class ListedSeries(Record, frozen=True):
    """A series of times and how much there is of it: measured points, hosts, and the start of its latest run (UTC)."""

    series: str
    case: str
    machine: str | None
    threads: int | None
    points: int
    hosts: int
    latest: str


def kinds() -> dict[str, Any]:
    """The columns of a row by name, with the type of what is known."""
    hints = {field.name: field.type for field in msgspec.structs.fields(Row)}
    return {
        name: next((kind for kind in _SQL if hint in {kind, kind | None}), str)
        for name, hint in hints.items()
    }


class DataSet:
    """A data set, opened. `connection` is DuckDB's, with the view `results`; `unreadable` names files left out, with the reason.

    A connection sees the files of the moment it was opened; where others merge them meanwhile, the methods look again, and your own use of
    `connection` may ask for a file that is gone: open anew then.
    """

    def __init__(
        self, target: str | Path, note: Callable[[str], object] = warnings.warn, *, fresh: bool = False
    ) -> None:
        """Opens it; `note` gets a line for each file left out. `fresh`: there may be none yet.

        Raises:
            UsageError: there is none, or DuckDB, or what reads the URL, is not installed.
            StorageError: the place cannot be listed.
        """
        self._place, self._note = place(target), note
        self._duckdb = needed("duckdb")
        self.connection = self._duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; SET parquet_metadata_cache = true")
        self._place.connect(self.connection)
        self.parts: tuple[Part, ...] = ()
        self.unreadable: dict[str, str] = {}
        columns = ", ".join(f'"{name}" {_column(name, kind)}' for name, kind in kinds().items())
        self.connection.execute(f"CREATE TABLE shape ({columns})")
        self.connection.execute("CREATE TABLE twice (address VARCHAR, run VARCHAR)")
        self._look()
        if not self.parts and not fresh:
            if self.unreadable:
                raise RecordError(f"no file of the data set in {target} can be read")
            raise UsageError(f"no data set in {target}: `plumbline compact --to {target}` makes one")

    def series(self, case: str | None = None) -> tuple[ListedSeries, ...]:
        """The series there are, by case; of the cases that a pattern as of a shell matches (`matmul-*`).

        Raises:
            RecordError: the files cannot be read.
        """
        where, values = _where(case=case)
        columns = 'series, any_value("case"), any_value(machine), any_value(threads), count(median_seconds), count(DISTINCT host)'
        found = self.sql(
            f"SELECT {columns}, epoch_us(max(started_at)) FROM results{where} GROUP BY series ORDER BY 2, 3, 4, 1",  # noqa: S608 - of this module's own words
            values,
        )
        return tuple(
            ListedSeries(series, name, machine, threads, points, hosts, _time(latest))
            for series, name, machine, threads, points, hosts, latest in found
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
        """The rows of a case (or of a pattern of cases), a series, a host, of runs started at a time (ISO 8601) or later; in order of time and run.

        Where `columns` are named, the others (but those a row cannot be without) are left as if they were not known: fewer come sooner.

        Raises:
            UsageError: there is no such column.
            RecordError: the files cannot be read.
        """
        if unknown := set(columns) - set(NAMES):
            raise UsageError(f"no column {min(unknown)!r}: there are {', '.join(NAMES)}")
        names = [name for name in NAMES if name in columns or name in _ALWAYS]
        told = ", ".join("epoch_us(started_at)" if name == "started_at" else f'"{name}"' for name in names)
        where, values = _where(case=case, series=series, host=host, since=since)
        found = self.sql(f"SELECT {told} FROM results{where}", values)  # noqa: S608 - of this module's own words
        at = [names.index(name) for name in ("started_at", "run", "case")]
        found.sort(key=itemgetter(*at))  # sooner than DuckDB sorts so many columns
        return [_row(dict(zip(names, row, strict=True))) for row in found]

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """What a query over `results` comes to. A file that turns out damaged is named, left out, and the query asked again.

        Raises:
            UsageError: the query is none.
            RecordError: the files cannot be read.
        """
        duckdb = self._duckdb
        asked_wrongly = (
            duckdb.ParserException,
            duckdb.BinderException,
            duckdb.CatalogException,
            duckdb.ConversionException,
        )
        for attempt in range(_ATTEMPTS):
            try:
                return list(self.connection.execute(query, parameters).fetchall())
            except asked_wrongly as error:
                raise UsageError(f"cannot answer the query: {one_line(error)}") from error
            except (duckdb.Error, OSError, UnicodeDecodeError) as error:
                before = self.parts
                self._look(thorough=True)
                if attempt + 1 == _ATTEMPTS or self.parts == before:
                    raise RecordError(f"cannot read {self._place.title}: {one_line(error)}") from error
        raise AssertionError  # the last attempt returns or raises

    def _look(self, *, thorough: bool = False) -> None:
        """Finds the files there are now, and makes the view of them; `thorough` reads all of each."""
        for attempt in range(_ATTEMPTS):
            names = self._place.parts()
            found, bad = self._told([name for name in names if name not in self.unreadable])
            if thorough:
                bad |= {part.name: reason for part in found if (reason := self._damage(part))}
            self.parts = tuple(part for part in found if part.name not in bad)
            try:
                self._show()
            except (self._duckdb.Error, OSError) as error:
                trouble = one_line(error)
            else:
                vanished = set(bad) - set(self._place.parts())
                if not vanished:
                    break
                trouble = f"{min(vanished)} vanished"
            if attempt + 1 == _ATTEMPTS:
                raise RecordError(f"cannot read {self._place.title}: {trouble}")
        for name, reason in bad.items():
            self.unreadable[name] = reason
            self._note(f"{self._place.title}: {name} is left out: {reason}")

    def _told(self, names: list[str]) -> tuple[list[Part], dict[str, str]]:
        """What the footers of files say; one by one where they cannot be read together."""
        try:
            return self._footers(names)
        except (self._duckdb.Error, OSError) as error:
            if len(names) == 1:
                return [], {names[0]: one_line(error)}
        alone = [self._told([name]) for name in names]
        return [part for parts, _ in alone for part in parts], {
            name: reason for _, bad in alone for name, reason in bad.items()
        }

    def _footers(self, names: list[str]) -> tuple[list[Part], dict[str, str]]:
        if not names:
            return [], {}
        ask, addresses = self.connection.execute, [self._place.address(name) for name in names]
        rows = dict(ask("SELECT file_name, num_rows FROM parquet_file_metadata($1)", [addresses]).fetchall())
        told = dict(
            ask(
                "SELECT file_name, value FROM parquet_kv_metadata($1) WHERE key = $2",
                [addresses, RUNS_KEY.encode()],
            ).fetchall()
        )
        parts, bad = [], {}
        for address, count in sorted(rows.items()):
            name = "/".join(address.replace("\\", "/").split("/")[-3:])
            try:
                runs = msgspec.json.decode(told.get(address, b""), type=tuple[str, ...])
                parts.append(Part(name, address, runs, count))
            except (msgspec.DecodeError, UnicodeDecodeError):
                bad[name] = "no `plumbline compact` wrote it"
        return parts, bad

    def _damage(self, part: Part) -> str | None:
        try:
            self.connection.execute(
                "SELECT bit_xor(hash(t)) FROM read_parquet([$1]) t", [self._place.address(part.name)]
            )
        except (self._duckdb.Error, OSError) as error:
            return one_line(error)
        return None

    def _show(self) -> None:
        """The view: columns of this version alone, those no file has empty, and each run from the first file that has it."""
        twice = list(repeated(self.parts))
        self.connection.execute("DELETE FROM twice")
        if twice:
            self.connection.executemany("INSERT INTO twice VALUES (?, ?)", twice)
        source = "shape"
        if self.parts:
            paths = ", ".join(_quoted(self._place.address(part.name)) for part in self.parts)
            once = " ANTI JOIN twice ON twice.run = p.run AND twice.address = p.filename" if twice else ""
            source = (
                "(SELECT * FROM shape UNION ALL BY NAME "  # noqa: S608 - addresses are quoted
                f"SELECT p.* FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false, filename = true) p{once})"
            )
        columns = ", ".join(f'"{name}"' for name in NAMES)
        self.connection.execute(f"CREATE OR REPLACE VIEW results AS SELECT {columns} FROM {source}")  # noqa: S608 - the same


def repeated(parts: Iterable[Part]) -> Iterable[tuple[str, str]]:
    """The runs that a file repeats of those before it, with what DuckDB calls it."""
    seen: set[str] = set()
    for part in parts:
        yield from ((part.address, run) for run in part.runs if run in seen)
        seen.update(part.runs)


def _column(name: str, kind: Any) -> str:
    return "TIMESTAMP WITH TIME ZONE" if name == "started_at" else _SQL[kind]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# Of the id of a host; fewer are the beginning of one.
HOST_DIGITS = 16


def _where(
    *, case: str | None, series: str | None = None, host: str | None = None, since: str | None = None
) -> tuple[str, list[str]]:
    glob = case is not None and any(sign in case for sign in "*?[")
    asked: list[tuple[str, list[str | None]]] = [
        ('("case" = ? OR "case" GLOB ?)', [case, case]) if glob else ('"case" = ?', [case]),
        ("series = ?", [series]),
        ("host = ?", [host]) if host and len(host) == HOST_DIGITS else ("starts_with(host, ?)", [host]),
        ("started_at >= ?::TIMESTAMPTZ", [since]),
    ]
    known = [
        (condition, told) for condition, values in asked if (told := [v for v in values if v is not None])
    ]
    where = " WHERE " + " AND ".join(condition for condition, _ in known) if known else ""
    return where, [value for _, told in known for value in told]


def _time(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()


def _row(told: dict[str, Any]) -> Row:
    told["started_at"] = _time(told["started_at"])
    for name, empty in (("sizes", dict), ("process_seconds", tuple), ("flags", tuple)):
        if name in told:
            told[name] = empty(told[name] or ())
    return Row(**told)
