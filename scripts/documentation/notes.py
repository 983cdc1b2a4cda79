"""What generated pages point to by name: docstrings of modules and classes, on one page."""

from __future__ import annotations

import re
from collections.abc import Mapping

from recsys_lab.config.help.docstrings import docstring_of

NAME = "notes.md"
_REFERENCE = re.compile(r"(?<!Code: )`(recsys_lab(?:\.\w+)+)`")


def with_notes(pages: Mapping[str, str]) -> dict[str, str]:
    """The pages with links to a further one, which has every docstring that they refer to.

    Args:
        pages: Markdown by path, relative to one folder.
    """
    notes: dict[str, str] = {}
    open_names = {name for text in pages.values() for name in _REFERENCE.findall(text)}
    while open_names:
        name = open_names.pop()
        notes[name] = docstring_of(name)
        open_names |= {other for other in _REFERENCE.findall(notes[name]) if other not in notes}
    head = "# Notes\n\nDocstrings that the meaning of a key refers to.\n"
    sections = [f"## {name}\n\n{text}\n" for name, text in sorted(notes.items()) if text]
    everything = {**pages, NAME: "\n".join([head, *sections])}
    return {path: _linked(path, text, notes) for path, text in everything.items()}


def _linked(path: str, text: str, notes: Mapping[str, str]) -> str:
    page = "" if path == NAME else "../" * path.count("/") + NAME

    def link(found: re.Match[str]) -> str:
        anchor = found[1].replace(".", "").lower()
        return f"[`{found[1]}`]({page}#{anchor})" if notes.get(found[1]) else found[0]

    return _REFERENCE.sub(link, text)
