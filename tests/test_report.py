"""Reports of made-up runs: what a person must be able to read in them."""

import io
import re

import msgspec
import pytest
from rich.console import Console

from harness.check.judge import judge
from harness.records import Environment, Result, Run
from harness.report.listing import show_catalogue, show_facts
from harness.report.outcome import show
from tests import made_up
from tests.made_up import markdown_of

RUN = judge(made_up.run((*made_up.run().results, made_up.SKIPPED, made_up.FAILED)))


def terminal(run: Run, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(run, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def cases_of(run: Run) -> list[str]:
    """The lines of the section of all cases."""
    return markdown_of(run).partition("## All cases")[2].splitlines()


@pytest.mark.parametrize("render", [markdown_of, terminal])
def test_every_case_is_shown_measured_or_not(render: object) -> None:
    text = render(RUN)  # type: ignore[operator]

    for result in RUN.results:
        assert result.case.id in text
    assert "TF32 needs an NVIDIA GPU" in text
    assert "RuntimeError: it broke" in text
    assert "8 cases: 6 measured, 1 skipped, 1 failed" in text


def test_the_numbers_of_a_row_are_those_of_the_record() -> None:
    row = next(line for line in cases_of(RUN) if line.startswith("| matmul-float32-m1024"))

    # 2 us + 2 * 1024^3 / 150 GFLOP/s = 14.3 ms: 150 GFLOP/s, 79% of 190; roofline 11.3 ms / 14.3 ms.
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == "14.3 ms"
    assert cells[2].startswith("± ")
    assert cells[4] == "150 GFLOP/s"
    assert cells[5] == "79%"
    assert cells[6] == "0.79 compute"
    assert cells[7] == "12.0 MiB"


def test_the_hierarchy_names_the_rungs_and_what_each_loses() -> None:
    rows = [line for line in markdown_of(RUN).splitlines() if line.startswith("| float32 | 2 |")]

    assert [tuple(cell.strip() for cell in row.strip("|").split("|")[2:5]) for row in rows] == [
        ("clock-true", "192 GFLOP/s", ""),
        ("micro-kernel", "190 GFLOP/s", "-1%"),
        ("peer", "180 GFLOP/s", "-5%"),
        ("torch", "150 GFLOP/s", "-17%"),
        ("best case", "150 GFLOP/s", "+0%"),
    ]


def test_what_was_not_measured_is_said() -> None:
    said = next(line for line in markdown_of(RUN).splitlines() if line.startswith("| peak: datasheet"))

    assert "GPU \\| of tomorrow" in said
    assert "not measured: datasheet (no datasheet row for 'GPU | of tomorrow')" in terminal(RUN)


def test_an_incomplete_run_says_so_and_how_to_go_on() -> None:
    run = made_up.run(finished=False)
    cut = judge(
        msgspec.structs.replace(run, results=run.results[:2], damage=("cases.jsonl: line 3 is unreadable",))
    )

    for text in (markdown_of(cut), terminal(cut)):
        assert "INCOMPLETE: 2 of 6 cases" in text
        assert f"plumbline bench --resume {run.header.id}" in text
        assert "line 3 is unreadable" in text


def test_text_from_outside_cannot_break_the_markdown() -> None:
    evil = "x | y <script>alert(1)</script> `code`\n# heading"
    failed = msgspec.structs.replace(
        made_up.FAILED, outcome=msgspec.structs.replace(made_up.FAILED.outcome, reason=evil)
    )
    environment = made_up.environment(model_name=evil)
    run = made_up.run((failed,))
    run = judge(
        msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, environment=environment))
    )

    text = markdown_of(run)

    assert "<script" not in text
    assert not re.search(r"^# heading", text, re.MULTILINE)
    rows = [line for line in text.splitlines() if "FAILED" in line]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 4


def test_markup_from_outside_is_printed_as_it_is() -> None:
    failed = msgspec.structs.replace(
        made_up.FAILED, outcome=msgspec.structs.replace(made_up.FAILED.outcome, reason="[red]not red[/red]")
    )

    assert "[red]not red[/red]" in terminal(judge(made_up.run((failed,))))


def test_what_the_sizes_do_not_identify_gets_no_number() -> None:
    results = tuple(made_up.measured_product(n, overhead=0.0) for n in made_up.SIZES)

    assert "not identified" in markdown_of(judge(made_up.run(results)))


def test_a_run_without_peaks_or_results_renders() -> None:
    empty = made_up.run(())
    bare = judge(msgspec.structs.replace(empty, header=msgspec.structs.replace(empty.header, peaks=())))

    assert "0 cases" in markdown_of(bare)
    assert "0 cases" in terminal(bare)


def test_the_catalogue_shows_each_case_with_its_cost() -> None:
    console = Console(file=io.StringIO(), width=200)
    show_catalogue([made_up.product(1024)], console)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    # 2 * 1024^3 FLOPs over 12 MiB: 170.67 FLOP/byte.
    assert "2.15 GFLOP" in text
    assert "171" in text


def test_facts_show_what_could_not_be_had_and_why() -> None:
    environment: Environment = msgspec.structs.replace(
        made_up.environment(), unavailable={"code.branch": "not a git repository"}
    )
    console = Console(file=io.StringIO(), width=200)
    show_facts(environment, console)

    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Made-up CPU" in text
    assert re.search(r"code\.branch +not a git repository", text)
    assert environment.fingerprint in text


def test_a_result_without_prediction_has_an_empty_cell() -> None:
    bare = Result(
        case=msgspec.structs.replace(made_up.product(64), cost=None), outcome=made_up.measurement(1e-3)
    )
    row = next(line for line in cases_of(judge(made_up.run((bare,)))) if line.startswith("| matmul-"))

    assert "1.00 ms" in row
