"""Markdown for notes, model cards and pull requests: text from elsewhere stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from recsys_lab.pages.terminal import printable

# What GitHub's Markdown would read within a line. A sign of emphasis must stand before a letter to
# open one, and an underscore inside a word is plain.
_SPECIAL = re.compile(r"([\\`<|]|[*~](?=\S)|(?<![^\W_])_(?=\S)|\](?=[(\[:])|&(?=[#\w]))")
_AT_THE_BEGIN = re.compile(r"(\d{0,9})([#>+=.)-]|\[(?=[ xX]\]))")  # headings, quotes, lists, tasks


class Marked(str):
    """Text that is Markdown already; any other text is escaped where it is put into a table."""

    __slots__ = ()


def plain(text: str) -> Marked:
    """One line that is shown as it stands; not to be the begin of a line."""
    if isinstance(text, Marked):
        return text
    return Marked(_SPECIAL.sub(r"\\\1", " ".join(printable(text).split())))


def line(text: str) -> Marked:
    """The same for the begin of a line."""
    begun = plain(text)
    found = _AT_THE_BEGIN.match(begun)
    if found is None:
        return begun
    return Marked(f"{found[1]}\\{begun[found.end(1) :]}")


def code(text: str) -> Marked:
    """One line of code, also where it holds backticks."""
    shown = " ".join(printable(text).split())
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return Marked(f"{fence}{space}{shown}{space}{fence}")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table; the columns `right` hold numbers."""
    numbers = set(right)
    rule = ["---:" if place in numbers else "---" for place in range(len(heads))]
    lines = [map(plain, heads), rule, *(map(plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line(text)}" for text in lines)
