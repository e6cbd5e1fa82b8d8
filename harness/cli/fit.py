"""`plumbline fit`."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json


@app.command()
def fit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[RUN | FILE.csv]",
            help="A run (path, id or latest), or a CSV table with the columns seconds, group, and flops, bytes, size or threads.",
        ),
    ] = "latest",
    *,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Fit scaling models to the sweeps of a run, or to your own table; rows without seconds are predicted."""
    from harness import store
    from harness.fit.groups import fit_table, is_table, of_run
    from harness.report.fits import as_json, show_fits
    from harness.report.terminal import screen

    groups = fit_table(Path(source)) if is_table(source) else of_run(store.read(store.find(source, results)))
    if json:
        print_json(as_json(groups))
    else:
        show_fits(groups, screen())
