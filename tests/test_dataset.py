"""Many runs as one data set: what goes in comes out once, whoever writes it, and whatever lies beside it."""

import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from harness import stats, store
from harness.errors import RecordError, UsageError
from harness.records import Cost, Result, Run
from harness.store import compaction
from harness.store.table import NAMES, Row, flat
from tests import made_up

SIZES = (64, 128, 256)


def made(host: int = 0, number: int = 0, *, finished: bool = True, month: int = 1) -> Run:
    """A run whose times tell which it is."""
    results = tuple(made_up.measured_product(n, rate=150e9 / (1 + host + number / 100)) for n in SIZES)
    planned = tuple(result.case.id for result in results)
    at = f"2026-{month:02d}-{number + 1:02d}T03:04:05+00:00"
    header = made_up.header(
        planned,
        id=f"2026{month:02d}{number + 1:02d}T030405Z-nogit-{host:010x}",
        started_at=at,
        finished_at=at if finished else None,
        environment=made_up.environment(f"{host:016x}"),
    )
    return Run(header, results)


def written(results: Path, *runs: Run) -> Path:
    for run in runs:
        writer = store.Writer.create(results, run.header)
        (writer.folder / store.CASES).write_bytes(
            b"".join(msgspec.json.encode(result) + b"\n" for result in run.results)
        )
        writer.close()
    return results


def fleet(hosts: int = 3, count: int = 4) -> list[Run]:
    return [made(host, number) for host in range(hosts) for number in range(count)]


def rows(runs: Sequence[Run]) -> list[Row]:
    return in_order(row for run in runs for row in flat(run.header, run.results))


def in_order(found: Any) -> list[Row]:
    return sorted(found, key=lambda row: (row.started_at, row.run, row.case))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def no_note(line: str) -> None:
    raise AssertionError(line)


@pytest.fixture
def bucket() -> Iterator[str]:
    """Object storage in memory."""
    system = fsspec.filesystem("memory")
    yield "memory://bucket/data"
    system.rm("/bucket", recursive=True) if system.exists("/bucket") else None


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_what_goes_in_comes_out(tmp_path: Path, bucket: str, where: str) -> None:
    runs = fleet()
    target = bucket if where == "bucket" else str(tmp_path / "a [data] set's")

    done = store.compact([written(tmp_path / "results", *runs)], target)

    assert (done.added, done.known, done.rows) == (len(runs), 0, len(runs) * len(SIZES))
    assert store.DataSet(target, no_note).rows() == rows(runs)


def test_compacting_again_changes_no_byte(tmp_path: Path) -> None:
    results, data = written(tmp_path / "results", *fleet()), tmp_path / "data"
    store.compact([results], data)
    before = bytes_of(data)

    again = store.compact([results, results], data)

    assert (again.added, again.rows) == (0, 0)
    assert again.known == len(fleet())
    assert bytes_of(data) == before


def test_a_file_is_named_by_its_runs(tmp_path: Path) -> None:
    one = written(tmp_path / "one", made(month=1), made(month=2))
    store.compact([one], tmp_path / "a")
    store.compact([one], tmp_path / "b")

    assert [path.parent.name for path in (tmp_path / "a").rglob("*.parquet")] == ["schema=1"]
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_only_complete_runs_are_added_and_the_others_are_named(tmp_path: Path) -> None:
    good, begun, cut = made(0), made(1, finished=False), made(2)
    results, data = written(tmp_path / "results", good, begun, cut), tmp_path / "data"
    cases = results / cut.header.id / store.CASES
    cases.write_bytes(cases.read_bytes()[:-10])
    (results / "broken").mkdir()
    (results / "broken" / store.HEADER).write_bytes(b"{")

    done = store.compact([results], data)

    assert done.added == 1
    assert set(done.incomplete) == {begun.header.id, cut.header.id}
    assert [name for name, _ in done.unreadable] == [str(results / "broken")]
    assert "is not a run" in done.unreadable[0][1]
    assert {row.run for row in store.DataSet(data).rows()} == {good.header.id}


def test_a_run_that_was_completed_is_added_later(tmp_path: Path) -> None:
    run = made(finished=False)
    results, data = written(tmp_path / "results", run), tmp_path / "data"
    assert store.compact([results], data).added == 0

    store.Writer(results / run.header.id, run.header).put(made().header)

    assert store.compact([results], data).added == 1


