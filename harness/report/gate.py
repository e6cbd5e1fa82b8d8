"""A gated comparison for CI: JUnit XML, annotations of GitHub, the job summary, files."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from harness import units
from harness.errors import StorageError
from harness.records.comparison import CaseComparison, Comparison, Decision, ExactChange
from harness.report import publish as publish_to
from harness.report.content import Page, Section, ids, lines, section, table
from harness.report.markdown import SUMMARY, markdown
from harness.report.terminal import screen, show_page

COLUMNS = (
    *ids("case", "decision"),
    "change",
    "interval",
    "threshold",
    "detectable",
    "base",
    "candidate",
    "pairs",
    "gated",
)
DISPENSABLE = ("pairs", "threshold", "base", "candidate", "detectable")
_ORDER = (Decision.REGRESSED, Decision.INCONCLUSIVE, Decision.IMPROVED, Decision.EQUIVALENT)
_METHODS = {
    "interleaved": "interleaved, in pairs of fresh processes",
    "stored": "at different times, in two runs",
}


@dataclass(frozen=True)
class Outputs:
    """The files a comparison is written to; `-` is standard output."""

    markdown: Path | None = None
    junit: Path | None = None
    json: Path | None = None

    @property
    def on_standard_output(self) -> bool:
        """Whether a form goes to standard output."""
        return Path("-") in {self.markdown, self.junit, self.json}

    def check(self) -> None:
        """Refuses paths that cannot be written, before anything is measured.

        Raises:
            UsageError: names the first.
        """
        publish_to.check_places([path for path in (self.markdown, self.junit, self.json) if path is not None])


def page(comparison: Comparison) -> Page:
    """The whole comparison, the verdict first."""
    method = (
        f"Base: {comparison.base}. Candidate: {comparison.candidate}. Measured {_METHODS[comparison.method]}; "
        f"each interval contains the true change with {100 * comparison.level:.3g}% confidence. "
        "Changes are of the time, candidate against base."
    )
    return Page("Plumbline: base and candidate", (verdict(comparison), method), tuple(_sections(comparison)))


def verdict(comparison: Comparison) -> str:
    """One line: whether the gate fails, and the count of each decision."""
    number = {decision.value: comparison.count(decision) for decision in Decision} | {
        "missing": len(comparison.missing),
        "new": len(comparison.new),
        "informational": sum(not case.gates for case in comparison.cases),
    }
    counts = ", ".join(f"{count} {word}" for word, count in number.items() if count) or "no cases"
    undecided = " (nothing was decided)" if comparison.undecided and comparison.cases else ""
    return f"{'FAIL' if comparison.failed else f'PASS{undecided}'}: {counts}"


def sentence(case: CaseComparison) -> str:
    """One case with its numbers."""
    parts = [f"{case.decision.value}: {case.reason}"]
    if case.ratio is not None and (interval := _interval(case)):
        change, threshold = units.signed_percent(case.ratio - 1), units.percent(case.threshold)
        parts = [f"{case.decision.value}: {change} ({interval}, threshold {threshold})", case.reason]
    parts += [_change(change) for change in case.work_grew]
    if case.informational and case.informational != case.reason:
        parts.append(f"informational (not gated): {case.informational}")
    return "; ".join(filter(None, parts))


def _interval(case: CaseComparison) -> str:
    if case.low is None or case.high is None:
        return ""
    return f"{units.signed_percent(case.low - 1)} to {units.signed_percent(case.high - 1)}"


def _change(change: ExactChange) -> str:
    grew = f" ({units.signed_percent(change.candidate / change.base - 1)})" if change.base else ""
    return f"{change.metric} from {change.base:,} to {change.candidate:,}{grew}"


def _sections(comparison: Comparison) -> Iterator[Section]:
    ordered = sorted(comparison.cases, key=lambda case: (not case.fails, _ORDER.index(case.decision)))
    failing = [f"{case.case}: {sentence(case)}" for case in ordered if case.fails]
    missing = [f"{case}: missing: {reason}" for case, reason in comparison.missing]
    if missing and comparison.new:
        missing.append("a renamed case is missing under its old name: see the new cases")
    work = [
        (case.case, change.metric, f"{change.base:,}", f"{change.candidate:,}")
        for case in ordered
        for change in (*case.work_grew, *case.work_shrank)
    ]
    differences = [
        (d.field, *("" if value is None else str(value) for value in (d.this, d.other)))
        for d in comparison.differences
    ]
    sections = [
        section("fails", "Failures", (lines((*failing, *missing), caution=True),)),
        section("cases", "Cases", (table(COLUMNS, [_row(case) for case in ordered], "Cases", DISPENSABLE),)),
        section("overall", "All cases together", (lines((_overall(comparison),)),)),
        section(
            "work", "Exact changes of work", (table((*ids("case", "metric"), "base", "candidate"), work),)
        ),
        section(
            "informational",
            "Informational cases (not gated)",
            (lines(f"{case.case}: {case.informational}" for case in ordered if case.informational),),
        ),
        section(
            "differences",
            "Differences of the environments",
            (table(ids("field", "base", "candidate"), differences),),
            details=True,
        ),
        section(
            "new",
            "New cases",
            (lines(f"new, without a base: {case}" for case in comparison.new),),
            details=True,
        ),
        section("notes", "Notes", (lines(comparison.notes),)),
    ]
    yield from (section for section in sections if section is not None)


def _row(case: CaseComparison) -> tuple[str, ...]:
    base, candidate = case.base_seconds, case.candidate_seconds
    return (
        case.case,
        case.decision.value,
        "" if case.ratio is None else units.signed_percent(case.ratio - 1),
        _interval(case),
        "" if case.ratio is None else units.percent(case.threshold),
        "" if case.detectable is None else units.percent(case.detectable),
        "" if base is None else units.seconds(base),
        "" if candidate is None else units.seconds(candidate),
        str(case.pairs or ""),
        "yes" if case.gates else "no",
    )


def _overall(comparison: Comparison) -> str:
    overall = comparison.overall
    if overall is None or overall.low is None or overall.high is None:
        return ""
    change, low, high = (units.signed_percent(x - 1) for x in (overall.ratio, overall.low, overall.high))
    return f"{'' if overall.shifted else 'no '}common shift: {change} ({low} to {high}) over {overall.cases} cases"


# GitHub shows ten annotations of a kind and step.
MOST_ANNOTATIONS = 10


def as_json(comparison: Comparison) -> bytes:
    """The comparison with `failed` and the verdict, and for each case whether it fails or is gated, and its sentence."""
    content = msgspec.to_builtins(comparison)
    content |= {"failed": comparison.failed, "verdict": verdict(comparison)}
    for built, case in zip(content["cases"], comparison.cases, strict=True):
        built |= {"change": case.change, "fails": case.fails, "gates": case.gates, "summary": sentence(case)}
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def as_markdown(comparison: Comparison) -> str:
    """The page, cut to the size of a job summary."""
    return markdown(page(comparison), SUMMARY)


def as_junit(comparison: Comparison) -> bytes:
    """JUnit XML: a test case for each case; an inconclusive case is skipped, with its reason."""
    failing = len(comparison.failing) + len(comparison.missing)
    skipped = [case for case in comparison.cases if not case.fails and case.decision is Decision.INCONCLUSIVE]
    count = len(comparison.cases) + len(comparison.missing)
    suite = ET.Element(
        "testsuite",
        name="plumbline",
        tests=str(count),
        failures=str(failing),
        errors="0",
        skipped=str(len(skipped)),
    )
    for case in comparison.cases:
        _test(suite, case, skipped=case in skipped)
    for name, reason in comparison.missing:
        test = ET.SubElement(suite, "testcase", classname="plumbline.missing", name=_clean(name))
        ET.SubElement(test, "failure", message=_clean(f"missing: {reason}"))
    root = ET.Element("testsuites")
    root.append(suite)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root) + b"\n"


def _test(suite: ET.Element, case: CaseComparison, *, skipped: bool) -> None:
    seconds = f"{case.candidate_seconds or 0.0:.9f}"
    test = ET.SubElement(
        suite,
        "testcase",
        classname=f"plumbline.{_clean(case.suite)}",
        name=_clean(case.case),
        time=seconds,
    )
    text = _clean(sentence(case))
    if case.fails:
        ET.SubElement(test, "failure", message=text)
    elif skipped:
        ET.SubElement(test, "skipped", message=text)
    else:
        ET.SubElement(test, "system-out").text = text


def _clean(text: str) -> str:
    """Replaces the characters that XML 1.0 does not allow."""
    allowed = ((0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
    return "".join(
        character if character in "\t\n\r" or any(a <= ord(character) <= b for a, b in allowed) else "?"
        for character in text
    )


def annotations(comparison: Comparison) -> list[str]:
    """Workflow commands of GitHub: an error for a failure, a warning for an informational regression, a notice with the verdict."""
    errors = [_command("error", case.case, sentence(case)) for case in comparison.failing]
    errors += [_command("error", name, f"missing: {reason}") for name, reason in comparison.missing]
    warnings = [
        _command("warning", case.case, sentence(case))
        for case in comparison.cases
        if case.decision is Decision.REGRESSED and not case.fails
    ]
    notice = _command("notice", "plumbline", verdict(comparison))
    return [*errors[:MOST_ANNOTATIONS], *warnings[:MOST_ANNOTATIONS], notice]


def _command(kind: str, title: str, text: str) -> str:
    """A command, escaped as GitHub's toolkit does: a line break would end it, and a colon or comma its title."""
    body = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    head = head.replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={head}::{body}"


def publish(comparison: Comparison, outputs: Outputs) -> None:
    """Writes the forms that were asked for, reports to GitHub, and prints the page unless a form is on standard output.

    Raises:
        StorageError: a file cannot be written.
    """
    forms: tuple[tuple[Path | None, Callable[[], bytes]], ...] = (
        (outputs.markdown, lambda: as_markdown(comparison).encode()),
        (outputs.junit, lambda: as_junit(comparison)),
        (outputs.json, lambda: as_json(comparison)),
    )
    for path, content in forms:
        if path is not None:
            publish_to.put(path, content())
    stream = sys.stderr if outputs.on_standard_output else sys.stdout
    stream.writelines(f"{line}\n" for line in to_job(comparison))
    if not outputs.on_standard_output:
        show_page(page(comparison), screen())


def to_job(comparison: Comparison) -> list[str]:
    """In a job of GitHub: adds the Markdown to its summary, and returns the annotations to print.

    Raises:
        StorageError: the summary cannot be written.
    """
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(as_markdown(comparison))
        except OSError as error:
            raise StorageError(f"cannot write the job summary {summary}: {error.strerror}") from error
    return annotations(comparison) if os.environ.get("GITHUB_ACTIONS") == "true" else []
