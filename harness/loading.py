"""Loads modules from files; modules in the same folder can be imported by them."""

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
    """Puts the folder of a file, and that of its package, first in the module path, and the current folder last.

    A suite can then import the same modules as a script or a test of pytest. Bundled suites need no such path.
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
    """The reason why files cannot be loaded together: a loaded module of one folder also exists in another; else None."""
    own = {file for file in files if file.parent != BUNDLED_SUITES}
    folders = sorted({file.parent for file in own})
    for name, module in tuple(sys.modules.items()):
        loaded = Path(getattr(module, "__file__", None) or "")
        home = loaded.parent.parent if loaded.name == "__init__.py" else loaded.parent
        if "." in name or loaded in own or home not in folders:
            continue
        for folder in folders:
            if folder != home and (
                (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
            ):
                return f"{name!r} lies in {home} and in {folder}, and only one of them can be loaded: rename one of them"
    return None


def load_file(name: str, path: Path) -> ModuleType:
    """Loads a module from a file under a name; a module of another file under that name is replaced.

    Raises:
        ImportError: the file is not a Python module. Errors of its own code pass through.
    """
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python module")
    reach_beside(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
