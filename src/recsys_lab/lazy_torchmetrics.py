"""Imports only the classes of torchmetrics that the lab and Lightning need.

``import torchmetrics`` imports every metric, transformers and scipy.signal, a third of the time in
which a training starts. Here they are imported when another name of the package is used.
"""

from __future__ import annotations

import importlib
import logging
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from threading import RLock
from types import ModuleType
from typing import Any

_PACKAGE = "torchmetrics"
_MODULES = {"Metric": "metric", "MetricCollection": "collections", "__version__": "__about__"}
"""Names of the package that are imported from their own modules."""


def find_torchmetrics() -> None:
    """Make ``import torchmetrics`` lazy in this process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        del target
        spec = PathFinder.find_spec(fullname, path) if fullname == _PACKAGE else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Lazy(spec.loader)
        return spec


class _Lazy(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def exec_module(self, module: ModuleType) -> None:
        lock, loading = RLock(), False

        def attribute(name: str) -> Any:
            nonlocal loading
            if name in _MODULES:
                return getattr(importlib.import_module(f"{_PACKAGE}.{_MODULES[name]}"), name)
            if name == "_logger":
                return logging.getLogger(_PACKAGE)
            # Tools ask every module for other names with underscores; import * needs __all__.
            if name.startswith("__") and name != "__all__":
                raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
            with lock:
                if loading:  # the package asks for what it has not defined yet
                    raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
                if "__getattr__" in module.__dict__:
                    loading = True
                    try:
                        self._loader.exec_module(module)
                    finally:
                        loading = False
                    module.__dict__.pop("__getattr__")
            return getattr(module, name)

        module.__dict__["__getattr__"] = attribute
        # Before the modules that it and they import mutually.
        importlib.import_module(f"{_PACKAGE}.utilities")
