"""Missing values that are written out: the words by which programs say that there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMON = ("null", "none", "nan", "na", "n/a", "<na>", "#n/a", "\\n", "-")
"""In small letters: of SQL and its dumps (NULL, \\N), Python and pandas (None, nan, <NA>), R (NA),
spreadsheets (#N/A) and people."""


def missing_words(option: Sequence[str] | None) -> tuple[str, ...]:
    """The words that count as missing, in small letters; a blank value always does.

    Args:
        option: ``data.missing_values``; None for `COMMON`.
    """
    return ("", *(COMMON if option is None else (word.strip().lower() for word in option)))


def is_missing(text: pl.Expr, words: Sequence[str]) -> pl.Expr:
    """Whether a text is one of the words, in small or capital letters, blanks around it or not."""
    return text.str.strip_chars().str.to_lowercase().is_in(words)


def missing_values(frame: pl.LazyFrame, column: str, words: Sequence[str]) -> dict[str, int]:
    """What stands for a missing value in a column of strings, as written -> rows; blanks left out.

    Args:
        frame: the source.
        column: its name.
        words: see `missing_words`.
    """
    value = pl.col(column)
    written = frame.filter(is_missing(value, words), value.str.strip_chars() != "")
    counted = written.group_by(value).len().sort("len", column, descending=[True, False])
    return dict(counted.collect(engine="streaming").iter_rows())


def missing_value_note(name: str, column: str, found: Mapping[str, int]) -> str:
    """A sentence about values that count as missing.

    Args:
        name: of the column in the log.
        column: of the source.
        found: as `missing_values` returns it.
    """
    examples = ", ".join(f"{value!r} ({rows:,})" for value, rows in list(found.items())[:5])
    return (
        f"{name}: {sum(found.values()):,} rows of column '{column}' hold words for a missing value "
        f"and count as missing: {examples}. If they are values, set data.missing_values=[] (or the "
        "list of words that are none)"
    )
