"""The options ``where`` and ``cap``: conditions on item columns, and caps per value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.config import UserError
from recsys_lab.data.columns.conditions import meeting, parse_condition, parts_of
from recsys_lab.experiment.recommend.item_rules import Cap, item_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset


def fulfilled(data: PreparedDataset, condition: str) -> NDArray[np.bool_]:
    """Which items meet a condition, (V,): see `recsys_lab.data.columns.conditions`.

    Raises:
        UserError: it is malformed, or there is no such column.
    """
    parsed = parse_condition(condition, "where")
    return meeting(parsed, item_column(data, parsed.column, "where"))


def read_caps(data: PreparedDataset, option: str | None) -> tuple[Cap, ...]:
    """Caps ``column:number`` on the items of a list with equal values.

    Raises:
        UserError: one is malformed or given twice, or there is no such column.
    """
    caps: dict[str, Cap] = {}
    for text in parts_of(option):
        column, colon, most = text.rpartition(":")
        if not colon or not column or not most.isdecimal() or int(most) < 1:
            raise UserError(
                f"cap: got {text!r}, expected COLUMN:NUMBER with a number of at least 1, e.g. "
                "cap=category:3"
            )
        if column in caps:
            raise UserError(f"cap: {column} is given twice; give one number")
        caps[column] = Cap.of(column, int(most), item_column(data, column, "cap"))
    return tuple(caps.values())
