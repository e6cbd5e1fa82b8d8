"""Workloads on their way from one process to another."""

import runpy
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
import torch

from harness.errors import UsageError
from harness.loading import BUNDLED_SUITES, load_file, reach_beside
from harness.measure.pickling import load_workload, pack_workload
from harness.workload import Call, Workload
from suites.matmul import Matmul

SUITE = """
from dataclasses import dataclass
from harness import Workload

@dataclass(frozen=True)
class Mine(Workload):
    n: int
    def prepare(self, device):
        raise NotImplementedError
"""


@dataclass(frozen=True)
class Holding(Workload):
    what: object

    def prepare(self, device: torch.device) -> Call:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_bundled_workload_arrives_as_it_was() -> None:
    one = Matmul("float32", 1, 2, 3)

    assert load_workload(*pack_workload(one)) == one


def test_a_workload_of_a_file_arrives_where_that_file_was_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pytest names it: `folder.suite`, where no folder is a package."""
    path = tmp_path / "suite.py"
    path.write_text(SUITE)
    name = "no_package.suite"
    here = _loaded(name, path)
    packed, module, file = pack_workload(here.Mine(7))
    monkeypatch.delitem(sys.modules, name)

    there = load_workload(packed, module, file)

    assert (str(there), type(there) is here.Mine) == ("mine-n7", False)
    assert load_workload(packed, module, file) == there  # the module is loaded once
    monkeypatch.delitem(sys.modules, name)


def test_what_cannot_travel_is_named() -> None:
    with pytest.raises(UsageError, match="cannot be handed to a worker process: TypeError"):
        pack_workload(Holding(threading.Lock()))


def test_a_class_and_a_function_of_a_function_travel_by_value() -> None:
    factor = 3

    @dataclass(frozen=True)
    class Local(Workload):
        n: int
        function: Callable[[int], int]

        def prepare(self, device: torch.device) -> Call:
            return lambda: torch.full((self.n,), self.function(self.n))

    there = load_workload(*pack_workload(Local(2, lambda n: factor * n)))

    assert (str(there).partition("-")[0], there.prepare(torch.device("cpu"))().tolist()) == ("local", [6, 6])


def test_what_a_notebook_or_a_script_defines_travels_by_value(tmp_path: Path) -> None:
    """A notebook's cells and a script are `__main__`, which is another module in a worker."""
    script = tmp_path / "script.py"
    script.write_text(f"{SUITE}\nimport sys\nfrom harness.measure.pickling import pack_workload\n")
    namespace = runpy.run_path(str(script))
    namespace["Mine"].__module__ = "__main__"

    packed, module, file = pack_workload(namespace["Mine"](7))

    assert (module, file) == ("", None)
    assert str(load_workload(packed, module, file)) == "mine-n7"


def test_a_module_that_nothing_can_import_travels_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType("made_by_hand")
    exec(  # noqa: S102 - as a notebook makes them
        "def twice(x):\n    return add(x, x)\ndef add(x, y):\n    return x + y\n",
        made.__dict__,
    )
    monkeypatch.setitem(sys.modules, "made_by_hand", made)
    packed = pack_workload(Holding(made.twice))
    monkeypatch.delitem(sys.modules, "made_by_hand")

    there: Any = load_workload(*packed)

    assert there.what(4) == 8
    assert "made_by_hand" not in cloudpickle.list_registry_pickle_by_value()


def test_what_can_be_imported_travels_by_reference() -> None:
    packed, module, file = pack_workload(Matmul("float32", 1, 2, 3))

    assert (module, Path(file or "").name) == ("suites.matmul", "matmul.py")
    assert b"prepare" not in packed  # no code is in it


def test_a_module_that_breaks_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "suite.py"
    path.write_text(SUITE)
    packed, module, file = pack_workload(_loaded("broken_suite", path).Mine(1))
    monkeypatch.delitem(sys.modules, "broken_suite")
    path.write_text("raise OSError('no data')")

    with pytest.raises(OSError, match="no data"):
        load_workload(packed, module, file)
    assert "broken_suite" not in sys.modules


def test_a_suite_finds_what_lies_beside_it_and_beside_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "parts_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "part.py").write_text("N = 3\n")
    path = package / "suite.py"
    path.write_text(f"from parts_of_mine.part import N\nimport helper_of_mine\n{SUITE}")
    (tmp_path / "helper_of_mine.py").touch()
    packed, module, file = pack_workload(_loaded("reaching", path).Mine(1))
    for name in ("reaching", "parts_of_mine", "parts_of_mine.part", "helper_of_mine"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not one.startswith(str(tmp_path))])

    assert str(load_workload(packed, module, file)) == "mine-n1"


def test_what_comes_with_the_harness_reaches_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder in which somebody stands may hold a torch."""
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    reach_beside(BUNDLED_SUITES / "matmul.py")
    reach_beside(BUNDLED_SUITES.parent / "harness" / "models" / "suite.py")

    assert sys.path == before


def _loaded(name: str, path: Path) -> Any:
    return load_file(name, path)
