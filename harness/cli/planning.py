"""`plumbline plan`: one question, a budget, or a sweep, answered where it was asked from."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from harness import store
from harness.errors import UsageError
from harness.plan.answer import plan, priced
from harness.plan.config import values
from harness.plan.options import Options, budgeted, question
from harness.plan.question import Question
from harness.plan.sweep import sweep
from harness.records import Run
from harness.records.plan import Plan, Sweep
from harness.report import plan as report
from harness.report import sweep as swept
from harness.report.terminal import screen, show_page


@dataclass(frozen=True)
class Wish:
    """What is wanted of a plan, beside the question itself."""

    options: Options
    budget: str | None = None
    days: str | None = None
    over: str | None = None
    points: int = 9
    html: Path | None = None
    results: Path = store.DEFAULT_RESULTS
    json: bool = False


def answer(wish: Wish) -> object | None:
    """Prints the answer, or returns it where it is wanted as JSON.

    Raises:
        UsageError: what is asked cannot be.
    """
    options = wish.options
    if not options.config:
        return _budget(wish)
    if wish.budget is not None or wish.days is not None:
        raise UsageError("--budget and --days are asked without a CONFIG: they say which size is best")
    run = _run(options.on, wish.results)
    asked = _question(wish, run)
    found = _planned(asked, options, run)
    if wish.over is None:
        if wish.html is not None:
            raise UsageError("--html is the page of a sweep: give --sweep too")
        if wish.json:
            return report.as_json(found)
        report.show_plan(found, screen())
        return None
    return _swept(wish, asked, found)


def _swept(wish: Wish, asked: Question, found: Plan) -> object | None:
    """The answer where curves are wanted."""
    try:
        curves = sweep(asked, wish.over or "", wish.points)
    except UsageError as error:
        raise UsageError(f"--sweep: {error}") from None
    if wish.html is not None:
        _page(curves, found, wish.html)
    if wish.json:
        return {"plan": report.as_json(found), "sweep": swept.as_json(curves)}
    show_page(swept.page(curves, found), screen())
    return None


def _question(wish: Wish, run: Run | None) -> Question:
    """The question; on a run's machine sixteen bits are trained as its steps are, by autocast."""
    options = wish.options
    if run is not None and options.states is None and options.dtype == "bfloat16":
        options = replace(options, states="autocast")
    try:
        return question(options, named=run is None)
    except UsageError as error:
        if run is None and str(error).startswith("--on"):
            raise UsageError(f"{error}; and no run of that name is in {wish.results}") from None
        raise


def _budget(wish: Wish) -> object | None:
    """The answer where no model is named."""
    if wish.over is not None or wish.html is not None:
        raise UsageError("--sweep and --html need a CONFIG: they are of one model")
    run = _run(wish.options.on, wish.results)
    optima = budgeted(wish.budget, wish.days, wish.options, None if run is None else _reached(run))
    if wish.json:
        return report.budget_json(optima)
    report.show_budget(optima, screen())
    return None


def _reached(run: Run) -> float:
    """The best FLOP/s that a training step of a run reached.

    Raises:
        UsageError: it measured none.
    """
    rates = [
        result.flops_per_second
        for result in run.measured
        if result.case.family == "train" and result.flops_per_second
    ]
    if not rates:
        raise UsageError(f"run {run.header.id} measured no training step: `plumbline bench train_step` does")
    return max(rates)


def _run(on: str | None, results: Path) -> Run | None:
    """The run that `--on` names; None where it names none, and so a device."""
    if on is None:
        return None
    try:
        return store.read(store.find(on, results))
    except UsageError:
        if on == "latest" or "/" in on:
            raise
        return None


def _planned(asked: Question, options: Options, run: Run | None) -> Plan:
    found = plan(asked, tokens_given=options.tokens is not None)
    if run is None:
        return found
    from harness.measure.prediction import local, time_here

    taken, assumed = time_here(asked, values(options.config), local(run.header), found.flops)
    told: dict[str, Any] = {**found.assumptions, "time": assumed}
    told["mfu"] = ("Of the best rate any code reached on the machine of that run, in this dtype.",)
    found = msgspec.structs.replace(found, time=taken, mfu=taken.mfu, assumptions=told)
    return priced(found, asked)


def _page(curves: Sweep, found: Plan, path: Path) -> None:
    from harness.report.publish import drawing

    with drawing():
        from harness.report.charts.sweep import charts
        from harness.report.html import html

    if not path.parent.is_dir():
        raise UsageError(f"--html {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageError(f"--html {path}: a folder; name a file in it")
    store.write_whole(path, html(swept.page(curves, found), {"curves": charts(curves)}).encode())
    sys.stderr.write(f"wrote {path}\n")
