"""The root command, shared options, and JSON output."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

# The commands in the groups of `plumbline --help`.
GROUPS = {
    "Measure": ("bench", "time", "calibrate", "selftest"),
    "Predict": ("list", "predict", "plan", "fit"),
    "Compare": ("compare", "ab", "gate", "history"),
    "Read": ("report", "check", "env"),
    "Share": ("compact", "export", "import"),
}


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """The commands that are there, in the order of their groups."""
        known = super().list_commands(ctx)
        grouped = [name for names in GROUPS.values() for name in names]
        return [
            *(name for name in grouped if name in known),
            *(name for name in known if name not in grouped),
        ]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands under the titles of their groups."""
        names = self.list_commands(ctx)
        grouped = {name for several in GROUPS.values() for name in several}
        groups = {**GROUPS, "Other": tuple(name for name in names if name not in grouped)}
        for title, several in groups.items():
            commands = [(name, self.commands[name]) for name in several if name in names]
            if commands:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name, command.get_short_help_str(300)) for name, command in commands]
                    )


app = typer.Typer(
    cls=_Commands,
    rich_markup_mode=None,  # help in plain text needs none of the 0.1 s that loading rich takes
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure deep-learning work on this machine, predict what it should achieve, and report where the two differ.",
)


class Profile(StrEnum):
    """The number of sizes, and the time for each."""

    QUICK = "quick"
    STANDARD = "standard"
    FULL = "full"


class Place(StrEnum):
    """The place of Markdown."""

    SUMMARY = "summary"
    COMMENT = "comment"


Suites = Annotated[
    list[str] | None,
    typer.Argument(
        help="Bundled suites by name, or your own by path (default: all bundled).", show_default=False
    ),
]
Expression = Annotated[str, typer.Option("-k", metavar="EXPR", help="Select cases, as pytest -k does.")]
ProfileOption = Annotated[Profile, typer.Option(help="Number of sizes, and time for each.")]
Results = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the runs.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the whole report.")]
RunArgument = Annotated[str, typer.Argument(metavar="[RUN]", help="A run by path, id, or latest.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FUNCTION", help="Function that returns a model and its inputs; or FILE.py:FUNCTION."
    ),
]
RESULTS = Path("results")


def print_json(value: Any) -> None:
    """Prints a value as JSON."""
    import msgspec

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value).decode(), indent=2) + "\n")


# The data set of a results folder.
DATA_SET = "history"


def note_line(text: object) -> None:
    """Prints a line on standard error."""
    typer.echo(f"plumbline: {text}", file=sys.stderr)
