"""`plumbline history`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import DATA_SET, RESULTS, Json, Results, app, note_line, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records.history import History
    from harness.store.table import Row

# A data set with more points than this is listed by series, unless a case is named.
METRIC = "median_seconds"
MOST_POINTS = 50_000
# The columns that a series needs besides the metric.
COLUMNS = {
    *("run", "started_at", "case", "series", "host", "machine", "threads"),
    *("stack", "torch", "cuda", "driver", "commit", "dirty"),
}


Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR | URL",
        help=f"Read only this data set (default: the runs of --results and its {DATA_SET}/).",
    ),
]


@app.command()
def history(
    case: Annotated[
        str,
        typer.Argument(
            metavar="[CASE]",
            help="A case, or a pattern such as 'matmul-*' (default: all cases).",
            show_default=False,
        ),
    ] = "",
    *,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Read a series of your own: a table with the column value and, optionally, time and build.",
        ),
    ] = None,
    store: Store = None,
    metric: Annotated[
        str,
        typer.Option(
            help="The metric: median_seconds, best_seconds, peak_memory_bytes, flops, kernels or joules_per_call."
        ),
    ] = METRIC,
    host: Annotated[str | None, typer.Option(metavar="ID", help="Show only the series of this host.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Show only runs that started at this time (ISO 8601) or later."),
    ] = None,
    fleet: Annotated[
        bool,
        typer.Option(
            "--fleet", help="Compare hosts: does a change point at the code or at one host's hardware?"
        ),
    ] = False,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Show series over runs and their change points, suspected or confirmed."""
    from harness.errors import UsageError
    from harness.history.table import histories, read_table

    if csv is not None:
        if case or store or fleet or host or since or metric != METRIC:
            raise UsageError("--csv takes no CASE and no other option but --json")
        _show([read_table(csv)], json=json, alone=True)
        return
    filters = [f"--{name} {value}" for name, value in (("host", host), ("since", since)) if value]
    if store is not None and not (case or filters or fleet or metric != METRIC) and _listed(store, json=json):
        return
    rows = list(_rows(store, results, case, host, since, metric))
    if not rows:
        of = " ".join([f" of a case {case!r}" if case else "", *(f"with {text}" for text in filters)])
        raise UsageError(f"no series{of} there: `plumbline history` without them lists all")
    series = histories(rows, metric)
    if fleet:
        _show_fleet(series, json=json)
    else:
        _show(series, json=json)


def _rows(
    store: str | None, results: Path, case: str, host: str | None, since: str | None, metric: str
) -> "Iterator[Row]":
    from harness.errors import UsageError
    from harness.history.table import METRICS
    from harness.store import DataSet, is_dataset, rows_of, run_folders

    if metric not in METRICS:
        raise UsageError(f"no metric {metric!r}: one of {', '.join(METRICS)}")
    columns = COLUMNS | {metric}
    if store is not None:
        return iter(
            DataSet(store, note_line).rows(case=case or None, host=host, since=since, columns=columns)
        )
    kept = str(results / DATA_SET)
    sources: list[str | Path] = [
        *([results] if run_folders(results) else []),
        *([kept] if is_dataset(kept) else []),
    ]
    if not sources:
        raise UsageError(f"no run in {results}: `plumbline bench` makes one")
    return rows_of(
        *sources, case=case or None, host=host, since=since, results=results, columns=columns, note=note_line
    )


def _listed(store: str, *, json: bool) -> bool:
    """Lists the series of a data set with more than `MOST_POINTS` points; False where there are fewer."""
    from harness.report.content import Page, ids, section, table
    from harness.report.terminal import screen, show_page
    from harness.store import DataSet

    listed = DataSet(store, note_line).series()
    points = sum(series.points for series in listed)
    if points <= MOST_POINTS:
        return False
    if json:
        print_json({"listed": listed})
        return True
    rows = [
        (
            series.case,
            series.machine or "",
            str(series.threads or ""),
            str(series.points),
            str(series.hosts),
            series.latest[:10],
        )
        for series in listed
    ]
    columns = (*ids("case", "machine"), "threads", "points", "hosts", "latest")
    part = section("series", "Series", (table(columns, rows, "Series", ("latest",)),))
    about = f"{len(listed):,} series, {points:,} points: name a case to see its change points"
    show_page(Page(f"Plumbline: {store}", (about,), (part,) if part else ()), screen())
    return True


def _show_fleet(histories: "Sequence[History]", *, json: bool) -> None:
    from itertools import groupby

    from harness.history.fleet import blame
    from harness.report.history import fleet_page
    from harness.report.terminal import screen, show_page

    groups = [list(group) for _, group in groupby(histories, key=lambda history: history.series)]
    changed = [(members, blame(members)) for members in groups]
    if not json:
        show_page(fleet_page(changed), screen())
        return
    print_json(
        {
            "fleet": [
                {
                    "case": members[0].name,
                    "series": members[0].series,
                    "hosts": len(members),
                    "changes": changes,
                }
                for members, changes in changed
            ]
        }
    )


def _show(histories: "Sequence[History]", *, json: bool, alone: bool = False) -> None:
    from harness.report.history import page
    from harness.report.terminal import screen, show_page

    if json:
        print_json(histories[0] if alone else {"series": histories})
    else:
        show_page(page(histories), screen())
