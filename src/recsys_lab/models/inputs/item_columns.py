"""Item columns as options name them: with or without ``item.``, one or several.

Shapes: V items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.contracts import FeatureColumns


def full_name(column: str) -> str:
    """``item.COLUMN``."""
    return column if column.startswith("item.") else f"item.{column}"


def item_texts(columns: FeatureColumns, named: str | Sequence[str]) -> list[str | None]:
    """The text of every item, (V,): a text column, or several of any type joined to one text.

    Raises:
        UserError: there is no such column, or the one column is not text.
    """
    if isinstance(named, str):
        return columns.text(full_name(named))
    return columns.sentences([full_name(name) for name in named])
