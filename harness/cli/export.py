"""`plumbline export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Results, app, note_line


class Format(StrEnum):
    """Other tools' files."""

    PYTEST_BENCHMARK = "pytest-benchmark"
    GITHUB_ACTION_BENCHMARK = "github-action-benchmark"
    BENCHER = "bencher"
    OTAVA = "otava"


@app.command()
def export(
    references: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Paths, ids or latest; several for otava.")
    ],
    *,
    form: Annotated[Format, typer.Option("--format", help="The tool that is to read it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="- is standard output.")
    ] = Path("-"),
    results: Results = RESULTS,
) -> None:
    """Write runs for other tools: pytest-benchmark, github-action-benchmark, Bencher, Otava."""
    from harness import store
    from harness.exchange import exported, not_in_all
    from harness.report.publish import check_places, put

    check_places([output])
    folders = dict.fromkeys(store.find(reference, results) for reference in references)
    runs = [store.read(folder) for folder in folders]
    text = exported(form.value, runs)
    if form is Format.OTAVA and (partial := not_in_all(runs)):
        note_line(
            f"{len(partial)} cases are not in all of these runs, and left out: {', '.join(partial[:4])}"
        )
    put(output, text.encode())
