"""The content of the report of one run, in the order of a reader."""

from collections.abc import Iterator

from harness.check.findings import unmeasured, validity
from harness.records import Answer, Run
from harness.report import case_tables as cases
from harness.report import step_tables as steps
from harness.report import summary
from harness.report.content import Page, Section, Table, ids, lines, section, table, texts
from harness.report.listing import FACT_COLUMNS, fact_rows

SUSTAINED_COLUMNS = ids("what", "here", "of what")
FINDING_COLUMNS = (*ids("kind"), *texts("finding", "cause", "what to do"))
VALIDITY_COLUMNS = ids("affects validity", "observed", "state")
UNMEASURED_COLUMNS = (*ids("not measured"), *texts("why"))
VERDICT_COLUMNS = (*ids("claim", "subject", "verdict"), *texts("reason"))


def page(run: Run) -> Page:
    """The report of one run: all sections that are not empty."""
    settings = run.header.settings
    about = f"Run {run.header.id}, started {run.header.started_at}, profile {settings.profile}, suites {', '.join(settings.suites)}."
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
                SUSTAINED_COLUMNS, summary.sustained(run), "Sustained rates, and errors of the predictions"
            ),
            _cards(run),
            table(VALIDITY_COLUMNS, validity(run), "What can invalidate the numbers"),
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
        (table(cases.ROOFLINE_COLUMNS, cases.roofline_rows(run), "Cases on the roofline"),),
        details=True,
    )
    yield section(
        "scaling",
        "Scaling",
        (
            table(
                steps.FIT_COLUMNS, [row for fit in run.header.fits for row in steps.fit_rows(fit)], "Scaling"
            ),
        ),
    )
    yield _expected(run)
    yield section(
        "memory", "Memory", (table(steps.MEMORY_COLUMNS, steps.memory_rows(run), "Memory at its peak"),)
    )
    yield section(
        "steps", "Steps", (table(steps.STEP_COLUMNS, steps.step_rows(run), "Steps", steps.STEP_DISPENSABLE),)
    )
    yield section(
        "optimizations",
        "Optimizations",
        (
            table(
                steps.OPTIMIZATION_COLUMNS,
                steps.optimization_rows(run),
                "Optimizations",
                steps.OPTIMIZATION_DISPENSABLE,
            ),
        ),
    )
    yield section(
        "sensors",
        "Sensors",
        (table(cases.SENSOR_COLUMNS, cases.sensor_rows(run), "Sensor readings of each case"),),
        details=True,
    )
    yield _claims(run)
    yield _doubts(run)
    yield section(
        "cases",
        "All cases",
        [
            table(cases.COLUMNS, cases.case_rows(run, suite), f"Cases: {suite}", cases.DISPENSABLE)
            for suite in cases.suites(run.results)
        ],
        details=True,
    )
    yield section(
        "views",
        "Views of a call's time",
        (table(cases.VIEW_COLUMNS, cases.view_rows(run), "Views of a call's time", cases.VIEW_DISPENSABLE),),
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
        "Estimated and measured time",
        (
            table(
                steps.WAY_COLUMNS,
                steps.way_rows(run),
                "Errors of the estimates",
                steps.WAY_DISPENSABLE,
            ),
            table(
                steps.TIME_COLUMNS,
                steps.time_rows(run),
                "Estimated time of steps, from operators measured alone",
                steps.TIME_DISPENSABLE,
            ),
            table(
                steps.KIND_COLUMNS,
                steps.kind_rows(run),
                "Models compared with the operators of the steps, each measured alone",
            ),
            table(steps.MODEL_COLUMNS, steps.model_rows(run), "Cost model", steps.MODEL_DISPENSABLE),
            lines((steps.framework_line(run),)),
        ),
    )


def _claims(run: Run) -> Section | None:
    verdicts = [
        (v.claim, v.subject, v.answer.value, v.reason)
        for v in sorted(summary.worth_reading(run), key=lambda v: list(_GRAVITY).index(v.answer))
    ]
    return section(
        "claims",
        "Claims",
        (
            table(ids("claim", "verdicts"), summary.claims(run), "Claims"),
            table(VERDICT_COLUMNS, verdicts, "Verdicts worth reading"),
        ),
    )


_GRAVITY = (Answer.FAILS, Answer.INCONCLUSIVE, Answer.HOLDS)


def _doubts(run: Run) -> Section | None:
    return section(
        "doubts",
        "Flagged, skipped, failed",
        (
            table(cases.ABSENT_COLUMNS, cases.absent_rows(run), "Not measured"),
            table(cases.FLAGGED_COLUMNS, cases.flagged_rows(run), "Flagged"),
            lines((*steps.unknown_operators(run), *steps.untraced(run)), caution=True),
        ),
    )
