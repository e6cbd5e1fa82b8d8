"""`plumbline compare`."""

from typing import Annotated

import typer

from harness.cli.app import RESULTS, Results, app
from harness.cli.comparing_options import Floor, JsonFile, JunitFile, MarkdownFile, _tell


@app.command()
def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="A run: a path, an id, or latest.")],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="Another, of the same machine.")
    ] = "latest",
    *,
    floor: Floor = "2%",
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    json: JsonFile = None,
    results: Results = RESULTS,
) -> None:
    """Hold a stored run against another of the same machine; exit status 1 on a regression or a missing case."""
    from harness import store
    from harness.compare.stored import judged
    from harness.units import read_fraction

    runs = [store.read(store.find(reference, results)) for reference in (base, candidate)]
    _tell(judged(runs[0], runs[1], read_fraction(floor, "--floor")), markdown, junit, json)
