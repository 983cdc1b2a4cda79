"""JSON lines as a lazy polars frame, read chunk by chunk, with one type per column."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.data.formats.chunks import text_chunks

JSON_LINES = (".jsonl", ".ndjson")
BOM = b"\xef\xbb\xbf"


def read_json_lines(
    file: Path, where: str, wanted: Collection[str] | None, ids: Collection[str], scratch: Path
) -> tuple[list[str], pl.LazyFrame]:
    """Read the records of a file; null where a record lacks a key.

    Args:
        file: uncompressed, UTF-8.
        where: the option and the path, named in errors.
        wanted: the columns to read; None for all.
        ids: columns whose values must be all numbers or all text, as 7 and "7" would become one id.
        scratch: an existing folder for files of more than one chunk.

    Returns:
        The keys of all records, in order of first use, and the wanted columns.

    Raises:
        UserError: naming the line that is not a JSON object, or two lines whose ids differ in type.
    """
    keys: dict[str, None] = {}
    kinds: dict[str, tuple[int, Any]] = {}
    parts: list[pl.LazyFrame] = []
    folder = scratch / f"{file.name}-{len(list(scratch.iterdir()))}-parts"
    with file.open("rb") as stream:
        if stream.read(3) != BOM:
            stream.seek(0)
        waiting: pl.DataFrame | None = None
        for before, chunk in text_chunks(stream, where):
            frame = _frame(before, chunk, where)
            keys |= dict.fromkeys(frame.columns)
            frame = frame.select(name for name in frame.columns if wanted is None or name in wanted)
            _refuse_mixed(frame.select(set(ids) & set(frame.columns)), before, chunk, kinds, where)
            if waiting is not None:
                parts.append(_stored(waiting, folder, len(parts)))
            waiting = frame
    if waiting is None or not keys:
        raise UserError(
            f"{where}: holds no record; expected an object on every line, e.g. "
            '{"user_id": 7, "item_id": "b"}'
        )
    if not parts:
        return list(keys), waiting.lazy()
    parts.append(_stored(waiting, folder, len(parts)))
    return list(keys), pl.concat(parts, how="diagonal_relaxed")


def _stored(frame: pl.DataFrame, folder: Path, number: int) -> pl.LazyFrame:
    folder.mkdir(exist_ok=True)
    frame.write_parquet(folder / f"{number}.parquet")
    return pl.scan_parquet(folder / f"{number}.parquet", glob=False)


def _frame(before: int, chunk: bytes, where: str) -> pl.DataFrame:
    if not chunk.strip():
        return pl.DataFrame()
    try:
        return pl.read_ndjson(chunk, infer_schema_length=None)
    except PolarsError:  # a line is not an object, or the values of a key differ in type
        lines = enumerate(chunk.splitlines(), before + 1)
        records = [_record(line, number, where) for number, line in lines if line.strip()]
    names = dict.fromkeys(name for record in records for name in record)
    return pl.DataFrame({name: _column([record.get(name) for record in records]) for name in names})


def _column(values: list[Any]) -> pl.Series:
    """Values as one type; as text if their types differ."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and not kinds & {dict, list}):
        return pl.Series(values, strict=False)
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pl.Series(texts, dtype=pl.String)


def _record(line: bytes, number: int, where: str) -> dict[str, Any]:
    shown = line.strip()[:60].decode("utf-8", errors="replace")
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) if not isinstance(error, RecursionError) else "it is nested too deep"
        raise UserError(
            f"{where}: cannot be read as JSON lines: line {number:,} ({shown}) is not valid JSON: "
            f"{reason}. Expected one object on every line, e.g. "
            '{"user_id": 7, "item_id": "b", "timestamp": 1710000000}'
        ) from error
    if not isinstance(record, dict):
        raise UserError(
            f"{where}: cannot be read as JSON lines: line {number:,} ({shown}) is not an object; "
            'expected one on every line, e.g. {"user_id": 7, "item_id": "b"}'
        )
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number; write null")


def _refuse_mixed(
    frame: pl.DataFrame, before: int, chunk: bytes, kinds: dict[str, tuple[int, Any]], where: str
) -> None:
    """Compare the types of this chunk's ids with those of earlier chunks."""
    for column, kind in frame.schema.items():
        if kind == pl.String:
            examples = _first_of_each(column, before, chunk)
        elif kind.is_numeric() and frame[column].null_count() < len(frame):
            row = int(frame[column].is_not_null().arg_max() or 0)
            examples = {"a number": (before + row + 1, frame[column][row])}
        else:
            continue
        for name, example in examples.items():
            kinds.setdefault(f"{column}\0{name}", example)
        number, text = kinds.get(f"{column}\0a number"), kinds.get(f"{column}\0a string")
        if number and text:
            raise UserError(
                f"{where}: column '{column}' mixes types: {number[1]!r} in row {number[0]} is a "
                f"number, {text[1]!r} in row {text[0]} is a string. Write all ids in one way"
            )


def _first_of_each(column: str, before: int, chunk: bytes) -> dict[str, tuple[int, Any]]:
    """The rows and values of the first number and the first string of a text column."""
    examples: dict[str, tuple[int, Any]] = {}
    key = re.escape(json.dumps(column, ensure_ascii=False).encode())
    for name, start, kinds in (("a number", rb"-?\d", (int, float)), ("a string", b'"', (str,))):
        for match in re.finditer(key + rb"\s*:\s*" + start, chunk):
            first = chunk.rfind(b"\n", 0, match.start()) + 1
            last = chunk.find(b"\n", match.start())
            value = json.loads(chunk[first : None if last < 0 else last]).get(column)
            if isinstance(value, kinds) and not isinstance(value, bool):
                examples[name] = (before + chunk.count(b"\n", 0, match.start()) + 1, value)
                break
    return examples
