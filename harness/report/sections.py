"""What a report of one run says, in a reader's order: text for the page, for Markdown and for the terminal."""

from collections.abc import Iterator

from harness.check.findings import unmeasured, voids
from harness.records import Answer, Run
from harness.report import estimates as costmodel
from harness.report import summary
from harness.report.case_tables import (
    ABSENT_COLUMNS,
    COLUMNS,
    DISPENSABLE,
    FLAGGED_COLUMNS,
    ROOFLINE_COLUMNS,
    SENSOR_COLUMNS,
    VIEW_COLUMNS,
    VIEW_DISPENSABLE,
    absent_rows,
    case_rows,
    flagged_rows,
    roofline_rows,
    sensor_rows,
    suites,
    view_rows,
)
from harness.report.content import Page, Section, Table, ids, lines, section, table, texts
from harness.report.facts import FACT_COLUMNS, fact_rows
from harness.report.step_tables import (
    FIT_COLUMNS,
    MEMORY_COLUMNS,
    OPTIMIZATION_COLUMNS,
    OPTIMIZATION_DISPENSABLE,
    STEP_COLUMNS,
    STEP_DISPENSABLE,
    fit_rows,
    memory_rows,
    optimization_rows,
    step_rows,
    unknown_operators,
    untraced,
)

SUSTAINED_COLUMNS = ids("what", "here", "of what")
FINDING_COLUMNS = (*ids("kind"), *texts("finding", "cause", "what to do"))
VALIDITY_COLUMNS = ids("affects validity", "observed", "state")
UNMEASURED_COLUMNS = (*ids("not measured"), *texts("why"))
VERDICT_COLUMNS = (*ids("claim", "subject", "verdict"), *texts("reason"))


def page(run: Run) -> Page:
    """The report of one run: all sections that have something to say."""
    settings = run.header.settings
    about = f"Run {run.header.id}, begun {run.header.started_at}, profile {settings.profile}, suites {', '.join(settings.suites)}."
    return Page(
        f"Plumbline: {summary.machine(run)}",
        (about,),
        tuple(section for section in _sections(run) if section is not None),
    )


def _sections(run: Run) -> Iterator[Section | None]:
    yield section(
        "short",
        "In short",
        (
            lines(
                (f"{summary.state(run)}.", *(f"Damaged: {damage}." for damage in run.damage)),
                caution=not run.complete or bool(run.damage),
            ),
            table(
                SUSTAINED_COLUMNS, summary.sustained(run), "What it sustains, and how well that was predicted"
            ),
            _cards(run),
            table(VALIDITY_COLUMNS, voids(run), "What affects validity"),
            table(UNMEASURED_COLUMNS, unmeasured(run), "What was not measured, and why"),
        ),
    )
    yield section(
        "peaks",
        "Peaks",
        (
            table(summary.HIERARCHY_COLUMNS, summary.hierarchy(run), "Compute peaks"),
            table(summary.BANDWIDTH_COLUMNS, summary.bandwidths(run), "Bandwidth peaks"),
        ),
    )
    yield section(
        "roofline",
        "Roofline",
        (table(ROOFLINE_COLUMNS, roofline_rows(run), "Cases on the roofline"),),
        details=True,
    )
    yield section(
        "scaling",
        "Scaling",
        (table(FIT_COLUMNS, [row for fit in run.header.fits for row in fit_rows(fit)], "Scaling"),),
    )
    yield _expected(run)
    yield section("memory", "Memory", (table(MEMORY_COLUMNS, memory_rows(run), "Memory at its peak"),))
    yield section("steps", "Steps", (table(STEP_COLUMNS, step_rows(run), "Steps", STEP_DISPENSABLE),))
    yield section(
        "optimizations",
        "Optimizations",
        (table(OPTIMIZATION_COLUMNS, optimization_rows(run), "Optimizations", OPTIMIZATION_DISPENSABLE),),
    )
    yield section(
        "sensors",
        "Sensors",
        (table(SENSOR_COLUMNS, sensor_rows(run), "What the sensors told of each case"),),
        details=True,
    )
    yield _claims(run)
    yield _doubts(run)
    yield section(
        "cases",
        "All cases",
        [
            table(COLUMNS, case_rows(run, suite), f"Cases: {suite}", DISPENSABLE)
            for suite in suites(run.results)
        ],
        details=True,
    )
    yield section(
        "views",
        "Views of a call's time",
        (table(VIEW_COLUMNS, view_rows(run), "Views of a call's time", VIEW_DISPENSABLE),),
        details=True,
    )
    yield section(
        "environment", "Environment", (table(FACT_COLUMNS, fact_rows(run.header.environment)),), details=True
    )
    yield section(
        "method",
        "How it was measured",
        (lines(summary.method(run)), table((*ids("word"), *texts("meaning")), summary.WORDS)),
        details=True,
    )


def _cards(run: Run) -> Table | None:
    rows = tuple(
        (finding.kind.value, f"{finding.name}: {finding.finding}", finding.cause, finding.fix)
        for finding in run.header.findings
    )
    return Table(FINDING_COLUMNS, rows, "Findings", cards=True) if rows else None


def _expected(run: Run) -> Section | None:
    return section(
        "expected",
        "Expected time, and measured",
        (
            table(costmodel.WAY_COLUMNS, costmodel.way_rows(run), "How far off", costmodel.WAY_DISPENSABLE),
            table(
                costmodel.TIME_COLUMNS,
                costmodel.time_rows(run),
                "Expected time of steps, from operators measured alone",
                costmodel.TIME_DISPENSABLE,
            ),
            table(
                costmodel.KIND_COLUMNS,
                costmodel.kind_rows(run),
                "Models against the operators of the steps, each measured alone",
            ),
            table(
                costmodel.MODEL_COLUMNS, costmodel.model_rows(run), "Cost model", costmodel.MODEL_DISPENSABLE
            ),
            lines((costmodel.framework_line(run),)),
        ),
    )


def _claims(run: Run) -> Section | None:
    said = [
        (v.claim, v.subject, v.answer.value, v.reason)
        for v in sorted(summary.worth_reading(run), key=lambda v: list(_GRAVITY).index(v.answer))
    ]
    return section(
        "claims",
        "Claims",
        (
            table(ids("claim", "verdicts"), summary.claims(run), "Claims"),
            table(VERDICT_COLUMNS, said, "Verdicts worth reading"),
        ),
    )


_GRAVITY = (Answer.FAILS, Answer.INCONCLUSIVE, Answer.HOLDS)


def _doubts(run: Run) -> Section | None:
    return section(
        "doubts",
        "Flagged, skipped, failed",
        (
            table(ABSENT_COLUMNS, absent_rows(run), "Not measured"),
            table(FLAGGED_COLUMNS, flagged_rows(run), "Flagged"),
            lines((*unknown_operators(run), *untraced(run)), caution=True),
        ),
    )
