"""The cache: content comes back as it was made, and damage or a missing folder only costs time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def maker() -> tuple[Callable[[], bytes], list[int]]:
    calls: list[int] = []

    def make() -> bytes:
        calls.append(1)
        return b"content %d" % len(calls)

    return make, calls


def test_content_is_made_once_for_each_name_and_key(folder: Path) -> None:
    make, calls = maker()

    assert cache.cached("a", ["x"], make) == cache.cached("a", ["x"], make) == b"content 1"
    assert cache.cached("a", ["y"], make) == b"content 2"
    assert cache.cached("b", ["x"], make) == b"content 3"
    assert len(calls) == 3


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_entry_is_made_again(folder: Path, damage: bytes | None) -> None:
    make, calls = maker()
    cache.cached("a", [], make)
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1] if damage is None else damage)

    assert cache.cached("a", [], make) == b"content 2"
    assert cache.cached("a", [], make) == b"content 2"
    assert len(calls) == 2


def test_without_a_folder_that_can_be_written_content_is_made_every_time(folder: Path) -> None:
    folder.write_text("a file where the folder should be")
    make, calls = maker()

    assert [cache.cached("a", [], make) for _ in range(2)] == [b"content 1", b"content 2"]
    assert len(calls) == 2


def test_only_the_latest_entries_of_a_name_are_kept(folder: Path) -> None:
    cache.cached("other", [], lambda: b"")
    for key in range(30):
        cache.cached("a", [str(key)], lambda: b"")

    assert len(list(folder.glob("a-*"))) == 16
    assert len(list(folder.glob("other-*"))) == 1
    assert len(list(folder.iterdir())) == 17


def test_the_digest_of_files_follows_their_content_and_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("x")
    second.write_text("x")
    digests = {cache.of_files([first]), cache.of_files([second]), cache.of_files([first, second])}
    first.write_text("y")

    assert cache.of_files([first]) not in digests
    assert len(digests) == 3


def test_the_machine_is_the_same_twice_and_another_with_other_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = cache.of_machine()
    monkeypatch.setenv("PWD", "/elsewhere")
    assert cache.of_machine() == before
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert cache.of_machine() != before
