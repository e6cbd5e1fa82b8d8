"""`plumbline calibrate`."""

from typing import Annotated

import typer

from harness.cli.app import (
    RESULTS,
    Profile,
    ProfileOption,
    Results,
    Verbose,
    app,
)


@app.command()
def calibrate(
    *,
    profile: ProfileOption = Profile.QUICK,
    device: Annotated[str, typer.Option(help="Device to measure: auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads (default: the physical cores this process may use).")
    ] = None,
    results: Results = RESULTS,
    verbose: Verbose = False,
) -> None:
    """Calibrate the cost model that estimates step times on this machine (about two minutes)."""
    from harness.pytest_plugin.collection import Request
    from harness.pytest_plugin.pipeline import run

    request = Request(
        suites=("calibration",), profile=profile.value, device=device, threads=threads, results=results
    )
    raise typer.Exit(run(request, verbose=verbose))
