"""Modules in files: loaded under a name, with what lies beside them within reach."""

import importlib.util
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

_HARNESS = Path(__file__).resolve().parent
# In a wheel the bundled suites lie inside of the package.
_INSTALLED_SUITES = _HARNESS / "_suites"
BUNDLED_SUITES = _INSTALLED_SUITES if _INSTALLED_SUITES.is_dir() else _HARNESS.parent / "suites"


def reach_beside(file: Path) -> None:
    """Has modules looked for in the folder of a file and of the package that it is part of, before anywhere else; in the current folder, where they are nowhere.

    A suite finds what a script finds, and what a test of pytest does. What comes with the harness needs nothing beside it.
    """
    if file.parent == BUNDLED_SUITES or file.is_relative_to(_HARNESS):
        return
    root = root_of(file)
    sys.path[:0] = [one for one in dict.fromkeys((str(root), str(file.parent))) if one not in sys.path]
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - text, as in sys.path
        sys.path.append(here)


def root_of(file: Path) -> Path:
    """The folder of a file, or that of the package which the file is part of."""
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    return root


def at_odds(files: Iterable[Path]) -> str | None:
    """The first module that was found beside one of some files, and lies beside another too: only one of them can be loaded."""
    own = {file for file in files if file.parent != BUNDLED_SUITES}
    folders = sorted({file.parent for file in own})
    for name, module in tuple(sys.modules.items()):
        loaded = Path(getattr(module, "__file__", None) or "")
        found = loaded.parent.parent if loaded.name == "__init__.py" else loaded.parent
        if "." in name or loaded in own or found not in folders:
            continue
        for other in folders:
            if other != found and (
                (other / f"{name}.py").exists() or (other / name / "__init__.py").exists()
            ):
                return f"{name!r} lies in {found} and in {other}, and only one of them can be loaded: name these suites apart"
    return None


def load_file(name: str, path: Path) -> ModuleType:
    """The module in a file, by a name of its own; loaded anew where another file is loaded under that name.

    Raises:
        ImportError: it is no Python module. Whatever its own code raises, too.
    """
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    reach_beside(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
