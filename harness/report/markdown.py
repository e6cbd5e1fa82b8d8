"""`report.md`: a run as Markdown."""

from collections.abc import Iterable, Sequence

from harness.records import Answer, Run
from harness.report import costmodel, summary
from harness.report.fits import FIT_COLUMNS, fit_rows
from harness.report.levers import LEVER_COLUMNS, lever_rows
from harness.report.rows import (
    ABSENT_COLUMNS,
    COLUMNS,
    VIEW_COLUMNS,
    absent_rows,
    case_rows,
    suites,
    view_rows,
)
from harness.report.steps import STEP_COLUMNS, step_rows, unknown_operators, untraced

_SIGN = {Answer.HOLDS: "holds", Answer.FAILS: "**fails**", Answer.INCONCLUSIVE: "inconclusive"}


def markdown(run: Run) -> str:
    """The whole report; a pure function of the record."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterable[str]:
    settings = run.header.settings
    yield f"# Plumbline: {_escaped(summary.machine(run))}"
    yield ""
    yield f"Run `{run.header.id}`, profile {settings.profile}, suites {_escaped(', '.join(settings.suites))}. "
    yield f"{summary.state(run)}."
    yield ""
    yield _escaped(summary.surroundings(run))
    for damage in run.damage:
        yield ""
        yield f"Damaged: {_escaped(damage)}."
    yield from _section("Claims", ("claim", "verdicts"), summary.claims(run))
    notable = [(v.claim, v.subject, _SIGN[v.answer], v.reason) for v in summary.worth_reading(run)]
    yield from _table(("claim", "subject", "verdict", "reason"), notable)
    yield from _section("Compute ceilings", summary.LADDER_COLUMNS, summary.ladder(run))
    if run.ceilings.unmeasured:
        yield ""
        yield from (
            f"- Not measured: {_escaped(what)} ({_escaped(why)})"
            for what, why in run.ceilings.unmeasured.items()
        )
    yield from _section("Bandwidth ceilings", summary.BANDWIDTH_COLUMNS, summary.bandwidths(run))
    terms = [row for fit in run.header.fits for row in fit_rows(fit)]
    yield from _section("Scaling", FIT_COLUMNS, terms)
    for suite in suites(run.results):
        yield from _section(f"Cases: {_escaped(suite)}", COLUMNS, case_rows(run, suite))
    yield from _section("Steps", STEP_COLUMNS, step_rows(run))
    yield from _cost_model(run)
    yield from _section("Levers", LEVER_COLUMNS, lever_rows(run))
    for line in (*unknown_operators(run), *untraced(run)):
        yield ""
        yield f"{_escaped(line)}."
    yield from _section("Views of a call's time", VIEW_COLUMNS, view_rows(run))
    yield from _section("Not measured", ABSENT_COLUMNS, absent_rows(run))
    yield ""
    yield from (f"- **{word}**: {meaning}" for word, meaning in summary.WORDS)


def _cost_model(run: Run) -> Iterable[str]:
    yield from _section("Cost model", costmodel.LAW_COLUMNS, costmodel.law_rows(run))
    line = costmodel.framework_line(run)
    if line:
        yield ""
        yield _escaped(line)
    yield from _section("Expected time of steps", costmodel.TIME_COLUMNS, costmodel.time_rows(run))
    yield from _section("How far off", costmodel.WAY_COLUMNS, costmodel.way_rows(run))
    yield from _section("Laws against operators alone", costmodel.KIND_COLUMNS, costmodel.kind_rows(run))


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    table = list(_table(columns, rows))
    return ["", f"## {title}", *table] if table else []


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    cells = [[_escaped(cell) for cell in row] for row in rows]
    if not cells:
        return
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in cells)


def _escaped(text: str) -> str:
    """Text from outside, harmless inside a table cell and outside one."""
    flat = " ".join(text.split()).replace("\\", "\\\\")
    return flat.replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
