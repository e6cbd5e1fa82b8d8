"""`plumbline env`."""

from harness.cli.app import (
    Json,
    app,
    print_json,
)


@app.command()
def env(*, json: Json = False) -> None:
    """Print the facts of this machine that every run records."""
    from harness.measure.environment.capture import capture_cached
    from harness.report.listing import show_facts
    from harness.report.terminal import screen

    environment = capture_cached()
    if json:
        print_json(environment)
    else:
        show_facts(environment, screen())
