"""What is odd about a source that could be read: for the manifest, the card and the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.data.card_facts import number, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.data.raw import Unreadable

FEW = 0.5
"""A table of items or users that knows a smaller share of those of the log is doubted."""


def doubt_numbers(unreadable: Mapping[str, Unreadable]) -> list[str]:
    """One sentence for each column with values that are no numbers.

    Args:
        unreadable: of the raw data.
    """
    return [
        f"{name}: {number(found.rows)} {'value is' if found.rows == 1 else 'values are'} no "
        f"number and count as missing; the first is {found.first!r} ({found.place}). Write numbers "
        "as 5.0, with a point"
        for name, found in unreadable.items()
    ]


def doubt_table(side: str, ids: Any, table: Any, matched: int) -> list[str]:
    """A sentence when a table of items or users says nothing of most of those of the log.

    Args:
        side: ``item`` or ``user``.
        ids: raw ids of the dataset, an Arrow array.
        table: of the source, with a column ``<side>_id``, or None.
        matched: how many of the ids it has.
    """
    if table is None or matched >= FEW * len(ids):
        return []
    said = (
        f"the table of {side}s has {number(matched)} of the {number(len(ids))} {side}s of the log "
        f"({percent(matched / len(ids))}); of the others nothing is known"
    )
    if matched or not len(table):
        return [said]
    example = table[f"{side}_id"][0]
    return [
        f"{said}. Ids of the log are such as {ids[0].as_py()!r}, of the table such as "
        f"{example!r}: name the column that holds the log's ids, e.g. data.{side}s_id_column=sku"
    ]
