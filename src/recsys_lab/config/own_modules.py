"""The user's own modules in the current folder, which is not on Python's search path.

A stray file there, named like an optional dependency (``pynvml.py``, ``hydra_plugins/x.py``), would
else be imported and run. Found are the modules alone that the user allowed by name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from recsys_lab.config.targets import allowed_prefixes


def find_allowed_modules_in(folder: str) -> None:
    """Let Python find what the user allowed in a folder, after everything that is installed.

    Args:
        folder: absolute; it takes the place of the one that was named before.
    """
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _AllowedModules)]
    sys.meta_path.append(_AllowedModules(folder))


class _AllowedModules(MetaPathFinder):
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module, if its name is the first part of an allowed prefix."""
        names = {prefix.partition(".")[0] for prefix in allowed_prefixes()}
        if path is not None or fullname not in names:  # a package's parts are found by its path
            return None
        spec = PathFinder.find_spec(fullname, [self._folder], target)
        if spec is not None and spec.submodule_search_locations is not None:
            # A package without __init__.py would else be looked for again when sys.path changes.
            spec.submodule_search_locations = list(spec.submodule_search_locations)
        return spec
