"""Items of the source's table that have no event: in the catalogue where an option says so.

Shapes: v items that have an event, V items of the catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from recsys_lab.config import UserError
from recsys_lab.pages.number_format import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.preparation.row_filters import Filters
    from recsys_lab.data.raw import RawData


def listed_items(raw: RawData, filters: Filters) -> pl.DataFrame | None:
    """The table whose items are in the catalogue also without an event; None where none are.

    Raises:
        UserError: when the source has no table.
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
    """The items that have an event, and all others that the table lists.

    Args:
        ids: raw ids of items with an event, ascending, (v,).
        table: with a column ``item_id``.

    Returns:
        All ids, (V,), ascending, as text where the log or the table has text, and the place of
        each of the given ones among them, int32 (v,).
    """
    listed = table["item_id"].drop_nulls()
    if listed.dtype.is_integer() and pa.types.is_integer(ids.type):
        listed = listed.cast(pl.Int64)
    else:
        listed, ids = listed.cast(pl.String), ids.cast(pa.large_string())
        listed = listed.filter(listed.str.strip_chars() != "")
    found = pa.concat_arrays([ids, listed.to_arrow().cast(ids.type)]).unique()
    found = found.take(pc.sort_indices(found))
    return found, pc.index_in(ids, value_set=found).to_numpy().astype(np.int32)


def count_table_items(ids: pa.Array, cold: int, table: pl.DataFrame | None) -> dict[str, int]:
    """Items that the source's table has alone: in the catalogue, or left out of it.

    Args:
        ids: raw ids of the catalogue, ascending.
        cold: how many of them have no event.
        table: of the source; None: there is none.
    """
    left_out = 0
    if table is not None:
        left_out = len(with_listed(ids, table)[0]) - len(ids)
    found = {
        "items_without_events": cold,
        "table_items_left_out": left_out,  # filter.catalogue=table takes them in
    }
    return {name: number for name, number in found.items() if number}


def cold_item_notes(cold: int, items: int) -> list[str]:
    """A sentence about items that have no event, where there are any."""
    if not cold:
        return []
    return [
        f"filter.catalogue=table: {number(cold)} of {number(items)} items have no event that "
        "stayed; they can be recommended by what the table says of them alone"
    ]
