"""`plumbline ab`."""

from typing import Annotated

import typer

from harness.cli.app import RESULTS, Expression, Profile, ProfileOption, Results, app
from harness.cli.comparing_options import (
    Device,
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
    Threshold,
    run_interleaved,
)

_SETTING = "KEY=VALUE"


@app.command()
def ab(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    model: Models = None,
    base_python: Python = None,
    base_rev: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Branch, tag or commit to check out as the base."),
    ] = None,
    install: Install = None,
    base_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar=_SETTING, help="Setting of the base: threads=1, device=cuda:1 or VARIABLE=VALUE."
        ),
    ] = None,
    candidate_set: Annotated[
        list[str] | None, typer.Option(metavar=_SETTING, help="Setting of the candidate, as --base-set.")
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    pairs: Pairs = 10,
    once: Once = False,
    threshold: Threshold = "2%",
    markdown: MarkdownFile = None,
    junit: JunitFile = None,
    json: JsonFile = None,
    results: Results = RESULTS,
) -> None:
    """Measure a base and this checkout, interleaved on this machine, and compare them; without a base the same code runs on both sides."""
    from harness.ab.run import Options
    from harness.report.gate import Outputs
    from harness.units import read_fraction

    options = Options(
        suites=tuple(suite or ()),
        models=tuple(model or ()),
        expression=expression,
        profile=profile.value,
        device=device,
        threads=threads,
        pairs=pairs,
        once=once,
        threshold=read_fraction(threshold, "--threshold"),
        base_python=base_python,
        base_rev=base_rev,
        install=install,
        base_set=tuple(base_set or ()),
        candidate_set=tuple(candidate_set or ()),
        results=results,
    )
    run_interleaved(options, Outputs(markdown, junit, json))
