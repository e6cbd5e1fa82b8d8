"""Results of other tools as rows: files in their formats, made here by their documentation, and one by the tool itself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import PlumblineError, RecordError, UsageError
from harness.exchange import read
from harness.store.table import Row

STATS = {"median": 2e-3, "min": 1e-3, "iqr": 1e-3, "rounds": 7, "of tomorrow": None}
COLUMNS = [
    *("result", "params", "version", "started_at", "duration", "stats_ci_99_a", "stats_ci_99_b"),
    *("stats_q_25", "stats_q_75", "stats_number", "stats_repeat", "samples", "profile"),
]
MACHINE = {"machine": "cheetah", "cpu": "Made-up CPU", "os": "Linux", "ram": "8GB"}
DATE = 1378902176000  # 2013-09-11 12:22:56 UTC


def imported(path: Path) -> tuple[Row, ...]:
    return read(path).rows


def saved(**changes: Any) -> dict[str, Any]:
    """What pytest-benchmark saves, as far as it matters."""
    entry = {"fullname": "tests/test_sort.py::test_sort[10]", "name": "test_sort[10]", "stats": STATS}
    return {
        "machine_info": {"node": "cheetah", "cpu": {"brand_raw": "Made-up CPU"}, "system": "Linux"},
        "commit_info": {"id": "c" * 40, "dirty": True, "branch": "main", "time": None},
        "benchmarks": [{**entry, "group": "sorting", "params": {"n": 10, "kind": "quick"}, "extra_info": {}}],
        "datetime": "2026-01-02T05:04:05.123456+02:00",
        "version": "5.3.1",
    } | changes


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def results(**changes: Any) -> dict[str, Any]:
    """What asv saves of one commit, version 2."""
    return {
        "commit_hash": "d" * 40,
        "env_name": "virtualenv-py3.11-numpy",
        "date": DATE,
        "params": {**MACHINE, "python": "3.11"},
        "python": "3.11",
        "requirements": {"numpy": ""},
        "env_vars": {},
        "result_columns": COLUMNS,
        "results": {},
        "durations": {},
        "version": 2,
    } | changes


def folder(tmp_path: Path, benchmarks: dict[str, Any] | None = None, **files: object) -> Path:
    root = tmp_path / "results"
    put(root / "cheetah" / "machine.json", {**MACHINE, "version": 1})
    for name, content in files.items():
        put(root / "cheetah" / f"{name}-env.json", content)
    if benchmarks is not None:
        put(root / "benchmarks.json", {**benchmarks, "version": 2})
    return root


def test_a_run_of_pytest_benchmark_becomes_rows(tmp_path: Path) -> None:
    (row,) = imported(put(tmp_path / "0001.json", saved()))

    assert re.fullmatch(r"pytest-benchmark-[0-9a-f]{12}", row.run)
    assert row.started_at == "2026-01-02T03:04:05+00:00"
    assert (row.case, row.suite, row.family) == ("tests/test_sort.py::test_sort[10]", "test_sort", "sorting")
    assert (row.median_seconds, row.best_seconds, row.relative_iqr) == (2e-3, 1e-3, 0.5)
    assert (row.process_seconds, row.low_seconds, row.high_seconds) == ((2e-3,), None, None)
    assert (row.samples, row.sizes, row.dtype) == (7, {"n": 10}, None)
    assert (row.commit, row.branch, row.dirty) == ("c" * 40, "main", True)
    assert row.machine == "Made-up CPU"
    assert re.fullmatch(r"[0-9a-f]{16}", row.host or "")
    assert "cheetah" not in repr(row)


def test_what_the_tool_itself_saves_is_read(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real tool writes into its storage; its own numbers are the truth."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("n", [1, 2])
        def test_it(benchmark, n):
            benchmark.pedantic(lambda: sum(range(1000 * n)), rounds=5)
        """
    )
    options = ("-p", "no:cacheprovider", "-p", "no:randomly", "--benchmark-autosave")
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=2)
    (file,) = Path(".benchmarks").rglob("*.json")
    theirs = {load["fullname"]: load["stats"] for load in json.loads(file.read_text())["benchmarks"]}

    rows = imported(Path(".benchmarks"))

    assert {row.case: row.median_seconds for row in rows} == {c: s["median"] for c, s in theirs.items()}
    assert {row.samples for row in rows} == {5}
    assert len({row.run for row in rows}) == 1


