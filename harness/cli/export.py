"""`plumbline export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Results, app, note_line


class Format(StrEnum):
    """The formats of other tools."""

    PYTEST_BENCHMARK = "pytest-benchmark"
    GITHUB_ACTION_BENCHMARK = "github-action-benchmark"
    BENCHER = "bencher"
    OTAVA = "otava"


@app.command()
def export(
    references: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Runs by path, by id or `latest`; otava takes several."),
    ],
    *,
    form: Annotated[Format, typer.Option("--format", help="The tool that reads the file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write; - is standard output.")
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
            f"left out, {len(partial)} cases that are not in all of these runs: {', '.join(partial[:4])}"
        )
    put(output, text.encode())