def test_of_two_copies_of_a_run_the_whole_one_is_added(tmp_path: Path) -> None:
    run = made()
    short, whole = written(tmp_path / "short", run), written(tmp_path / "whole", run)
    cases = short / run.header.id / store.CASES
    cases.write_bytes(cases.read_bytes()[:-10])

    assert store.compact([short, whole], tmp_path / "data").added == 1
    assert store.DataSet(tmp_path / "data", no_note).rows() == rows([run])


def test_a_count_that_no_column_holds_costs_its_run_alone(tmp_path: Path) -> None:
    huge = made(1)
    case = msgspec.structs.replace(huge.results[0].case, cost=Cost(0, 0, 0, flops=2**63))
    huge = Run(huge.header, (Result(case, huge.results[0].outcome), *huge.results[1:]))
    results = written(tmp_path / "results", made(0), huge)

    done = store.compact([results], tmp_path / "data")

    assert done.added == 1
    assert done.unreadable[0][0].endswith(huge.header.id)


def test_a_source_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run in .*nowhere"):
        store.compact([tmp_path / "nowhere"], tmp_path / "data")


@pytest.mark.parametrize("overlap", [False, True])
def test_compactions_at_once_lose_nothing(tmp_path: Path, overlap: bool) -> None:
    """Eight hosts add their runs, or all the same ones, at the same time; queries count each run once."""
    runs, data = fleet(8, 3), tmp_path / "data"
    folders = [written(tmp_path / f"results{host}", *runs[3 * host : 3 * host + 3]) for host in range(8)]
    fractions = [folders[host:] + folders[:1] if overlap else [folders[host]] for host in range(8)]
    failed: list[BaseException] = []

    def add(fraction: list[Path]) -> None:
        try:
            store.compact(fraction, data)
        except BaseException as error:  # noqa: BLE001 - of another thread
            failed.append(error)

    threads = [threading.Thread(target=add, args=(fraction,)) for fraction in fractions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    assert store.DataSet(data, no_note).rows() == rows(runs)
    assert store.compact(folders, data).added == 0
    assert store.DataSet(data, no_note).rows() == rows(runs)


def test_a_run_in_two_files_counts_once(tmp_path: Path) -> None:
    runs, data, elsewhere = fleet(1, 3), tmp_path / "data", tmp_path / "elsewhere"
    store.compact([written(tmp_path / "two", *runs[:2])], data)
    store.compact([written(tmp_path / "last", *runs[1:])], elsewhere)
    for path in elsewhere.rglob("*.parquet"):
        path.rename(data / path.relative_to(elsewhere))
    assert len(list(data.rglob("*.parquet"))) == 2

    assert store.DataSet(data, no_note).rows() == rows(runs)
    assert store.compact([tmp_path / "two"], data).added == 0
    listed = store.DataSet(data, no_note).series()
    assert {series.points for series in listed} == {3}


def test_columns_of_a_newer_version_are_ignored_by_queries(tmp_path: Path) -> None:
    runs, data = fleet(1, 2), tmp_path / "data"
    store.compact([written(tmp_path / "one", runs[0])], data)
    newer = next(data.rglob("*.parquet"))
    file = pq.ParquetFile(newer)
    table = file.read().append_column("carbon_grams", pa.array([1.5] * len(SIZES)))
    pq.write_table(table.replace_schema_metadata(file.metadata.metadata), newer)
    store.compact([written(tmp_path / "both", *runs)], tmp_path / "more")
    for path in (tmp_path / "more").rglob("*.parquet"):
        path.rename(data / path.relative_to(tmp_path / "more"))

    assert store.DataSet(data, no_note).rows() == rows(runs)


def test_columns_an_older_version_did_not_write_are_unknown(tmp_path: Path) -> None:
    run, data = made(), tmp_path / "data"
    store.compact([written(tmp_path / "one", run)], data)
    path = next(data.rglob("*.parquet"))
    file = pq.ParquetFile(path)
    table = file.read().drop_columns(["sizes", "joules_per_call", "label"])
    pq.write_table(table.replace_schema_metadata(file.metadata.metadata), path)

    found = store.DataSet(data, no_note).rows()

    assert found == [msgspec.structs.replace(row, sizes={}) for row in rows([run])]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"run": ["of another program"]}), path)


def garbled(path: Path) -> None:
    """The footer is whole, a column is not."""
    content = bytearray(path.read_bytes())
    content[4:1000] = bytes(996)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, empty, foreign, garbled])