@pytest.mark.parametrize(
    ("commit", "expected"),
    [
        ({"id": "unversioned", "branch": "(unknown)"}, (None, None, None)),
        ({"id": "unknown", "branch": "(detached head)", "dirty": False}, (None, None, False)),
        ({}, (None, None, None)),
    ],
)
def test_no_commit_is_none(tmp_path: Path, commit: dict[str, Any], expected: tuple[object, ...]) -> None:
    (row,) = imported(put(tmp_path / "a.json", saved(commit_info=commit)))

    assert (row.commit, row.branch, row.dirty) == expected


def test_importing_again_gives_the_same_rows_however_the_file_is_laid_out(tmp_path: Path) -> None:
    plain = imported(put(tmp_path / "one" / "a.json", saved()))
    indented = imported(put(tmp_path / "two" / "b.json", json.dumps(saved(), indent=4, sort_keys=True)))
    other = imported(put(tmp_path / "c.json", saved(datetime="2026-01-03T00:00:00")))

    assert plain == indented
    assert other[0].run != plain[0].run
    assert other[0].series == plain[0].series
    assert imported(tmp_path) == (*other, *plain)  # the copy counts once


def test_a_median_that_is_no_time_is_a_failed_row(tmp_path: Path) -> None:
    entry = saved()["benchmarks"][0]
    entries = [
        {**entry, "fullname": name, "stats": {"median": median}} for name, median in (("a", 0.0), ("b", 1e-3))
    ]

    zero, good = imported(put(tmp_path / "a.json", saved(benchmarks=entries)))

    assert (zero.outcome, zero.median_seconds) == ("failed", None)
    assert zero.reason == "a median of 0 s is not a time"
    assert (good.outcome, good.relative_iqr, good.samples) == ("measurement", None, None)


GRID = [["1", "2"], ["'a b'", "None"]]


def test_a_grid_of_asv_becomes_a_case_for_each_point(tmp_path: Path) -> None:
    """In the order of the Cartesian product: the last parameter varies fastest."""
    name = "sorting.Suite.time_sort"
    entry = [
        [0.1, 0.2, None, float("nan")],
        GRID,
        "v1",
        1,
        2,
        [0.09, None, None, None],
        [0.11, None, None, None],
    ]
    root = folder(
        tmp_path,
        {name: {"unit": "seconds", "type": "time", "param_names": ["n", "kind"], "version": "v1"}},
        d=results(results={name: [*entry, [0.095] + 3 * [None], [0.105] + 3 * [None], None, 4 * [10]]}),
    )

    rows = imported(root)

    assert [row.case.removeprefix(name) for row in rows] == ["-1-a_b", "-1-None", "-2-a_b", "-2-None"]
    assert [row.outcome for row in rows] == ["measurement", "measurement", "failed", "skipped"]
    assert [row.sizes for row in rows] == [{"n": 1}, {"n": 1}, {"n": 2}, {"n": 2}]
    first = rows[0]
    assert (first.median_seconds, first.low_seconds, first.high_seconds) == (0.1, 0.09, 0.11)
    assert first.relative_iqr == pytest.approx(0.1)
    assert (first.process_seconds, first.samples, rows[1].low_seconds) == ((0.1,), 10, None)
    assert first.started_at == "2013-09-11T12:22:56+00:00"
    assert (first.commit, first.source, first.machine) == ("d" * 40, "v1", "Made-up CPU")
    assert (first.suite, first.label) == ("sorting", "virtualenv-py3.11-numpy")
    assert all(row.reason for row in rows[2:])
    assert all("cheetah" not in repr(row) for row in rows)
    assert re.fullmatch(r"asv-[0-9a-f]{12}", first.run)


