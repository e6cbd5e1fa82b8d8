"""`plumbline report`: what it takes, where it puts what was asked for, and what it says when it cannot."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from harness import store
from harness.check.judge import judge
from harness.measure import selection
from harness.records import Result
from harness.report import publish
from harness.report.content import Page, Section, Table
from harness.report.publish import as_page
from harness.report.sources import Source, opened
from harness.report.terminal import show_page
from harness.text import visible
from tests import made_up
from tests.conftest import decoded
from tests.simulated import Simulated

Plumbline = Callable[..., tuple[int, str, str]]
Suite = Callable[..., Path]

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
EPYC, XEON = REFERENCE / "epyc-2-cores-cpu", REFERENCE / "xeon-2-cores-cpu"
FIRST, SECOND = "20260102T030405Z-aaaaaaaa-0a1b2c", "20260103T030405Z-bbbbbbbb-0d0e0f"


def one_line(errors: str) -> str:
    assert errors.startswith("plumbline: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    return errors


def keep(results: Path, results_of_run: tuple[Result, ...] | None = None, **changes: Any) -> Path:
    """Puts a made-up run on disk: judged where every case planned is there, else as it was when it was ended."""
    run = made_up.run(results_of_run)
    run = msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, **changes))
    if run.complete:
        run = judge(run)
    else:
        run = msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, finished_at=None))
    writer = store.Writer.create(results, run.header)
    for result in run.results:
        writer.append(result)
    writer.close()
    return writer.folder


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two complete runs, judged once for all tests."""
    results = tmp_path_factory.mktemp("two") / "results"
    keep(results, id=FIRST)
    faster = tuple(made_up.measured_product(n, rate=180e9) for n in made_up.SIZES[1:])
    other = made_up.environment(host="f" * 16, model_name="Another CPU")
    keep(results, faster, id=SECOND, environment=other)
    return results


@pytest.fixture
def runs(two_runs: Path, tmp_path: Path) -> Path:
    """The same in results/, where the commands of a test look."""
    shutil.copytree(two_runs, tmp_path / "results")
    return Path("results")


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Which run


def test_without_any_run_it_says_how_to_make_one(plumbline: Plumbline) -> None:
    for arguments in (["report"], ["report", "latest"], ["report", "2026"], ["report", "--html", "x.html"]):
        status, output, errors = plumbline(*arguments)

        assert (status, output) == (2, "")
        assert re.search(r"no run.* in results: `plumbline bench` makes one", one_line(errors))
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("reference", ["nosuch", "2025", "no/such/folder", "nosuch.json", ""])
def test_an_unknown_run_is_named_with_what_there_is(runs: Path, plumbline: Plumbline, reference: str) -> None:
    status, output, errors = plumbline("report", reference)

    assert (status, output) == (2, "")
    assert f"no run {reference!r} in results" in one_line(errors) or reference == ""
    assert f"latest ({SECOND})" in errors


def test_the_beginning_of_two_ids_is_refused(runs: Path, plumbline: Plumbline) -> None:
    status, output, errors = plumbline("report", "202601")

    assert (status, output) == (2, "")
    assert "2 runs begin with '202601'" in one_line(errors)


def test_latest_is_the_default(runs: Path, plumbline: Plumbline) -> None:
    for arguments in ([], ["latest"], [SECOND], [SECOND[:8]], [runs / SECOND]):
        status, output, errors = plumbline("report", *arguments)

        assert (status, errors) == (0, "")
        assert "Another CPU" in output
        assert f"{SECOND}: 5 cases: 5 measured, 0 skipped, 0 failed" in output


@pytest.mark.parametrize("again", [SECOND, SECOND[:8], "latest", f"results/{SECOND}", "earlier.json"])
def test_a_run_named_twice_is_refused(runs: Path, plumbline: Plumbline, again: str) -> None:
    assert plumbline("report", "--json", "earlier.json")[0] == 0

    status, output, errors = plumbline("report", "latest", FIRST, again)

    assert (status, output) == (2, "")
    assert f"run {SECOND} is named twice" in one_line(errors)


