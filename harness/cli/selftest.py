"""`plumbline selftest`."""

import sys
from typing import Annotated

import typer

from harness.cli.app import RESULTS, Json, Results, app, print_json
from harness.cli.comparing_options import Device, Threads


@app.command()
def selftest(
    *,
    pairs: Annotated[int, typer.Option(help="Number of pairs of processes, at least 5.")] = 8,
    device: Device = "auto",
    threads: Threads = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Test the harness on this machine: false alarms, power, coverage and timer; exit status 1 if it fails."""
    from harness.check.judge import check_trust
    from harness.records import Answer
    from harness.report.noise import show_profile, summarized
    from harness.report.terminal import screen
    from harness.selftest import run_selftest

    # Progress goes to standard error, so that standard output stays valid JSON.
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