def test_version_1_of_asv_is_read_like_version_2(tmp_path: Path) -> None:
    """Bare values, tables, and statistics beside them; what asv itself makes of them on updating."""
    stats = {"ci_99": [0.9, 1.1], "q_25": 0.95, "q_75": 1.05, "repeat": 3, "number": 1}
    old = results(
        version=1,
        results={
            "time_bare": 0.5,
            "time_failed": None,
            "time_skipped": float("nan"),
            "time_grid": {"params": [["1", "2", "3"]], "result": [1, 2, 3]},
            "time_lost": {"params": [["1", "2"]], "result": None},
            "time_told": {"params": [], "result": [1.0], "stats": [stats]},
        },
        benchmark_version={"time_told": "v9"},
    )
    del old["result_columns"]
    del old["env_name"]

    rows = {row.case: row for row in imported(folder(tmp_path, d=old))}

    assert {case: row.median_seconds for case, row in rows.items()} == {
        "time_bare": 0.5,
        "time_failed": None,
        "time_skipped": None,
        "time_told": 1.0,
        **{f"time_grid-{n}": float(n) for n in (1, 2, 3)},
        **{f"time_lost-{n}": None for n in (1, 2)},
    }
    assert [rows[c].outcome for c in ("time_failed", "time_skipped", "time_lost-1")] == [
        *("failed", "skipped", "failed")
    ]
    assert (rows["time_told"].low_seconds, rows["time_told"].source) == (0.9, "v9")


@pytest.mark.parametrize(
    ("unit", "value", "seconds", "memory"),
    [
        ("seconds", 2.0, 2.0, None),
        ("ms", 2.0, 2e-3, None),
        ("bytes", 344, None, 344),
    ],
)
def test_units_are_made_seconds_and_bytes(
    tmp_path: Path, unit: str, value: float, seconds: float | None, memory: int | None
) -> None:
    root = folder(tmp_path, {"track_it": {"unit": unit}}, d=results(results={"track_it": [[value], []]}))

    (row,) = imported(root)

    assert (row.median_seconds, row.peak_memory_bytes, row.outcome) == (seconds, memory, "measurement")


def test_what_is_neither_time_nor_memory_is_left_out_and_counted(tmp_path: Path) -> None:
    told = {
        "m.track_error": [["anything", {}], [], "v"],
        "m.time_it": [[1.0], []],
        "m.peakmem_it": [[2**20], []],
    }
    root = folder(tmp_path, {"m.track_error": {"unit": "unit"}}, d=results(results=told))

    found = read(root)

    assert [row.case for row in found.rows] == ["m.time_it", "m.peakmem_it"]
    assert found.rows[1].peak_memory_bytes == 2**20
    assert found.left_out == ("m.track_error",)


def test_environments_of_asv_are_series_of_their_own(tmp_path: Path) -> None:
    one = results(results={"time_it": [[1.0], []]})
    rows = imported(
        folder(tmp_path, a=one, b=one | {"env_name": "conda-py3.12"}, c=one | {"date": DATE + 1000})
    )

    assert len({row.run for row in rows}) == 3
    assert len({row.series for row in rows}) == 2
    assert rows[0].series == rows[2].series


def test_an_interval_that_is_none_is_none(tmp_path: Path) -> None:
    """asv writes infinite intervals for a single sample, and such as begin below 0."""
    endless = [[1.0], [], "v", 1, 1, [float("-inf")], [float("inf")]]
    below = [[1.0], [], "v", 1, 1, [-22.4], [40.4]]
    rows = imported(folder(tmp_path, d=results(results={"time_a": endless, "time_b": below})))

    assert [(row.low_seconds, row.high_seconds, row.median_seconds) for row in rows] == [
        (None, None, 1.0)
    ] * 2


