"""Rules about the items of a list: which may be in it, and how many of a kind.

Shapes: B users, V items, N ranks of a list, C values of a column, F (item, value) pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.contracts import NO_ITEM
from recsys_lab.data.preparation.manifest import PREPARE_AGAIN
from recsys_lab.data.raw import SEPARATOR
from recsys_lab.files.reading import read_parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset


@dataclass(frozen=True)
class Cap:
    """At most so many items of a list may have one value of a column.

    An item with several values counts for each; an item without a value is not limited.

    Attributes:
        column: its name.
        most: largest number of items.
        codes_F: values of all items, concatenated, int64 in ``0 .. C-1``.
        offsets: item v has ``codes_F[offsets[v]:offsets[v + 1]]``, int64 (V + 1,).
    """

    column: str
    most: int
    codes_F: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, column: str, most: int, values: pl.Series) -> Cap:
        """A cap on a column with one value, or a list of values, of every item, (V,)."""
        rows = pl.DataFrame({"item": np.arange(len(values)), "value": values})
        if values.dtype == pl.List:
            rows = rows.explode("value").unique(maintain_order=True)
        rows = rows.filter(pl.col("value").is_not_null())
        codes = rows["value"].cast(pl.String).rank("dense").cast(pl.Int64).to_numpy() - 1
        counts_V = np.bincount(rows["item"].to_numpy(), minlength=len(values))
        return cls(column, most, codes, np.concatenate([[0], np.cumsum(counts_V)]))

    @property
    def num_values(self) -> int:
        """C."""
        return int(self.codes_F.max(initial=-1)) + 1

    def pairs(self, items_n: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and value of every (item, value) pair of some items."""
        lengths = self.offsets[items_n + 1] - self.offsets[items_n]
        rows = np.repeat(np.arange(len(items_n)), lengths)
        before = np.cumsum(lengths) - lengths
        index = np.arange(len(rows)) + (self.offsets[items_n] - before)[rows]
        return rows, self.codes_F[index]


@dataclass(frozen=True)
class ItemRules:
    """What is true of the lists of all users.

    Attributes:
        allowed_V: which items may be in a list, bool (V,); None: all.
        caps: see `Cap`.
    """

    allowed_V: NDArray[np.bool_] | None = None
    caps: tuple[Cap, ...] = ()


class CappedLists:
    """The lists of a batch under caps, filled from the best items on.

    Args:
        caps: the caps.
        num_users: B.
        k: list length.
    """

    def __init__(self, caps: tuple[Cap, ...], num_users: int, k: int) -> None:
        self._caps = caps
        self._counts = [np.zeros((num_users, cap.num_values), np.int32) for cap in caps]
        self.items_BK = np.full((num_users, k), NO_ITEM, np.int64)
        self.scores_BK = np.full((num_users, k), -np.inf, np.float32)
        self._lengths_B = np.zeros(num_users, np.int64)

    def add(self, items_BN: NDArray[np.int64], scores_BN: NDArray[np.float32]) -> None:
        """Go on with the next best items of each user, padded with `NO_ITEM`."""
        k = self.items_BK.shape[1]
        for items_B, scores_B in zip(items_BN.T, scores_BN.T, strict=True):
            rows = np.flatnonzero((items_B != NO_ITEM) & (self._lengths_B < k))
            pairs = [cap.pairs(items_B[rows]) for cap in self._caps]
            fits = np.ones(len(rows), dtype=bool)
            for cap, counts, (of_row, values) in zip(self._caps, self._counts, pairs, strict=True):
                fits[of_row[counts[rows[of_row], values] >= cap.most]] = False
            for counts, (of_row, values) in zip(self._counts, pairs, strict=True):
                kept = fits[of_row]
                counts[rows[of_row[kept]], values[kept]] += 1  # values of an item are distinct
            rows = rows[fits]
            self.items_BK[rows, self._lengths_B[rows]] = items_B[rows]
            self.scores_BK[rows, self._lengths_B[rows]] = scores_B[rows]
            self._lengths_B[rows] += 1

    def lacking(self, items_BN: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that are too short although the last items added were not all that are left."""
        is_short_B = self._lengths_B < self.items_BK.shape[1]
        return np.flatnonzero(is_short_B & (items_BN[:, -1] != NO_ITEM))

    def full_V(self, row: int, num_items: int) -> NDArray[np.bool_]:
        """Which items a row cannot have any more, because a value has as many as allowed, (V,)."""
        is_full_V = np.zeros(num_items, dtype=bool)
        for cap, counts in zip(self._caps, self._counts, strict=True):
            is_full_F = (counts[row] >= cap.most)[cap.codes_F]
            of_item_F = np.repeat(np.arange(num_items), np.diff(cap.offsets))
            is_full_V[of_item_F[is_full_F]] = True
        return is_full_V


def item_column(data: PreparedDataset, column: str, option: str) -> pl.Series:
    """A column of the items, (V,): values, or lists of values.

    Args:
        data: the dataset.
        column: its name.
        option: named in the error.

    Raises:
        UserError: there is no such column.
    """
    table = read_parquet(data.path / "items.parquet", PREPARE_AGAIN).drop("item", strict=False)
    if column not in table.columns:
        raise UserError(
            f"{option}: the items have no column {column!r}{did_you_mean(column, table.columns)} "
            f"They have: {', '.join(table.columns)}"
        )
    values = table[column]
    kinds: Any = data.manifest["features"].get("item", {})
    if kinds.get(column, {}).get("type") == "list" and values.dtype == pl.String:
        values = values.str.split(SEPARATOR)
    return values
