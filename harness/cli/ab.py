"""`plumbline ab`."""

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
    from harness.units import read_fraction

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
        floor=read_fraction(floor, "--floor"),
        results=results,
    )
    _side_by_side(ask, markdown, junit, json)
