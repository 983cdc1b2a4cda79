"""Sources of component classes, parsed and not run: their options, methods and attributes."""

from __future__ import annotations

import ast
import builtins
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from recsys_lab.config.errors import UserError
from recsys_lab.config.targets import find_source, is_allowed

LIGHT_MODULES = (
    *("typing", "annotated_types", "collections.abc", "enum", "dataclasses", "datetime"),
    *("recsys_lab.config", "recsys_lab.config.choice", "recsys_lab.config.relations"),
)
"""Modules that are imported for the names in annotations; other modules are only parsed."""
_CONSTRUCTORS = (*("annotated_types", "recsys_lab.config.choice", "recsys_lab.config.relations"),)
"""Modules whose classes an annotation may call."""


class Unreadable(Exception):
    """The options cannot be read from the source; the module must be imported."""


class ClassSources:
    """Parsed modules, each once."""

    def __init__(self) -> None:
        self._read: dict[str, ClassSource] = {}

    def read(self, module: str) -> ClassSource:
        """The source of a module.

        Raises:
            Unreadable: it is not the lab's or the user's, or not Python.
        """
        if module not in self._read:
            path = find_source(module) if is_allowed(module) else None
            if path is None:
                raise Unreadable
            parsed = _parsed(path.read_text(encoding="utf-8"), str(path))
            self._read[module] = ClassSource(parsed, self)
        return self._read[module]


class _Parsed:
    """A source file with its imports, classes and plain assignments by name."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.imports: dict[str, tuple[str, str | None]] = {}
        for node in _imports(tree.body):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (alias.name, None)
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.assigned = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }


def _imports(body: Sequence[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module or a branch; those in functions bind no name of the module."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):
            yield from _imports([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [line for handler in node.handlers for line in handler.body]
            yield from _imports([*node.body, *handlers, *node.orelse, *node.finalbody])


@lru_cache(maxsize=1024)
def _parsed(text: str, file: str) -> _Parsed:
    """A source file; kept, because every check of a config in this process reads the same ones."""
    return _Parsed(ast.parse(text, filename=file))


Fields = dict[str, tuple[Any, bool]]
"""Fields of a dataclass: name -> annotation and whether it has no default."""


class ClassSource:
    """The names of a module, evaluated when an annotation needs them.

    Names come from `LIGHT_MODULES` and from plain assignments such as ``Rate = Annotated[float,
    Ge(0)]``, here or in another module of the lab or the user; others are `Unreadable`.
    """

    def __init__(self, parsed: _Parsed, sources: ClassSources) -> None:
        self._tree, self._sources = parsed.tree, sources
        self._imports, self._assigned = parsed.imports, parsed.assigned
        self._values: dict[str, Any] = {}
        self.classes = parsed.classes

    def imported_from(self, name: str) -> str | None:
        """``module.name`` that the module imports under a name, with dots in front if relative."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if name == (alias.asname or alias.name):
                        module = f"{node.module}." if node.module else ""
                        return f"{'.' * node.level}{module}{alias.name}"
        return None

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
            raise Unreadable
        return source._config_of_base(node.bases[0])

    def docstring(self, name: str) -> str | None:
        """The module's docstring, or that of a class."""
        return ast.get_docstring(self._tree) or ast.get_docstring(self._class(ast.Name(name))[1])

    def defines(self, name: str, method: str) -> bool:
        """Whether a class, or a base class that can be read, defines a method."""
        return any(
            isinstance(line, ast.FunctionDef) and line.name == method
            for node in self._lineage(name)
            for line in node.body
        )

    def stated(self, name: str, attribute: str) -> Any:
        """The value of a class attribute, of the class or the first base class that sets it."""
        for node in self._lineage(name):
            for line in node.body:
                value = _assigned(line, attribute)
                if value is not None:
                    try:
                        return ast.literal_eval(value)
                    except ValueError:
                        raise Unreadable from None
        return None

    def _lineage(self, name: str) -> Iterator[ast.ClassDef]:
        """A class and its base classes that can be read."""
        _, node = self._class(ast.Name(name))
        yield node
        for base in node.bases:
            with suppress(Unreadable):  # of another package, such as torch
                inner, base_node = self._class(base)
                yield from inner._lineage(base_node.name)

    def _config_of_base(self, base: ast.expr) -> Fields:
        source, node = self._class(base)
        return source.config_of(node.name)

    def _fields(self, config: ast.ClassDef) -> Fields:
        fields: Fields = {}
        if any(isinstance(line, ast.AnnAssign) for line in config.body) and not any(
            ast.unparse(mark).partition("(")[0].endswith("dataclass")
            for mark in config.decorator_list
        ):
            raise UserError("its nested Config has options but no @dataclass(frozen=True); add it")
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

    def _class(self, expression: ast.expr) -> tuple[ClassSource, ast.ClassDef]:
        """The class statement of a name, and its module."""
        if isinstance(expression, ast.Name) and expression.id in self.classes:
            return self, self.classes[expression.id]
        if isinstance(expression, ast.Name) and expression.id in self._imports:
            module, name = self._imports[expression.id]
            if name is not None:
                return self._sources.read(module)._class(ast.Name(name))
        raise Unreadable

    def _annotation(self, expression: ast.expr) -> Any:
        """The type of an annotation."""
        if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
            expression = ast.parse(expression.value, mode="eval").body
        try:
            return self._value(expression)
        except (TypeError, ValueError, AttributeError, SyntaxError) as error:
            raise Unreadable from error

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
        raise Unreadable


def _assigned(line: ast.stmt, name: str) -> ast.expr | None:
    """The value that a statement gives a name, or None."""
    if not isinstance(line, ast.Assign | ast.AnnAssign):
        return None
    targets = line.targets if isinstance(line, ast.Assign) else [line.target]
    return line.value if any(isinstance(t, ast.Name) and t.id == name for t in targets) else None


def _constructor(value: Any) -> Callable[..., Any]:
    if isinstance(value, type) and value.__module__ in _CONSTRUCTORS:
        return value
    raise Unreadable


def _is_required(value: ast.expr | None) -> bool:
    """Whether a field of a dataclass has no default."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        return not any(word.arg in ("default", "default_factory") for word in value.keywords)
    return value is None
