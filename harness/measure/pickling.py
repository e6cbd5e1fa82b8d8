"""Brings a workload from the process that collected it into one that measures it.

A workload travels as a pickle in which the classes of its own module stand by name. That module is a
file that pytest loaded under a name of its own: on the other side it is loaded from the same file under
the same name.
"""

import importlib
import io
import pickle
import sys
from operator import attrgetter
from pathlib import Path

from harness.errors import UsageError, one_line
from harness.loading import load_file
from harness.workload import Workload


def pack_workload(workload: Workload) -> tuple[bytes, str, str | None]:
    """The workload as a pickle, the module its class is in, and the file of that.

    Raises:
        UsageError: it holds something that no other process can be given, or its class is local to a function.
    """
    module = type(workload).__module__
    packed = io.BytesIO()
    try:
        _Pickler(packed, module).dump(workload)
    except Exception as error:
        raise UsageError(f"{workload} cannot be handed to a worker process: {one_line(error)}") from error
    return packed.getvalue(), module, getattr(sys.modules.get(module), "__file__", None)


def load_workload(packed: bytes, module: str, path: str | None) -> Workload:
    """The workload again; its module is loaded once, and stays."""
    workload: Workload = _Unpickler(io.BytesIO(packed), module, path).load()
    return workload


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


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, module: str) -> None:
        super().__init__(file)
        self._module = module

    def persistent_id(self, thing: object) -> str | None:
        """The name of a class of the workload's module; None for anything else."""
        if not isinstance(thing, type) or thing.__module__ != self._module:
            return None
        if "<locals>" in thing.__qualname__:
            raise pickle.PicklingError(f"{thing.__qualname__} is local to a function")
        return thing.__qualname__


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, module: str, path: str | None) -> None:
        super().__init__(file)
        self._module, self._path = module, path

    def persistent_load(self, name: str) -> object:
        """The class of that name."""
        if self._module not in sys.modules:
            if self._path is None:
                importlib.import_module(self._module)
            else:
                load_file(self._module, Path(self._path))
        return attrgetter(name)(sys.modules[self._module])
