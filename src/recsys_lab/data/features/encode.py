"""Encode columns of items, users and events as codes and numbers.

- ``categorical``: int32 codes: 0 missing, 1 unknown, 2 and up the known values in order (numbers
  by size, strings by their bytes). Known values are those of the training part, so that nothing
  is learned from later events.
- ``list``: several such codes per row, as flat codes with offsets. Text of a published dataset is
  split at ``|``; for other tables see `recsys_lab.data.sources.log_columns`.
- ``numeric``: float32 as in the source, NaN if missing; the manifest has the mean and standard
  deviation over the training part.
- ``text``: stays in the table of items or users, for models that read it.

The manifest has the share of missing values of every column. Values that are read from the rows of
the log are those of training events, the first in time: see
`recsys_lab.data.features.first_values`.

Shapes: T events, R rows of a table (items or users), n rows of the split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.formats.npy import npy_writer
from recsys_lab.data.formats.paths import safe_name
from recsys_lab.data.raw import SEPARATOR, FeatureType
from recsys_lab.data.splits.ranges import range_chunks
from recsys_lab.files.arrays import save_npy

MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
"""Reserved codes, and the first code of a known value."""

CHUNK = 1 << 21
"""Events that are encoded at once."""


def write_table_features(
    table: pl.DataFrame,
    kinds: Mapping[str, FeatureType],
    trained_R: NDArray[np.bool_],
    folder: Path,
    side: str,
) -> dict[str, dict[str, Any]]:
    """Encode columns of the table of items or users.

    Args:
        table: one row per code, in order.
        kinds: column -> type.
        trained_R: whether the item or user occurs in the training part, (R,).
        folder: where ``<side>_<column>*`` files are written.
        side: ``item`` or ``user``.

    Returns:
        The manifest's entry of each column.

    Raises:
        UserError: a column is missing, or has values that its type cannot hold.
    """
    entries = {}
    for name, kind in kinds.items():
        _require(name, table.columns, side)
        column, stem = table[name], folder / f"{side}_{safe_name(name)}"
        if kind == "numeric":
            entries[name] = _write_numbers(column, trained_R, stem, side)
        elif kind == "text":
            _require_flat(column, kind, side)
            text = column.cast(pl.String).str.strip_chars()
            missing = (text == "").fill_null(True).mean()
            entries[name] = {"type": "text", "missing_share": missing}
        elif kind == "list":
            entries[name] = _write_lists(column, trained_R, stem, side)
        else:
            _require_flat(column, kind, side)
            codes, known = _encode(_values(column), trained_R)
            save_npy(stem.with_name(f"{stem.name}.npy"), codes)
            entries[name] = {**_store_known(known, kind, stem), **_missing(codes == 0, trained_R)}
    return entries


def write_event_numbers(
    name: str, column_T: NDArray[np.float64], train: NDArray[np.int64], folder: Path
) -> dict[str, Any]:
    """Store a numeric column of the events as float32.

    Args:
        name: of the feature.
        column_T: memory-mapped, NaN where missing, (T,).
        train: rows (user, start, end) of the training part, (n, 3).
        folder: where ``event_<name>.npy`` is written.

    Returns:
        The manifest's entry.
    """
    with npy_writer(folder / f"event_{safe_name(name)}.npy", np.float32, len(column_T)) as write:
        for part in _parts(column_T):
            write(part.astype(np.float32))
    trained = (column_T[indices] for indices in range_chunks(train[:, 1], train[:, 2]))
    return {"type": "numeric", **_summary(trained)}


def write_event_codes(
    name: str, codes_T: NDArray[np.int32], values: Any, train: NDArray[np.int64], folder: Path
) -> dict[str, Any]:
    """Store a categorical column of the events.

    Args:
        name: of the feature.
        codes_T: indices into ``values``, -1 where missing, memory-mapped, (T,).
        values: all values in order, an Arrow array.
        train: rows (user, start, end) of the training part, (n, 3).
        folder: where ``event_<name>*`` files are written.

    Returns:
        The manifest's entry.
    """
    counts = np.zeros(len(values) + 1, dtype=np.int64)
    for indices in range_chunks(train[:, 1], train[:, 2]):
        counts += np.bincount(codes_T[indices] + 1, minlength=len(counts))
    is_known = counts[1:] > 0
    new = np.full(len(values) + 1, UNKNOWN, dtype=np.int32)
    new[1:][is_known] = FIRST_KNOWN + np.arange(int(is_known.sum()), dtype=np.int32)
    new[0] = MISSING
    with npy_writer(folder / f"event_{safe_name(name)}.npy", np.int32, len(codes_T)) as write:
        for part in _parts(codes_T):
            write(new[part + 1])
    known = values.take(pa.array(np.flatnonzero(is_known)))
    stored = _store_known(known, "categorical", folder / f"event_{safe_name(name)}")
    return {**stored, "missing_share": float(counts[0] / max(1, counts.sum()))}


def _parts(column_T: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for first in range(0, len(column_T), CHUNK):
        yield column_T[first : first + CHUNK]


def _require(name: str, columns: list[str], side: str) -> None:
    if name not in columns:
        own = [column for column in columns if column not in (side, f"{side}_id")]
        raise UserError(
            f"data.{side}_features: the table of {side}s has no column '{name}'"
            f"{did_you_mean(name, own)} It has: {', '.join(own) or 'no columns besides the ids'}"
        )


def _require_flat(column: pl.Series, kind: str, side: str) -> None:
    if isinstance(column.dtype, pl.List | pl.Array | pl.Struct):
        raise UserError(
            f"data.{side}_features: '{column.name}' is declared {kind} but its values are "
            f"{column.dtype}; declare it as list"
        )


def _values(column: pl.Series) -> pa.Array:
    """Integers or strings, null where missing or blank."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64).to_arrow()
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None).to_arrow().cast(pa.large_string())


