"""The runs that documents quote: stored results of each schema stay readable, and read the same."""

import json
import re
import shutil
from pathlib import Path

import pytest

from harness import store
from harness.check.judge import exit_status, judge
from harness.errors import UsageError
from harness.report.publish import as_html
from harness.report.sources import of_folder
from tests.made_up import markdown_of

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
RUNS = sorted(path.parent for path in REFERENCE.glob(f"*/{store.HEADER}"))


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_a_reference_run_is_whole_and_its_report_is_made_from_it(folder: Path) -> None:
    run = of_folder(folder).run

    assert run.complete
    assert run.damage == ()
    assert exit_status(judge(run)) == 0
    assert (folder / store.REPORT).read_text() == markdown_of(run)


@pytest.mark.parametrize("path", sorted(REFERENCE.glob(f"*/{store.PAGE}")), ids=lambda path: path.parent.name)
def test_a_page_that_is_kept_is_the_one_that_is_made(path: Path) -> None:
    """But for the library that draws, whose version may be another here."""
    assert own_part(path.read_text()) == own_part(as_html((of_folder(path.parent),)))


def own_part(page: str) -> str:
    known = re.sub(r"sha256-[^']*", "", page)
    return re.sub(r'<script type="module">.*</script>', "", known, flags=re.DOTALL)


def test_a_run_of_an_older_schema_is_read_and_not_gone_on_with(tmp_path: Path) -> None:
    """Schema 2: its times are what they were, and no line of today's form gets into it."""
    old = tmp_path / "old"
    shutil.copytree(REFERENCE / "xeon-2-cores-cpu", old)
    first = json.loads((old / store.CASES).read_bytes().splitlines()[0])
    measurement = store.read(old).results[0].measurement

    assert measurement is not None
    assert len(measurement.view.processes) == 1
    assert measurement.interval is None
    assert measurement.best == first["outcome"]["view"]["processes"][0]["fastest"]
    assert measurement.view.processes[0].cpu_fraction == first["outcome"]["view"]["processes"][0]["cpu_share"]
    with pytest.raises(UsageError, match="started by an older Plumbline"):
        store.Writer.reopen(old)


def test_there_is_a_reference_run() -> None:
    assert RUNS
