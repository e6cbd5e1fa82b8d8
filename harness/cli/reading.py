"""Commands that read stored runs."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Json, Place, Results, RunArgument, app, print_json


@app.command()
def report(
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Paths, ids, latest (default), or the report.json of an earlier report; several are set side by side.",
            show_default=False,
        ),
    ] = None,
    *,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="One self-contained page.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Markdown, cut to fit.")] = None,
    place: Annotated[
        Place | None,
        typer.Option("--for", help="Where the Markdown has to fit: a job summary (default) or a comment."),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", metavar="[FILE.json]", help="All of it as JSON; alone, on standard output."),
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    results: Results = RESULTS,
) -> None:
    """Show runs again, complete or not: in the terminal, or as files (- is standard output)."""
    from harness.report.publish import Wanted, publish
    from harness.report.sources import opened

    sources = opened(references or ["latest"], results)
    wanted = Wanted(html=html, markdown=markdown, place=place and place.value, json=json, browse=browse)
    publish(sources, wanted, results)


@app.command()
def check(reference: RunArgument = "latest", *, results: Results = RESULTS, json: Json = False) -> None:
    """Judge a run's claims anew; exit status 1 when one fails."""
    from harness import store
    from harness.check.judge import exit_status, judge
    from harness.report.terminal import screen, show_claims

    run = judge(store.read(store.find(reference, results)))
    if json:
        print_json({"run": run.header.id, "complete": run.complete, "verdicts": run.header.verdicts})
    else:
        show_claims(run, screen())
    raise typer.Exit(exit_status(run))


@app.command()
def fit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[RUN | FILE.csv]",
            help="A run by path, id, or latest; or a table with columns seconds and flops, bytes or both (or size, or threads), and group.",
        ),
    ] = "latest",
    *,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Fit scaling laws to a run's sweeps, or to a table of your own; rows without seconds are predicted."""
    from harness import store
    from harness.fit.groups import fit_table, is_table, of_run
    from harness.report.fits import as_json, show_fits
    from harness.report.terminal import screen

    found = fit_table(Path(source)) if is_table(source) else of_run(store.read(store.find(source, results)))
    if json:
        print_json(as_json(found))
    else:
        show_fits(found, screen())