@pytest.mark.parametrize("name", ["run.json", "cases.jsonl"])
def test_a_file_that_is_no_report_is_refused(runs: Path, plumbline: Plumbline, name: str) -> None:
    status, output, errors = plumbline("report", runs / FIRST / name)

    assert (status, output) == (2, "")
    assert name in one_line(errors)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format":"other","version":1}', b"\0" * 9]
)
def test_json_that_is_no_report_is_refused(plumbline: Plumbline, content: bytes) -> None:
    Path("some.json").write_bytes(content)

    status, output, errors = plumbline("report", "some.json")

    assert (status, output) == (2, "")
    assert "some.json is not a report of Plumbline" in one_line(errors)


# Where it goes


def test_every_form_is_written_whole_and_said_where(runs: Path, plumbline: Plumbline) -> None:
    status, output, errors = plumbline(
        "report", FIRST, "--html", "a.html", "--markdown", "a.md", "--json", "a.json"
    )

    assert (status, output) == (0, "")
    assert errors == "wrote a.html\nwrote a.md\nwrote a.json\n"
    page, text = Path("a.html").read_text(), Path("a.md").read_text()
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert text.startswith("# Plumbline: Made-up CPU, 2 threads, torch 2.13.0")
    (told,) = decoded(Path("a.json").read_text())["runs"]
    assert told["run"]["id"] == FIRST
    assert len(told["cases"]) == len(made_up.SIZES)
    for case in told["cases"]:
        assert case["case"] in page
        assert case["case"] in text
    assert {path.name for path in Path().iterdir()} == {"results", "a.html", "a.md", "a.json"}
    assert {path.stat().st_mode & 0o777 for path in Path().glob("a.*")} == {0o644}


def test_what_was_there_is_replaced(runs: Path, plumbline: Plumbline) -> None:
    Path("a.md").write_text("x" * 10**6)

    assert plumbline("report", "--markdown", "a.md")[0] == 0

    assert Path("a.md").read_text().startswith("# Plumbline")
    assert "xxx" not in Path("a.md").read_text()


@pytest.mark.parametrize(
    ("form", "begins"),
    [("--html", "<!doctype html>"), ("--markdown", "# Plumbline"), ("--json", '{"format":')],
)
def test_a_dash_is_standard_output_and_nothing_else_is_there(
    runs: Path, plumbline: Plumbline, form: str, begins: str
) -> None:
    written = plumbline("report", form, "x.json")
    assert (written[0], written[1]) == (0, "")

    status, output, errors = plumbline("report", form, "-")

    assert (status, errors) == (0, "")
    assert output.startswith(begins)
    assert output == Path("x.json").read_text()


def test_a_dash_for_one_form_leaves_the_others_their_files(runs: Path, plumbline: Plumbline) -> None:
    status, output, errors = plumbline("report", "--markdown", "-", "--json", "a.json")

    assert (status, errors) == (0, "wrote a.json\n")
    assert output.startswith("# Plumbline")
    assert "wrote" not in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json"],
        ["latest", "--json"],
        ["--json", "latest"],
        ["--json", SECOND],
        ["--json", "--results", "results"],
        ["--results", "results", "--json"],
        ["--json", "--markdown", "a.md"],
        ["--json", "-"],
        ["--json=-"],
    ],
)
def test_json_without_a_file_is_alone_on_standard_output(
    runs: Path, plumbline: Plumbline, arguments: list[str]
) -> None:
    status, output, errors = plumbline("report", *arguments)

    assert (status, errors) == (0, "wrote a.md\n" if "a.md" in arguments else "")
    assert [told["run"]["id"] for told in decoded(output)["runs"]] == [SECOND]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "a.json"],
        ["--json", "a.json", FIRST],
        [FIRST, "--json", "a.json"],
        ["--json=a.json", "--results", "results"],
    ],
)
def test_json_with_a_file_is_written_there(runs: Path, plumbline: Plumbline, arguments: list[str]) -> None:
    status, output, errors = plumbline("report", *arguments)

    assert (status, output, errors) == (0, "", "wrote a.json\n")
    wanted = FIRST if FIRST in arguments else SECOND
    assert [told["run"]["id"] for told in decoded(Path("a.json").read_text())["runs"]] == [wanted]


