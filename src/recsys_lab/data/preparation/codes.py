"""Distinct values of a column of the log, and what the source's tables know about ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from recsys_lab.config import UserError
from recsys_lab.data.engines.base import Frame
from recsys_lab.data.raw import free_name

BLANKS = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""White space of Unicode; the engines differ in what they strip by default."""


def trimmed(frame: Frame, columns: Sequence[str]) -> Frame:
    """Strip blanks around categories, as for items and users."""
    schema = frame.collect_schema()
    texts = [name for name in columns if schema[name] == nw.String]
    return frame.with_columns(nw.col(name).str.strip_chars(BLANKS) for name in texts)


def distinct(frame: Frame, column: str) -> pa.Array:
    """The unique values of a column, ascending: numbers by size, strings by their bytes.

    Nulls and blank strings are missing values and left out.

    Raises:
        UserError: if they are neither integers nor strings.
    """
    unique = frame.select(column).unique().collect(backend="pyarrow").to_native()[column]
    array = unique.combine_chunks() if isinstance(unique, pa.ChunkedArray) else unique
    kind = array.type
    if pa.types.is_null(kind):
        return pa.array([], pa.int64())
    if pa.types.is_integer(kind):
        array = array.cast(pa.int64())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        array = array.cast(pa.large_string())
        array = array.filter(pc.not_equal(pc.utf8_trim_whitespace(array), ""))
    else:
        raise UserError(f"{column}: is of type {kind}; expected integers or strings")
    array = array.drop_null()
    if len(array) > np.iinfo(np.int32).max:
        raise UserError(f"{column}: {len(array):,} different values; at most 2^31 - 1 are allowed")
    return array.take(pc.sort_indices(array))


def describe_ids(ids: pa.Array, kind: str, table: Any) -> tuple[pl.DataFrame, int]:
    """One row per code: ``kind`` (the code), ``kind_id``, and the other columns of the source.

    Returns:
        The table, and the number of ids that the source's table has.
    """
    key = f"{kind}_id"
    codes = pa.array(np.arange(len(ids), dtype=np.int32))
    frame = nw.from_arrow(pa.table({kind: codes, key: ids}), backend="polars")
    if table is None:
        return frame.to_native(), 0
    known: nw.DataFrame[Any] = nw.from_native(table, eager_only=True)
    if kind in known.columns:
        known = known.rename({kind: free_name(kind, known.columns)})
    known = known.filter(~nw.col(key).is_null()).unique(key, keep="first", maintain_order=True)
    if frame.schema[key] == nw.String or known.schema[key] == nw.String:
        on = nw.col(key).cast(nw.String)  # ids may be text in the log and numbers in the table
    else:
        on = nw.col(key).cast(nw.Int64)
    known = known.with_columns(on.alias("_on"), nw.lit(value=True).alias("_known")).drop(key)
    joined = frame.with_columns(on.alias("_on")).join(known, on="_on", how="left").sort(kind)
    return joined.drop("_on", "_known").to_native(), int(joined["_known"].count())
