"""Writes coded, filtered events as the files of a prepared dataset.

Shapes: T events, U users, V items, n rows of a phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys_lab.data.features.encode import (
    write_event_codes,
    write_event_numbers,
    write_table_features,
)
from recsys_lab.data.formats.npy import map_npy
from recsys_lab.data.formats.paths import safe_name
from recsys_lab.data.preparation.encode_events import EVENT, KIND, SOURCE_ROW, Coded
from recsys_lab.data.preparation.event_units import IS_TARGET
from recsys_lab.data.preparation.history_filters import HistoryFilters
from recsys_lab.data.preparation.table_items import with_listed
from recsys_lab.data.raw import PART, RUNS, Features
from recsys_lab.data.splits.ranges import count_items
from recsys_lab.files.arrays import save_npy


@dataclass(frozen=True)
class Arrays:
    """The arrays that were written, memory-mapped.

    Attributes:
        items: dense item code of every event, int32 (T,).
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        timestamps: seconds since the epoch, int64 (T,), or None.
        is_target: which events may be targets, bool (T,); None: all.
        user_ids: raw id of every user, an Arrow array (U,), ascending.
        item_ids: raw id of every item, (V,), ascending.
        items_without_events: number of items that only the source's table has.
        features: column of every event feature, as coded in `Coded`.
        sources: further columns of `Coded` with each event's row in the source: see
            `recsys_lab.data.features.first_values`; and `PART`, if the source has it.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64] | None
    is_target: NDArray[np.bool_] | None
    user_ids: Any
    item_ids: Any
    items_without_events: int
    features: dict[str, NDArray[Any]]
    sources: dict[str, NDArray[Any]]

    @property
    def parts(self) -> NDArray[np.int8] | None:
        """The part of a published split of each event, (T,), or None."""
        return self.sources.get(PART)


def write_arrays(
    coded: Coded,
    trim: HistoryFilters,
    folder: Path,
    scratch: Path,
    listed: pl.DataFrame | None = None,
) -> Arrays:
    """Write ``items``, ``offsets`` and ``timestamps`` with dense codes of the kept events.

    Args:
        coded: the events.
        trim: the kept events.
        folder: of the dataset.
        scratch: a folder for other columns.
        listed: a table whose items are in the catalogue even without an event.
    """
    present = trim.item_counts > 0
    dense = (np.cumsum(present) - 1).astype(np.int32)
    item_ids = coded.values["item"].take(pa.array(np.flatnonzero(present)))
    if listed is not None:
        item_ids, codes = with_listed(item_ids, listed)
        dense = codes[np.maximum(dense, 0)]
    offsets = trim.kept_offsets()
    save_npy(folder / "offsets.npy", offsets)

    columns = coded.columns
    trim.write_kept(columns["item"], folder / "items.npy", dense)
    if "timestamp" in columns:
        trim.write_kept(columns["timestamp"], folder / "timestamps.npy")
    if IS_TARGET in columns:
        trim.write_kept(columns[IS_TARGET], folder / f"{IS_TARGET}.npy")
    written = {}
    for name in columns:
        others = ("user", "item", KIND, IS_TARGET, *RUNS)
        is_source = SOURCE_ROW in columns and name not in others
        if name.startswith(EVENT) or name == PART or is_source:
            written[name] = trim.kept(columns[name], scratch / f"{safe_name(name)}.npy")
    return Arrays(
        items=map_npy(folder / "items.npy"),
        offsets=offsets,
        timestamps=map_npy(folder / "timestamps.npy") if "timestamp" in columns else None,
        is_target=map_npy(folder / f"{IS_TARGET}.npy") if IS_TARGET in columns else None,
        user_ids=coded.values["user"].take(pa.array(np.flatnonzero(trim.user_counts))),
        item_ids=item_ids,
        items_without_events=len(item_ids) - int(present.sum()),
        features={
            name.removeprefix(EVENT): column
            for name, column in written.items()
            if name.startswith(EVENT)
        },
        sources={name: column for name, column in written.items() if not name.startswith(EVENT)},
    )


def write_features(
    raw: Features, coded: Coded, arrays: Arrays, train: NDArray[np.int64], folder: Path
) -> dict[str, dict[str, Any]]:
    """Encode the declared columns in ``folder/features``.

    Args:
        raw: the declarations.
        coded: for the values of event columns.
        arrays: the log.
        train: rows (user, start, end) of the training part, (n, 3).
        folder: with ``items.parquet`` and ``users.parquet``.

    Returns:
        The manifest's ``features``: side -> column -> its entry.
    """
    if not (raw.items or raw.users or raw.events):
        return {}
    target = folder / "features"
    target.mkdir()
    events = {}
    for name, column in arrays.features.items():
        if raw.events[name] == "numeric":
            events[name] = write_event_numbers(name, column, train, target)
        else:
            values = coded.values[f"{EVENT}{name}"]
            events[name] = write_event_codes(name, column, values, train, target)
    trained = {
        "item": count_items(arrays.items, train[:, 1], train[:, 2], len(arrays.item_ids)) > 0,
        "user": np.isin(np.arange(len(arrays.user_ids)), train[:, 0]),
    }
    entries = {}
    for side, kinds in (("item", raw.items), ("user", raw.users)):
        table = pl.read_parquet(folder / f"{side}s.parquet", glob=False)
        entries[side] = write_table_features(table, kinds, trained[side], target, side)
    return {**entries, "event": events}


def write_interactions(
    arrays: Arrays, sessions: NDArray[np.int64] | None, trim: HistoryFilters, file: Path
) -> None:
    """Write the events as a table for other programs: user, item, timestamp, session number."""
    fields = [("user", pa.int32()), ("item", pa.int32())]
    if arrays.timestamps is not None:
        fields.append(("timestamp", pa.int64()))
    if sessions is not None:
        fields.append(("session", pa.int64()))
    lengths = np.diff(arrays.offsets)
    users = np.arange(len(lengths), dtype=np.int32)
    with pq.ParquetWriter(file, pa.schema(fields)) as writer:
        for first, last in _user_parts(arrays.offsets, trim.part):
            start, end = arrays.offsets[first], arrays.offsets[last]
            columns: list[NDArray[Any]] = [np.repeat(users[first:last], lengths[first:last])]
            columns.append(arrays.items[start:end])
            if arrays.timestamps is not None:
                columns.append(arrays.timestamps[start:end])
            if sessions is not None:
                columns.append(np.searchsorted(sessions, np.arange(start, end), side="right") - 1)
            writer.write_table(pa.table(columns, schema=pa.schema(fields)))


def _user_parts(offsets: NDArray[np.int64], size: int) -> list[tuple[int, int]]:
    """Ranges of users with about ``size`` events each."""
    marks = np.searchsorted(offsets, np.arange(0, offsets[-1], size))
    edges = np.unique(np.append(marks, len(offsets) - 1))
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
