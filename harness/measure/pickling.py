"""Brings a workload from the process that made it into one that measures it.

Classes and functions travel by reference where a worker can import their module, or load the file that the workload's
class is in: pytest and the command line load suites under names of their own, and a worker loads the same file under
the same name. All else (a notebook, a script, a local class, a lambda, a module that was made by hand) travels by
value, by cloudpickle.
"""

import importlib
import io
import pickle
import sys
from contextlib import suppress
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from operator import attrgetter
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Self

import cloudpickle

from harness.errors import UsageError, one_line
from harness.loading import load_file
from harness.workload import Workload

MAIN = "__main__"


def pack_workload(workload: Workload) -> tuple[bytes, str, str | None]:
    """The workload as a pickle, the module its class is in, and the file of that.

    The module is empty where its class travels by value.

    Raises:
        UsageError: it holds something that no other process can be given, such as an open file.
    """
    module = type(workload).__module__
    path = None if module == MAIN else getattr(sys.modules.get(module), "__file__", None)
    packed = io.BytesIO()
    try:
        with _Pickler(packed, module if path else "") as pickler:
            pickler.dump(workload)
    except Exception as error:
        raise UsageError(f"{workload} cannot be handed to a worker process: {one_line(error)}") from error
    return packed.getvalue(), module if path or importable(module) else "", path


def load_workload(packed: bytes, module: str, path: str | None) -> Workload:
    """The workload again; its module is loaded once, and stays."""
    if module and module not in sys.modules:
        if path is None:
            importlib.import_module(module)
        else:
            load_file(module, Path(path))
    workload: Workload = pickle.loads(packed)  # noqa: S301 - from a process of our own
    return workload


def importable(module: str) -> bool:
    """Whether another process with this one's module path can import a module by its name.

    >>> importable("harness.workload"), importable("sys"), importable("__main__")
    (True, True, False)
    """
    if module in {"", MAIN}:
        return False
    path: Any = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        finders = (BuiltinImporter, FrozenImporter, PathFinder) if path is None else (PathFinder,)
        found = None
        for finder in finders:
            with suppress(ImportError, ValueError):
                found = found or finder.find_spec(name, path)
        if found is None:
            # What an importable package makes itself, such as torch.ops, comes with it.
            parent = sys.modules.get(module.partition(".")[0])
            return name != part and getattr(parent, "__spec__", None) is not None
        path = found.submodule_search_locations
    return True


def modules_below(directory: str) -> tuple[str, ...]:
    """The files of the modules that were loaded from below a folder, from there on; without the harness and what the interpreter has installed."""
    below, ours = Path(directory), (Path(__file__).parent.parent, Path(sys.prefix))
    files = {
        Path(file) for module in tuple(sys.modules.values()) if (file := getattr(module, "__file__", None))
    }
    found = [file for file in files if file.is_relative_to(below)]
    return tuple(
        sorted(
            str(file.relative_to(below))
            for file in found
            if not any(file.is_relative_to(our) for our in ours)
        )
    )


def packages_beside(directory: str) -> dict[str, str]:
    """The files of the top-level packages that were loaded from elsewhere than below a folder; without the harness."""
    below = Path(directory)
    found = {
        name: str(file)
        for name, module in tuple(sys.modules.items())
        if "." not in name and name != "harness" and (file := getattr(module, "__file__", None))
    }
    return {
        name: file
        for name, file in found.items()
        if not Path(file).is_relative_to(below) or Path(file).is_relative_to(sys.prefix)
    }


def of_module(module: str, name: str) -> Any:
    """A class or function of a module that is loaded, by its qualified name."""
    return attrgetter(name)(sys.modules[module])


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Pickles by value what a worker cannot import; `own` is the module that it loads from the same file."""

    def __init__(self, file: io.BytesIO, own: str) -> None:
        super().__init__(file)
        self._own = own
        self._known = {own}
        self._by_value: list[ModuleType] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for module in self._by_value:
            cloudpickle.unregister_pickle_by_value(module)

    def reducer_override(self, thing: Any) -> Any:
        """How a thing travels: by its name in the workload's own module; else as cloudpickle has it, once it is settled whether its module goes by value."""
        if isinstance(thing, ModuleType):
            self._settle(thing.__name__)
        elif isinstance(thing, type | FunctionType):
            if thing.__module__ == self._own and "<locals>" not in thing.__qualname__:
                # Nothing imports a module that was loaded from a file under a name of its own.
                with suppress(AttributeError):
                    if of_module(self._own, thing.__qualname__) is thing:
                        return of_module, (self._own, thing.__qualname__)
            self._settle(thing.__module__)
        return super().reducer_override(thing)

    def _settle(self, name: str) -> None:
        if name in self._known:
            return
        self._known.add(name)
        module = sys.modules.get(name)
        if module is not None and name != MAIN and not importable(name):
            cloudpickle.register_pickle_by_value(module)
            self._by_value.append(module)
