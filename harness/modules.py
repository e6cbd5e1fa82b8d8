"""Modules in files: loaded under a name, with what lies beside them within reach."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

BUNDLED_SUITES = Path(__file__).resolve().parent.parent / "suites"
_HARNESS = Path(__file__).resolve().parent


def reach_beside(file: Path) -> None:
    """Has modules looked for in the folder of a file, or of the package that it is part of, and in the current one, before anywhere else.

    So Python does with a script, and pytest with a test. What comes with the harness needs nothing beside it.
    """
    if file.parent == BUNDLED_SUITES or file.is_relative_to(_HARNESS):
        return
    folder = file.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    for one in (os.getcwd(), str(folder)):  # noqa: PTH109 - text, as in sys.path
        if one not in sys.path:
            sys.path.insert(0, one)


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
