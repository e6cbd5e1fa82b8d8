"""The progress of a run: the time left follows the pace of whole batches."""

import io

import msgspec
import pytest
from rich.console import Console

from harness.records import Result
from harness.report import live
from tests import made_up

CASES, BATCH, SECONDS = 100, 10, 30.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("harness.report.live.time.monotonic", lambda: now[0])
    return now


def test_the_time_left_is_right_within_a_factor_of_two_after_a_tenth(clock: list[float]) -> None:
    console = Console(file=io.StringIO(), width=200)
    progress = live.Live(console)
    run = made_up.run()
    planned = tuple(str(number) for number in range(CASES))
    progress.pytest_plumbline_started(msgspec.structs.replace(run.header, planned=planned), 0)
    clock[0] += 20.0
    progress.pytest_plumbline_note("peaks")
    shown: list[tuple[float, float]] = []
    for number in range(CASES):
        if number % BATCH == 0:
            progress.pytest_plumbline_note("the next batch")
            clock[0] += SECONDS  # the results of a batch come together at its end
        known = run.results[0]
        case = msgspec.structs.replace(known.case, id=str(number))
        progress.pytest_plumbline_result(Result(case=case, outcome=known.outcome))
        line = console.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
        if number >= CASES / 10 and " s left]" in line:
            left = float(line.partition(", ")[2].partition(" s")[0])
            shown.append((left, SECONDS * (CASES - 1 - int(line.split("]")[1].split()[0])) / BATCH))
    progress.close()

    assert len(shown) > 5
    for left, true in shown:
        assert true / 2 - SECONDS <= left <= 2 * true + SECONDS
