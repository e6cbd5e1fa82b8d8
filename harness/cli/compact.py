"""`plumbline compact`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import DATA_SET, RESULTS, Json, app, note_line, print_json


@app.command()
def compact(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RESULTS...]",
            help="Results folders or single runs (default: results).",
            show_default=False,
        ),
    ] = None,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="DIR | URL",
            help=f"The folder or URL of the data set (default: {DATA_SET}/ in the first results folder).",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Add the complete runs of results folders to a Parquet data set, each once."""
    from harness.store import compact as compacted

    places = sources or [RESULTS]
    done = compacted(places, to or str(places[0] / DATA_SET), lambda text: typer.echo(text, file=sys.stderr))
    for source, reason in done.unreadable:
        note_line(f"{source}: {reason}; left out")
    if done.incomplete:
        note_line(f"left out, incomplete: {', '.join(done.incomplete)}")
    if json:
        print_json(done)
    else:
        typer.echo(
            f"{done.added} runs added ({done.rows:,} rows), {done.known} known before, {len(done.incomplete)} incomplete"
        )
