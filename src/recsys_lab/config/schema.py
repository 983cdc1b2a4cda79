"""Read a component's ``Config`` fields from its source, without importing torch."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, get_type_hints

from recsys_lab.config.choice import Choice, chosen_values
from recsys_lab.config.class_source import ClassSource, ClassSources, Unreadable
from recsys_lab.config.errors import UserError, did_you_mean
from recsys_lab.config.targets import (
    find_source,
    import_class,
    refuse_misplaced,
    split_target,
)


@dataclass(frozen=True)
class Schema:
    """The options of a component.

    Attributes:
        name: class name, for messages.
        types: annotation of every option.
        required: the options without a default.
    """

    name: str
    types: Mapping[str, Any]
    required: frozenset[str]


def schema_of_target(target: object, group: str | Choice | None = None) -> Schema:
    """The options of the class that `target` names.

    Sources are parsed, not run: those of the class, its base classes and annotations. If that is
    not enough (a computed type, a base class of another package), the module is imported.

    Args:
        target: value of ``_target_``.
        group: config group of the component, e.g. ``model``, or its `Choice`; None allows any.

    Raises:
        UserError: the target is not allowed, or the module or class does not exist.
    """
    module, name = split_target(target)
    if find_source(module) is None:
        raise UserError(_no_module(module, name))
    refuse_misplaced(module, name, group)
    try:
        source = ClassSources().read(module)
        if name not in source.classes and not source.binds(name):
            raise UserError(_no_class(module, name, source))
        fields = source.config_of(name)
    except Unreadable:
        return schema_of_dataclass(import_class(target, group).Config, name)
    required = frozenset(option for option, (_, is_required) in fields.items() if is_required)
    return Schema(name, {option: kind for option, (kind, _) in fields.items()}, required)


def has_method(target: str, method: str) -> bool:
    """Whether the class that `target` names, or a base class of the lab or user, has a method.

    The sources are parsed, not run, as by `schema_of_target`.
    """
    module, name = split_target(target)
    try:
        return ClassSources().read(module).defines(name, method)
    except Unreadable:
        return callable(getattr(import_class(target), method, None))


def first_sentence(target: str) -> str:
    """The first paragraph of the module's docstring, or of the class's, in one line.

    The source is parsed, not run, as by `schema_of_target`.
    """
    module, name = split_target(target)
    try:
        text = ClassSources().read(module).docstring(name)
    except Unreadable:
        reader = import_class(target)
        text = inspect.getdoc(inspect.getmodule(reader)) or inspect.getdoc(reader)
    return " ".join((text or name).split("\n\n")[0].split())


def stated(target: str, attribute: str) -> Any:
    """The value of a class attribute of the class that `target` names; None if it states none.

    The sources are parsed, not run, as by `schema_of_target`.
    """
    module, name = split_target(target)
    try:
        return ClassSources().read(module).stated(name, attribute)
    except Unreadable:
        return getattr(import_class(target), attribute, None)


def schema_of_dataclass(config: type[Any], name: str) -> Schema:
    """The same for an imported dataclass."""
    fields = dataclasses.fields(config)
    missing = dataclasses.MISSING
    required = {f.name for f in fields if f.default is missing and f.default_factory is missing}
    return Schema(name, types_of(config), frozenset(map(_key, required)))


def types_of(config: type[Any]) -> dict[str, Any]:
    """The keys of a dataclass with their annotations; the key of the field ``from_`` is ``from``.

    A field cannot have the name of a keyword of Python.
    """
    hints = get_type_hints(config, include_extras=True)
    return {_key(field.name): hints[field.name] for field in dataclasses.fields(config)}


def _key(field: str) -> str:
    return field.removesuffix("_")


def targets_of(node: Mapping[str, Any], group: str | Choice | None = None) -> Iterator[str]:
    """Every dotted class in a checked component's config: its own, and those of open options.

    Args:
        node: plain mapping with ``_target_``.
        group: see `schema_of_target`.
    """
    yield str(node["_target_"])
    schema = schema_of_target(node["_target_"], group)
    for option, kind in schema.types.items():
        for _, chosen, choice in chosen_values(node.get(option), kind, option):
            if isinstance(chosen, str):
                yield choice.target(chosen)
            else:
                yield from targets_of(chosen, choice)


def _no_class(module: str, name: str, source: ClassSource) -> str:
    """The message for a module without the class; one that it imports has a module of its own."""
    imported = source.imported_from(name)
    if imported is None:
        return f"{module} has no class {name!r}{did_you_mean(name, source.classes)}"
    file = find_source(module)
    is_package = file is not None and file.name == "__init__.py"
    home = resolve_name(imported, module if is_package else module.rpartition(".")[0])
    return f"{module} has no class {name!r}, it imports it; expected its own module: {home}"


def _no_module(module: str, name: str) -> str:
    if find_source(f"{module}.{name}") is not None:
        return f"{module}.{name} is a module; add its class: {module}.{name}.CLASS"
    where = "" if module.startswith("recsys_lab.") else f" in {Path.cwd()} and PYTHONPATH"
    return f"no module {module!r}{where}{_near_module(module)}"


def _near_module(module: str) -> str:
    parent, _, last = module.rpartition(".")
    folder = find_source(parent) if parent else None
    names = [p.stem for p in folder.parent.glob("*.py")] if folder else []
    return did_you_mean(last, [n for n in names if n != "__init__"])
