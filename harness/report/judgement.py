"""A candidate beside a base, as content: the verdict in one line, what fails and why, every case, and what differs."""

from collections.abc import Iterator

from harness import units
from harness.records import Exact
from harness.records.environment import Scalar
from harness.records.judgement import CaseDecision, Decision, Judgement
from harness.report.content import Page, Section, lines, section, table

COLUMNS = (
    "case",
    "decision",
    "change",
    "interval",
    "floor",
    "detects",
    "base",
    "candidate",
    "pairs",
    "gates",
)
DISPENSABLE = ("pairs", "floor", "base", "candidate", "detects")
_ORDER = {
    Decision.REGRESSED: 0,
    Decision.INCONCLUSIVE: 1,
    Decision.IMPROVED: 2,
    Decision.EQUIVALENT: 3,
}


def page(judgement: Judgement) -> Page:
    """All that is to be said, the verdict first."""
    measured = _METHODS[judgement.method]
    sure = f"an interval holds the true change in {100 * judgement.level:.3g} of 100 cases"
    sides = f"Base: {judgement.base}. Candidate: {judgement.candidate}."
    about = (verdict(judgement), f"{sides} Measured {measured}; {sure}.")
    return Page("Plumbline: base and candidate", about, tuple(_sections(judgement)))


_METHODS = {
    "side by side": "side by side, in turns, by fresh pairs of processes",
    "stored": "at other times, by two runs",
}


def verdict(judgement: Judgement) -> str:
    """One line: whether the gate stops, and the count of each decision."""
    counts = [
        f"{count} {one.value}"
        for one in (Decision.REGRESSED, Decision.IMPROVED, Decision.EQUIVALENT, Decision.INCONCLUSIVE)
        if (count := judgement.counted(one))
    ]
    counts += [f"{len(judgement.missing)} missing"] if judgement.missing else []
    counts += [f"{len(judgement.new)} new"] if judgement.new else []
    informing = sum(not one.gates for one in judgement.cases)
    counts += [f"{informing} {'informs' if informing == 1 else 'inform'} only"] if informing else []
    passes = "passes, as nothing was decided" if judgement.idle and judgement.cases else "passes"
    return f"{'FAILS' if judgement.failed else passes}: {', '.join(counts) or 'no cases'}"


def sentence(one: CaseDecision) -> str:
    """What is said of one case, with its numbers."""
    parts = []
    if one.ratio is not None and one.low is not None and one.high is not None:
        parts.append(
            f"{one.decision.value}: {units.signed_percent(one.ratio - 1)} ({units.signed_percent(one.low - 1)} to "
            f"{units.signed_percent(one.high - 1)}, floor {units.percent(one.floor)})"
        )
    else:
        parts.append(f"{one.decision.value}: {one.reason}")
    if one.ratio is not None and one.reason:
        parts.append(one.reason)
    parts += [f"{told(change)}" for change in one.work_grew]
    if one.informs and one.informs != one.reason:
        parts.append(f"only informs, as {one.informs}")
    return "; ".join(parts)


def told(change: Exact) -> str:
    """A metric without noise that changed."""
    grew = f" ({units.signed_percent(change.other / change.base - 1)})" if change.base else ""
    return f"{change.metric} from {change.base:,} to {change.other:,}{grew}"


def _sections(judgement: Judgement) -> Iterator[Section]:
    ordered = sorted(judgement.cases, key=lambda one: (not one.fails, _ORDER[one.decision]))
    failing = [f"{one.case}: {sentence(one)}" for one in ordered if one.fails]
    gone = [f"{case}: missing, {reason}" for case, reason in judgement.missing]
    if gone and judgement.new:
        gone.append("a case that got another name is missing under its old one: see the new cases")
    found = [
        section("fails", "What fails", (lines((*failing, *gone), caution=True),)),
        section(
            "cases",
            "Cases",
            (table(COLUMNS, [_row(one) for one in ordered], "Cases", DISPENSABLE),),
        ),
        section("overall", "All cases together", (lines((_overall(judgement),)),)),
        section(
            "work",
            "Work without noise that changed",
            (
                table(
                    ("case", "metric", "base", "candidate"),
                    [
                        (one.case, change.metric, f"{change.base:,}", f"{change.other:,}")
                        for one in ordered
                        for change in (*one.work_grew, *one.work_shrank)
                    ],
                ),
            ),
        ),
        section(
            "informs",
            "What only informs",
            (
                lines(
                    f"{one.case}: {one.informs}"
                    for one in ordered
                    if one.informs and one.informs != "no readings"
                ),
            ),
        ),
        section(
            "differences",
            "What differs between the environments",
            (
                table(
                    ("field", "base", "candidate"),
                    [(d.field, _fact(d.this), _fact(d.other)) for d in judgement.differences],
                ),
            ),
            details=True,
        ),
        section(
            "new",
            "New cases",
            (lines(f"new, with nothing to compare: {case}" for case in judgement.new),),
            details=True,
        ),
        section("notes", "Notes", (lines(judgement.notes),)),
    ]
    yield from (one for one in found if one is not None)


def _row(one: CaseDecision) -> tuple[str, ...]:
    known = one.ratio is not None
    return (
        one.case,
        one.decision.value,
        units.signed_percent(one.ratio - 1) if one.ratio is not None else "",
        f"{units.signed_percent(one.low - 1)} to {units.signed_percent(one.high - 1)}"
        if one.low is not None and one.high is not None
        else "",
        units.percent(one.floor) if known else "",
        units.percent(one.detectable) if one.detectable is not None else "",
        units.seconds(one.base_seconds) if one.base_seconds is not None else "",
        units.seconds(one.candidate_seconds) if one.candidate_seconds is not None else "",
        str(one.pairs or ""),
        "yes" if one.gates else "informs",
    )


def _fact(value: Scalar) -> str:
    return "" if value is None else str(value)


def _overall(judgement: Judgement) -> str:
    overall = judgement.overall
    if overall is None:
        return ""
    words = "a shift common to all" if overall.shifted else "no common shift"
    return (
        f"{words}: {units.signed_percent(overall.ratio - 1)} ({units.signed_percent(overall.low - 1)} to "
        f"{units.signed_percent(overall.high - 1)}) over {overall.cases} cases"
    )
