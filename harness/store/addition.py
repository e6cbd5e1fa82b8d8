"""Adds rows that come from no run folder, such as another tool's history, to a data set."""

from collections.abc import Iterable
from pathlib import Path

from harness.records.row import Row
from harness.store.compaction import Compacted, merge_parts, put_part, table
from harness.store.dataset import DataSet
from harness.store.place import needed, place


def add(rows: Iterable[Row], target: str | Path) -> Compacted:
    """Adds the rows of runs that are not there yet, by run id; a second time nothing changes.

    Raises:
        UsageError: a package is not installed.
        StorageError: the data set cannot be listed or written; what is in it stays whole.
    """
    needed("pyarrow")
    at, data = place(target), DataSet(target, note=lambda _: None, fresh=True)
    present = {run for part in data.parts for run in part.runs}
    months: dict[str, list[Row]] = {}
    known: set[str] = set()
    for row in rows:
        if row.run in present:
            known.add(row.run)
        else:
            months.setdefault(row.started_at[:7], []).append(row)
    added = 0
    for month, fresh in sorted(months.items()):
        ids = {row.run for row in fresh}
        put_part(table(fresh), ids, month, at)
        added += len(ids)
    merged, broken = merge_parts(DataSet(target, note=lambda _: None, fresh=True).parts, at)
    return Compacted(
        added=added,
        known=len(known),
        unreadable=(*data.unreadable.items(), *broken),
        rows=sum(map(len, months.values())),
        merged=merged,
    )
