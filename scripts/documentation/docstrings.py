"""Docstrings as Markdown, read from the source: neither torch nor a component is imported."""

from __future__ import annotations

import ast
import re
from functools import cache
from inspect import cleandoc
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
    node = _class(target)
    text = cleandoc((node and ast.get_docstring(node)) or "")
    return as_markdown(re.split(r"^(?:Args|Attributes|Raises):\n", text, flags=re.MULTILINE)[0])


@cache
def meanings(target: str) -> dict[str, str]:
    """What every key of a component means, from the docstring of its ``Config``.

    Args:
        target: dotted name of the component, or of a protocol of options whose properties have
            docstrings.
    """
    node = _class(target)
    if node is None:
        return {}
    functions = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    found = {f.name: as_markdown(ast.get_docstring(f) or "") for f in functions}
    config = [n for n in node.body if isinstance(n, ast.ClassDef) and n.name == "Config"]
    text = ast.get_docstring(config[0]) if config else None
    if text:
        found = _attributes(text)
        for other in re.findall(r"`(recsys_lab[\w.]+)`", text.partition("Attributes:")[0]):
            found = {**meanings(other), **found}
    return found


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
    is_value = re.match(r"`*\w+`*:", text)  # "auto: by their size" is about the value auto
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
