"""Large text files, chunk by chunk, to Parquet: bounded memory, errors that name the row."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, first_line

CHUNK = 16 << 20
"""Bytes of text that are parsed at once."""

MAX_LINE = 64 << 20
"""Bytes; lines of published logs are less than a hundredth as long."""

MAX_LITERAL = 4 << 20
"""Characters of a line of Python literals; the parser's tree takes fifty times as much memory."""

Shape = Callable[[Mapping[str, Any]], dict[str, Any]]
"""A record of the file -> a row of the table."""


def text_chunks(stream: IO[bytes], where: str) -> Iterator[tuple[int, bytes]]:
    """Whole lines in chunks of about `CHUNK` bytes, each with the number of rows before it.

    Raises:
        UserError: for a line longer than `MAX_LINE`.
    """
    rows, rest = 0, b""
    while data := stream.read(CHUNK):
        head, cut, tail = data.rpartition(b"\n")
        if not cut:
            rest += data
            if len(rest) > MAX_LINE:
                raise UserError(
                    f"{where}: row {rows + 1} is longer than {MAX_LINE:,} bytes; the file is "
                    "damaged or of another format"
                )
            continue
        chunk, rest = rest + head + cut, tail
        yield rows, chunk
        rows += chunk.count(b"\n")
    if rest.strip():
        yield rows, rest


def json_chunks(stream: IO[bytes], schema: Mapping[str, Any], where: str) -> Iterator[pl.DataFrame]:
    """Columns of JSON lines, chunk by chunk; null where a record lacks them.

    Lines of Python literals, as in some older files, are also read, but slowly.

    Args:
        stream: the text, UTF-8.
        schema: the columns to read; others are ignored.
        where: the option and the file, named in errors.

    Raises:
        UserError: naming the row that is not a record.
    """
    for before, chunk in text_chunks(stream, where):
        try:
            frame = pl.read_ndjson(chunk, schema=dict(schema))
        except PolarsError:  # parse line by line: slower, also literals, errors name the row
            frame = _typed(records(before, chunk, where), schema)
        yield frame


def shaped_chunks(
    stream: IO[bytes], schema: Mapping[str, Any], shape: Shape, where: str
) -> Iterator[pl.DataFrame]:
    """Rows that a function makes of records with fields of mixed types, chunk by chunk.

    Args:
        stream: lines of JSON or of Python literals.
        schema: of the rows.
        shape: makes a row of a record.
        where: the option and the file, named in errors.

    Raises:
        UserError: naming the row that is not a record.
    """
    for before, chunk in text_chunks(stream, where):
        yield _typed((shape(record) for record in records(before, chunk, where)), schema)


def _typed(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of rows whose values may have any type; null where one does not fit its column."""
    columns: dict[str, list[Any]] = {name: [] for name in schema}
    for row in rows:
        for name, kind in schema.items():
            columns[name].append(_fitting(row.get(name), kind))
    return pl.DataFrame(columns, schema=dict(schema))


def _fitting(value: object, kind: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return None
    if kind == pl.String:
        return str(value) if isinstance(value, str | int | float) else None
    if kind == pl.List(pl.String):
        return (
            [part for part in value if isinstance(part, str)] if isinstance(value, list) else None
        )
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    if kind == pl.Float64:
        return number if math.isfinite(number) else None
    whole = math.isfinite(number) and number.is_integer() and abs(number) < 2**63
    return (value if isinstance(value, int) else int(number)) if whole else None


def records(before: int, chunk: bytes, where: str) -> Iterator[dict[str, Any]]:
    """The record in each line that is not blank.

    Raises:
        UserError: naming the row that is not a record.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escapes in literals
        for row, line in enumerate(chunk.split(b"\n"), before + 1):
            if line.strip():
                yield _record(line, row, where)


def _record(line: bytes, row: int, where: str) -> dict[str, Any]:
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: row {row} is not UTF-8 (byte {error.start + 1} of the line is "
            f"0x{line[error.start]:02x})"
        ) from error
    try:
        record = _parsed(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{where}: row {row} is neither JSON nor a Python literal: {text[:80]!r} "
            f"({first_line(error)}). The file may be damaged or cut short; download it again"
        ) from error
    if not isinstance(record, dict):
        raise UserError(
            f"{where}: row {row} is {type(record).__name__} {text[:80]!r}; expected a record in "
            "braces on each line"
        )
    return record


def _parsed(text: str) -> Any:
    """Parse a line as JSON or a Python literal.

    ``ast.literal_eval`` only builds numbers, strings, lists and dicts: a name, a call or an
    operator is an error, so a file cannot run code. The length is limited because the syntax tree
    of a literal is many times larger than its text.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if text[:2] not in ("{'", "{u", "{}") and not text.startswith("{ '"):
            raise ValueError(f"{error.msg} at character {error.pos + 1}") from error
    if len(text) > MAX_LITERAL:
        raise ValueError(f"a literal of more than {MAX_LITERAL:,} characters")
    return ast.literal_eval(text)


def delimited_chunks(
    stream: IO[bytes],
    columns: list[str],
    separator: str,
    where: str,
    *,
    header: str | None = None,
) -> Iterator[pl.DataFrame]:
    """Delimited text without quotation, every column as strings, chunk by chunk.

    Args:
        stream: the text.
        columns: all columns of the file, in order.
        separator: of one or more characters.
        where: the option and the file, named in errors.
        header: the first line, where the file has one.

    Raises:
        UserError: for another header, a row with too many columns, or text that is not UTF-8.
    """
    for before, chunk in text_chunks(stream, where):
        try:
            text = chunk.decode()
        except UnicodeDecodeError as error:
            row = before + chunk.count(b"\n", 0, error.start) + 1
            byte = chunk[error.start]
            raise UserError(f"{where}: row {row} is not UTF-8 (byte 0x{byte:02x})") from error
        if before == 0 and header is not None:
            first, _, text = text.removeprefix("\ufeff").partition("\n")
            if first.rstrip("\r") != header:
                raise UserError(f"{where}: row 1 is {first[:80]!r}; expected {header!r}")
            if not text:
                continue
            before = 1
        if len(separator) > 1:
            text = text.replace(separator, "\x1f")
        yield _frame(text, columns, separator if len(separator) == 1 else "\x1f", before, where)


def _frame(text: str, columns: list[str], separator: str, before: int, where: str) -> pl.DataFrame:
    schema = dict.fromkeys(columns, pl.String)
    try:
        return pl.read_csv(
            text.encode(), separator=separator, has_header=False, quote_char=None, schema=schema
        )
    except PolarsError as error:
        width = [line.count(separator) + 1 for line in text.splitlines()]
        row = next((n for n, got in enumerate(width) if got > len(columns)), 0) + before + 1
        raise UserError(
            f"{where}: row {row} is not in the official format ({', '.join(columns[:4])}"
            f"{', ...' if len(columns) > 4 else ''}): {first_line(error)}"
        ) from error


def write_chunks(chunks: Iterator[pl.DataFrame], schema: Mapping[str, Any], target: Path) -> int:
    """Write frames of one schema to one Parquet file, a row group each.

    Args:
        chunks: the frames.
        schema: their schema, for a file without rows.
        target: the file to write.

    Returns:
        The number of rows.
    """
    import pyarrow.parquet as pq

    empty = pl.DataFrame(schema=dict(schema)).to_arrow()
    rows = 0
    with pq.ParquetWriter(target, empty.schema) as writer:
        for frame in chunks:
            if len(frame):
                writer.write_table(frame.to_arrow().cast(empty.schema))
                rows += len(frame)
        if not rows:
            writer.write_table(empty)
    return rows
