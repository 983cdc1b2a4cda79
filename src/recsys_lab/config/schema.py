"""Read a component's ``Config`` fields from its source, so that torch need not be imported."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from recsys_lab.config.errors import UserError, did_you_mean
from recsys_lab.config.targets import (
    find_source,
    import_class,
    refuse_misplaced,
    split_target,
)

LIGHT_MODULES = ("typing", "annotated_types", "collections.abc", "enum", "dataclasses", "datetime")


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


class _Unreadable(Exception):
    """The source alone does not say what the options are; the module must be imported."""


def schema_of_target(target: object, group: str | None = None) -> Schema:
    """The options of the class that `target` names.

    The class's source is parsed, not run. Only where that is not enough (an inherited
    ``Config``, a computed type) is the module imported.

    Args:
        target: value of ``_target_``.
        group: of the component, e.g. ``model``; None where any may stand.

    Raises:
        UserError: the target is not allowed or there is no such module or class.
    """
    module, name = split_target(target)
    source = find_source(module)
    if source is None:
        raise UserError(f"no module {module!r}{_near_module(module)}")
    refuse_misplaced(module, name, group)
    try:
        return _schema_from_source(source, module, name)
    except _Unreadable:
        return schema_of_dataclass(import_class(target, group).Config, name)


def schema_of_dataclass(config: type[Any], name: str) -> Schema:
    """The same for an imported dataclass."""
    hints = get_type_hints(config, include_extras=True)
    fields = dataclasses.fields(config)
    missing = dataclasses.MISSING
    required = {f.name for f in fields if f.default is missing and f.default_factory is missing}
    return Schema(name, {f.name: hints[f.name] for f in fields}, frozenset(required))


def _near_module(module: str) -> str:
    parent, _, last = module.rpartition(".")
    folder = find_source(parent) if parent else None
    names = [p.stem for p in folder.parent.glob("*.py")] if folder else []
    return did_you_mean(last, [n for n in names if n != "__init__"])


def _schema_from_source(source: Path, module: str, name: str) -> Schema:
    tree = ast.parse(source.read_text(encoding="utf-8"), filename=str(source))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        if _is_defined_otherwise(tree, name):
            raise _Unreadable
        raise UserError(f"{module} has no class {name!r}{did_you_mean(name, classes)}")
    inner = [n for n in classes[name].body if isinstance(n, ast.ClassDef) and n.name == "Config"]
    if not inner or inner[0].bases:
        raise _Unreadable
    names = _Names(tree)
    types: dict[str, Any] = {}
    required = set()
    for node in inner[0].body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        types[node.target.id] = names.evaluate(node.annotation)
        if node.value is None:
            required.add(node.target.id)
    return Schema(name, types, frozenset(required))


def _is_defined_otherwise(tree: ast.Module, name: str) -> bool:
    """Whether the name is bound in the module by anything but a top-level class statement."""
    return any(
        (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.ClassDef) and node.name == name)
        for node in ast.walk(tree)
    )


class _Names(dict[str, Any]):
    """The module's names, each found when an annotation first asks for it.

    Names come from `LIGHT_MODULES` and from plain module-level assignments such as
    ``Rate = Annotated[float, Ge(0)]``; anything else is `_Unreadable`.
    """

    def __init__(self, tree: ast.Module) -> None:
        super().__init__()
        self._imports: dict[str, tuple[str, str | None]] = {}
        self._assigned: dict[str, ast.expr] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self._imports[alias.asname or alias.name] = (alias.name, None)
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._assigned[node.targets[0].id] = node.value

    def evaluate(self, expression: ast.expr) -> Any:
        """The type that an annotation means."""
        if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
            expression = ast.parse(expression.value, mode="eval").body
        code = compile(ast.Expression(expression), "<annotation>", "eval")
        try:
            # Allowed targets only get here, and only annotations are evaluated.
            return eval(code, {"__builtins__": {}}, self)
        except _Unreadable:
            raise
        except Exception as error:
            raise _Unreadable from error

    def __missing__(self, name: str) -> Any:
        if name in self._assigned:
            value = self.evaluate(self._assigned[name])
        elif name in self._imports:
            module, attribute = self._imports[name]
            if module not in LIGHT_MODULES:
                raise _Unreadable
            loaded = importlib.import_module(module)
            value = loaded if attribute is None else getattr(loaded, attribute)
        elif hasattr(builtins, name):
            value = getattr(builtins, name)
        else:
            raise _Unreadable
        self[name] = value
        return value
