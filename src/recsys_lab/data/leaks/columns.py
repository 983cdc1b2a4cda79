"""The declared columns of a dataset, for the leak checks.

Shapes: T events, R items or users.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.data.features.store import FeatureStore


@dataclass(frozen=True)
class Columns:
    """The columns that models may read besides ids and times.

    Attributes:
        folder: the prepared dataset, with encoded columns.
        entries: the manifest's ``features``: side -> column -> its entry.
    """

    folder: Path
    entries: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @cached_property
    def store(self) -> FeatureStore:
        """The encoded columns."""
        return FeatureStore(self.folder, self.entries)

    def of(self, side: str, *types: str) -> Iterator[str]:
        """Names of the columns of a side with one of these types."""
        for name, entry in self.entries.get(side, {}).items():
            if entry["type"] in types:
                yield name

    def raw(self, side: str, name: str) -> pl.Series:
        """A column of ``item`` or ``user`` as the source has it, (R,)."""
        return (self._items if side == "item" else self._users)[name]

    def titles(self) -> list[Any]:
        """A list with the titles of the items, an Arrow array; empty without titles."""
        if self._items.schema.get("title") != pl.String:
            return []
        return [self._items["title"].to_arrow()]

    @cached_property
    def _items(self) -> pl.DataFrame:
        return self._table("item", "title")

    @cached_property
    def _users(self) -> pl.DataFrame:
        return self._table("user")

    def _table(self, side: str, *more: str) -> pl.DataFrame:
        """The declared columns of a side, and further ones if they exist, read at once."""
        file = self.folder / f"{side}s.parquet"
        wanted = {*self.entries.get(side, {}), *more}
        there = [name for name in pl.read_parquet_schema(file) if name in wanted]
        return pl.read_parquet(file, columns=there, glob=False)

    def events(self, name: str, indices: NDArray[np.int64]) -> pl.Series:
        """Values of an event column at some indices; null for categories unknown to models."""
        column = self.store.column(f"event.{name}")
        assert isinstance(column, np.ndarray)
        codes = pl.Series(column[indices])
        if self.entries["event"][name]["type"] == "numeric":
            return codes
        return pl.Series([None, None, *self.store.values(f"event.{name}")]).gather(codes)
