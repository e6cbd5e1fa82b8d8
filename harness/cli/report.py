"""`plumbline report`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Place, Results, app


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
