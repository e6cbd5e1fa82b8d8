"""A judgement where CI looks: JUnit XML, annotations of GitHub, the job summary, files."""

import os
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from harness.errors import StorageError
from harness.records.judgement import CaseDecision, Decision, Judgement
from harness.report import publish as publish_to
from harness.report.judgement import page, sentence, verdict
from harness.report.markdown import SUMMARY, markdown
from harness.report.terminal import screen, show_page

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
    skipped = [one for one in judgement.cases if not one.fails and one.decision is Decision.INCONCLUSIVE]
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


def _test(suite: ET.Element, one: CaseDecision, *, skipped: bool) -> None:
    seconds = f"{one.candidate_seconds or 0.0:.9f}"
    test = ET.SubElement(
        suite, "testcase", classname=f"plumbline.{_clean(one.suite)}", name=_clean(one.case), time=seconds
    )
    told = _clean(sentence(one))
    if one.fails:
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
        _command("warning", one.case, sentence(one))
        for one in judgement.cases
        if one.decision is Decision.REGRESSED and not one.fails
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
