"""The one table: what a row contains, and that no value of a case overwrites a column."""

import json

import msgspec
import pytest

from harness import store
from harness.records import Result, Run
from harness.report.document import encoded
from harness.report.sources import Source
from harness.store.table import NAMES, cells, flat
from tests import made_up


def run_of(**changes: object) -> Run:
    """A run of one case on 2 threads, with some fields of the case changed."""
    result = made_up.measured_product(64, rate=1e9)
    case = msgspec.structs.replace(result.case, **changes)
    return made_up.run((Result(case, result.outcome, result.prediction),))


def case_of(run: Run) -> dict[str, object]:
    """The row of its one case in report.json."""
    (row,) = json.loads(encoded([Source(run)]))["runs"][0]["cases"]
    assert isinstance(row, dict)
    return row


def test_a_case_keeps_its_own_number_of_threads() -> None:
    run = run_of(threads=7)
    assert run.header.settings.threads != 7

    assert case_of(run)["threads"] == 7
    assert store.load(run)["threads"][0] == 7
    assert [row.threads for row in flat(run.header, run.results)] == [7]


@pytest.mark.parametrize("name", [*NAMES, "size.run"])
def test_no_size_and_no_parameter_overwrites_a_column(name: str) -> None:
    plain = run_of()
    named = run_of(sizes={name: 123456}, parameters={name: "of the case"}, items={name: 5})
    (before,), (after,) = (list(flat(run.header, run.results)) for run in (plain, named))

    for column in set(NAMES) - {"sizes", "parameters", "rates", "phase_seconds"}:
        assert cells(after)[column] == cells(before)[column]
    document = case_of(named)
    assert document[f"size.{name}"] == 123456
    assert document[f"parameter.{name}"] == "of the case"
    frame = store.load(named)
    assert frame[f"size.{name}"][0] == 123456
    assert frame[f"parameter.{name}"][0] == "of the case"


def test_rates_are_columns_and_units_cannot_hide_others() -> None:
    run = run_of(items={"samples": 3, "flops": 5})
    (result,) = run.results
    assert result.measurement is not None
    row = case_of(run)

    assert row["samples_per_second"] == pytest.approx(3 / result.measurement.median)
    assert row["item.flops_per_second"] == pytest.approx(5 / result.measurement.median)
    assert row["flops_per_second"] == pytest.approx(result.flops_per_second)


def test_utilization_and_efficiency_are_those_of_the_run() -> None:
    run = made_up.run((made_up.measured_product(64, rate=1e9),))
    (row,), (result,) = list(flat(run.header, run.results)), run.results

    assert (row.mfu, row.hfu, row.efficiency) == (run.mfu(result), run.hfu(result), result.efficiency)
    assert row.mfu is not None
