"""CSV without formula injection: a spreadsheet opens cells of text as text."""

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
    """A value as a cell, with an apostrophe before text that would start a formula.

    Spreadsheets hide the apostrophe (OWASP, CSV Injection). Numbers are unchanged.
    """
    if not isinstance(value, str):
        return value
    # The csv module does not quote a lone carriage return, which would end the row.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def rows_as_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Rows, including the header, as CSV; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(map(cell, row) for row in rows)
    return text.getvalue()


def frame_as_csv(frame: pl.DataFrame) -> str:
    """A small table as CSV."""
    return rows_as_csv([frame.columns, *frame.iter_rows()])
