"""A file of events, such as the log of a server, as an `EventLog`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from recsys_lab.config import UserError
from recsys_lab.data.columns.column_plan import apply_plans, column_notes
from recsys_lab.data.columns.ids import Spelling, plan_ids
from recsys_lab.data.columns.timestamps import plan_times
from recsys_lab.data.sources.log_columns import plan_feature
from recsys_lab.data.sources.table_files import Tables
from recsys_lab.deploy.drift.logs import RESERVED, Column, EventLog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.data.raw import FeatureType

COLUMNS = ("user_id", "item_id", "timestamp")
_AS_PREPARED = Spelling(normalization=("decimal",))


def read_log(path: str, unit: str, kinds: Mapping[str, FeatureType]) -> EventLog:
    """Read a file of events, or a folder or pattern of several with equal columns.

    Args:
        path: Parquet, CSV, TSV or JSON lines with the columns ``user_id``, ``item_id`` and
            ``timestamp``; without the last one, what needs times is not compared.
        unit: of numeric times: ``s``, ``ms``, ``us``, ``ns``, or ``auto`` by their size.
        kinds: features of OLD; those of events that the file has are read too.

    Raises:
        UserError: it cannot be read, lacks a column, or has no events.
    """
    with tempfile.TemporaryDirectory() as scratch:
        opened = Tables(path, "NEW", None, quoted=True).open(Path(scratch), {}, COLUMNS, every=True)
        missing = [name for name in COLUMNS[:2] if name not in opened.columns]
        if missing:
            raise UserError(
                f"{path}: has no column {' and '.join(missing)}; a file of events needs user_id, "
                f"item_id and, for what depends on time, timestamp. It has: "
                f"{', '.join(opened.columns)}. Rename its columns, or prepare it as a dataset "
                f"(recsys-lab prepare data=table data.path={path} data.user_column=...)"
            )
        with opened.explained():
            frame = opened.frame
            plans = {
                name: plan_ids(
                    frame, name, opened.where, untyped=opened.is_text, spelling=_AS_PREPARED
                )
                for name in COLUMNS[:2]
            }
            if "timestamp" in opened.columns:
                plans |= plan_times(frame, "timestamp", path, unit)
            events = {
                name: kind
                for name, kind in kinds.items()
                if name.startswith("event.") and name.partition(".")[2] in opened.columns
            }
            for name, kind in events.items():
                plans[name] = plan_feature(
                    frame, name.partition(".")[2], kind, "NEW", opened.where, Spelling()
                )
            table = apply_plans(frame, plans).collect()
    notes = [*opened.warnings, *column_notes(plans)]
    return _as_log(path, table, events, notes)


def _as_log(
    path: str, table: pl.DataFrame, kinds: dict[str, FeatureType], notes: list[str]
) -> EventLog:
    needed = [name for name in COLUMNS if name in table.columns]
    kept = table.drop_nulls(needed)
    if len(kept) < len(table):
        notes.append(
            f"{path}: {len(table) - len(kept):,} of {len(table):,} rows are left out, as they have "
            f"no readable {' or '.join(needed)}"
        )
    if not len(kept):
        raise UserError(
            f"{path}: has no events ({len(table):,} rows, none with a readable "
            f"{', '.join(needed)}), so there is nothing to compare; check what writes it"
        )
    (users, user_ids), (items, item_ids) = (_codes(kept[name]) for name in COLUMNS[:2])
    times = kept["timestamp"].to_numpy() if "timestamp" in kept.columns else None
    keys: list[NDArray[Any]] = [users] if times is None else [times, users]
    if "order" in kept.columns:
        keys.insert(0, kept["order"].fill_null(0).to_numpy())
    order = np.lexsort(keys)
    return EventLog(
        path=path,
        kind="file",
        user_ids=user_ids,
        item_ids=item_ids,
        items_T=items[order],
        users_T=users[order],
        times_T=None if times is None else times[order],
        kinds=kinds,
        notes=tuple(notes),
        columns={name: _column(kept[name][order], kind) for name, kind in kinds.items()},
    )


def _codes(ids: pl.Series) -> tuple[NDArray[np.int64], pl.Series]:
    """The index of every value among the distinct ones, and these."""
    encoded = ids.to_arrow().dictionary_encode()
    values = pl.Series(encoded.dictionary)
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), values


def _column(values: pl.Series, kind: FeatureType) -> Column:
    if kind == "numeric":
        return Column(values.cast(pl.Float64).fill_null(float("nan")).to_numpy())
    text = values.cast(pl.String).str.strip_chars()
    encoded = text.set(text == "", None).to_arrow().dictionary_encode()
    codes = pa.compute.fill_null(encoded.indices, -len(RESERVED))
    names = [*RESERVED, *encoded.dictionary.to_pylist()]
    return Column(codes.to_numpy(zero_copy_only=False).astype(np.int64) + len(RESERVED), names)
