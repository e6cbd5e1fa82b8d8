"""Brings a workload from the process that collected it into one that measures it.

A workload travels as a pickle, which names its class by module. The module of a suite is a file that
pytest loaded under a name of its own: here it is loaded from the same file under the same name.
"""

import importlib.util
import io
import pickle
import sys
from operator import attrgetter
from types import ModuleType
from typing import Any

from harness.errors import UsageError, one_line
from harness.workload import Workload


def pack_workload(workload: Workload) -> tuple[bytes, str, str | None]:
    """The workload as a pickle, the module its class is in, and the file of that.

    Raises:
        UsageError: it holds something that no other process can be given, or its class is local to a function.
    """
    module = type(workload).__module__
    try:
        packed = pickle.dumps(workload)
    except Exception as error:
        raise UsageError(f"{workload} cannot be handed to a worker process: {one_line(error)}") from error
    return packed, module, getattr(sys.modules.get(module), "__file__", None)


def load_workload(packed: bytes, module: str, path: str | None) -> Workload:
    """The workload again; its module is loaded once, and stays."""
    workload: Workload = _Unpickler(io.BytesIO(packed), module, path).load()
    return workload


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, module: str, path: str | None) -> None:
        super().__init__(file)
        self._module, self._path = module, path

    def find_class(self, module: str, name: str) -> Any:
        if module == self._module and self._path is not None and module not in sys.modules:
            _load(module, self._path)
        if module == self._module and module in sys.modules:
            return attrgetter(name)(sys.modules[module])
        return super().find_class(module, name)


def _load(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