def _encode(values: pa.Array, trained: NDArray[np.bool_]) -> tuple[NDArray[np.int32], pa.Array]:
    """Codes of all values, and the sorted known values."""
    known = values.filter(pa.array(trained)).unique().drop_null()
    known = known.take(pc.sort_indices(known))
    indices = pc.index_in(values, value_set=known)
    codes = pc.fill_null(pc.add(indices, FIRST_KNOWN), UNKNOWN)
    codes = pc.if_else(pc.is_null(values), MISSING, codes)
    return codes.to_numpy(zero_copy_only=False).astype(np.int32), known


def _store_known(known: pa.Array, kind: str, stem: Path) -> dict[str, Any]:
    pl.DataFrame({"value": pl.Series(known)}).write_parquet(f"{stem}_values.parquet")
    return {"type": kind, "cardinality": len(known) + FIRST_KNOWN}


def _write_lists(
    column: pl.Series, trained_R: NDArray[np.bool_], stem: Path, side: str
) -> dict[str, Any]:
    if column.dtype == pl.String:
        column = column.str.split(SEPARATOR)
    elif isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    if not isinstance(column.dtype, pl.List):
        raise UserError(
            f"data.{side}_features: '{column.name}' is declared list but its values are "
            f"{column.dtype}; allowed are lists, and text with '{SEPARATOR}' between the values"
        )
    lengths = column.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = column.filter(pl.Series(lengths > 0)).explode()
    values = _values(flat)
    present = pc.is_valid(values).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lengths)), lengths)[present]
    codes, known = _encode(values.drop_null(), trained_R[row])
    counts = np.bincount(row, minlength=len(lengths))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    save_npy(stem.with_name(f"{stem.name}.npy"), codes)
    save_npy(stem.with_name(f"{stem.name}_offsets.npy"), offsets)
    stored = _store_known(known, "list", stem)
    length = float(counts.mean()) if len(counts) else 0.0
    return {**stored, "mean_length": length, **_missing(counts == 0, trained_R)}


def _missing(is_missing_R: NDArray[np.bool_], trained_R: NDArray[np.bool_]) -> dict[str, float]:
    """The share of training rows without a value, as for numbers."""
    return {"missing_share": float(is_missing_R[trained_R].sum() / max(1, trained_R.sum()))}


def _write_numbers(
    column: pl.Series, trained_R: NDArray[np.bool_], stem: Path, side: str
) -> dict[str, Any]:
    try:
        numbers = column.cast(pl.Float64, strict=False)
    except PolarsError:  # lists and structs
        numbers = pl.Series([None] * len(column), dtype=pl.Float64)
    wrong = numbers.is_null() & column.is_not_null()
    if column.dtype == pl.String:
        wrong &= column.str.strip_chars() != ""
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise UserError(
            f"data.{side}_features: '{column.name}' is declared numeric but holds "
            f"{column[row]!r} (row {row + 1} of the prepared {side}s); declare it as categorical "
            "or text, or correct the table"
        )
    values_R = numbers.to_numpy()
    save_npy(stem.with_name(f"{stem.name}.npy"), values_R.astype(np.float32))
    return {"type": "numeric", **_summary([values_R[trained_R]])}


def _summary(parts: Any) -> dict[str, float | None]:
    """Mean, standard deviation, range and share of missing values over the parts of a column."""
    total = count = 0
    mean = squares = 0.0
    low, high = np.inf, -np.inf
    for part in parts:
        total += len(part)
        part = part[np.isfinite(part)]
        if not len(part):
            continue
        low, high = min(low, part.min()), max(high, part.max())
        # Merge means and sums of squares of two parts (Chan et al., 1979).
        step = part.mean() - mean
        both = count + len(part)
        squares += ((part - part.mean()) ** 2).sum() + step**2 * count * len(part) / both
        mean += step * len(part) / both
        count = both
    if not count:
        return {"mean": None, "std": None, "min": None, "max": None, "missing_share": 1.0}
    return {
        "mean": float(mean),
        "std": float(np.sqrt(squares / count)),
        "min": float(low),
        "max": float(high),
        "missing_share": 1 - count / total,
    }
