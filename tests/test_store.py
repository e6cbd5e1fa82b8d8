"""Runs on disk: nothing finished is ever lost, and what is damaged is named."""

import contextlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from harness import store
from harness.errors import RecordError, StorageError, UsageError
from harness.records import (
    Answer,
    CaseSamples,
    RawSamples,
    Reading,
    Result,
    Run,
    SensorSeries,
    Verdict,
)
from tests import made_up


def written(results: Path, run: Run) -> Path:
    writer = store.Writer.create(results, run.header)
    for result in run.results:
        writer.append(result)
    return writer.folder


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    run = made_up.run((made_up.measured_product(64), made_up.SKIPPED, made_up.FAILED))

    assert store.read(written(tmp_path, run)) == run


def test_a_case_is_on_disk_as_soon_as_it_is_recorded(tmp_path: Path) -> None:
    run = made_up.run(finished=False)
    writer = store.Writer.create(tmp_path, run.header)

    for count, result in enumerate(run.results, start=1):
        writer.append(result)

        assert len(store.read(writer.folder).results) == count


@pytest.mark.parametrize("cut", [1, 10, 300])
def test_a_last_line_cut_off_costs_that_case_alone(tmp_path: Path, cut: int) -> None:
    run = made_up.run(finished=False)
    folder = written(tmp_path, run)
    cases = folder / store.CASES
    cases.write_bytes(cases.read_bytes()[:-cut])

    read = store.read(folder)

    assert read.results == run.results[:-1]
    assert read.missing == (run.results[-1].case.id,)
    assert "the last line is cut off" in read.damage[0]


def test_resuming_after_a_cut_line_leaves_no_broken_one(tmp_path: Path) -> None:
    run = made_up.run(finished=False)
    folder = written(tmp_path, run)
    cases = folder / store.CASES
    cases.write_bytes(cases.read_bytes()[:-10])

    store.Writer.reopen(folder).append(run.results[-1])

    assert store.read(folder) == run


def test_a_corrupt_line_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    run = made_up.run(finished=False)
    folder = written(tmp_path, run)
    lines = (folder / store.CASES).read_bytes().splitlines(keepends=True)
    lines[1] = b'{"case": "\xff\xfe nonsense"}\n'
    lines[3] = b"\x00\x00\x00\n"
    (folder / store.CASES).write_bytes(b"".join(lines))

    read = store.read(folder)

    assert len(read.results) == len(run.results) - 2
    assert [word.split(" is ")[0] for word in read.damage] == ["cases.jsonl: line 2", "cases.jsonl: line 4"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        (rb'"samples":\d+', b'"samples":0'),
        (rb'"clean":\d+', b'"clean":99'),
        (rb'"median":[^,]+', b'"median":0.0'),
        (rb'"block_medians":\[[^]]*\]', b'"block_medians":[]'),
        (rb'"processes":.*?\}\]', b'"processes":[]'),
    ],
)
def test_a_line_that_contradicts_itself_is_unreadable(tmp_path: Path, field: bytes, change: bytes) -> None:
    run = made_up.run((made_up.measured_product(64),), finished=False)
    folder = written(tmp_path, run)
    line = (folder / store.CASES).read_bytes()
    (folder / store.CASES).write_bytes(re.sub(field, change, line))

    read = store.read(folder)

    assert read.results == ()
    assert "line 1 is unreadable" in read.damage[0]


