"""Options and output that `ab`, `gate` and `compare` have in common."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.ab.run import Options
    from harness.records.comparison import Comparison
    from harness.report.gate import Outputs

Suites = Annotated[
    list[str] | None,
    typer.Argument(
        help="Bundled suites by name, or your own by path of a file or folder "
        "(default: eight usual cases; gate: the suites of this checkout).",
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="MODULE:FUNCTION", help="Your own model to measure."),
]
Device = Annotated[str, typer.Option(help="Device to measure on: auto, cpu, cuda or cuda:N.")]
Threads = Annotated[
    int | None,
    typer.Option(help="Number of threads (default: the physical cores this process may use)."),
]
Pairs = Annotated[int, typer.Option(help="Number of pairs of fresh processes.")]
Once = Annotated[
    bool, typer.Option("--once", help="Do not measure undecided cases again with as many pairs.")
]
Threshold = Annotated[str, typer.Option(help="Largest change that counts as none: 2% or 0.02.")]
Python = Annotated[
    str | None,
    typer.Option("--base-python", metavar="PATH", help="Interpreter of the base, for example of a venv."),
]
Install = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Command that prepares the checkout of the base; a .venv that it creates there is the base's interpreter.",
    ),
]
MarkdownFile = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write the verdict and all cases as Markdown."),
]
JunitFile = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the cases as JUnit XML.")
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="[FILE.json]",
        help="Write the comparison as JSON; without a file to standard output.",
    ),
]


def run_interleaved(options: "Options", outputs: "Outputs") -> None:
    """Measures and compares both sides, publishes the comparison and exits."""
    from harness.ab.run import run_trial

    outputs.check()
    comparison, path = run_trial(options, lambda text: typer.echo(text, file=sys.stderr))
    typer.echo(f"trial: {path}", file=sys.stderr)
    publish_and_exit(comparison, outputs)


def publish_and_exit(comparison: "Comparison", outputs: "Outputs") -> None:
    """Publishes a comparison; the exit status is 1 where it failed."""
    from harness.report.gate import publish

    outputs.check()
    publish(comparison, outputs)
    raise typer.Exit(int(comparison.failed))
