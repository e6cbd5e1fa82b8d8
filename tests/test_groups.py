"""`plumbline fit` on tables: what people have, and what they mistype."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.fit.groups import is_table
from tests.conftest import decoded

Command = Callable[..., tuple[int, str, str]]
SIZES = (64, 128, 256, 512, 1024, 2048)


def time(n: float) -> float:
    return 20e-6 + 2.0 * n**3 / 50e9


def rows(sizes: tuple[int, ...] = SIZES, repeats: int = 3) -> list[str]:
    random = np.random.default_rng(0)
    return [f"{2 * n**3},{time(n) * random.lognormal(0.0, 0.02)!r}" for n in sizes for _ in range(repeats)]


def table(folder: Path, lines: list[str], header: str = "flops,seconds", end: str = "\n") -> Path:
    path = folder / "times.csv"
    path.write_bytes(end.join([header, *lines, ""]).encode())
    return path


def groups(plumbline: Command, path: Path) -> list[dict[str, Any]]:
    status, output, errors = plumbline("fit", path, "--json")
    assert (status, errors) == (0, "")
    found: list[dict[str, Any]] = decoded(output)["groups"]
    return found


def test_a_table_gets_a_model_its_parameters_and_what_it_expects(plumbline: Command, tmp_path: Path) -> None:
    wanted = [f"{2 * 700**3},", f"{2 * 8192**3},"]
    (group,) = groups(plumbline, table(tmp_path, rows() + wanted))

    assert group["model"] == "t0 + F/P"
    rate = group["parameters"]["P"]
    assert set(rate) >= {"value", "low", "high", "identified", "unit"}
    assert rate["low"] < rate["value"] < rate["high"]
    assert rate["value"] == pytest.approx(50e9, rel=0.02)
    assert rate["unit"] == "FLOP/s"
    assert 0.0 < group["residual"]["median"] <= group["residual"]["worst"] < 0.1
    inside, beyond = group["predictions"]
    assert (inside["extrapolated"], beyond["extrapolated"]) == (False, True)
    assert inside["low"] <= time(700) <= inside["high"]
    assert beyond["low"] <= time(8192) <= beyond["high"]
    assert inside["flops"] == 2 * 700**3


def test_what_a_person_reads(plumbline: Command, tmp_path: Path) -> None:
    lines = [f"a,{line}" for line in [*rows(), f"{2 * 700**3},"]] + ["b,100,1.0", "b,200,nan"]
    status, output, _ = plumbline("fit", table(tmp_path, lines, "group,flops,seconds"))

    assert status == 0
    assert "t0 + F/P" in output
    assert "GFLOP/s" in output
    assert "b: inconclusive: one size has a time (1 left out: zero, negative or not a number)" in output


def test_flops_and_bytes_are_a_roofline_and_unbound_memory_gets_no_number(
    plumbline: Command, tmp_path: Path
) -> None:
    lines = [f"{12 * n * n},{2 * n**3},{time(n)!r}" for n in SIZES]
    (group,) = groups(plumbline, table(tmp_path, lines, "bytes,flops,seconds"))

    assert group["parameters"]["P"]["identified"]
    assert group["parameters"]["W"] == {
        "value": None,
        "low": None,
        "high": None,
        "identified": False,
        "unit": "B/s",
        "why": group["parameters"]["W"]["why"],
    }


def test_sizes_alone_are_a_power(plumbline: Command, tmp_path: Path) -> None:
    (group,) = groups(plumbline, table(tmp_path, [f"{n},{1e-6 * n**2!r}" for n in SIZES], "size,seconds"))

    assert group["model"] == "c*n^k"
    assert group["parameters"]["k"]["value"] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("header", "end", "quoted"),
    [
        ("\ufeffflops,seconds", "\n", False),
        ("flops,seconds", "\r\n", True),
        (" flops , seconds ", "\n", False),
    ],
)
def test_files_as_spreadsheets_write_them(
    plumbline: Command, tmp_path: Path, header: str, end: str, *, quoted: bool
) -> None:
    lines = [",".join(f'"{cell}"' for cell in line.split(",")) if quoted else line for line in rows()]
    (group,) = groups(plumbline, table(tmp_path, [*lines, "", ","], header, end))

    assert group["model"] == "t0 + F/P"


def test_columns_that_mean_nothing_are_kept_and_not_fitted(plumbline: Command, tmp_path: Path) -> None:
    lines = [f'{line},"a, b"' for line in rows()] + [f"{2 * 700**3},,mine"]
    (group,) = groups(plumbline, table(tmp_path, lines, "flops,seconds,note"))

    assert group["predictions"][0]["note"] == "mine"


def test_groups_are_fitted_apart_and_one_that_cannot_be_says_why(plumbline: Command, tmp_path: Path) -> None:
    lines = [f"a,{line}" for line in rows()]
    lines += ["few,1,1.0", "few,2,2.0", "none,1,", "none,2,", "bad,1,nan", "bad,2,0", "bad,3,-1", "bad,4,inf"]
    found = {
        group["group"]: group for group in groups(plumbline, table(tmp_path, lines, "group,flops,seconds"))
    }

    assert found["a"]["reason"] is None
    for name, reason in {
        "few": "inconclusive: 2 sizes have a time",
        "none": "inconclusive: no size has a time",
        "bad": "inconclusive: no size has a time (4 left out",
    }.items():
        assert found[name]["model"] is None
        assert found[name]["parameters"] == {}
        assert reason in found[name]["reason"]
    assert [one["seconds"] for one in found["none"]["predictions"]] == [None, None]
    assert found["bad"]["left_out"] == 4


def test_times_that_are_none_are_left_out_and_counted(plumbline: Command, tmp_path: Path) -> None:
    (group,) = groups(plumbline, table(tmp_path, [*rows(), "1000,nan", "2000,0", "3000,-1"]))

    assert group["left_out"] == 3
    assert group["model"] == "t0 + F/P"
    assert group["sizes"] == len(SIZES)


def test_no_work_at_all_is_a_size(plumbline: Command, tmp_path: Path) -> None:
    """A call that does nothing takes the overhead."""
    (group,) = groups(plumbline, table(tmp_path, [*rows((16, 32, 64, 128, 256)), "0,2.0e-05"]))

    assert group["parameters"]["t0"]["value"] == pytest.approx(20e-6, rel=0.05)


def test_one_size_many_times_is_inconclusive(plumbline: Command, tmp_path: Path) -> None:
    (group,) = groups(plumbline, table(tmp_path, ["100,1.0"] * 50))

    assert group["reason"].startswith("inconclusive: one size has a time")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", ["empty table"]),
        ("flops,seconds\n", ["empty table"]),
        ("flops,time\n1,2\n", ["'seconds'", "flops, time"]),
        (
            "work,seconds\n1,2\n",
            ["flops, bytes, size", "work, seconds", "size or threads, separated by commas"],
        ),
        (
            "flops,seconds\n1,2\n2,fast\n",
            ["row 3", "'seconds'", "'fast'", "a number, or nothing to have it predicted"],
        ),
        ("flops,seconds\n1,2\nmany,3\n", ["row 3", "'flops'", "'many'"]),
        ("flops,seconds\n1,2\n,3\n", ["row 3", "'flops'", "empty"]),
        ("flops,seconds\n1,2\n-4,3\n", ["row 3", "'flops'", "-4", "not negative"]),
        ("size,seconds\n1,2\nnan,3\n", ["row 3", "'size'", "nan"]),
        ("flops,flops,seconds\n1,2,3\n", ["'flops'", "more than once"]),
        ("threads,seconds\n0,3\n", ["row 2", "'threads'", "at least 1"]),
    ],
)
def test_bad_tables_are_named_in_one_line(
    plumbline: Command, tmp_path: Path, text: str, named: list[str]
) -> None:
    path = tmp_path / "times.csv"
    path.write_text(text)

    status, output, errors = plumbline("fit", path)

    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    for words in named:
        assert words in errors


def test_what_is_no_table_is_named(plumbline: Command, tmp_path: Path) -> None:
    binary = tmp_path / "times.csv"
    binary.write_bytes(b"\xff\xfe\x00flops")

    for reference, words in (
        ("absent.csv", "no such run or table: 'absent.csv'"),
        ("absent.txt", "no such run or table: 'absent.txt'"),
        (binary, "UTF-8"),
        (tmp_path, "no run"),
        ("no-run", "no run 'no-run' in"),
    ):
        status, _, errors = plumbline("fit", reference)
        assert status == 2
        assert words in errors


def test_a_table_of_many_rows_is_fitted(plumbline: Command, tmp_path: Path) -> None:
    (group,) = groups(plumbline, table(tmp_path, rows(tuple(range(64, 1064)), repeats=5)))

    assert group["sizes"] == 1000
    assert group["parameters"]["P"]["value"] == pytest.approx(50e9, rel=0.01)


def test_a_run_is_fitted_sweep_by_sweep(plumbline: Command) -> None:
    reference = Path(__file__).resolve().parent.parent / "results" / "reference" / "xeon-2-cores-cpu"
    found = {group["group"]: group for group in groups(plumbline, reference)}

    assert found["matmul-float32-square"]["model"] == "t0 + F/P"
    assert found["matmul-float16-square"]["reason"].startswith("inconclusive: 3 sizes have a time")
    # Sizes of a sweep that were not measured are expected.
    assert all(set(one) >= {"seconds", "low", "high"} for one in found["copy-float32"]["predictions"])


def test_a_pipe_is_a_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert is_table(str(tmp_path / "pipe"))
    assert not is_table(str(tmp_path))


def test_a_power_of_sizes_expects_with_a_narrow_interval(plumbline: Command, tmp_path: Path) -> None:
    """Of a size no rate is known: a line through the shortest time is no upper end."""
    lines = [f"{n},{1e-6 * n**0.5!r}" for n in SIZES]
    (group,) = groups(plumbline, table(tmp_path, [*lines, "700,", "8192,"], "size,seconds"))

    assert group["model"] == "c*n^k"
    for one in group["predictions"]:
        assert one["low"] < one["seconds"] < one["high"] < 1.2 * one["low"]


def test_noise_alone_gets_no_model(plumbline: Command, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    lines = [f"{n},{random.lognormal(0.0, 3.0)!r}" for n in range(10, 40)]
    (group,) = groups(plumbline, table(tmp_path, [*lines, "100,"], "size,seconds"))

    assert (group["model"], group["parameters"]) == (None, {})
    assert group["reason"].startswith("inconclusive: no model is within 25% of the sizes (the best: ")
    assert group["predictions"][0]["seconds"] is None


def test_what_no_number_holds_is_left_out_and_never_an_answer(plumbline: Command, tmp_path: Path) -> None:
    lines = [f"{n},{1e-6 * n**2!r}" for n in SIZES]
    (group,) = groups(
        plumbline, table(tmp_path, [*lines, "5,1e-310", "6,1e305", "1e300,", "1e-300,"], "size,seconds")
    )

    assert group["left_out"] == 2
    assert [one["seconds"] for one in group["predictions"]] == [None, None]


def test_what_would_command_a_terminal_is_escaped(plumbline: Command, tmp_path: Path) -> None:
    path = table(tmp_path, [f"\x1b[2Jx,{line}" for line in rows()], "group,flops,seconds")
    _, output, _ = plumbline("fit", path)
    _, _, errors = plumbline("fit", table(tmp_path, ["1,2"], "\x1b[2Jflops,seconds"))

    for text in (output, errors):
        assert "\x1b[2J" not in text
        assert "\\x1b[2J" in text
