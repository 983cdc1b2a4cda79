"""The encoded columns of a prepared dataset, memory-mapped.

Shapes: T events, V items, U users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.formats.npy import map_npy
from recsys_lab.data.formats.paths import safe_name
from recsys_lab.data.preparation.manifest import PREPARE_AGAIN
from recsys_lab.data.raw import SEPARATOR
from recsys_lab.files.reading import read_parquet

SIDES = ("item", "user", "event")


class Lists(NamedTuple):
    """Codes of a list column.

    Attributes:
        codes: of all rows end to end, int32.
        offsets: row r has ``codes[offsets[r]:offsets[r + 1]]``, int64.
    """

    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]


class FeatureStore:
    """Reads the columns that `recsys_lab.data.features.encode` wrote.

    Args:
        folder: the prepared dataset.
        entries: the manifest's ``features``: side -> column -> its entry.
    """

    def __init__(
        self, folder: Path, entries: Mapping[str, Mapping[str, Mapping[str, Any]]]
    ) -> None:
        self._folder = folder
        self._entries = entries
        self._mapped: dict[str, NDArray[Any] | Lists] = {}

    def names(self) -> list[str]:
        """All columns as ``side.column``, e.g. ``item.category``."""
        return [f"{side}.{name}" for side in SIDES for name in self._entries.get(side, {})]

    def entry(self, name: str) -> Mapping[str, Any]:
        """The manifest's entry of ``side.column``: its type, cardinality, mean and so on.

        Raises:
            UserError: the column is missing.
        """
        side, _, column = name.partition(".")
        entry = self._entries.get(side, {}).get(column)
        if entry is None:
            names = self.names()
            raise UserError(
                f"this dataset has no feature '{name}'{did_you_mean(name, names)} It has: "
                f"{', '.join(names) or 'none'}. Columns are declared with data.item_features, "
                "data.user_features and data.event_features"
            )
        return entry

    def column(self, name: str) -> NDArray[Any] | Lists:
        """The column ``side.column``: int32 codes, float32 numbers, or `Lists`.

        Raises:
            UserError: the column is missing or of type text, which has no codes.
        """
        kind = self.entry(name)["type"]
        if kind == "text":
            raise UserError(
                f"feature '{name}' is text: read it with text(), or declare it otherwise"
            )
        if name not in self._mapped:
            stem = self._stem(name)
            codes = map_npy(stem.with_name(f"{stem.name}.npy"))
            if kind == "list":
                offsets = map_npy(stem.with_name(f"{stem.name}_offsets.npy"))
                self._mapped[name] = Lists(codes, offsets)
            else:
                self._mapped[name] = codes
        return self._mapped[name]

    def text(self, name: str) -> list[str | None]:
        """The texts of a column of type text or categorical, one per row; None where missing.

        Raises:
            UserError: the column is missing, or holds lists or numbers.
        """
        kind = self.entry(name)["type"]
        side, _, column = name.partition(".")
        if kind not in ("text", "categorical"):
            texts = [c for c, entry in self._entries[side].items() if entry["type"] == "text"]
            raise UserError(
                f"feature '{name}' is of type {kind}, and a text is needed. Text columns of this "
                f"dataset: {', '.join(texts) or 'none'}. Declare one with "
                f"+data.{side}_features.COLUMN=text"
            )
        table = read_parquet(self._folder / f"{side}s.parquet", PREPARE_AGAIN, [column])
        return table[column].cast(pl.String).to_list()

    def sentences(self, names: Sequence[str]) -> list[str | None]:
        """One text for each row, made of several columns in this order; None where all are missing.

        For example ``Rock Band. 8.5. Acme. Toys, Games.``: the values without the names of the
        columns, lists with commas, as the published recipes of semantic IDs encode items.

        Args:
            names: columns of one side, ``side.column``: text, categorical, list or numeric.

        Raises:
            UserError: there is no such column.
        """
        kinds = [self.entry(name)["type"] for name in names]
        columns = [name.partition(".")[2] for name in names]
        side = names[0].partition(".")[0]
        table = read_parquet(self._folder / f"{side}s.parquet", PREPARE_AGAIN, columns)
        rows = table.select(columns).with_columns(cs.float().fill_nan(None)).iter_rows()
        return [_sentence(kinds, row) for row in rows]

    def values(self, name: str) -> list[Any]:
        """The known values of a categorical or list column, from code 2 on."""
        self.entry(name)
        stem = self._stem(name)
        values = stem.with_name(f"{stem.name}_values.parquet")
        return read_parquet(values, PREPARE_AGAIN)["value"].to_list()

    def _stem(self, name: str) -> Path:
        """The path of the files of ``side.column``, without their endings."""
        side, _, column = name.partition(".")
        return self._folder / "features" / f"{side}_{safe_name(column)}"

    def require(self, names: Iterable[str]) -> None:
        """Check that all columns exist and have codes or numbers.

        Raises:
            UserError: about the first that does not.
        """
        for name in names:
            self.column(name)


def _sentence(kinds: Sequence[str], values: Sequence[Any]) -> str | None:
    texts = [_words(kind, value) for kind, value in zip(kinds, values, strict=True)]
    return ". ".join(filter(None, texts)) + "." if any(texts) else None


def _words(kind: str, value: Any) -> str:
    """A value of a column as text; lists may be stored as text with separators."""
    if kind == "list":
        parts = value.split(SEPARATOR) if isinstance(value, str) else value or []
        return ", ".join(str(part).strip() for part in parts)
    return "" if value is None else str(value).strip().removesuffix(".")
