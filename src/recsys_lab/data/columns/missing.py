"""Words that mean a missing value, such as ``null`` and ``NA``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

COMMON = ("null", "none", "nan", "na", "n/a", "<na>", "#n/a", "\\n", "-")
"""In lower case: of SQL and its dumps (NULL, \\N), Python and pandas (None, nan, <NA>), R (NA),
spreadsheets (#N/A), and a dash."""


def missing_words(option: Sequence[str] | None) -> tuple[str, ...]:
    """The words that count as missing, in lower case; a blank value always does.

    Args:
        option: ``data.missing_values``; None for `COMMON`.
    """
    return ("", *(COMMON if option is None else (word.strip().lower() for word in option)))


def is_missing(text: pl.Expr, words: Sequence[str]) -> pl.Expr:
    """Whether a text is one of the words, ignoring case and surrounding blanks."""
    return text.str.strip_chars().str.to_lowercase().is_in(words)


def missing_values(frame: pl.LazyFrame, column: str, words: Sequence[str]) -> dict[str, int]:
    """Words for a missing value in a column of strings, as written -> rows; without blanks.

    Args:
        frame: the source.
        column: its name.
        words: see `missing_words`.
    """
    value = pl.col(column)
    written = frame.filter(is_missing(value, words), value.str.strip_chars() != "")
    counted = written.group_by(value).len().sort("len", column, descending=[True, False])
    return dict(counted.collect(engine="streaming").iter_rows())


def missing_value_note(name: str, column: str, words: Mapping[str, int]) -> str:
    """A note about values that count as missing.

    Args:
        name: of the column in the log.
        column: of the source.
        words: as `missing_values` returns them.
    """
    examples = ", ".join(f"{word!r} ({rows:,})" for word, rows in list(words.items())[:5])
    return (
        f"{name}: {sum(words.values()):,} rows of column '{column}' hold words for a missing value "
        f"and count as missing: {examples}. If they are values, set data.missing_values=[], or "
        "list only the words that mean a missing value"
    )
