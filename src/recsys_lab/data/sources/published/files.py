"""Convert logs and tables of published datasets to Parquet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, did_you_mean, first_line
from recsys_lab.data.formats.chunks import write_chunks
from recsys_lab.data.raw import ParquetLog

ROWS_A_GROUP = 1 << 18
"""Rows of a row group; a log is reversed one row group at a time."""


def scan_text(
    file: Path, columns: Sequence[str], separator: str, *, header: bool, quoted: bool = True
) -> pl.LazyFrame:
    """Scan delimited text; every column as strings.

    Args:
        file: the text.
        columns: the columns to read or, without a header, all columns in order.
        separator: between values.
        header: whether the first line names the columns.
        quoted: whether quotation marks quote values; otherwise they are ordinary characters.

    Raises:
        UserError: a column is not in the header.
    """
    quote = '"' if quoted else None
    with as_user_error(file):
        if not header:
            schema = dict.fromkeys(columns, pl.String)
            return pl.scan_csv(
                file,
                separator=separator,
                has_header=False,
                schema=schema,
                glob=False,
                quote_char=quote,
                # The last columns are names, which may contain the separator.
                truncate_ragged_lines=not quoted,
            )
        frame = pl.scan_csv(
            file, separator=separator, quote_char=quote, infer_schema=False, glob=False
        )
        present = frame.collect_schema().names()
    missing = [
        name + did_you_mean(name, present).rstrip(".") for name in columns if name not in present
    ]
    if missing:
        raise UserError(
            f"data.path={file}: is not the official file: it has no column "
            f"{', no column '.join(missing)}. Its columns are {', '.join(present)}"
        )
    return frame.select(columns)


def require_form(file: Path, pattern: str, form: str) -> None:
    """Check the first line of a file without a header.

    Args:
        file: the text.
        pattern: a regular expression that matches the start of the line.
        form: the same, readable.

    Raises:
        UserError: the line does not match.
    """
    with file.open("rb") as stream:
        line = stream.readline(10_000).decode("utf-8", errors="replace").rstrip("\r\n")
    if re.match(pattern, line) is None:
        raise UserError(
            f"data.path={file}: row 1 is {line[:100]!r}; the official file has {form} on each line"
        )


@contextmanager
def as_user_error(file: Path) -> Iterator[None]:
    """Turn errors of polars about a file into a `UserError` that names it."""
    try:
        yield
    except (PolarsError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk, e.g. no space left, not of the file's format
        raise UserError(
            f"data.path={file}: cannot be read in its official format: {first_line(error)}. It may "
            "be damaged, cut short, or changed; download it again"
        ) from error


def sink_log(frame: pl.LazyFrame, file: Path, target: Path, *, reverse: bool = False) -> ParquetLog:
    """Stream a log to Parquet, which every engine then scans.

    Args:
        frame: the log, as a scan of ``file``.
        file: named in errors.
        target: the Parquet file to write.
        reverse: whether to reverse the rows of a log that is published newest first.

    Returns:
        The log with all columns of the frame.
    """
    with as_user_error(file):
        frame.sink_parquet(target, maintain_order=True, row_group_size=ROWS_A_GROUP)
    if reverse:
        target = _reverse(target)
    names = pl.read_parquet_schema(target)
    return ParquetLog((str(target),), {name: nw.col(name) for name in names})


def _reverse(file: Path) -> Path:
    """Reverse the rows of a Parquet file, one row group at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    target = file.with_name(f"reversed-{file.name}")
    with pq.ParquetFile(file) as source, pq.ParquetWriter(target, source.schema_arrow) as writer:
        for group in reversed(range(source.num_row_groups)):
            table = source.read_row_group(group)
            writer.write_table(table.take(np.arange(len(table))[::-1]))
    file.unlink()
    return target


def collect_table(frame: pl.LazyFrame, file: Path, key: str) -> pl.DataFrame:
    """Collect a scan of ``file``: the first row of each key, without rows that lack the key."""
    with as_user_error(file):
        table = frame.drop_nulls(key).collect(engine="streaming")
    return table.unique(key, keep="first", maintain_order=True)


def write_log(chunks: Iterator[pl.DataFrame], schema: Mapping[str, Any], file: Path) -> ParquetLog:
    """Write the interactions to Parquet.

    Args:
        chunks: rows in the log's order, with the columns of ``schema``.
        schema: name -> polars type.
        file: to write.
    """
    write_chunks(chunks, schema, file)
    return ParquetLog((str(file),), {name: nw.col(name) for name in schema})


def items_of_log(table: Path, log: ParquetLog) -> pl.DataFrame:
    """The first row of each item of the log in a table.

    Args:
        table: Parquet with a column ``item_id``; it may have far more items than the log.
        log: a log of one file.
    """
    known = pl.scan_parquet(log.files[0], glob=False).select("item_id").unique()
    rows = (
        pl.scan_parquet(table, glob=False)
        .with_row_index("_row")
        .join(known, on="item_id", how="semi")
    )
    return (
        rows.collect(engine="streaming")
        .sort("_row")
        .unique("item_id", keep="first", maintain_order=True)
        .drop("_row")
    )


def to_int(column: str) -> pl.Expr:
    """Text as int64; null if it is not an integer."""
    return pl.col(column).cast(pl.Int64, strict=False)


def to_float(column: str) -> pl.Expr:
    """Text as float64; null if it is not a number."""
    return pl.col(column).cast(pl.Float64, strict=False)


def seconds_and_order(milliseconds: pl.Expr) -> dict[str, pl.Expr]:
    """``timestamp`` in seconds, and ``order`` in milliseconds to sort events of one second."""
    return {"timestamp": milliseconds.floordiv(1000), "order": milliseconds}


def blank_to_null(column: str) -> pl.Expr:
    """Stripped text; null if blank."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)
