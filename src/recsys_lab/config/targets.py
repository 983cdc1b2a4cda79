"""Classes that a config may name with ``_target_``, and their sources.

A config file must not run arbitrary code, so a target is only built if it is in the lab's package
for its config group, or under a prefix in the environment variable ``RECSYS_LAB_ALLOWED_TARGETS``
(comma separated, e.g. ``mymodels,other.package``). Config files cannot set that variable, only the
user who starts the command.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Iterable
from functools import lru_cache
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any

from recsys_lab.config.choice import Choice
from recsys_lab.config.errors import NoModule, UserError, did_you_mean
from recsys_lab.config.locations import component_packages

ALLOWED_TARGETS_VARIABLE = "RECSYS_LAB_ALLOWED_TARGETS"


def allowed_prefixes() -> list[str]:
    """``recsys_lab`` and the prefixes that the user allows, without trailing dots.

    Raises:
        UserError: the variable has something else.
    """
    extra = os.environ.get(ALLOWED_TARGETS_VARIABLE, "")
    prefixes = [p for p in (x.strip().rstrip(".") for x in extra.split(",")) if p]
    if not all(part.isidentifier() for prefix in prefixes for part in prefix.split(".")):
        raise UserError(
            f"{ALLOWED_TARGETS_VARIABLE}: got {extra!r}, expected names of packages or modules, "
            "separated by commas, e.g. my_models,my_metrics"
        )
    return ["recsys_lab", *prefixes]


def is_allowed(module: str) -> bool:
    """Whether a module belongs to the lab or is allowed by the user."""
    return _is_within(module, allowed_prefixes())


def split_target(target: object) -> tuple[str, str]:
    """``package.module.Class`` as (module, class).

    Raises:
        UserError: it has another form or no allowed prefix.
    """
    if not isinstance(target, str) or not all(p.isidentifier() for p in target.split(".")):
        raise UserError(f"expected 'package.module.Class', got {target!r}.")
    module, _, name = target.rpartition(".")
    if not module:
        raise UserError(f"expected 'package.module.Class', got {target!r}.")
    if not is_allowed(module):
        first, allowed = target.partition(".")[0], allowed_prefixes()
        hint = did_you_mean(first, [prefix.partition(".")[0] for prefix in allowed])
        value = ",".join([*allowed[1:], first])
        raise UserError(
            f"{target!r} is not under an allowed prefix ({', '.join(allowed)}){hint} If you trust "
            f"this code, allow it: export {ALLOWED_TARGETS_VARIABLE}={value}"
        )
    return module, name


def refuse_misplaced(module: str, name: str, group: str | Choice | None) -> None:
    """Refuse a class of the lab outside of the packages of its group.

    Args:
        module: full dotted name.
        name: of the class.
        group: config group of the component, e.g. ``model``, or its `Choice`; None allows any.

    Raises:
        UserError: the class is in another package of the lab.
    """
    packages = (group.package,) if isinstance(group, Choice) else component_packages(group)
    if _is_within(module, ["recsys_lab"]) and not _is_within(module, packages):
        kind = f"{group} component" if group else "component"
        raise UserError(
            f"'{module}.{name}' is not a {kind} of the lab; expected a class in "
            f"{', '.join(packages) or 'no package'}."
        )


def _is_within(module: str, prefixes: Iterable[str]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def find_source(module: str) -> Path | None:
    """The source file of a module, without importing the module or its parents.

    Args:
        module: full dotted name.

    Returns:
        Its file, or None if the module does not exist or is not Python source.
    """
    return _find_own(module) if _is_within(module, ["recsys_lab"]) else _find(module)


@lru_cache(maxsize=4096)
def _find_own(module: str) -> Path | None:
    """A module of the lab, whose files stay where they are; a check asks for each many times."""
    return _find(module)


def _find(module: str) -> Path | None:
    first, *rest = module.split(".")
    try:
        spec: ModuleSpec | None = importlib.util.find_spec(first)
    except (ImportError, ValueError):
        return None
    name = first
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        name = f"{name}.{part}"
        spec = _find_in(spec.submodule_search_locations, name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def source_hash(source: Path | None) -> str:
    """The first 16 hex digits of a source file's SHA-256."""
    return hashlib.sha256(source.read_bytes() if source else b"").hexdigest()[:16]


def own_source_hash(cls: type[Any]) -> str | None:
    """The hash of the file of a user's own class; None for a class of the lab."""
    module = cls.__module__
    return None if _is_within(module, ["recsys_lab"]) else source_hash(find_source(module))


def _find_in(folders: Iterable[str], name: str) -> ModuleSpec | None:
    """A module of a package; `PathFinder` would import a package without a file."""
    kinds = (SourceFileLoader, SOURCE_SUFFIXES)
    finders = (FileFinder(folder, kinds) for folder in folders)
    specs = [spec for finder in finders if (spec := finder.find_spec(name)) is not None]
    return next((spec for spec in specs if spec.loader is not None), specs[0] if specs else None)


def import_class(target: object, group: str | Choice | None = None) -> type[Any]:
    """Import the class that an allowed target names.

    Args:
        target: value of ``_target_``.
        group: config group of the component, e.g. ``model``, or its `Choice`; None allows any.

    Raises:
        UserError: the target is not allowed, does not exist, or is not a component class (a class
            of that module with a nested ``Config``).
    """
    module_name, name = split_target(target)
    refuse_misplaced(module_name, name, group)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise  # an import of the module failed, not the module itself
        raise NoModule(module_name) from error
    cls = getattr(module, name, None)
    # A class that the module imports is not one of its components.
    if not isinstance(cls, type) or cls.__module__ != module_name or not hasattr(cls, "Config"):
        raise UserError(f"{module_name} has no class {name!r} with a nested Config.")
    return cls
