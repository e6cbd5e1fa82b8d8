"""Options and output that several commands share."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.ab.run import Ask
    from harness.records.comparison import Judgement

Suites = Annotated[
    list[str] | None,
    typer.Argument(
        help="Bundled suites by name, or your own by path (default: eight usual cases; gate: the suites of this checkout).",
        show_default=False,
    ),
]


Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="MODULE:FUNCTION", help="A model of your own.")
]


Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


Threads = Annotated[
    int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
]


Pairs = Annotated[int, typer.Option(help="Fresh pairs of processes.")]


Once = Annotated[
    bool, typer.Option("--once", help="Do not measure as many pairs again of what is undecided.")
]


Floor = Annotated[str, typer.Option(help="A change up to this share is none: 2% or 0.02.")]


Python = Annotated[
    str | None,
    typer.Option("--base-python", metavar="PATH", help="The base's interpreter, such as another venv's."),
]


Install = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Run in the base's checkout first; a .venv it leaves there is the base's interpreter.",
    ),
]


MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="The verdict and all cases as Markdown.")
]


JunitFile = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="The same as JUnit XML.")]


JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="[FILE.json]", help="All of it as JSON; alone, on standard output."),
]


def _side_by_side(ask: "Ask", markdown: Path | None, junit: Path | None, json: Path | None) -> None:
    from harness.ab.run import compare as measured
    from harness.report.gate import check_places

    check_places(markdown, junit, json)
    _, judgement, path = measured(ask, lambda text: typer.echo(text, file=sys.stderr))
    typer.echo(f"trial: {path}", file=sys.stderr)
    _tell(judgement, markdown, junit, json)


def _tell(judgement: "Judgement", markdown: Path | None, junit: Path | None, json: Path | None) -> None:
    from harness.report.gate import check_places, publish

    check_places(markdown, junit, json)
    publish(judgement, markdown, junit, json)
    raise typer.Exit(int(judgement.failed))
