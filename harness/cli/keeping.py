"""Commands of history: series over runs, the data set they are kept in, and other tools' files."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.records.history import History
    from harness.records.row import Row
    from harness.report.content import Page

DATA_SET = "history"

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
            help="typical_seconds, best_seconds, peak_memory_bytes, flops, kernels or joules_per_call."
        ),
    ] = "typical_seconds",
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
    from harness.history.recorded import histories
    from harness.history.table import read_table
    from harness.report.history import page
    from harness.report.terminal import screen, show_page

    if csv is not None:
        if case or store or fleet:
            raise UsageError("--csv is a series of its own: leave out CASE, --store and --fleet")
        one = read_table(csv)
        _shown(one, page([one]), json=json)
        return
    if not case and store is not None and not fleet:
        _list(store, json=json)
        return
    rows = list(_rows(store, results, case, host, since, metric))
    if not rows:
        raise UsageError(
            f"no series{f' of a case {case!r}' if case else ''} there: `plumbline history` lists all"
        )
    found = histories(rows, metric)
    if fleet:
        _blame(found, json=json)
    elif json:
        print_json({"series": found})
    else:
        show_page(page(found), screen())


def _rows(
    store: str | None, results: Path, case: str, host: str | None, since: str | None, metric: str
) -> "Iterator[Row]":
    from harness.errors import UsageError
    from harness.store import is_dataset, rows_of

    if store is None and not results.is_dir():
        raise UsageError(f"no run in {results}: `plumbline bench` makes one")
    columns = {
        "run",
        "started_at",
        "case",
        "series",
        "host",
        "machine",
        "stack",
        "torch",
        "cuda",
        "driver",
        "commit",
        metric,
    }
    kept = str(results / DATA_SET)
    sources = [store] if store is not None else [results, *([kept] if is_dataset(kept) else [])]
    return rows_of(
        *sources, case=case or None, host=host, since=since, results=results, columns=columns, note=_complain
    )


def _list(store: str, *, json: bool) -> None:
    from harness.report.content import Page, section, table
    from harness.report.terminal import screen, show_page
    from harness.store import DataSet

    found = DataSet(store, _complain).series()
    if json:
        print_json({"listed": found})
        return
    rows = [
        (one.case, one.machine or "", str(one.threads or ""), str(one.points), str(one.hosts), one.latest)
        for one in found
    ]
    columns = ("case", "machine", "threads", "points", "hosts", "latest")
    listed = section("series", "Series", (table(columns, rows, "Series", ("latest", "threads")),))
    about = (f"{len(found)} series, {sum(one.points for one in found):,} points",)
    show_page(Page(f"Plumbline: {store}", about, (listed,) if listed else ()), screen())


def _blame(found: "tuple[History, ...]", *, json: bool) -> None:
    from itertools import groupby

    from harness.history.fleet import blame
    from harness.report.history import fleet_page
    from harness.report.terminal import screen, show_page

    told = []
    for _, group in groupby(found, key=lambda one: one.series):
        members = list(group)
        changes = blame(members)
        told.append(
            {"case": members[0].name, "series": members[0].series, "hosts": len(members), "changes": changes}
        )
        if not json:
            show_page(fleet_page(members[0].name, members, changes), screen())
    if json:
        print_json({"fleet": told})


def _shown(one: "History", shown: "Page", *, json: bool) -> None:
    from harness.report.terminal import screen, show_page

    if json:
        print_json(one)
    else:
        show_page(shown, screen())


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
    runs = [store.read(store.find(reference, results)) for reference in references]
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
        if not json:
            left = (
                f"; neither time nor memory, left out: {', '.join(found.left_out)}" if found.left_out else ""
            )
            typer.echo(
                f"{source}: {done.added} runs added ({done.rows:,} rows), {done.known} known before{left}"
            )
    if json:
        print_json(told)