def test_parameters_that_look_alike_stay_apart(tmp_path: Path) -> None:
    grid = [["'a b'", "'a_b'", "-1", "1"]]
    rows = imported(folder(tmp_path, d=results(results={"time_it": [[1.0, 2.0, 3.0, 4.0], grid]})))

    assert [row.case for row in rows] == ["time_it-a_b-1", "time_it-a_b-2", "time_it--1", "time_it-1"]


def test_one_file_or_one_machine_is_enough(tmp_path: Path) -> None:
    root = folder(tmp_path, {"odd": {"unit": "ms"}}, d=results(results={"odd": [[1.0], []]}))

    whole = imported(root)

    assert imported(root / "cheetah") == whole == imported(root / "cheetah" / "d-env.json")
    assert whole[0].median_seconds == 1e-3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("\x00", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is neither a run of pytest-benchmark nor a result file of asv"),
        (saved(benchmarks=[{"fullname": "a"}]), r"cannot be imported: .*`stats`"),
        (saved(datetime="yesterday"), "cannot be imported: Invalid RFC3339"),
        (saved(machine_info=None), "cannot be imported: Expected `object`"),
        (results(version=3), "has version 3 of asv.s results: versions 1 and 2 are read"),
        (results(date=1e30, results={"time_it": [[1.0], []]}), "not the date of a commit"),
        (results(date="soon"), "cannot be imported"),
        (results(results={"time_it": [[1.0, 2.0], [["1"]]]}), "time_it has 2 results for 1 points"),
        (results(results={"time_it": [["fast"], []]}), "cannot be imported"),
    ],
)
def test_a_broken_file_is_named_in_one_line(tmp_path: Path, content: object, words: str) -> None:
    path = put(tmp_path / "broken.json", content)

    with pytest.raises(RecordError, match=words) as error:
        imported(path)

    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


OF_PLUMBLINE = {"case": "a", "median_seconds": 1.0, "interval_seconds": [0.9, 1.1], "flags": ["noisy"]}
WHOLE = [
    saved(),
    saved(benchmarks=[{"fullname": "a", "stats": {"median": 1.0}, "extra_info": OF_PLUMBLINE}]),
    results(
        results={
            "time_it": [[0.1, 0.2], [["1", "2"]], "v", 1, 2, [0.1, None], [0.2, None], *([[0.1, 0.1]] * 4)]
        }
    ),
    results(
        version=1, results={"time_it": {"params": [], "result": [1.0], "stats": [{"ci_99": [0.9, 1.1]}]}}
    ),
]


def damaged(content: Any) -> Iterator[Any]:
    """The content with each of its parts in turn replaced by what nobody would write there."""
    if isinstance(content, dict | list):
        for key, part in content.items() if isinstance(content, dict) else enumerate(content):
            for wrong in (None, [None], {}, "\ud800", -1, 1e400, 10**40, *damaged(part)):
                changed: Any = content.copy()
                changed[key] = wrong
                yield changed


@pytest.mark.parametrize("content", WHOLE)
def test_whatever_is_wrong_in_a_file_is_said_in_one_line_or_read(tmp_path: Path, content: object) -> None:
    path = tmp_path / "damaged.json"
    refused: list[str] = []
    for wrong in damaged(content):
        path.write_text(json.dumps(wrong))
        try:
            imported(path)
        except PlumblineError as error:
            refused.append(str(error))

    assert len(refused) > 20
    assert not any("\n" in line for line in refused)


def test_a_broken_file_in_a_folder_is_named(tmp_path: Path) -> None:
    put(tmp_path / "Linux" / "0001.json", saved())
    put(tmp_path / "Linux" / "0002.json", "{")

    found = read(tmp_path)
    assert found.rows == imported(tmp_path / "Linux" / "0001.json")
    (told,) = found.unreadable
    assert "0002.json is not JSON" in told
    (tmp_path / "Linux" / "0001.json").unlink()
    with pytest.raises(RecordError, match=r"0002\.json is not JSON"):
        read(tmp_path)


def test_nothing_to_import_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file or folder"):
        imported(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="nothing to import in"):
        imported(tmp_path)
