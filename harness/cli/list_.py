"""`plumbline list`."""

from typing import Annotated

import typer

from harness.cli.app import (
    Expression,
    Json,
    Profile,
    ProfileOption,
    Suites,
    app,
    print_json,
)


@app.command("list")
def list_workloads(
    suite: Suites = None,
    *,
    expression: Expression = "",
    profile: ProfileOption = Profile.QUICK,
    trace: Annotated[
        bool,
        typer.Option("--trace", help="Also trace those that do not say their cost (a second or two each)."),
    ] = False,
    json: Json = False,
) -> None:
    """List workloads with their predicted costs."""
    from harness.pytest_plugin.collection import Request, collect
    from harness.report.listing import show_catalogue
    from harness.report.terminal import screen

    request = Request(suites=tuple(suite or ()), expression=expression, profile=profile.value)
    cases = collect(request, traced=trace)
    if json:
        print_json(cases)
    else:
        show_catalogue(cases, screen())
