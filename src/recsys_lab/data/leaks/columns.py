"""The declared columns of a dataset, as the checks read them.

Shapes: T events, R items or users.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_lab.data.feature_store import FeatureStore

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Columns:
    """What models may read besides ids and times.

    Attributes:
        folder: the prepared dataset, whose columns are encoded.
        entries: the manifest's ``features``: side -> column -> what is known of it.
    """

    folder: Path
    entries: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @cached_property
    def store(self) -> FeatureStore:
        """The encoded columns."""
        return FeatureStore(self.folder, self.entries)

    def of(self, side: str, *types: str) -> Iterator[str]:
        """Columns of a side that have one of some types."""
        for name, entry in self.entries.get(side, {}).items():
            if entry["type"] in types:
                yield name

    def raw(self, side: str, name: str) -> pl.Series:
        """A column of ``item`` or ``user`` as the source has it, (R,)."""
        return pl.read_parquet(self.folder / f"{side}s.parquet", columns=[name], glob=False)[name]

    def titles(self) -> pl.Series | None:
        """The titles of the items, where they have some."""
        schema = pl.read_parquet_schema(self.folder / "items.parquet")
        return self.raw("item", "title") if schema.get("title") == pl.String else None
