"""Coded, trimmed events -> the files of a prepared dataset.

Shapes: T events, U users, V items, n rows of a phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_lab.data.npy import map_npy, npy_writer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from recsys_lab.data.events import Coded
    from recsys_lab.data.trim import Trim


@dataclass(frozen=True)
class Arrays:
    """What was written, memory-mapped.

    Attributes:
        items: dense item code of every event, int32 (T,).
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        timestamps: seconds since the epoch, int64 (T,), or None.
        user_ids: raw id of every user, an Arrow array (U,), ascending.
        item_ids: raw id of every item, (V,), ascending.
        features: file of every event feature's trimmed column, as coded in `Coded`.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64] | None
    user_ids: Any
    item_ids: Any
    features: dict[str, Path]


def write_arrays(coded: Coded, trim: Trim, folder: Path, scratch: Path) -> Arrays:
    """Write ``items``, ``offsets`` and ``timestamps`` with codes that are dense again."""
    present = trim.item_counts > 0
    dense = (np.cumsum(present) - 1).astype(np.int32)
    lengths = trim.user_counts[trim.user_counts > 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    np.save(folder / "offsets.npy", offsets)

    columns = coded.columns
    _write_column(columns["item"], trim, folder / "items.npy", dense)
    if "timestamp" in columns:
        _write_column(columns["timestamp"], trim, folder / "timestamps.npy")
    features = {}
    for name in columns:
        if name not in ("user", "item", "order"):
            features[name] = scratch / f"{name}.npy"
            if name != "timestamp":
                _write_column(columns[name], trim, features[name])
    features.pop("timestamp", None)
    return Arrays(
        items=map_npy(folder / "items.npy"),
        offsets=offsets,
        timestamps=map_npy(folder / "timestamps.npy") if "timestamp" in columns else None,
        user_ids=coded.values["user"].take(pa.array(np.flatnonzero(trim.user_counts))),
        item_ids=coded.values["item"].take(pa.array(np.flatnonzero(present))),
        features=features,
    )


def _write_column(
    column: NDArray[Any], trim: Trim, file: Path, codes: NDArray[np.int32] | None = None
) -> None:
    with npy_writer(file, column.dtype, int(trim.user_counts.sum())) as write:
        for start, end in trim.parts():
            part = column[start:end][trim.keep_T[start:end]]
            write(part if codes is None else codes[part])


def write_interactions(arrays: Arrays, trim: Trim, file: Path) -> None:
    """The same events as a table for other programs: user, item, timestamp."""
    fields = [("user", pa.int32()), ("item", pa.int32())]
    if arrays.timestamps is not None:
        fields.append(("timestamp", pa.int64()))
    lengths = np.diff(arrays.offsets)
    users = np.arange(len(lengths), dtype=np.int32)
    with pq.ParquetWriter(file, pa.schema(fields)) as writer:
        for first, last in _user_parts(arrays.offsets, trim.part):
            start, end = arrays.offsets[first], arrays.offsets[last]
            columns: list[NDArray[Any]] = [np.repeat(users[first:last], lengths[first:last])]
            columns.append(arrays.items[start:end])
            if arrays.timestamps is not None:
                columns.append(arrays.timestamps[start:end])
            writer.write_table(pa.table(columns, schema=pa.schema(fields)))


def _user_parts(offsets: NDArray[np.int64], size: int) -> list[tuple[int, int]]:
    """Ranges of users with about ``size`` events each."""
    marks = np.searchsorted(offsets, np.arange(0, offsets[-1], size))
    edges = np.unique(np.append(marks, len(offsets) - 1))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def describe_ids(ids: pa.Array, kind: str, table: Any) -> nw.DataFrame[Any]:
    """One row a code: ``kind`` (the code), ``kind_id``, and the source's other columns."""
    key = f"{kind}_id"
    codes = pa.array(np.arange(len(ids), dtype=np.int32))
    frame = nw.from_arrow(pa.table({kind: codes, key: ids}), backend="polars")
    if table is None:
        return frame
    known: nw.DataFrame[Any] = nw.from_native(table, eager_only=True)
    known = known.rename({kind: f"{kind}_raw"}) if kind in known.columns else known
    known = known.filter(~nw.col(key).is_null()).unique(key, keep="first", maintain_order=True)
    if frame.schema[key] == nw.String or known.schema[key] == nw.String:
        on = nw.col(key).cast(nw.String)  # the log's ids may be text where the table's are numbers
    else:
        on = nw.col(key).cast(nw.Int64)
    known = known.with_columns(on.alias("_on")).drop(key)
    return (
        frame.with_columns(on.alias("_on")).join(known, on="_on", how="left").drop("_on").sort(kind)
    )