def test_json_into_a_name_of_another_kind_is_a_run_that_is_not_there(
    runs: Path, plumbline: Plumbline
) -> None:
    status, output, errors = plumbline("report", "--json", "report.txt")

    assert (status, output) == (2, "")
    assert "no run 'report.txt' in results" in one_line(errors)
    assert not Path("report.txt").exists()
    assert plumbline("report", "--json=report.txt") == (0, "", "wrote report.txt\n")


@pytest.mark.parametrize("place", ["x", "-"])
def test_two_forms_for_one_place_are_refused(runs: Path, plumbline: Plumbline, place: str) -> None:
    for first, second in (("--html", "--markdown"), ("--markdown", "--json"), ("--html", "--json")):
        status, output, errors = plumbline("report", first, place, f"{second}={place}")

        assert (status, output) == (2, "")
        assert f"{place} is named for two forms of the report" in one_line(errors)
    assert not Path("x").exists()


@pytest.mark.parametrize("form", ["--html", "--markdown", "--json"])
def test_a_folder_that_is_not_there_is_named_before_anything_is_written(
    runs: Path, plumbline: Plumbline, form: str
) -> None:
    Path("file").touch()
    for place in ("no/such/x.json", "file/x.json"):
        other = "--markdown" if form == "--html" else "--html"
        status, output, errors = plumbline("report", other, "other", form, place)

        assert (status, output) == (2, "")
        assert f"{place}: there is no folder {Path(place).parent}" in one_line(errors)
    assert not Path("other").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_is_named(runs: Path, plumbline: Plumbline) -> None:
    Path("shut").mkdir(mode=0o555)

    status, output, errors = plumbline("report", "--markdown", "shut/x.md")

    assert (status, output) == (3, "")
    assert "cannot write shut/x.md: Permission denied" in one_line(errors)


@pytest.mark.parametrize("form", ["--html", "--markdown", "--json"])
def test_a_folder_in_the_way_is_named(runs: Path, plumbline: Plumbline, form: str) -> None:
    Path("x.json").mkdir()

    status, output, errors = plumbline("report", form, "x.json")

    assert (status, output) == (2, "")
    assert "x.json is a folder: name a file" in one_line(errors)
    assert list(Path("x.json").iterdir()) == []
    assert {path.name for path in Path().iterdir()} == {"results", "x.json"}


