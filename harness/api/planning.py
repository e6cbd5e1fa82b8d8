"""Answers a plan: on a device by name, or on the machine of a stored run."""

from pathlib import Path

import msgspec

from harness import store
from harness.errors import UsageError
from harness.plan.answer import plan, priced
from harness.plan.config import values
from harness.plan.options import Options, Question, question
from harness.records import Run
from harness.records.plan import Plan


def planned(options: Options, results: Path = store.DEFAULT_RESULTS) -> tuple[Question, Plan]:
    """Resolves the options of one model, and answers them.

    Raises:
        UsageError: an option is not possible.
    """
    run = run_named(options.on, results)
    asked = _question(options, run, results)
    answer = plan(asked)
    if run is None:
        return asked, answer
    from harness.measure.prediction import local, time_here  # noqa: PLC0415 - loads torch

    training, texts = time_here(asked, values(options.config), local(run.header), answer.flops)
    basis = "Of the best rate that any code reached on the machine of that run, in this dtype."
    assumptions = {**answer.assumptions, "time": texts, "mfu": (basis,)}
    timed = msgspec.structs.replace(answer, time=training, mfu=training.mfu, assumptions=assumptions)
    return asked, priced(timed, asked)


def run_named(on: str | None, results: Path) -> Run | None:
    """The run that `on` names; None where it names none, and so a device."""
    if on is None:
        return None
    try:
        return store.read(store.find(on, results))
    except UsageError:
        if on == "latest" or "/" in on:
            raise
        return None


def _question(options: Options, run: Run | None, results: Path) -> Question:
    try:
        return question(options, on_run=run is not None)
    except UsageError as error:
        if run is None and str(error).startswith("--on"):
            raise UsageError(f"{error}; and {results} has no run of that name") from None
        raise
