"""`plumbline history`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records.history import History
    from harness.store.table import Row
from harness.cli.app import DATA_SET, note_line

# Of a data set with more points than this the series are listed, unless one is named.
METRIC = "median_seconds"
MOST_POINTS = 50_000


# What a series needs of a row besides the metric.
COLUMNS = {
    *("run", "started_at", "case", "series", "host", "machine", "threads"),
    *("stack", "torch", "cuda", "driver", "commit", "dirty"),
}


Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR | URL",
        help=f"A data set alone (default: the runs of --results, and its {DATA_SET}/).",
    ),
]


@app.command()
def history(
    case: Annotated[
        str,
        typer.Argument(
            metavar="[CASE]", help="A case, or a pattern such as 'matmul-*'; all without.", show_default=False
        ),
    ] = "",
    *,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Any series: a table with a column value, and time and build if there are."
        ),
    ] = None,
    store: Store = None,
    metric: Annotated[
        str,
        typer.Option(
            help="median_seconds, best_seconds, peak_memory_bytes, flops, kernels or joules_per_call."
        ),
    ] = METRIC,
    host: Annotated[str | None, typer.Option(metavar="ID", help="Of one host.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601.")] = None,
    fleet: Annotated[
        bool, typer.Option("--fleet", help="Whether a change points at the code, or at one host's hardware.")
    ] = False,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Show series over runs and the steps in them: suspected, then confirmed."""
    from harness.errors import UsageError
    from harness.history.table import histories, read_table

    if csv is not None:
        if case or store or fleet or host or since or metric != METRIC:
            raise UsageError("--csv is a series of its own: leave out CASE and all options but --json")
        _tell([read_table(csv)], json=json, alone=True)
        return
    filters = [f"--{name} {value}" for name, value in (("host", host), ("since", since)) if value]
    if store is not None and not (case or filters or fleet or metric != METRIC) and _listed(store, json=json):
        return
    rows = list(_rows(store, results, case, host, since, metric))
    if not rows:
        of = " ".join([f" of a case {case!r}" if case else "", *(f"with {one}" for one in filters)])
        raise UsageError(f"no series{of} there: `plumbline history` without them lists all")
    found = histories(rows, metric)
    if fleet:
        _blame(found, json=json)
    else:
        _tell(found, json=json)


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
    """Lists the series of a data set with more points than are looked through at once; False where there are fewer."""
    from harness.report.content import Page, ids, section, table
    from harness.report.terminal import screen, show_page
    from harness.store import DataSet

    found = DataSet(store, note_line).series()
    points = sum(one.points for one in found)
    if points <= MOST_POINTS:
        return False
    if json:
        print_json({"listed": found})
        return True
    rows = [
        (
            one.case,
            one.machine or "",
            str(one.threads or ""),
            str(one.points),
            str(one.hosts),
            one.latest[:10],
        )
        for one in found
    ]
    columns = (*ids("case", "machine"), "threads", "points", "hosts", "latest")
    listed = section("series", "Series", (table(columns, rows, "Series", ("latest",)),))
    about = f"{len(found):,} series, {points:,} points: name a case to see its steps"
    show_page(Page(f"Plumbline: {store}", (about,), (listed,) if listed else ()), screen())
    return True


def _blame(found: "Sequence[History]", *, json: bool) -> None:
    from itertools import groupby

    from harness.history.fleet import blame
    from harness.report.history import fleet_page
    from harness.report.terminal import screen, show_page

    groups = [list(group) for _, group in groupby(found, key=lambda one: one.series)]
    told = [(members, blame(members)) for members in groups]
    if not json:
        show_page(fleet_page(told), screen())
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
                for members, changes in told
            ]
        }
    )


def _tell(found: "Sequence[History]", *, json: bool, alone: bool = False) -> None:
    from harness.report.history import page
    from harness.report.terminal import screen, show_page

    if json:
        print_json(found[0] if alone else {"series": found})
    else:
        show_page(page(found), screen())
