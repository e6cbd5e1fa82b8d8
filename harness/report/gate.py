"""A judgement where CI looks: JUnit XML, annotations of GitHub, the job summary, files."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from harness import units
from harness.errors import StorageError
from harness.records import Exact
from harness.records.comparison import CaseDecision, Decision, Judgement
from harness.records.environment import Scalar
from harness.report import publish as publish_to
from harness.report.content import Page, Section, ids, lines, section, table
from harness.report.markdown import SUMMARY, markdown
from harness.report.terminal import screen, show_page

COLUMNS = (
    *ids("case", "decision"),
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
    informing = sum(not case.gates for case in judgement.cases)
    counts += [f"{informing} {'informs' if informing == 1 else 'inform'} only"] if informing else []
    passes = "passes, as nothing was decided" if judgement.idle and judgement.cases else "passes"
    return f"{'FAILS' if judgement.failed else passes}: {', '.join(counts) or 'no cases'}"


def sentence(case_decision: CaseDecision) -> str:
    """What is said of one case, with its numbers."""
    parts = []
    if case_decision.ratio is not None and case_decision.low is not None and case_decision.high is not None:
        parts.append(
            f"{case_decision.decision.value}: {units.signed_percent(case_decision.ratio - 1)} ({units.signed_percent(case_decision.low - 1)} to "
            f"{units.signed_percent(case_decision.high - 1)}, floor {units.percent(case_decision.floor)})"
        )
    else:
        parts.append(f"{case_decision.decision.value}: {case_decision.reason}")
    if case_decision.ratio is not None and case_decision.reason:
        parts.append(case_decision.reason)
    parts += [f"{told(change)}" for change in case_decision.work_grew]
    if case_decision.informs and case_decision.informs != case_decision.reason:
        parts.append(f"only informs, as {case_decision.informs}")
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
                    (*ids("case", "metric"), "base", "candidate"),
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
                    ids("field", "base", "candidate"),
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


def _row(case_decision: CaseDecision) -> tuple[str, ...]:
    known = case_decision.ratio is not None
    return (
        case_decision.case,
        case_decision.decision.value,
        units.signed_percent(case_decision.ratio - 1) if case_decision.ratio is not None else "",
        f"{units.signed_percent(case_decision.low - 1)} to {units.signed_percent(case_decision.high - 1)}"
        if case_decision.low is not None and case_decision.high is not None
        else "",
        units.percent(case_decision.floor) if known else "",
        units.percent(case_decision.detectable) if case_decision.detectable is not None else "",
        units.seconds(case_decision.base_seconds) if case_decision.base_seconds is not None else "",
        units.seconds(case_decision.candidate_seconds) if case_decision.candidate_seconds is not None else "",
        str(case_decision.pairs or ""),
        "yes" if case_decision.gates else "informs",
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


# GitHub shows ten annotations of a kind and step.
MOST_ANNOTATIONS = 10


def as_json(judgement: Judgement) -> bytes:
    """All of it, with what follows from it: `failed`, the verdict in words, and of each case whether it fails and its sentence."""
    told = msgspec.to_builtins(judgement)
    told |= {"failed": judgement.failed, "verdict": verdict(judgement)}
    for case, one in zip(told["cases"], judgement.cases, strict=True):
        case |= {"change": one.change, "fails": one.fails, "told": sentence(one)}
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def as_markdown(judgement: Judgement) -> str:
    """The page, cut to what a job summary takes."""
    return markdown(page(judgement), SUMMARY)


def as_junit(judgement: Judgement) -> bytes:
    """JUnit XML: a test case for each case; what fails is a failure, what cannot be told is skipped, with its reason."""
    failing = len(judgement.failing) + len(judgement.missing)
    skipped = [case for case in judgement.cases if not case.fails and case.decision is Decision.INCONCLUSIVE]
    count = len(judgement.cases) + len(judgement.missing)
    suite = ET.Element(
        "testsuite",
        name="plumbline",
        tests=str(count),
        failures=str(failing),
        errors="0",
        skipped=str(len(skipped)),
    )
    for one in judgement.cases:
        _test(suite, one, skipped=one in skipped)
    for case, reason in judgement.missing:
        test = ET.SubElement(suite, "testcase", classname="plumbline.missing", name=_clean(case))
        ET.SubElement(test, "failure", message=_clean(f"missing: {reason}"))
    root = ET.Element("testsuites")
    root.append(suite)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root) + b"\n"


def _test(suite: ET.Element, decision: CaseDecision, *, skipped: bool) -> None:
    seconds = f"{decision.candidate_seconds or 0.0:.9f}"
    test = ET.SubElement(
        suite,
        "testcase",
        classname=f"plumbline.{_clean(decision.suite)}",
        name=_clean(decision.case),
        time=seconds,
    )
    told = _clean(sentence(decision))
    if decision.fails:
        ET.SubElement(test, "failure", message=told)
    elif skipped:
        ET.SubElement(test, "skipped", message=told)
    else:
        ET.SubElement(test, "system-out").text = told


def _clean(text: str) -> str:
    """Without the characters XML 1.0 has no place for."""
    allowed = ((0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
    return "".join(
        one if one in "\t\n\r" or any(low <= ord(one) <= high for low, high in allowed) else "?"
        for one in text
    )


def annotations(judgement: Judgement) -> list[str]:
    """GitHub's workflow commands: an error for what fails, a warning for a regression that only informs, a notice with the verdict."""
    errors = [_command("error", one.case, sentence(one)) for one in judgement.failing]
    errors += [_command("error", case, f"missing: {reason}") for case, reason in judgement.missing]
    warnings = [
        _command("warning", case.case, sentence(case))
        for case in judgement.cases
        if case.decision is Decision.REGRESSED and not case.fails
    ]
    notice = _command("notice", "plumbline", verdict(judgement))
    return [*errors[:MOST_ANNOTATIONS], *warnings[:MOST_ANNOTATIONS], notice]


def _command(kind: str, title: str, text: str) -> str:
    """Escaped as GitHub's toolkit does: a line break would end it, and a colon or comma its title."""
    body = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = head.replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={head}::{body}"


def check_places(*places: Path | None) -> None:
    """Refuses places that nothing can be written to, before anything is measured.

    Raises:
        UsageError: names the first.
    """
    publish_to.check_places([place for place in places if place is not None])


def publish(
    judgement: Judgement, to_markdown: Path | None, to_junit: Path | None, to_json: Path | None
) -> None:
    """Writes the forms that are asked for, tells a job of GitHub, and shows the rest in the terminal unless JSON goes there.

    Raises:
        StorageError: a file cannot be written.
    """
    forms = ((to_markdown, as_markdown), (to_junit, as_junit), (to_json, as_json))
    for place, made in forms:
        if place is not None:
            content = made(judgement)
            publish_to.put(place, content.encode() if isinstance(content, str) else content)
    for line in to_job(judgement):
        typed = sys.stderr if Path("-") in (to_markdown, to_junit, to_json) else sys.stdout
        typed.write(f"{line}\n")
    if Path("-") not in (to_markdown, to_junit, to_json):
        show_page(page(judgement), screen())


def to_job(judgement: Judgement) -> list[str]:
    """Inside a job of GitHub: adds the Markdown to its summary, and gives the annotations to print.

    Raises:
        StorageError: the summary cannot be written.
    """
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(as_markdown(judgement))
        except OSError as error:
            raise StorageError(f"cannot write the job summary {summary}: {error.strerror}") from error
    return annotations(judgement) if os.environ.get("GITHUB_ACTIONS") == "true" else []
