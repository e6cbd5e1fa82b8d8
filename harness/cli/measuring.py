"""Commands that measure, or say what would be measured."""

import sys
from typing import Annotated

import typer

from harness.cli.app import (
    RESULTS,
    Expression,
    Json,
    Profile,
    ProfileOption,
    Results,
    Suites,
    app,
    print_json,
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
    raise typer.Exit(run(request, resume))


@app.command()
def calibrate(
    *,
    profile: ProfileOption = Profile.QUICK,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Calibrate the cost model that says how long a model takes here: about two minutes (quick)."""
    from harness.pytest_plugin.collection import Request
    from harness.pytest_plugin.pipeline import run

    request = Request(
        suites=("calibration",), profile=profile.value, device=device, threads=threads, results=results
    )
    raise typer.Exit(run(request))


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


@app.command()
def selftest(
    *,
    pairs: Annotated[int, typer.Option(help="Pairs of processes; a comparison is of 5.")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads (default: the physical cores this process may use).")
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Test the harness on this machine, now: false alarms, power, coverage, the timer; exit status 1 if it fails."""
    from harness.check.trust import check_trust
    from harness.records import Answer
    from harness.report.noise import show_profile, summarized
    from harness.report.terminal import screen
    from harness.selftest import run_selftest

    # Progress goes where it disturbs no JSON.
    profile, path = run_selftest(
        device, threads, pairs, results, lambda text: typer.echo(text, file=sys.stderr)
    )
    verdicts = tuple(check_trust(profile))
    if json:
        kinds = [summarized(kind) for kind in profile.kinds]
        print_json({"kinds": kinds, "verdicts": verdicts, "profile": profile})
    else:
        show_profile(profile, verdicts, screen())
        typer.echo(f"noise profile: {path}")
    raise typer.Exit(int(any(verdict.answer is Answer.FAILS for verdict in verdicts)))


@app.command()
def env(*, json: Json = False) -> None:
    """Print what this machine is, as every run records it."""
    from harness.measure.environment.capture import capture
    from harness.report.listing import show_facts
    from harness.report.terminal import screen

    environment = capture()
    if json:
        print_json(environment)
    else:
        show_facts(environment, screen())
