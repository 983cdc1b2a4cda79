"""Delimited text as a lazy frame that marks rows with fewer values than columns."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_lab.data.columns.column_plan import FILE, describe_rows, one_row
from recsys_lab.data.formats.text_check import MAX_LINE

SHORT = "_too_few_values"
"""A bool column: whether a row has fewer values than the header has columns. Only present if some
row has; blank lines are not marked."""


def scan_delimited(file: Path, separator: str, quote_char: str | None) -> pl.LazyFrame:
    """All columns as strings, null where empty, and `SHORT` if some row has too few values.

    Args:
        file: plain text with a header, UTF-8.
        separator: one character.
        quote_char: None if nothing quotes.
    """
    frame = pl.scan_csv(
        file,
        separator=separator,
        infer_schema=False,
        glob=False,  # the lab's own listing has resolved patterns; brackets are names
        quote_char=quote_char,
    )
    names = frame.collect_schema().names()
    table = one_row(frame, rows=pl.len(), has_nulls=pl.col(names[-1]).is_null().any())
    if len(names) == 1 or not table["has_nulls"]:
        return frame
    # Polars reads both empty and absent values as null: count the values of each row.
    plain: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if quote_char is None else {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        lines = csv.reader(stream, delimiter=separator, **plain)
        try:
            next(lines, None)
            lengths = np.fromiter(map(len, lines), dtype=np.int32)
        except csv.Error:  # a value too long for this parser
            return frame
    short = np.flatnonzero((lengths > 0) & (lengths < len(names)))
    if not len(short) or len(lengths) != table["rows"]:
        return frame
    number = "_recsys_lab_row"
    rows = pl.Series(short, dtype=pl.get_index_type()).implode()
    marked = frame.with_row_index(number).with_columns(pl.col(number).is_in(rows).alias(SHORT))
    return marked.drop(number)


def short_row_notes(frame: pl.LazyFrame, columns: Sequence[str], where: str) -> list[str]:
    """A note about rows with too few values, if there are any.

    Args:
        frame: see `scan_delimited`.
        columns: the columns to show of the first such row.
        where: the option and the file.
    """
    schema = frame.collect_schema()
    if SHORT not in schema:
        return []
    file = [pl.col(FILE)] if FILE in schema else []
    rows = frame.select(SHORT, *file).with_row_index("row").filter(SHORT)
    short = one_row(rows, number=pl.len(), first=pl.col("row").min())
    [first] = describe_rows(frame, columns, np.array([short["first"]]))
    one = short["number"] == 1
    return [
        f"{where}: {short['number']:,} row{' has' if one else 's have'} fewer values than the "
        f"header has columns; the last ones count as missing. The first is {first}"
    ]


def ragged_row(file: Path, dialect: Mapping[str, Any]) -> str | None:
    """A message about the first line with more values than the header, if any.

    Args:
        file: plain text.
        dialect: arguments of `csv.reader`.
    """
    if csv.field_size_limit() < MAX_LINE:
        csv.field_size_limit(min(MAX_LINE, sys.maxsize))
    with file.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
        lines = csv.reader(stream, **dialect)
        try:
            header = next((line for line in lines if line), [])
            for values in lines:
                if len(values) > len(header):
                    return (
                        f"line {lines.line_num:,} has {len(values)} values, the header names "
                        f"{len(header)} columns. A value with a {dialect['delimiter']!r} inside "
                        "must be quoted"
                    )
        except csv.Error:
            return None
    return None
