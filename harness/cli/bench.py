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
    device: Annotated[str, typer.Option(help="Device to measure: auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads (default: the physical cores this process may use).")
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            max=1e5,
            help="Time after which a case counts as failed (default: 60 in quick).",
        ),
    ] = None,
    results: Results = RESULTS,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:FUNCTION", help="Measure your own model; without suites if none is named."
        ),
    ] = None,
    label: Annotated[
        str,
        typer.Option(metavar="NAME", help="Name of this machine in reports; its host name is never stored."),
    ] = "",
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Continue a run with its own settings.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Measure suites or your own model, check the results and report."""
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
