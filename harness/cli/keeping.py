"""Commands of history: series over runs, the data set they are kept in, and other tools' files."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.records.history import History
    from harness.store.table import Row

DATA_SET, METRIC = "history", "median_seconds"
# Of a data set with more points than this the series are listed, unless one is named.
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


class Format(StrEnum):
    """Other tools' files."""

    PYTEST_BENCHMARK = "pytest-benchmark"
    GITHUB_ACTION_BENCHMARK = "github-action-benchmark"
    BENCHER = "bencher"
    OTAVA = "otava"


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
            DataSet(store, _complain).rows(case=case or None, host=host, since=since, columns=columns)
        )
    kept = str(results / DATA_SET)
    sources: list[str | Path] = [
        *([results] if run_folders(results) else []),
        *([kept] if is_dataset(kept) else []),
    ]
    if not sources:
        raise UsageError(f"no run in {results}: `plumbline bench` makes one")
    return rows_of(
        *sources, case=case or None, host=host, since=since, results=results, columns=columns, note=_complain
    )


def _listed(store: str, *, json: bool) -> bool:
    """Lists the series of a data set with more points than are looked through at once; False where there are fewer."""
    from harness.report.content import Page, section, table
    from harness.report.terminal import screen, show_page
    from harness.store import DataSet

    found = DataSet(store, _complain).series()
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
    columns = ("case", "machine", "threads", "points", "hosts", "latest")
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


def _complain(text: object) -> None:
    typer.echo(f"plumbline: {text}", file=sys.stderr)


@app.command()
def compact(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RESULTS...]",
            help="Results folders, or single runs (default: results).",
            show_default=False,
        ),
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="DIR | URL",
            help=f"The data set (default: {DATA_SET}/ in the first results folder).",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Add the complete runs of results folders to a Parquet data set, each once."""
    from harness.store import compact as compacted

    places = sources or [RESULTS]
    done = compacted(places, to or str(places[0] / DATA_SET), lambda text: typer.echo(text, file=sys.stderr))
    for what, why in done.unreadable:
        _complain(f"{what}: {why}; left out")
    if done.incomplete:
        _complain(f"not complete, and left out: {', '.join(done.incomplete)}")
    if json:
        print_json(done)
    else:
        typer.echo(
            f"{done.added} runs added ({done.rows:,} rows), {done.known} known before, {len(done.incomplete)} incomplete"
        )


@app.command()
def export(
    references: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Paths, ids or latest; several for otava.")
    ],
    *,
    form: Annotated[Format, typer.Option("--format", help="The tool that is to read it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="- is standard output.")
    ] = Path("-"),
    results: Results = RESULTS,
) -> None:
    """Write runs for other tools: pytest-benchmark, github-action-benchmark, Bencher, Otava."""
    from harness import store
    from harness.exchange import exported, not_in_all
    from harness.report.publish import check_places, put

    check_places([output])
    folders = dict.fromkeys(store.find(reference, results) for reference in references)
    runs = [store.read(folder) for folder in folders]
    text = exported(form.value, runs)
    if form is Format.OTAVA and (partial := not_in_all(runs)):
        _complain(
            f"{len(partial)} cases are not in all of these runs, and left out: {', '.join(partial[:4])}"
        )
    put(output, text.encode())


@app.command("import")
def import_history(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="A file or folder of pytest-benchmark, or results of asv."),
    ],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="DIR | URL", help=f"The data set (default: {DATA_SET}/ in --results).", show_default=False
        ),
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Take what other tools measured before into the history, each run once."""
    from harness.exchange import read
    from harness.store import add

    told = []
    for source in sources:
        found = read(source)
        done = add(found.rows, to or str(results / DATA_SET))
        told.append(
            {
                "source": str(source),
                "added": done.added,
                "known": done.known,
                "rows": done.rows,
                "left_out": found.left_out,
            }
        )
        for wrong in found.unreadable:
            _complain(f"{wrong}; left out")
        if not json:
            left = (
                f"; neither time nor memory, left out: {', '.join(found.left_out)}" if found.left_out else ""
            )
            typer.echo(
                f"{source}: {done.added} runs added ({done.rows:,} rows), {done.known} known before{left}"
            )
    if json:
        print_json(told)
