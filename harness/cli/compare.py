"""`plumbline compare`."""

from typing import Annotated

import typer

from harness.cli.app import RESULTS, Results, app
from harness.cli.comparing_options import JsonFile, JunitFile, MarkdownFile, Threshold, publish_and_exit


@app.command()
def compare(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="Run to compare with: a path, an id, or latest.")
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="Run to compare: of the same machine.")
    ] = "latest",
    *,
    threshold: Threshold = "2%",
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    json: JsonFile = None,
    results: Results = RESULTS,
) -> None:
    """Compare two stored runs of one machine; exit status 1 on a regression or a missing case."""
    from harness import store
    from harness.compare.gating import compare_stored
    from harness.report.gate import Outputs
    from harness.units import read_fraction

    runs = [store.read(store.find(reference, results)) for reference in (base, candidate)]
    comparison = compare_stored(runs[0], runs[1], read_fraction(threshold, "--threshold"))
    publish_and_exit(comparison, Outputs(markdown, junit, json))
