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
