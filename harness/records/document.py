"""A report as data: runs whole, with what follows from them. Its JSON Schema is kept in docs/report.schema.json."""

from typing import Annotated, Literal

from msgspec import Meta

from harness.records.base import Record
from harness.records.comparison import Comparison
from harness.records.result import Result
from harness.records.run import Header
from harness.records.sensors import SensorSeries

# Grows when a field changes its meaning or goes away; new fields may come at any time.
DOCUMENT_VERSION = 1
Scalar = str | int | float | bool | None


class RunDocument(Record, frozen=True):
    """One run: its header and results as recorded, what the sensors told, and what follows from them.

    `cases` are the results as flat rows, one per case in base units, with what can be computed from them (rates, shares, intervals).
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