def test_a_case_recorded_twice_counts_as_it_came_out_last(tmp_path: Path) -> None:
    first = Result(case=made_up.product(64), outcome=made_up.FAILED.outcome)
    second = made_up.measured_product(64)
    folder = written(tmp_path, made_up.run((first,), finished=False))
    store.Writer.reopen(folder).append(second)

    assert store.read(folder).results == (second,)


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    folder = written(tmp_path, made_up.run())
    header = json.loads((folder / store.HEADER).read_bytes())
    header["schema_version"] = store.SCHEMA_VERSION + 1
    header["settings"] = "in a form of tomorrow"
    (folder / store.HEADER).write_text(json.dumps(header))

    with pytest.raises(
        RecordError, match=r"written by a newer Plumbline \(schema 4, this one reads up to 3\)"
    ):
        store.read(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema_version": "one"}', b'{"schema_version": 2}', b"\xff"]
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = written(tmp_path, made_up.run())
    (folder / store.HEADER).write_bytes(content)

    with pytest.raises(RecordError, match=r"run\.json is not a run"):
        store.read(folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    run = made_up.run(finished=False)
    writer = store.Writer.create(tmp_path, run.header)
    writer.append(run.results[0])
    kept = writer.folder / "kept"
    (writer.folder / store.CASES).rename(kept)
    (writer.folder / store.CASES).symlink_to("/dev/full")

    with pytest.raises(StorageError, match=r"cannot record matmul-float32-m128.*No space left on device"):
        writer.append(run.results[1])

    (writer.folder / store.CASES).unlink()
    kept.rename(writer.folder / store.CASES)
    assert store.read(writer.folder).results == run.results[:1]


def test_a_header_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made_up.run(finished=False)
    writer = store.Writer.create(tmp_path, run.header)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        writer.put(msgspec.structs.replace(run.header, finished_at="later"))
    monkeypatch.undo()

    assert store.read(writer.folder).header == run.header
    assert sorted(p.name for p in writer.folder.iterdir()) == [store.CASES, store.HEADER]


def test_a_results_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"cannot write results under .*file"):
        store.Writer.create(tmp_path / "file", made_up.run().header)


def test_finding_runs_by_path_id_start_and_latest(tmp_path: Path) -> None:
    ids = ["20260101T000000Z-nogit-aaaaaa", "20260102T000000Z-nogit-bbbbbb", "20260102T000000Z-nogit-cccccc"]
    for one in ids:
        store.Writer.create(tmp_path, made_up.header((), id=one))

    assert store.find("latest", tmp_path).name == ids[2]
    assert store.find(ids[1], tmp_path).name == ids[1]
    assert store.find("20260101", tmp_path).name == ids[0]
    assert store.find(str(tmp_path / ids[1]), Path("elsewhere")) == tmp_path / ids[1]
    with pytest.raises(UsageError, match=r"2 runs begin with '20260102'"):
        store.find("20260102", tmp_path)
    with pytest.raises(UsageError, match=r"no run 'nothing'"):
        store.find("nothing", tmp_path)
    with pytest.raises(UsageError, match=r"plumbline bench"):
        store.find("latest", tmp_path / "empty")


def test_two_runs_of_the_same_second_get_different_names() -> None:
    assert len({store.new_id("c" * 40) for _ in range(100)}) == 100
    assert "-cccccccc-" in store.new_id("c" * 40)
    assert "-nogit-" in store.new_id(None)


def test_a_frame_has_a_row_per_case_in_base_units() -> None:
    frame = store.load(made_up.run((made_up.measured_product(1024), made_up.SKIPPED)))

    assert list(frame["case"]) == ["matmul-float32-m1024-n1024-k1024", "matmul-tf32-m64-n64-k64"]
    row = frame.iloc[0]
    assert row["median_seconds"] == pytest.approx(2e-6 + 2 * 1024**3 / 150e9)
    assert (row["flops"], row["bytes_moved"]) == (2 * 1024**3, 12 * 1024**2)
    assert frame.iloc[1]["reason"] == "TF32 needs an NVIDIA GPU"


def test_raw_samples_and_sensors_stand_aside_and_come_back(tmp_path: Path) -> None:
    writer = store.Writer.create(tmp_path, made_up.run().header)
    parts = tuple(RawSamples("cpu", process, made_up.samples(1e-3)) for process in (0, 1))
    series = SensorSeries("a", (Reading(0.1, clock_hertz=1.7e9),))

    writer.append_samples(CaseSamples("a", parts), series)
    writer.append_samples(CaseSamples("b", parts[:1]))
    writer.append_samples(CaseSamples("a", parts[1:]))  # measured again
    writer.append_samples(CaseSamples("skipped", ()))

    assert store.samples(writer.folder) == {"a": parts[1:], "b": parts[:1]}
    line = (writer.folder / store.SENSORS).read_bytes()
    assert msgspec.json.decode(line, type=SensorSeries) == series
    assert store.samples(tmp_path / "nowhere") == {}


def test_a_sample_line_cut_off_is_left_out_and_cut_away_on_resuming(tmp_path: Path) -> None:
    run = made_up.run(finished=False)
    folder = written(tmp_path, run)
    parts = (RawSamples("cpu", 0, made_up.samples(1e-3)),)
    writer = store.Writer(folder, run.header)
    writer.append_samples(CaseSamples("a", parts))
    writer.append_samples(CaseSamples("b", parts))
    path = folder / store.SAMPLES
    path.write_bytes(path.read_bytes()[:-20])
    assert store.samples(folder) == {"a": parts}

    store.Writer.reopen(folder).append_samples(CaseSamples("c", parts))

    assert store.samples(folder) == {"a": parts, "c": parts}


def test_runs_begun_at_once_each_have_a_folder(tmp_path: Path) -> None:
    """Hundreds by many threads, in the same second."""

    def begin(_: int) -> Path:
        return store.Writer.create(tmp_path, made_up.header((), id=store.new_id(None))).folder

    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(begin, range(200)))

    assert len(set(folders)) == 200
    assert {store.read(folder).header.id for folder in folders} == {folder.name for folder in folders}


