"""Markdown with escaped text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from recsys_lab.pages.terminal import printable

# Inline syntax of GitHub's Markdown. Emphasis only opens before a non-space, and an underscore
# inside a word is plain.
_SPECIAL = re.compile(r"([\\`<|]|[*~](?=\S)|(?<![^\W_])_(?=\S)|\](?=[(\[:])|&(?=[#\w]))")
_LINE_START = re.compile(r"(\d{0,9})([#>+=.)-]|\[(?=[ xX]\]))")  # headings, quotes, lists, tasks


class Marked(str):
    """Markdown source; any other text is escaped."""

    __slots__ = ()


def plain(text: str) -> Marked:
    """One line of escaped text, to be used inside a line; see `line` for its start."""
    if isinstance(text, Marked):
        return text
    return Marked(_SPECIAL.sub(r"\\\1", " ".join(printable(text).split())))


def line(text: str) -> Marked:
    """One line of escaped text at the start of a line."""
    escaped = plain(text)
    match = _LINE_START.match(escaped)
    return escaped if match is None else Marked(f"{match[1]}\\{escaped[match.end(1) :]}")


def code(text: str) -> Marked:
    """One line of code, which may contain backticks."""
    shown = " ".join(printable(text).split())
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return Marked(f"{fence}{space}{shown}{space}{fence}")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table; the columns ``right`` are right-aligned."""
    numbers = set(right)
    rule = ["---:" if index in numbers else "---" for index in range(len(heads))]
    lines = [map(plain, heads), rule, *(map(plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line(text)}" for text in lines)
