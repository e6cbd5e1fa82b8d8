"""`plumbline bench`."""

from typing import Annotated

import typer

from harness.cli.app import (
    RESULTS,
    Expression,
    Profile,
    ProfileOption,
    Results,
    Suites,
    Verbose,
    app,
)


@app.command()
def bench(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=1e5,
            help="A case that takes longer has failed (default: 60 in quick).",
        ),
    ] = None,
    results: Results = RESULTS,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:FUNCTION", help="A model of your own; alone, unless suites are named."),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="NAME", help="What reports call this machine; its own name is never kept.")
    ] = "",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run; takes its settings from it.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Measure, record, fit, check and report."""
    from harness.pytest_plugin.collection import Request
    from harness.pytest_plugin.pipeline import run

    request = Request(
        suites=tuple(suite or ()),
        expression=expression,
        profile=profile.value,
        device=device,
        threads=threads,
        limit=limit,
        results=results,
        models=tuple(model or ()),
        label=label,
    )
    raise typer.Exit(run(request, resume, verbose=verbose))
