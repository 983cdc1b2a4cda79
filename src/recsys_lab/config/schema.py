"""Read a component's ``Config`` fields from its source, without importing torch."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_type_hints

from recsys_lab.config.choice import Choice, chosen_values
from recsys_lab.config.errors import UserError, did_you_mean
from recsys_lab.config.targets import (
    find_source,
    import_class,
    is_allowed,
    refuse_misplaced,
    split_target,
)

LIGHT_MODULES = (
    *("typing", "annotated_types", "collections.abc", "enum", "dataclasses", "datetime"),
    *("recsys_lab.config", "recsys_lab.config.choice"),
)
"""Modules that are imported for the names in annotations; other modules are only parsed."""
_CONSTRUCTORS = ("annotated_types", "recsys_lab.config.choice")
"""Modules whose classes an annotation may call."""


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
    """The options cannot be read from the source; the module must be imported."""


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
        raise UserError(f"no module {module!r}{_near_module(module)}")
    refuse_misplaced(module, name, group)
    try:
        source = _Sources().read(module)
        if name not in source.classes and not source.binds(name):
            raise UserError(f"{module} has no class {name!r}{did_you_mean(name, source.classes)}")
        fields = source.config_of(name)
    except _Unreadable:
        return schema_of_dataclass(import_class(target, group).Config, name)
    required = frozenset(option for option, (_, is_required) in fields.items() if is_required)
    return Schema(name, {option: kind for option, (kind, _) in fields.items()}, required)


def has_method(target: str, method: str) -> bool:
    """Whether the class that `target` names, or a base class of the lab or user, has a method.

    The sources are parsed, not run, as by `schema_of_target`.
    """
    module, name = split_target(target)
    try:
        return _Sources().read(module).defines(name, method)
    except _Unreadable:
        return callable(getattr(import_class(target), method, None))


def schema_of_dataclass(config: type[Any], name: str) -> Schema:
    """The same for an imported dataclass."""
    hints = get_type_hints(config, include_extras=True)
    fields = dataclasses.fields(config)
    missing = dataclasses.MISSING
    required = {f.name for f in fields if f.default is missing and f.default_factory is missing}
    return Schema(name, {f.name: hints[f.name] for f in fields}, frozenset(required))


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


def _near_module(module: str) -> str:
    parent, _, last = module.rpartition(".")
    folder = find_source(parent) if parent else None
    names = [p.stem for p in folder.parent.glob("*.py")] if folder else []
    return did_you_mean(last, [n for n in names if n != "__init__"])


class _Sources:
    """Parsed modules, each once."""

    def __init__(self) -> None:
        self._read: dict[str, _Source] = {}

    def read(self, module: str) -> _Source:
        if module not in self._read:
            path = find_source(module) if is_allowed(module) else None
            if path is None:
                raise _Unreadable
            tree = _parsed(path.read_text(encoding="utf-8"), str(path))
            self._read[module] = _Source(tree, self)
        return self._read[module]


@lru_cache(maxsize=1024)
def _parsed(text: str, file: str) -> ast.Module:
    """A source file; kept, because every check of a config in this process reads the same ones."""
    return ast.parse(text, filename=file)


Fields = dict[str, tuple[Any, bool]]
"""Fields of a dataclass: name -> annotation and whether it has no default."""


class _Source:
    """The names of a module, evaluated when an annotation needs them.

    Names come from `LIGHT_MODULES` and from plain assignments such as ``Rate = Annotated[float,
    Ge(0)]``, here or in another module of the lab or the user; others are `_Unreadable`.
    """

    def __init__(self, tree: ast.Module, sources: _Sources) -> None:
        self._tree, self._sources = tree, sources
        self._imports: dict[str, tuple[str, str | None]] = {}
        self._values: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self._imports[alias.asname or alias.name] = (alias.name, None)
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self._assigned = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }

    def binds(self, name: str) -> bool:
        """Whether the module binds the name, at any depth."""
        return any(
            (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store))
            or (isinstance(node, ast.ClassDef) and node.name == name)
            for node in ast.walk(self._tree)
        )

    def config_of(self, name: str) -> Fields:
        """Fields of the ``Config`` nested in a class, or in the first base that has one."""
        source, node = self._class(ast.Name(name))
        inner = [n for n in node.body if isinstance(n, ast.ClassDef) and n.name == "Config"]
        if inner:
            return source._fields(inner[0])
        if not node.bases:
            raise _Unreadable
        return source._config_of_base(node.bases[0])

    def defines(self, name: str, method: str) -> bool:
        """Whether a class, or a base class that can be read, defines a method."""
        source, node = self._class(ast.Name(name))
        if any(isinstance(n, ast.FunctionDef) and n.name == method for n in node.body):
            return True
        for base in node.bases:
            with suppress(_Unreadable):  # of another package, such as torch
                inner, base_node = source._class(base)
                if inner.defines(base_node.name, method):
                    return True
        return False

    def _config_of_base(self, base: ast.expr) -> Fields:
        source, node = self._class(base)
        return source.config_of(node.name)

    def _fields(self, config: ast.ClassDef) -> Fields:
        fields: Fields = {}
        for base in reversed(config.bases):
            if isinstance(base, ast.Attribute) and base.attr == "Config":
                fields |= self._config_of_base(base.value)
            else:
                source, node = self._class(base)
                fields |= source._fields(node)
        for line in config.body:
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                fields[line.target.id] = self._annotation(line.annotation), _is_required(line.value)
        return fields

    def _class(self, expression: ast.expr) -> tuple[_Source, ast.ClassDef]:
        """The class statement of a name, and its module."""
        if isinstance(expression, ast.Name) and expression.id in self.classes:
            return self, self.classes[expression.id]
        if isinstance(expression, ast.Name) and expression.id in self._imports:
            module, name = self._imports[expression.id]
            if name is not None:
                return self._sources.read(module)._class(ast.Name(name))
        raise _Unreadable

    def _annotation(self, expression: ast.expr) -> Any:
        """The type of an annotation."""
        if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
            expression = ast.parse(expression.value, mode="eval").body
        try:
            return self._value(expression)
        except (TypeError, ValueError, AttributeError, SyntaxError) as error:
            raise _Unreadable from error

    def _value(self, expression: ast.expr) -> Any:
        """Evaluate the kinds of expressions that occur in annotations; others are unreadable."""
        value = self._value
        match expression:
            case ast.Name():
                return self._named(expression.id)
            case ast.Attribute():
                return getattr(value(expression.value), expression.attr)
            case ast.Subscript():
                return value(expression.value)[value(expression.slice)]
            case ast.BinOp(op=ast.BitOr()):
                return value(expression.left) | value(expression.right)
            case ast.Tuple():
                return tuple(map(value, expression.elts))
            case ast.Call():
                options = {word.arg: value(word.value) for word in expression.keywords if word.arg}
                return _constructor(value(expression.func))(*map(value, expression.args), **options)
        return ast.literal_eval(expression)

    def _named(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = self._find(name)
        return self._values[name]

    def _find(self, name: str) -> Any:
        if name in self._assigned:
            return self._value(self._assigned[name])
        if name in self._imports:
            module, attribute = self._imports[name]
            if module in LIGHT_MODULES:
                loaded = importlib.import_module(module)
                return loaded if attribute is None else getattr(loaded, attribute)
            if attribute is not None:
                return self._sources.read(module)._named(attribute)
        elif name not in self.classes and hasattr(builtins, name):
            return getattr(builtins, name)
        raise _Unreadable


def _constructor(value: Any) -> Callable[..., Any]:
    if isinstance(value, type) and value.__module__ in _CONSTRUCTORS:
        return value
    raise _Unreadable


def _is_required(value: ast.expr | None) -> bool:
    """Whether a field of a dataclass has no default."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        return not any(word.arg in ("default", "default_factory") for word in value.keywords)
    return value is None
