"""The runs that documents quote: stored results of each schema stay readable, and read the same."""

from pathlib import Path

import pytest

from harness import store
from harness.check.judge import exit_status, judge
from harness.report.markdown import markdown

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
RUNS = sorted(path.parent for path in REFERENCE.glob(f"*/{store.HEADER}"))


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_a_reference_run_is_whole_and_its_report_is_made_from_it(folder: Path) -> None:
    run = store.load(folder)

    assert run.complete
    assert run.damage == ()
    assert exit_status(judge(run)) == 0
    assert (folder / store.REPORT).read_text() == markdown(run)


def test_there_is_a_reference_run() -> None:
    assert RUNS
