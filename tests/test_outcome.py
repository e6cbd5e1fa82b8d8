"""The short answer to a bench: one table of cases, then at most 15 lines."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from harness.check.judge import judge
from harness.records import Answer, Finding, FindingKind, Run
from harness.report.outcome import MOST_LINES, MOST_ROWS, concerning, show_brief, summary_lines
from harness.report.sources import of_folder
from tests import made_up

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
SMALL = judge(made_up.run((*made_up.run().results, made_up.SKIPPED, made_up.FAILED)))
LARGE = of_folder(REFERENCE / "epyc-2-cores-cpu").run


def printed(run: Run, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    show_brief(run, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [80, 240])
def test_the_answer_is_short_and_fits(width: int) -> None:
    for run in (SMALL, LARGE):
        lines = printed(run, width)

        assert max(map(len, lines)) <= width
        assert "\n".join(lines).count("\n\n") <= 2
        table = lines.index("")
        assert table - 1 <= MOST_ROWS
        console = Console(file=io.StringIO(), width=width)
        assert sum(len(line.wrap(console, width)) for line in summary_lines(run, console)) <= MOST_LINES
        assert len(lines) <= table + 5 + MOST_LINES


def test_the_verdict_counts_cases_and_claims() -> None:
    answers = [verdict.answer for verdict in LARGE.header.verdicts]
    text = "\n".join(printed(LARGE, 240))

    counts = f"{len(LARGE.measured)} cases measured, {len(LARGE.skipped)} skipped, 0 failed"
    assert f"PASS: {counts}; {answers.count(Answer.HOLDS):,} claims hold, " in text
    assert "FAIL: 6 cases measured, 1 skipped, 1 failed; " in "\n".join(printed(SMALL, 240))


def test_a_small_run_shows_every_case_and_trouble() -> None:
    text = "\n".join(printed(SMALL, 120))

    for result in SMALL.measured:
        assert result.case.id in text
    assert "FAILED: RuntimeError: it broke" in text
    assert "skipped: 1 case: TF32 needs an NVIDIA GPU" in text
    assert "trust: " in text
    assert "Made-up CPU" in text


def test_a_long_list_of_cases_is_cut_and_says_so() -> None:
    lines = printed(LARGE, 160)
    cases = [result for result in LARGE.measured if not result.case.calibrates]

    assert f"{MOST_ROWS} rows for {len(cases)} cases" in " ".join(lines)
    shown = [line.split()[0] for line in lines if line.startswith("  ")]
    assert len(shown) == len(set(shown)) == MOST_ROWS - len({result.case.suite for result in cases})


def test_flags_are_initials_with_a_legend_where_words_are_too_wide() -> None:
    assert "F few_samples" in "\n".join(printed(LARGE, 80))
    assert "F few_samples" not in "\n".join(printed(LARGE, 240))


def test_no_finding_about_a_dtype_that_no_case_uses_is_shown() -> None:
    peaks = made_up.run().header.peaks
    half = tuple(
        msgspec.structs.replace(
            one, compute=(*one.compute, *(msgspec.structs.replace(c, dtype="float16") for c in one.compute))
        )
        for one in peaks
    )
    findings = tuple(
        Finding(name, FindingKind.ADVICE, text, "", "")
        for name, text in (("slow", "float16 is slow"), ("lost", "float32 is slow"), ("noise", "it is noisy"))
    )
    run = made_up.run()
    run = msgspec.structs.replace(
        run, header=msgspec.structs.replace(run.header, peaks=half, findings=findings)
    )

    assert [finding.name for finding in concerning(run)] == ["lost", "noise"]
