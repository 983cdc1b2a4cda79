"""Items of the source's table without an event, which ``filter.catalogue=table`` includes.

Shapes: v items that have an event, V items of the catalogue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.raw import RawData
from recsys_lab.pages.number_format import number


def listed_items(raw: RawData, filters: Filters) -> pl.DataFrame | None:
    """The table whose items are all in the catalogue; None if only items with events are.

    Raises:
        UserError: if the source has no table of items.
    """
    if filters.config.catalogue == "events":
        return None
    if raw.items is None:
        raise UserError(
            "filter.catalogue=table: the source has no table of items. Name one (data=table: "
            "data.items_path; data=sql: data.items_query; data=recbole: NAME.item beside the log), "
            "or use filter.catalogue=events"
        )
    return raw.items


def with_listed(ids: pa.Array, table: pl.DataFrame) -> tuple[pa.Array, NDArray[Any]]:
    """The items that have an event, and all others of a table.

    Args:
        ids: raw ids of items with an event, ascending, (v,).
        table: with a column ``item_id``.

    Returns:
        All ids, ascending, (V,), as text if the log or the table has text; and the index of each
        given id among them, int32 (v,).
    """
    listed = table["item_id"].drop_nulls()
    if listed.dtype.is_integer() and pa.types.is_integer(ids.type):
        listed = listed.cast(pl.Int64)
    else:
        listed, ids = listed.cast(pl.String), ids.cast(pa.large_string())
        listed = listed.filter(listed.str.strip_chars() != "")
    every = pa.concat_arrays([ids, listed.to_arrow().cast(ids.type)]).unique()
    every = every.take(pc.sort_indices(every))
    return every, pc.index_in(ids, value_set=every).to_numpy().astype(np.int32)


def count_table_items(ids: pa.Array, cold: int, table: pl.DataFrame | None) -> dict[str, int]:
    """Numbers of items that only the source's table has, in the catalogue and left out of it.

    Args:
        ids: raw ids of the catalogue, ascending.
        cold: number of them without an event.
        table: of the source, or None.
    """
    left_out = 0
    if table is not None:
        left_out = len(with_listed(ids, table)[0]) - len(ids)
    counts = {
        "items_without_events": cold,
        "table_items_left_out": left_out,  # filter.catalogue=table would include them
    }
    return {name: number for name, number in counts.items() if number}


def cold_item_notes(cold: int, items: int) -> list[str]:
    """A note about items without an event, if there are any."""
    if not cold:
        return []
    return [
        f"filter.catalogue=table: {number(cold)} of {number(items)} items have no event after the "
        "filters; they can only be recommended by their columns in the table"
    ]
