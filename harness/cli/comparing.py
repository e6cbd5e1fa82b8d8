"""Commands that hold a candidate against a base."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import RESULTS, Expression, Profile, ProfileOption, Results, app

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


@app.command()
def ab(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    model: Models = None,
    base_python: Python = None,
    base_rev: Annotated[
        str | None, typer.Option(metavar="REVISION", help="The base's checkout: a branch, tag or commit.")
    ] = None,
    install: Install = None,
    base_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="The base's settings: threads=1, device=cuda:1, VARIABLE=VALUE."
        ),
    ] = None,
    candidate_set: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="The candidate's.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    pairs: Pairs = 10,
    once: Once = False,
    floor: Floor = "2%",
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    json: JsonFile = None,
    results: Results = RESULTS,
) -> None:
    """Measure a base against this checkout, side by side on this machine, now; without a base: the same twice."""
    from harness.ab.run import Ask
    from harness.ab.sides import Wanted
    from harness.plan.options import fraction

    ask = Ask(
        wanted=Wanted(
            python=base_python,
            revision=base_rev,
            install=install,
            base=tuple(base_set or ()),
            candidate=tuple(candidate_set or ()),
        ),
        suites=tuple(suite or ()),
        models=tuple(model or ()),
        expression=expression,
        profile=profile.value,
        device=device,
        threads=threads,
        pairs=pairs,
        doubling=not once,
        floor=fraction(floor, "--floor"),
        results=results,
    )
    _side_by_side(ask, markdown, junit, json)


@app.command()
def gate(
    suite: Suites = None,
    *,
    base: Annotated[str, typer.Option(metavar="REVISION", help="What the change is to be merged into.")],
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    model: Models = None,
    base_python: Python = None,
    install: Install = None,
    device: Device = "auto",
    threads: Threads = None,
    pairs: Pairs = 10,
    once: Once = False,
    floor: Floor = "2%",
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    json: JsonFile = None,
    results: Results = RESULTS,
) -> None:
    """Say whether this checkout is slower than where it left a branch; exit status 1 on a confirmed regression alone."""
    from harness.ab.run import Ask
    from harness.ab.sides import Wanted
    from harness.ab.worktree import merge_base, toplevel, unchanged_since
    from harness.plan.options import fraction

    fraction_of_floor = fraction(floor, "--floor")
    root = toplevel(Path.cwd())
    left = merge_base(root, base)
    if unchanged_since(root, left):
        typer.echo(f"this checkout is no further than {base}: it is compared with itself", file=sys.stderr)
    ask = Ask(
        wanted=Wanted(python=base_python, revision=left, called=base, install=install),
        suites=tuple(suite or ()),
        models=tuple(model or ()),
        expression=expression,
        profile=profile.value,
        device=device,
        threads=threads,
        pairs=pairs,
        doubling=not once,
        floor=fraction_of_floor,
        of_checkout=True,
        results=results,
    )
    _side_by_side(ask, markdown, junit, json)


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
    from harness.plan.options import fraction

    runs = [store.read(store.find(reference, results)) for reference in (base, candidate)]
    _tell(judged(runs[0], runs[1], fraction(floor, "--floor")), markdown, junit, json)


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