def test_a_damaged_file_is_named_and_the_rest_is_used(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    january, february = made(month=1), made(month=2)
    data = tmp_path / "data"
    store.compact([written(tmp_path / "first", january)], data)
    (kept,) = data.rglob("*.parquet")
    store.compact([written(tmp_path / "results", february)], data)
    (damaged,) = set(data.rglob("*.parquet")) - {kept}
    damage(damaged)
    notes: list[str] = []

    found = store.DataSet(data, notes.append).rows()

    assert found == rows([january])
    assert len(notes) == 1
    assert damaged.name in notes[0]
    assert "\n" not in notes[0]
    if damage is not garbled:
        again = store.compact([tmp_path / "results"], data)
        assert again.added == 1
        assert store.DataSet(data, lambda _: None).rows() == rows([january, february])


def test_series_are_counted_over_runs_and_hosts(tmp_path: Path) -> None:
    runs, data = fleet(3, 4), tmp_path / "data"
    store.compact([written(tmp_path / "results", *runs)], data)
    opened = store.DataSet(data)

    found = opened.series("matmul-float32-m64*")

    assert [(one.points, one.hosts, one.threads, one.machine) for one in found] == [(12, 3, 2, "Made-up CPU")]
    assert found[0].latest == "2026-01-04T03:04:05+00:00"
    assert len(opened.series()) == len(SIZES)
    assert opened.rows(series=found[0].series, host=f"{1:016x}") == [
        row for row in rows(runs) if row.series == found[0].series and row.host == f"{1:016x}"
    ]


def test_sql_comes_to_what_python_does(tmp_path: Path) -> None:
    runs, data = fleet(3, 5), tmp_path / "data"
    store.compact([written(tmp_path / "results", *runs)], data)

    found = store.DataSet(data).sql(
        'SELECT "case", host, median(median_seconds) FROM results GROUP BY ALL ORDER BY ALL'
    )

    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows(runs):
        assert row.host
        assert row.median_seconds
        groups.setdefault((row.case, row.host), []).append(row.median_seconds)
    assert found == [(*key, pytest.approx(stats.median(values))) for key, values in sorted(groups.items())]


def test_bad_questions_are_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store.compact([written(tmp_path / "results", made())], data)

    with pytest.raises(UsageError, match=r"cannot answer the query: .*nothing") as told:
        store.DataSet(data).sql("SELECT nothing FROM results")
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match=r"no data set in .*elsewhere"):
        store.DataSet(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"cannot reach nowhere://a: .*nowhere"):
        store.DataSet("nowhere://a")


@pytest.mark.parametrize("package", ["duckdb", "pyarrow", "fsspec"])
def test_a_missing_package_is_one_line_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(UsageError, match=rf"{package}: pip install 'torch-plumbline\[history\]'"):
        store.compact([written(tmp_path / "results", made())], "memory://bucket/never")


def test_a_file_system_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)

    with pytest.raises(UsageError, match=r"cannot reach s3://bucket/data: Install s3fs"):
        store.DataSet("s3://bucket/data")


def test_where_a_growing_file_could_be_seen_it_is_renamed_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_whole: list[tuple[str, str]] = []

    class Remote(MemoryFileSystem):  # type: ignore[misc]
        protocol = "sftp"
        store: ClassVar[dict[str, Any]] = {}

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(super()._strip_protocol(path.removeprefix("sftp:/")))

        def mv(self, path1: str, path2: str, **kwargs: Any) -> None:
            made_whole.append((path1, path2))
            super().mv(path1, path2, **kwargs)

    monkeypatch.setitem(importlib.import_module("fsspec.registry")._registry, "sftp", Remote)
    runs = fleet(1, 2)

    store.compact([written(tmp_path, *runs)], "sftp://host/data")

    ((temporary, final),) = made_whole
    assert Path(temporary).name.startswith("." + Path(final).name)
    assert [path for path in Remote.store if path.endswith(".parquet")] == [final]
    assert store.DataSet("sftp://host/data", no_note).rows() == rows(runs)


