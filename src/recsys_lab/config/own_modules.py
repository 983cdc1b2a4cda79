"""Import of the user's modules from the working directory, which is not on Python's search path.

A stray file there, named like an optional dependency (``pynvml.py``, ``hydra_plugins/x.py``), would
otherwise be imported. Only modules that the user allows by name can be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from recsys_lab.config.targets import allowed_prefixes


def find_allowed_modules_in(folder: str) -> None:
    """Let Python import allowed modules from a folder, if they are not installed.

    Args:
        folder: absolute path; it replaces the folder of an earlier call.
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
        if path is not None or fullname not in names:  # submodules have the path of their package
            return None
        spec = PathFinder.find_spec(fullname, [self._folder], target)
        if spec is not None and spec.submodule_search_locations is not None:
            # Otherwise a package without __init__.py is searched again when sys.path changes.
            spec.submodule_search_locations = list(spec.submodule_search_locations)
        return spec
