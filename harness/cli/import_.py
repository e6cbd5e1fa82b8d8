"""`plumbline import`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import DATA_SET, RESULTS, Json, Results, app, note_line, print_json


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
            note_line(f"{wrong}; left out")
        if not json:
            left = (
                f"; neither time nor memory, left out: {', '.join(found.left_out)}" if found.left_out else ""
            )
            typer.echo(
                f"{source}: {done.added} runs added ({done.rows:,} rows), {done.known} known before{left}"
            )
    if json:
        print_json(told)
