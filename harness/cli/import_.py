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
    """Import measurements of pytest-benchmark or asv into the history, each run once."""
    from harness.exchange import read
    from harness.store import add

    summaries = []
    for source in sources:
        imported = read(source)
        done = add(imported.rows, to or str(results / DATA_SET))
        summaries.append(
            {
                "source": str(source),
                "added": done.added,
                "known": done.known,
                "rows": done.rows,
                "left_out": imported.left_out,
            }
        )
        for reason in imported.unreadable:
            note_line(f"{reason}; left out")
        if not json:
            left = (
                f"; left out, neither time nor memory: {', '.join(imported.left_out)}"
                if imported.left_out
                else ""
            )
            typer.echo(
                f"{source}: {done.added} runs added ({done.rows:,} rows), {done.known} known before{left}"
            )
    if json:
        print_json(summaries)
