"""Markdown for notes, model cards and pull requests: text from elsewhere stays text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What GitHub's Markdown would read within a line. A sign of emphasis must stand before a letter to
# open one, and an underscore inside a word is plain.
_SPECIAL = re.compile(r"([\\`<|]|[*~](?=\S)|(?<!\w)_(?=\S)|\](?=[(\[])|&(?=[#\w]))")


def plain(text: str) -> str:
    """One line that is shown as it stands; not to be the begin of a line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()
) -> str:  # fmt: skip
    """A table; the columns `right` hold numbers."""
    numbers = set(right)
    rule = ["---:" if place in numbers else "---" for place in range(len(heads))]
    lines = [map(plain, heads), rule, *(map(plain, row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {plain(line)}" for line in lines)
