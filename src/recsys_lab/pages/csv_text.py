"""CSV for people: no cell of text is a formula where a spreadsheet opens it."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

_FORMULA = re.compile(r"[=+\-@\t\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def cell(value: Any) -> Any:
    """A value as a cell: text that would begin a formula has an apostrophe before it.

    Spreadsheets show such a cell without the apostrophe (OWASP, CSV Injection). Numbers stay.
    """
    if not isinstance(value, str):
        return value
    # A lone carriage return would stand unquoted, and end the row.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def rows_as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Rows, the header among them, as CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(map(cell, row) for row in rows)
    return text.getvalue()


def frame_as_csv(frame: pl.DataFrame) -> str:
    """A small table as CSV."""
    return rows_as_csv([frame.columns, *frame.iter_rows()])
