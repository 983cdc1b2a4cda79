"""Logs and tables of published datasets, turned into Parquet in passing."""

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
"""Rows held at once where a file is turned around."""


def scan_text(
    file: Path, columns: Sequence[str], separator: str, *, header: bool, quoted: bool = True
) -> pl.LazyFrame:
    """Delimited text, lazily; every column as strings.

    Args:
        file: the text.
        columns: with a header: those to read; without one: all, in order.
        separator: between values.
        header: whether the first line names the columns.
        quoted: whether a quotation mark quotes; else it is a character like any other.

    Raises:
        UserError: when a column is not in the header.
    """
    quote = '"' if quoted else None
    with told(file):
        if not header:
            schema = dict.fromkeys(columns, pl.String)
            return pl.scan_csv(
                file,
                separator=separator,
                has_header=False,
                schema=schema,
                glob=False,
                quote_char=quote,
                # Names may hold the separator; what stands before them is whole.
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
        pattern: a regular expression that the line matches from its beginning.
        form: the same for people.

    Raises:
        UserError: showing the line.
    """
    with file.open("rb") as stream:
        line = stream.readline(10_000).decode("utf-8", errors="replace").rstrip("\r\n")
    if re.match(pattern, line) is None:
        raise UserError(
            f"data.path={file}: row 1 is {line[:100]!r}; the official file has {form} on each line"
        )


@contextmanager
def told(file: Path) -> Iterator[None]:
    """Turn what polars says of a file into a `UserError` that names it."""
    try:
        yield
    except (PolarsError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, e.g. no space left, not of the file's form
        raise UserError(
            f"data.path={file}: cannot be read in its official format: {first_line(error)}. It may "
            "be damaged, cut short, or changed; download it again"
        ) from error


def sink_log(frame: pl.LazyFrame, file: Path, target: Path, *, turned: bool = False) -> ParquetLog:
    """Stream a log to Parquet, which every engine then scans.

    Args:
        frame: the log, as a scan of ``file``.
        file: named in errors.
        target: the Parquet file to make.
        turned: whether the last row is to come first: logs are published newest first.

    Returns:
        All its columns under their own names.
    """
    with told(file):
        frame.sink_parquet(target, maintain_order=True, row_group_size=ROWS_A_GROUP)
    if turned:
        target = _turn(target)
    names = pl.read_parquet_schema(target)
    return ParquetLog((str(target),), {name: nw.col(name) for name in names})


def _turn(file: Path) -> Path:
    """The same rows, last first, a row group at a time."""
    import numpy as np
    import pyarrow.parquet as pq

    target = file.with_name(f"turned-{file.name}")
    with pq.ParquetFile(file) as source, pq.ParquetWriter(target, source.schema_arrow) as writer:
        for group in reversed(range(source.num_row_groups)):
            table = source.read_row_group(group)
            writer.write_table(table.take(np.arange(len(table))[::-1]))
    file.unlink()
    return target


def collect_table(frame: pl.LazyFrame, file: Path, key: str) -> pl.DataFrame:
    """The rows of a table that have a key, the first of each, as a scan of ``file``."""
    with told(file):
        table = frame.drop_nulls(key).collect(engine="streaming")
    return table.unique(key, keep="first", maintain_order=True)


def write_log(chunks: Iterator[pl.DataFrame], schema: Mapping[str, Any], file: Path) -> ParquetLog:
    """Write the interactions and say which columns there are.

    Args:
        chunks: rows in the log's order, with the columns of ``schema``.
        schema: name -> polars type.
        file: made.
    """
    write_chunks(chunks, schema, file)
    return ParquetLog((str(file),), {name: nw.col(name) for name in schema})


def items_of_log(table: Path, log: ParquetLog) -> pl.DataFrame:
    """The rows of a table that are about items of the log, the first of each item.

    Args:
        table: Parquet with a column ``item_id``; catalogues are many times larger than logs.
        log: has one file.
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


def whole(column: str) -> pl.Expr:
    """Text as int64; null where it is no whole number."""
    return pl.col(column).cast(pl.Int64, strict=False)


def number(column: str) -> pl.Expr:
    """Text as float64; null where it is no number."""
    return pl.col(column).cast(pl.Float64, strict=False)


def clock(milliseconds: pl.Expr) -> dict[str, pl.Expr]:
    """``timestamp`` in seconds; ``order`` in milliseconds keeps apart what shares a second."""
    return {"timestamp": milliseconds.floordiv(1000), "order": milliseconds}


def filled(column: str) -> pl.Expr:
    """Text without blanks around it; null where nothing is left."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text)
