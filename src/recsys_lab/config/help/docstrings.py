"""Docstrings as Markdown, read from the source: neither torch nor a component is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path

from recsys_lab.config.targets import find_source


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _class(dotted: str) -> ast.ClassDef | None:
    module, _, name = dotted.rpartition(".")
    source = find_source(module)
    nodes = _tree(source).body if source else []
    return next((n for n in nodes if isinstance(n, ast.ClassDef) and n.name == name), None)


def class_docstring(target: str) -> str:
    """The docstring of a class without its sections (``Args:`` and the like), as Markdown."""
    return _without_sections(_class(target))


def docstring_of(name: str) -> str:
    """What a module, a class or a module's constant says about itself; empty where there is none.

    A module's is followed by those of its public constants and by the names that it lets a config
    choose from.
    """
    source = find_source(name)
    if source is None:
        module, _, constant = name.rpartition(".")
        return _without_sections(_class(name)) or _constants(module).get(constant, "")
    said = [f"`{constant}`: {text}" for constant, text in _constants(name).items()]
    return "\n\n".join([_without_sections(_tree(source)), *said, *_choices(_tree(source))])


def _constants(module: str) -> dict[str, str]:
    """Public constants of a module that have a docstring below them."""
    source = find_source(module)
    body = _tree(source).body if source else []
    return {
        node.targets[0].id: as_markdown(below.value.value)
        for node, below in pairwise(body)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str) and not node.targets[0].id.startswith("_")
    }


def _choices(tree: ast.Module) -> Iterator[str]:
    """Each ``Choice(kind, package, {name: class})`` of a module as a list."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Choice":
            package, targets = map(ast.literal_eval, node.args[1:3])
            texts = {name: class_docstring(f"{package}.{to}") for name, to in targets.items()}
            yield "\n".join(
                f"- `{name}`: {text.partition(chr(10))[0]}" for name, text in texts.items()
            )


def _without_sections(node: ast.Module | ast.ClassDef | None) -> str:
    text = cleandoc((node and ast.get_docstring(node)) or "")
    return as_markdown(re.split(r"^(?:Args|Attributes|Raises):\n", text, flags=re.MULTILINE)[0])


def classes_by_name(package: str) -> dict[str, str]:
    """The full names of a package's classes by their class attribute ``name``."""
    source = find_source(package)
    assert source is not None, package
    return {
        str(line.value.value): f"{package}.{file.stem}.{node.name}"
        for file in sorted(source.parent.glob("*.py"))
        for node in _tree(file).body
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
        if ast.unparse(line.targets[0]) == "name" and line.value.value
    }


@cache
def meanings(dotted: str) -> dict[str, str]:
    """What every key of a component means, from the docstring of its ``Config``.

    Keys of base classes are explained there, and those of a class of the lab that the docstring
    names in full.

    Args:
        dotted: full name of the component or of a class of options. Options that are properties
            have docstrings of their own.
    """
    node = _class(dotted)
    if node is None:
        return {}
    config = next((n for n in node.body if getattr(n, "name", "") == "Config"), node)
    assert isinstance(config, ast.ClassDef)
    text = ast.get_docstring(config) or ""
    found: dict[str, str] = {}
    for base in config.bases:
        name = ast.unparse(base).removesuffix(".Config")  # nested in the base class
        found |= meanings(_full_name(name, dotted))
    for other in re.findall(r"`(recsys_lab[\w.]+)`", text.partition("Attributes:")[0]):
        found |= meanings(other)
    functions = [n for n in config.body if isinstance(n, ast.FunctionDef)]
    found |= {f.name: as_markdown(doc) for f in functions if (doc := ast.get_docstring(f))}
    return found | _attributes(text)


def _full_name(name: str, where: str) -> str:
    """The full name of a class that the module of `where` calls `name`."""
    module = where.rpartition(".")[0]
    source = find_source(module)
    for node in ast.walk(_tree(source)) if source else ():
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return f"{module}.{name}"


def _attributes(docstring: str) -> dict[str, str]:
    section = cleandoc(docstring).partition("Attributes:\n")[2]
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.split(r"^    (?=\w[\w, ]*:)", section, flags=re.MULTILINE)[1:]
    found: dict[str, str] = {}
    for entry in entries:
        names, _, text = entry.partition(":")
        found |= {name.strip(): as_markdown(text) for name in names.split(",")}
    return found


def as_markdown(docstring: str) -> str:
    """A docstring's text as Markdown: a paragraph or an entry of a list is one line."""
    text = cleandoc(docstring)
    paragraphs = [_one_line(part) for part in text.split("\n\n") if part.strip()]
    text = "\n\n".join(paragraphs)
    is_value = re.match(r"`*\w+`*[:=]", text)  # "auto: by their size" is about the value auto
    return text if is_value else text[:1].upper() + text[1:]


def _one_line(paragraph: str) -> str:
    if paragraph.startswith("    "):  # an example or a formula
        return paragraph
    entries = re.split(r"\n(?=- )", paragraph)
    return "\n".join(_escaped(" ".join(entry.split())) for entry in entries)


def _escaped(text: str) -> str:
    """Without the signs that mean something in Markdown, but for code, addresses and bold text."""
    text = text.replace("``", "`")
    parts = re.split(r"(`[^`]*`|\*\*[^*]+\*\*|https?://[^\s,;)]*[^\s,;).])", text)
    parts[1::2] = [f"<{part}>" if part.startswith("http") else part for part in parts[1::2]]
    parts[::2] = [re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)