def test_a_disk_that_is_full_leaves_the_file_that_was_there(
    runs: Path, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("a.md").write_text("before")

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    status, output, errors = plumbline("report", "--markdown", "a.md")

    assert (status, output) == (3, "")
    assert "cannot write a.md: No space left on device" in one_line(errors)
    assert Path("a.md").read_text() == "before"
    assert {path.name for path in Path().iterdir()} == {"results", "a.md"}


def test_a_pipe_is_written_to_and_stays_one(runs: Path, plumbline: Plumbline) -> None:
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()

    status, output, errors = plumbline("report", "--markdown", "pipe")

    reader.join(timeout=10)
    assert (status, output, errors) == (0, "", "wrote pipe\n")
    assert read[0].startswith("# Plumbline")
    assert Path("pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_device_is_written_to_and_never_replaced(
    runs: Path, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, _: bytes) -> None:
        raise AssertionError(f"{path} would be replaced")

    monkeypatch.setattr(publish, "write_whole", refused)
    status, output, errors = plumbline("report", "--markdown", "/dev/full")

    assert (status, output) == (3, "")
    assert "cannot write /dev/full: No space left on device" in one_line(errors)
    assert plumbline("report", "--json", "--markdown", "/dev/null")[2] == "wrote /dev/null\n"


@pytest.mark.worker
@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_a_full_output_is_one_line_and_a_form_is_utf_8_in_any_terminal(two_runs: Path) -> None:
    command = f"{sys.executable} -m harness.cli report {FIRST} --results {two_runs}"

    def run(line: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["bash", "-c", line], capture_output=True, env=os.environ | variables, check=False
        )

    full = run(f"{command} --markdown - > /dev/full")
    assert full.returncode == 3
    assert "No space left on device" in one_line(full.stderr.decode())
    narrow = run(f"{command} --markdown -", PYTHONIOENCODING="ascii")
    assert (narrow.returncode, narrow.stderr) == (0, b"")
    assert " µs " in narrow.stdout.decode()


def test_a_comment_is_what_markdown_is_made_for_where_that_is_asked(plumbline: Plumbline) -> None:
    whole = plumbline("report", EPYC, "--markdown", "-")[1]
    status, cut, errors = plumbline("report", EPYC, "--markdown", "-", "--for", "comment")

    assert (status, errors) == (0, "")
    assert len(cut) <= 65_536 < len(whole)
    assert re.search(r"^\d+ of \d+ rows are not shown", cut, re.MULTILINE)
    assert "are not shown" not in whole
    assert plumbline("report", EPYC, "--markdown", "-", "--for", "summary")[1] == whole


def test_another_place_is_refused_with_those_there_are(runs: Path, plumbline: Plumbline) -> None:
    status, output, errors = plumbline("report", "--markdown", "-", "--for", "nonsense")

    assert (status, output) == (2, "")
    assert "--for" in one_line(errors)
    for word in ("nonsense", "summary", "comment"):
        assert f"'{word}'" in errors


@pytest.mark.parametrize("option", ["--html", "--markdown", "--for", "--results"])
def test_an_option_without_its_value_is_one_line(runs: Path, plumbline: Plumbline, option: str) -> None:
    status, output, errors = plumbline("report", option)

    assert (status, output) == (2, "")
    assert f"'{option}' requires an argument" in one_line(errors)


# A browser


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What a browser was asked to open; temporary files lie in a folder of the test."""
    asked: list[str] = []
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def open_page(url: str) -> bool:
        asked.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_page)
    return asked


def test_open_shows_the_page_that_was_written(
    runs: Path, plumbline: Plumbline, browser: list[str], tmp_path: Path
) -> None:
    status, output, errors = plumbline("report", "--html", "a page.html", "--open")

    assert (status, output, errors) == (0, "", "wrote a page.html\n")
    assert browser == [(tmp_path / "a page.html").as_uri()]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_open_alone_makes_a_page_and_says_where(
    runs: Path, plumbline: Plumbline, browser: list[str], tmp_path: Path
) -> None:
    status, output, errors = plumbline("report", FIRST, "--open")

    (page,) = (tmp_path / "temporary").iterdir()
    assert (status, output, errors) == (0, "", f"wrote {page}\n")
    assert browser == [page.as_uri()]
    assert FIRST in page.name
    assert page.read_text().startswith("<!doctype html>")


def test_open_beside_a_page_on_standard_output_gives_both(
    runs: Path, plumbline: Plumbline, browser: list[str], tmp_path: Path
) -> None:
    status, output, errors = plumbline("report", "--html", "-", "--open")

    (page,) = (tmp_path / "temporary").iterdir()
    assert (status, errors) == (0, f"wrote {page}\n")
    assert output == page.read_text()
    assert browser == [page.as_uri()]


def test_without_a_browser_it_says_what_to_open(
    runs: Path, plumbline: Plumbline, browser: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda _: False)

    status, output, errors = plumbline("report", "--html", "a.html", "--open")

    assert (status, output) == (0, "")
    assert errors == "wrote a.html\nno browser could be started: open a.html\n"


# Several runs, and the JSON of an earlier report


def test_several_runs_are_set_side_by_side_in_every_form(runs: Path, plumbline: Plumbline) -> None:
    status, output, errors = plumbline("report", FIRST, SECOND)
    assert (status, errors) == (0, "")
    assert "2 runs compared" in output

    status, _, _ = plumbline(
        "report", FIRST, SECOND, "--html", "a.html", "--markdown", "a.md", "--json", "a.json"
    )

    assert status == 0
    told = decoded(Path("a.json").read_text())
    assert [one["run"]["id"] for one in told["runs"]] == [FIRST, SECOND]
    assert len(told["comparisons"]) == 1
    for text in (output, Path("a.html").read_text(), Path("a.md").read_text()):
        assert "Made-up CPU" in text
        assert "Another CPU is another machine than Made-up CPU" in text
        assert "matmul-float32-m64-n64-k64" in text  # measured in the base alone


@pytest.mark.parametrize("ids", [[FIRST], [FIRST, SECOND]], ids=["one", "two"])
def test_an_earlier_report_is_as_good_as_its_runs(runs: Path, plumbline: Plumbline, ids: list[str]) -> None:
    assert plumbline("report", *ids, "--json", "earlier.json")[0] == 0

    for form in ([], ["--markdown", "-"], ["--json", "-"], ["--html", "-"]):
        from_runs = plumbline("report", *ids, *form)
        assert from_runs[0] == 0
        assert plumbline("report", "earlier.json", *form) == from_runs


def test_an_earlier_report_beside_a_run_is_the_runs_side_by_side(runs: Path, plumbline: Plumbline) -> None:
    assert plumbline("report", FIRST, "--json", "earlier.json")[0] == 0
    for option in ("--markdown", "--json", "--html"):
        from_runs = plumbline("report", FIRST, runs / SECOND, option, "-")
        from_json = plumbline("report", "earlier.json", runs / SECOND, option, "-")

        assert from_json == from_runs
        assert from_runs[0] == 0


# Runs that are not whole


def test_an_incomplete_run_says_so_in_every_form(plumbline: Plumbline) -> None:
    run = made_up.run()
    keep(Path("results"), run.results[:2], id=FIRST, planned=run.header.planned)

    status, output, errors = plumbline("report", "--html", "a.html", "--markdown", "a.md", "--json", "a.json")

    assert (status, output) == (0, "")
    assert errors == "wrote a.html\nwrote a.md\nwrote a.json\n"
    shown = plumbline("report")
    assert (shown[0], shown[2]) == (0, "")
    for text in (shown[1], Path("a.html").read_text(), Path("a.md").read_text()):
        assert "INCOMPLETE: 2 of 6 cases" in text
        assert f"plumbline bench --resume {FIRST}" in text
    assert decoded(Path("a.json").read_text())["runs"][0]["complete"] is False


def test_a_run_with_nothing_but_skips_is_reported(plumbline: Plumbline) -> None:
    keep(Path("results"), (made_up.SKIPPED,), id=FIRST)

    status, _, _ = plumbline("report", "--html", "a.html", "--markdown", "a.md", "--json", "a.json")

    assert status == 0
    shown = plumbline("report")
    assert (shown[0], shown[2]) == (0, "")
    for text in (shown[1], Path("a.html").read_text(), Path("a.md").read_text()):
        assert "1 cases: 0 measured, 1 skipped, 0 failed" in text
        assert "TF32 needs an NVIDIA GPU" in text


def test_a_damaged_run_says_so_in_every_form(runs: Path, plumbline: Plumbline) -> None:
    cases = runs / FIRST / store.CASES
    cases.write_bytes(cases.read_bytes()[:-40])

    status, _, _ = plumbline("report", FIRST, "--html", "a.html", "--markdown", "a.md", "--json", "a.json")

    assert status == 0
    shown = plumbline("report", FIRST)
    assert (shown[0], shown[2]) == (0, "")
    for text in (shown[1], Path("a.html").read_text(), Path("a.md").read_text()):
        assert "INCOMPLETE: 5 of 6 cases" in text
        assert "the last line is cut off; its case counts as not measured" in text
    assert "cut off" in decoded(Path("a.json").read_text())["runs"][0]["damage"][0]


def test_runs_that_are_not_whole_stand_beside_whole_ones(runs: Path, plumbline: Plumbline) -> None:
    keep(runs, (made_up.SKIPPED,), id="20260104T030405Z-cccccccc-0a0a0a", planned=("a", "b"))
    (runs / FIRST / store.CASES).unlink()

    status, output, errors = plumbline("report", SECOND, FIRST, "latest")

    assert (status, errors) == (0, "")
    assert "3 runs compared" in output
    assert output.count("INCOMPLETE") == 2
    assert "has no measured case in common with Another CPU" in output


def test_the_reference_runs_side_by_side(plumbline: Plumbline) -> None:
    status, output, errors = plumbline("report", EPYC, XEON, "--markdown", "-", "--for", "comment")

    assert (status, errors) == (0, "")
    assert output.startswith("# Plumbline: 2 runs compared\n")
    assert len(output) <= 65_536
    status, output, errors = plumbline("report", EPYC, XEON)
    assert (status, errors) == (0, "")
    assert "Intel(R) Xeon(R) Processor is another machine than AMD EPYC" in output


# What is read whole in a terminal


def printed(page: Page, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_page(page, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def lost(table: Table, width: int) -> str:
    """The characters of a table that a terminal does not show, wherever its cells are folded."""
    shown = printed(Page("", (), (Section("n", table.title or "s", (table,)),)), width)
    cells = "".join((table.title or "s", *table.columns, *(cell for row in table.rows for cell in row)))
    missing = Counter("".join(cells.split())) - Counter("".join(shown.split()))
    return "".join(missing.elements())


@cache
def side_by_side(case: str) -> Page:
    """The reference runs side by side, as recorded or under names of their users' own."""
    sources = opened([str(EPYC), str(XEON)], REFERENCE)
    if case == "labelled":
        names = iter(("the box under my handler with the old fans", "a rented one, Frankfurt, eight cores"))
        sources = tuple(labelled(source, next(names)) for source in sources)
    return as_page(sources)


def labelled(source: Source, label: str) -> Source:
    run = source.run
    settings = msgspec.structs.replace(run.header.settings, label=label)
    header = msgspec.structs.replace(run.header, settings=settings)
    return Source(msgspec.structs.replace(run, header=header), source.sensors)


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("case", ["as recorded", "labelled"])
def test_no_cell_of_runs_side_by_side_is_lost(case: str, width: int) -> None:
    page = side_by_side(case)
    tables = [block for section in page.sections for block in section.blocks if isinstance(block, Table)]

    assert {table.title: lost(table, width) for table in tables} == {table.title: "" for table in tables}


@pytest.mark.parametrize("width", [80, 200])
def test_names_and_fields_of_runs_side_by_side_are_read_whole(width: int) -> None:
    page = side_by_side("as recorded")
    text = printed(page, width)
    (fields,) = (
        block
        for section in page.sections
        for block in section.blocks
        if isinstance(block, Table) and block.title == "Environment"
    )

    for name in ("AMD EPYC", "Intel(R) Xeon(R) Processor", "sampling.warmup_seconds"):
        assert name in text
    if width == 200:
        for field, *_ in fields.rows:
            assert field in text or len(field) > 50  # the name of a library file may fold


# What it leaves alone


def test_reporting_changes_nothing_that_is_recorded(
    runs: Path, plumbline: Plumbline, browser: list[str]
) -> None:
    keep(runs, made_up.run().results[:2], id="20260104T030405Z-cccccccc-0a0a0a", planned=("a", "b"))
    before = hashes(runs)

    for arguments in ([], [FIRST], [FIRST, SECOND], ["latest"], ["latest", FIRST]):
        assert plumbline("report", *arguments)[0] == 0
        assert plumbline("report", *arguments, "--html", "x", "--markdown", "y", "--json=z", "--open")[0] == 0

    assert hashes(runs) == before


@pytest.mark.worker
def test_a_stored_run_is_reported_without_anything_heavy(two_runs: Path, tmp_path: Path) -> None:
    """In a process of its own: without a page neither torch nor what analyses or draws is loaded."""
    heavy = {"torch", "pytest", "scipy", "altair", "vl_convert", "jinja2", "pynvml"}
    code = f"""
import sys
from harness.cli import main

for arguments in (
    ["{FIRST}"],
    ["{FIRST}", "--markdown", "a.md"],
    ["{FIRST}", "--json", "a.json"],
    ["a.json"],
    ["{FIRST}", "{SECOND}"],
    ["{FIRST}", "{SECOND}", "--markdown", "a.md", "--json", "a.json"],
):
    sys.argv = ["plumbline", "report", *arguments, "--results", {str(two_runs)!r}]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
    assert not sys.modules.keys() & {heavy!r}, (arguments, sys.modules.keys() & {heavy!r})
"""
    root = str(Path(__file__).resolve().parent.parent)
    known = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


# Without what draws


@pytest.fixture
def no_altair(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without altair, as an import finds it."""
    import harness.report.charts
    import harness.report.html  # noqa: F401 - known, so that it comes back

    drawing = ("harness.report.charts", "harness.report.html")
    for name in [name for name in sys.modules if name.startswith((*drawing, "altair"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "altair", None)


def test_without_altair_a_page_says_what_to_install(
    runs: Path, plumbline: Plumbline, no_altair: None
) -> None:
    for arguments in (["--html", "a.html"], ["--open"], ["--html", "-"], [FIRST, "latest", "--html", "-"]):
        status, output, errors = plumbline("report", *arguments)

        assert (status, output) == (2, "")
        assert re.search(r"a page needs altair: pip install 'torch-plumbline\[report\]'", one_line(errors))
    assert not Path("a.html").exists()
    assert plumbline("report")[0] == 0
    assert plumbline("report", "--markdown", "a.md", "--json", "a.json")[0] == 0


def test_without_altair_a_bench_writes_the_other_forms_and_says_so(
    machine: Simulated, suite: Suite, plumbline: Plumbline, no_altair: None
) -> None:
    status, output, errors = plumbline("bench", suite())

    folder = store.find("latest")
    assert status == 0
    assert re.fullmatch(
        r"no report\.html: a page needs altair: pip install 'torch-plumbline\[report\]'.*\n", errors
    )
    assert f"report: {folder / store.REPORT} (also {store.DOCUMENT})" in output
    assert store.PAGE not in output
    assert not (folder / store.PAGE).exists()
    assert (folder / store.REPORT).read_text().startswith("# Plumbline")
    assert decoded((folder / store.DOCUMENT).read_text())["runs"]


# What the user calls the machine


def test_a_label_is_in_the_title_of_every_form_and_survives_resuming(
    machine: Simulated, suite: Suite, plumbline: Plumbline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BATCH_SECONDS", 0.0)  # a case a batch
    monkeypatch.setenv("SIMULATED_TROUBLE", "SIGINT")
    status, output, _ = plumbline(
        "bench", suite('[Work("steady", 100), Work("fragile", 200)]'), "--label", "My <box>"
    )
    assert status == 130
    check_titles(output)

    monkeypatch.delenv("SIMULATED_TROUBLE")
    status, output, _ = plumbline("bench", "--resume", "latest")

    assert status == 0
    check_titles(output)
    shown = plumbline("report")
    assert shown[1].startswith("My <box>, Made-up CPU, ")


def check_titles(output: str) -> None:
    folder = store.find("latest")
    page = (folder / store.PAGE).read_text()
    assert re.search(r"^(machine: )?My <box>, Made-up CPU, ", output, re.MULTILINE)
    assert re.search(r"<title>Plumbline: My &lt;box&gt;, Made-up CPU, .*</title>", page)
    assert re.search(r"<h1>Plumbline: My &lt;box&gt;, Made-up CPU, ", page)
    assert "My <box>" not in page.split("<script", maxsplit=1)[0]
    assert (folder / store.REPORT).read_text().startswith("# Plumbline: My &lt;box>, Made-up CPU, ")
    (told,) = decoded((folder / store.DOCUMENT).read_text())["runs"]
    assert told["run"]["settings"]["label"] == "My <box>"


@pytest.mark.parametrize(
    "label",
    ["# x", "**x**", "\x1b[2J", "a\nb", "</title><script>", "|", "[red]x[/red]", "[/x]", "   ", "x" * 5000],
)
def test_a_hostile_label_is_a_text(plumbline: Plumbline, label: str) -> None:
    settings = msgspec.structs.replace(made_up.run().header.settings, label=label)
    for name in (FIRST, SECOND):
        keep(Path("results"), id=name, settings=settings)

    for arguments in ([FIRST], [FIRST, SECOND]):
        shown = plumbline("report", *arguments)
        status, text, errors = plumbline("report", *arguments, "--markdown", "-")

        assert (shown[0], shown[2]) == (status, errors) == (0, "")
        assert "\x1b" not in shown[1] + text
        assert (
            len(re.findall(re.escape(visible(label).strip()), shown[1])) >= len(arguments) or len(label) > 80
        )
        assert "<script" not in text
        assert text.startswith("# Plumbline: ")
        assert text.count("\n# ") == 0
