"""`plumbline gate`."""

import sys
from pathlib import Path
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


@app.command()
def gate(
    suite: Suites = None,
    *,
    base: Annotated[
        str, typer.Option(metavar="REVISION", help="Branch that the change is to be merged into.")
    ],
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    model: Models = None,
    base_python: Python = None,
    install: Install = None,
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
    """Fail if this checkout is slower than the commit where it left a branch; exit status 1 only on a confirmed regression."""
    from harness.ab.run import Options
    from harness.ab.worktree import merge_base, toplevel, unchanged_since
    from harness.report.gate import Outputs
    from harness.units import read_fraction

    change = read_fraction(threshold, "--threshold")
    root = toplevel(Path.cwd())
    commit = merge_base(root, base)
    if unchanged_since(root, commit):
        typer.echo(f"this checkout has no change since {base}: it is compared with itself", file=sys.stderr)
    options = Options(
        suites=tuple(suite or ()),
        models=tuple(model or ()),
        expression=expression,
        profile=profile.value,
        device=device,
        threads=threads,
        pairs=pairs,
        once=once,
        threshold=change,
        base_python=base_python,
        base_rev=commit,
        base_name=base,
        install=install,
        of_checkout=True,
        results=results,
    )
    run_interleaved(options, Outputs(markdown, junit, json))
