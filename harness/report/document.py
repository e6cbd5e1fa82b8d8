"""A report as data: whole runs with their analysis. Its JSON Schema is kept in docs/report.schema.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from harness.compare.comparison import compare_all
from harness.errors import RecordError
from harness.records import Run
from harness.records.base import Record
from harness.records.comparison import Comparison
from harness.records.run import Header, Result
from harness.records.samples import SensorSeries
from harness.report.sources import Source
from harness.store.table import Row, cells, flat

# Grows when a field changes its meaning or goes away; new fields may come at any time.
DOCUMENT_VERSION = 1
Scalar = str | int | float | bool | None


class RunDocument(Record, frozen=True):
    """One run: its header and results as recorded, the sensor readings, and derived rows.

    `cases` has one flat row per case in base units, with derived values (rates, fractions, intervals): the columns of `harness.store.table.Row`.
    Unknown values are left out.
    """

    run: Header
    complete: bool
    damage: tuple[str, ...]
    cases: tuple[dict[str, Scalar], ...]
    results: tuple[Result, ...]
    sensors: tuple[SensorSeries, ...] = ()


class Document(Record, frozen=True):
    """One run or several; `comparisons` are of each but the first with the first."""

    format: Literal["plumbline-report"]
    version: int
    runs: Annotated[tuple[RunDocument, ...], Meta(min_length=1)]
    comparisons: tuple[Comparison, ...] = ()


class _Version(msgspec.Struct, frozen=True):
    format: str
    version: int


def encoded(sources: Sequence[Source]) -> bytes:
    """The document of some runs as JSON."""
    document = Document(
        format="plumbline-report",
        version=DOCUMENT_VERSION,
        runs=tuple(_run(source) for source in sources),
        comparisons=compare_all([source.run for source in sources]),
    )
    return msgspec.json.encode(document) + b"\n"


def _run(source: Source) -> RunDocument:
    run = source.run
    return RunDocument(
        run=run.header,
        complete=run.complete,
        damage=run.damage,
        cases=tuple(_case(row) for row in flat(run.header, run.results)),
        results=run.results,
        sensors=source.sensors,
    )


def _case(row: Row) -> dict[str, Scalar]:
    """A row of plain values; the medians of processes are in the results."""
    return {
        name: ",".join(value) if isinstance(value, tuple) else value
        for name, value in cells(row).items()
        if value is not None and name != "process_seconds"
    }


def read(path: Path) -> tuple[Source, ...]:
    """The runs of a document.

    Raises:
        RecordError: it cannot be read, is not a report, or a newer version wrote it.
    """
    try:
        content = path.read_bytes()
        written = msgspec.json.decode(content, type=_Version)
        if written.format == "plumbline-report" and written.version > DOCUMENT_VERSION:
            raise RecordError(
                f"{path} was written by a newer Plumbline (report version {written.version}, this one reads up to {DOCUMENT_VERSION})"
            )
        document = msgspec.json.decode(content, type=Document)
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{path} is not a report of Plumbline: {error}") from error
    return tuple(Source(Run(run.run, run.results, run.damage), run.sensors) for run in document.runs)


def schema() -> dict[str, Any]:
    """The JSON Schema of the document (2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Plumbline report, version {DOCUMENT_VERSION}",
        **msgspec.json.schema(Document),
    }