def test_columns_that_were_not_asked_for_are_unknown(tmp_path: Path) -> None:
    runs, data = fleet(1, 1), tmp_path / "data"
    store.compact([written(tmp_path / "results", *runs)], data)

    (row, *_) = store.rows_of(data, columns=("host", "flags"))

    full = rows(runs)[0]
    assert row == Row(
        full.run, full.started_at, full.case, full.series, full.outcome, host=full.host, flags=full.flags
    )
    with pytest.raises(UsageError, match=r"no column 'hosts': there are run, started_at"):
        store.DataSet(data).rows(columns=("hosts",))


def test_a_frame_is_the_same_from_folders_and_from_a_data_set(tmp_path: Path) -> None:
    runs, data = fleet(2, 2), tmp_path / "data"
    runs.append(Run(made(5).header, (made_up.SKIPPED, made_up.FAILED, *made(5).results)))
    results = written(tmp_path / "results", *runs)
    store.compact([results], data)
    keys = ["started_at", "run", "case"]

    of_folders = store.load(results).sort_values(keys, ignore_index=True)
    of_data = store.load(data).sort_values(keys, ignore_index=True)

    nested = {"sizes", "parameters", "phase_seconds", "rates"}
    assert list(of_data.columns)[: len(NAMES) - len(nested)] == [name for name in NAMES if name not in nested]
    assert of_folders.equals(of_data)
    assert (of_data.dtypes == of_folders.dtypes).all()
    assert str(of_data["started_at"].dtype) == "datetime64[us, UTC]"
    assert [of_data[f"size.{name}"][0] for name in "mnk"] == [128, 128, 128]


def test_a_frame_of_what_is_asked_for(tmp_path: Path) -> None:
    runs = fleet(2, 3)
    results, data = written(tmp_path / "results", *runs), tmp_path / "data"
    store.compact([results], data)
    for source in (results, data, str(data)):
        assert len(store.load(source, case="matmul-float32-m64-n64-k64")) == 6
        assert len(store.load(source, case="matmul-*-m64-*", host=f"{0:016x}")) == 3
        assert set(store.load(source, since="2026-01-02T12:00")["run"]) == {
            run.header.id for run in (runs[2], runs[5])
        }
        assert store.load(source, case="nothing").empty
    assert len(store.load("latest", results=results)) == 3
    assert len(store.load(runs[0].header.id, results=results)) == 3
    assert len(store.load(results / runs[0].header.id)) == 3
    assert len(store.load(runs[0])) == 3
    with pytest.raises(UsageError, match=r"since 'soon': not a time"):
        store.load(data, since="soon")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no run and no data set in .*empty"):
        store.load(tmp_path / "empty")


def test_rows_of_several_sources_have_each_run_once(tmp_path: Path) -> None:
    old, new, begun = made(0), made(1), made(2, finished=False)
    data = tmp_path / "data"
    store.compact([written(tmp_path / "old", old)], data)
    results = written(tmp_path / "results", old, new, begun)
    (results / "broken").mkdir()
    (results / "broken" / store.HEADER).write_bytes(b"{")
    notes: list[str] = []

    found = list(store.rows_of(data, results, new, note=notes.append))

    assert in_order(found) == rows([old, new, begun])
    assert len(notes) == 1
    assert "broken" in notes[0]
    with pytest.raises(RecordError, match="is not a run"):
        list(store.rows_of(results / "broken"))


def test_rows_of_folders_need_no_extra_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("duckdb", "pyarrow", "fsspec"):
        monkeypatch.setitem(sys.modules, package, None)

    assert len(list(store.rows_of(written(tmp_path, *fleet(1, 2))))) == 2 * len(SIZES)


@pytest.mark.parametrize("name", ["epyc-2-cores-cpu", "xeon-2-cores-cpu"])
def test_a_reference_run_comes_out_as_it_is_read(tmp_path: Path, name: str) -> None:
    """What is read fast is what is read in full, of both schemas, through the data set too."""
    folder = Path(__file__).parent.parent / "results" / "reference" / name
    run = store.read(folder)

    store.compact([folder], tmp_path)

    assert list(store.rows_of(folder)) == list(flat(run.header, run.results))
    assert store.DataSet(tmp_path, no_note).rows() == rows([run])


def test_two_processes_come_to_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [made(host, month=month) for host in range(2) for month in (1, 2)]
    results = written(tmp_path / "results", *runs)
    monkeypatch.setattr(compaction, "BUNDLE_RUNS", 2)
    store.compact([results], tmp_path / "one")
    monkeypatch.setattr(compaction, "WORTH_TWO", 2)

    assert store.compact([results], tmp_path / "two").added == len(runs)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
