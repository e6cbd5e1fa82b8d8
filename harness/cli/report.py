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
            help="Paths, ids, latest (default), or the report.json of an earlier report; several are compared with the first.",
            show_default=False,
        ),
    ] = None,
    *,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one self-contained page.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Markdown that fits its place.")
    ] = None,
    place: Annotated[
        Place | None,
        typer.Option(
            "--for", help="Place where the Markdown must fit: a job summary (default) or a comment."
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="[FILE.json]",
            help="Write all data as JSON; without a file, to standard output.",
        ),
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    results: Results = RESULTS,
) -> None:
    """Show runs in the terminal, or write them to files (- is standard output)."""
    from harness.report.publish import Wanted, publish
    from harness.report.sources import opened

    sources = opened(references or ["latest"], results)
    wanted = Wanted(html=html, markdown=markdown, place=place and place.value, json=json, browse=browse)
    publish(sources, wanted, results)
