"""Tables of a series: what people have, and what they mistype."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.history.table import read_table
from harness.records.history import History


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "series.csv"
    path.write_bytes(text.encode(encoding))
    return path


def values(history: History) -> list[float]:
    return [point.value for point in history.points]


def test_a_step_of_a_table_is_found_and_named(tmp_path: Path) -> None:
    rows = [f"2026-01-{day:02},b{day},{10 + day % 3 + 5 * (day > 20)}" for day in range(1, 31)]
    history = read_table(table(tmp_path, "\n".join(["time,build,value", *rows])))
    (step,) = history.confirmed

    assert (step.build, step.time, step.row) == ("b21", "2026-01-21", 20)
    assert (history.name, history.notes) == ("series.csv", ())


def test_the_values_of_a_build_are_one_point_where_it_appears_first(tmp_path: Path) -> None:
    history = read_table(table(tmp_path, "build,value\na,1\na,9\nb,4\n,7\na,2\n,8\n"))

    assert values(history) == [2.0, 4.0, 7.0, 8.0]
    assert [(point.build, point.row) for point in history.points] == [
        ("a", 0),
        ("b", 2),
        (None, 3),
        (None, 5),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_and_what_spreadsheets_do(tmp_path: Path, delimiter: str, end: str) -> None:
    lines = ["Value,note,BUILD", "1.5,hm,x", "", "2.5", "3.5,more,,,"]
    text = end.join(line.replace(",", delimiter) for line in lines) + end
    history = read_table(table(tmp_path, text, "utf-8-sig"))

    assert values(history) == [1.5, 2.5, 3.5]
    assert [point.build for point in history.points] == ["x", None, None]


def test_a_column_alone_is_a_table(tmp_path: Path) -> None:
    assert values(read_table(table(tmp_path, "value\n1\n2\n"))) == [1.0, 2.0]


def test_values_that_have_no_logarithm_are_left_out_with_a_note(tmp_path: Path) -> None:
    history = read_table(table(tmp_path, "build,value\na,1\na,nan\nb,0\nc,-1\nd,inf\ne,2\n"))

    assert values(history) == [1.0, 2.0]
    assert history.notes[:1] == (
        "4 of 6 values left out, missing, zero, negative or not finite: lines 3, 4, 5, 6",
    )


def test_times_that_go_backwards_are_told_and_kept(tmp_path: Path) -> None:
    text = "time,value\n2026-01-02,1\n2026-01-01T10:00:00Z,2\n2026-01-03,3\nsoon,4\n"
    history = read_table(table(tmp_path, text))

    assert values(history) == [1.0, 2.0, 3.0, 4.0]
    assert history.notes[:1] == ("times go backwards, the order of the file is kept: line 3",)
    (short,) = read_table(table(tmp_path, "time,value\n9,1\n10,2\n")).notes
    assert short.startswith("inconclusive: 2 points on one stack at most")


def test_a_missing_value_is_left_out_and_cells_are_kept_whole(tmp_path: Path) -> None:
    history = read_table(table(tmp_path, 'value,build\n1,a\n,b\n2,"c\nd\x85e"\n'))
    assert [(point.value, point.build, point.row) for point in history.points] == [
        (1.0, "a", 0),
        (2.0, "c\nd\x85e", 2),
    ]
    assert history.notes[0].startswith("1 of 3 values left out, missing")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("value,build\n", "has a header and no rows"),
        ("seconds,build\n1,a\n", "no column 'value': its columns are seconds, build"),
        ("value,value\n1,2\n", "the column 'value' more than once"),
        ("value\n1\n\nfast\n", "line 4: 'fast' is not a number"),
        (
            'value,build\n"1,5",a\n',
            "line 2: '1,5' is not a number: write a decimal point, and nothing between thousands",
        ),
        ("value\n0\n-1\n", "no value that is positive and finite"),
        ("a\x1b[2J\n1\n", r"its columns are a\x1b[2J"),
    ],
)
def test_a_table_that_cannot_be_used_gives_its_reason_on_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(UsageError) as error:
        read_table(table(tmp_path, text))

    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such table"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot read"):
        read_table(tmp_path)
    (tmp_path / "bytes.csv").write_bytes(b"value\n\xff\xfe\n")
    with pytest.raises(UsageError, match="not a CSV table in UTF-8"):
        read_table(tmp_path / "bytes.csv")
