"""`plumbline env`."""

from harness.cli.app import (
    Json,
    app,
    print_json,
)


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