def test_of_runs_begun_under_one_name_one_wins(tmp_path: Path) -> None:
    header = made_up.header((), id="the-same")

    def begin(_: int) -> store.Writer | None:
        with contextlib.suppress(UsageError):
            return store.Writer.create(tmp_path, header)
        return None

    with ThreadPoolExecutor(8) as pool:
        writers = list(pool.map(begin, range(8)))

    assert sum(writer is not None for writer in writers) == 1


def test_what_a_newer_version_put_into_a_header_stays(tmp_path: Path) -> None:
    """On top, in parts, and in items of lists that did not change; what this version dropped does not come back."""
    run = made_up.run()
    verdicts = (Verdict("time", "a", Answer.HOLDS, "why"), Verdict("time", "b", Answer.FAILS, "why"))
    header = msgspec.structs.replace(run.header, verdicts=verdicts)
    folder = written(tmp_path, Run(header, ()))
    told = json.loads((folder / store.HEADER).read_bytes())
    told["carbon"] = {"grams": 1.5}
    told["environment"]["host"]["rack"] = "b7"
    told["environment"]["unavailable"]["gone"] = "a reason of old"
    for verdict in told["verdicts"]:
        verdict["weight"] = verdict["subject"]
    (folder / store.HEADER).write_text(json.dumps(told))

    changed = (verdicts[0], msgspec.structs.replace(verdicts[1], reason="another"))
    newer = msgspec.structs.replace(header, verdicts=changed, finished_at="later")
    store.Writer(folder, header).put(newer)

    kept = json.loads((folder / store.HEADER).read_bytes())
    assert kept["carbon"] == {"grams": 1.5}
    assert kept["environment"]["host"]["rack"] == "b7"
    assert kept["environment"]["unavailable"] == {}
    assert [verdict.get("weight") for verdict in kept["verdicts"]] == ["a", None]
    assert store.read(folder).header == newer


def test_cases_of_schema_2_have_the_parameters_of_their_ids() -> None:
    run = store.read(Path(__file__).parent.parent / "results" / "reference" / "epyc-2-cores-cpu")
    parameters = {result.case.id: result.case.parameters for result in run.results}

    assert parameters[
        "train-mlp-float32-sgd-eager-cross_entropy-batch128-inputs1024-width1024-depth3-classes1000"
    ] == {
        "architecture": "mlp",
        "optimizer": "sgd",
        "mode": "eager",
        "loss": "cross_entropy",
    }
    assert not any(result.case.parameters for result in run.results if result.case.family == "matmul")
