"""`plumbline gate`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Expression, Profile, ProfileOption, Results, app
from harness.cli.comparing_options import (
    Device,
    Floor,
    Install,
    JsonFile,
    JunitFile,
    MarkdownFile,
    Models,
    Once,
    Pairs,
    Python,
    Suites,
    Threads,
    _side_by_side,
)


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
    from harness.units import read_fraction

    fraction_of_floor = read_fraction(floor, "--floor")
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
