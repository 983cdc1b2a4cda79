"""What is wrong with the words of a command line that are no ``key=value``, in plain words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

_PAIRS = {"]": "[", "}": "{", ")": "("}


def split_values(texts: Sequence[str]) -> Iterator[tuple[range, str]]:
    """Values in brackets that the shell has split at their spaces.

    Args:
        texts: the words of the command line.

    Yields:
        The indices of the words of one value, and the message.
    """
    start = 0
    while start < len(texts):
        if texts[start + 1 : start + 2] == ["="] and start + 2 < len(texts):
            words = texts[start : start + 3]
            yield (
                range(start, start + 3),
                f"{' '.join(words)}: no spaces around =: {''.join(words)}",
            )
            start += 3
            continue
        end = _closed(texts, start) if "=" in texts[start] else start
        if end > start:
            whole = shlex.quote(" ".join(texts[start : end + 1]))
            what = "the shell splits a value at its spaces; put it in quotes"
            yield range(start, end + 1), f"{texts[start]}: {what}: {whole}"
        start = end + 1


def _closed(texts: Sequence[str], start: int) -> int:
    """The index of the word in which the brackets of a value are closed; `start` if in none."""
    opened: list[str] = []
    for index in range(start, len(texts)):
        value = texts[index].partition("=")[2] if index == start else texts[index]
        for letter in value:
            if letter in _PAIRS.values():
                opened.append(letter)
            elif letter in _PAIRS and (not opened or opened.pop() != _PAIRS[letter]):
                return start
        if not opened:
            return index
    return start


def not_a_pair(text: str, before: str | None) -> str | None:
    """What a word without ``=`` should have been; None if it has one.

    Args:
        text: the word.
        before: the word before it.
    """
    expected = f"{text}: expected key=value"
    if text.startswith("="):
        return f"{expected}, got no key before ="
    if "=" in text:
        return None
    pair = re.fullmatch(r"([A-Za-z_][\w./]*):(.+)", text)
    if pair:
        return f"{expected}: {shlex.quote(f'{pair[1]}={pair[2]}')}"
    if before is not None and "=" in before:
        whole = shlex.quote(f"{before} {text}")
        return f"{expected}; if it belongs to the value before it, put both in quotes: {whole}"
    return f"{expected}, got no ="
