"""`plumbline check`."""

import typer

from harness.cli.app import RESULTS, Json, Results, RunArgument, app, print_json


@app.command()
def check(reference: RunArgument = "latest", *, results: Results = RESULTS, json: Json = False) -> None:
    """Check a stored run again; exit status 1 when a check fails."""
    from harness import store
    from harness.check.judge import exit_status, judge
    from harness.report.outcome import show_claims
    from harness.report.terminal import screen

    run = judge(store.read(store.find(reference, results)))
    if json:
        print_json({"run": run.header.id, "complete": run.complete, "verdicts": run.header.verdicts})
    else:
        show_claims(run, screen())
    raise typer.Exit(exit_status(run))
