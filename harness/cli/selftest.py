"""`plumbline selftest`."""

import sys
from typing import Annotated

import typer

from harness.cli.app import (
    RESULTS,
    Json,
    Results,
    app,
    print_json,
)


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
    from harness.check.judge import check_trust
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
