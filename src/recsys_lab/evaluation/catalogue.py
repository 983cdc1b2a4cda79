"""Item data for metrics beyond accuracy: counts, categories, embeddings.

Shapes: V items, D width of an embedding, S pairs of a row and an item.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN, ListFeature, TrainingData


class RankedData(TrainingData, Protocol):
    """A prepared dataset, as protocols read it.

    Attributes:
        dropped_targets: indices of events in target ranges that are not targets, int64, ascending.
    """

    dropped_targets: NDArray[np.int64]

    def item_ids(self) -> list[Any]:
        """Raw id of every item, (V,)."""
        ...

    def user_ids(self) -> list[Any]:
        """Raw id of every user, (U,)."""
        ...

    def target_ranges(self, phase: str) -> NDArray[np.int64]:
        """Indices of the targets of a phase in the flat arrays, int64 (G,)."""
        ...

    def first_event_times(self) -> NDArray[np.int64]:
        """Time of the first event of each item in any part, seconds since the epoch, (V,)."""
        ...

    def item_times(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """An item column as seconds since the epoch, (V,), and whether each value is present.

        Raises:
            UserError: the column is missing or does not hold times.
        """
        ...


@dataclass(frozen=True)
class Catalogue:
    """Item data of a prepared dataset for metrics.

    Attributes:
        counts_V: number of training events of each item, int64 (V,).
        categories: categories of each item, any number per item, or None.
        embeddings_VD: embedding of each item, any float type, or None.
    """

    counts_V: Tensor
    categories: ListFeature | None = None
    embeddings_VD: Tensor | None = None

    def content(self, option: str) -> str:
        """A hash of the data of an option, ``category_feature`` or ``embeddings_path``."""
        kinds = self.categories
        arrays = {
            "category_feature": () if kinds is None else (kinds.codes, kinds.offsets),
            "embeddings_path": () if self.embeddings_VD is None else (self.embeddings_VD,),
        }[option]
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(array.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Catalogue:
        """A copy on another device."""
        return Catalogue(
            self.counts_V.to(device),
            None if self.categories is None else self.categories.to(device),
            None if self.embeddings_VD is None else self.embeddings_VD.to(device),
        )


def read_catalogue(
    data: RankedData, category_feature: str | None, embeddings_path: str | None
) -> Catalogue:
    """The items of a prepared dataset.

    Args:
        data: the dataset.
        category_feature: categorical or list column, e.g. ``item.category``.
        embeddings_path: Parquet file with columns ``item_id`` and ``embedding``.

    Raises:
        UserError: the column or the file is missing or of another kind.
    """
    categories = None if category_feature is None else _categories(data, category_feature)
    vectors = None
    if embeddings_path is not None:
        where = f"evaluation.embeddings_path={embeddings_path}"
        vectors = read_embeddings(Path(embeddings_path), data, where)
    return Catalogue(torch.from_numpy(data.training_item_counts()), categories, vectors)


def _categories(data: RankedData, name: str) -> ListFeature:
    kind = data.features.entry(name)["type"]
    if not name.startswith("item.") or kind not in ("categorical", "list"):
        raise UserError(
            f"evaluation.category_feature: '{name}' is a {kind} column; a categorical or list "
            "column of the items is needed"
        )
    column = data.features.column(name)
    codes, offsets = column if kind == "list" else (column, None)
    return known_codes(
        torch.from_numpy(np.array(codes)),
        None if offsets is None else torch.from_numpy(np.array(offsets)),
    )


def read_embeddings(path: Path, data: RankedData, where: str) -> Tensor:
    """The embedding of each item from a Parquet file, float32 (V, D).

    Args:
        path: has columns ``item_id`` and ``embedding``.
        data: the dataset.
        where: option and value, for messages.

    Raises:
        UserError: the file cannot be read, or an item has no embedding in it.
    """
    try:
        table = pl.read_parquet(path, columns=["item_id", "embedding"])
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"{where}: cannot be read as Parquet with columns item_id and embedding "
            f"({type(error).__name__})"
        ) from None
    items = pl.DataFrame({"item_id": data.item_ids()})
    table = table.with_columns(pl.col("item_id").cast(items.schema["item_id"], strict=False))
    table = table.unique()  # a row may be repeated
    twice = table.filter(pl.col("item_id").is_not_null() & pl.col("item_id").is_duplicated())
    if len(twice):
        raise UserError(
            f"{where}: has different embeddings of one item, such as {twice['item_id'].min()!r}; "
            "give one for each item"
        )
    column = items.join(table, on="item_id", how="left", maintain_order="left")["embedding"]
    if column.null_count():
        lacking = repr(items["item_id"][int(column.is_null().arg_max() or 0)])
        raise UserError(
            f"{where}: {column.null_count():,} of {len(items):,} items have no embedding, such as "
            f"{lacking}; add them to the file"
        )
    try:
        lists = column.cast(pl.List(pl.Float32))
    except pl.exceptions.PolarsError:
        raise UserError(
            f"{where}: column embedding holds {column.dtype}, not lists of numbers"
        ) from None
    lengths = lists.list.len().to_numpy()
    if lengths.min() != lengths.max():
        raise UserError(
            f"{where}: the embeddings have {lengths.min()} to {lengths.max()} numbers; "
            "all need the same number"
        )
    flat = lists.explode().to_numpy()
    return torch.from_numpy(flat.reshape(len(items), -1).copy())


def known_codes(codes: Tensor, offsets: Tensor | None) -> ListFeature:
    """An item column as lists of its known values.

    Args:
        codes: codes of a prepared dataset; 0 (missing) and 1 (unknown) are left out.
        offsets: offsets of a list column; None if every item has one code.
    """
    if offsets is None:
        offsets = torch.arange(len(codes) + 1)
    known = codes >= FIRST_KNOWN
    before = torch.cat([torch.zeros(1, dtype=torch.int64), known.long().cumsum(0)])
    return ListFeature(codes[known].long() - FIRST_KNOWN, before[offsets.long()])


def category_mix(
    rows_S: Tensor, items_S: Tensor, categories: ListFeature, num_rows: int, num_codes: int
) -> Tensor:
    """Category distribution of the items of each row, float64 (rows, codes).

    An item with several categories counts in equal parts; items without are left out. A row without
    any category is all zeros.
    """
    lengths_S = categories.offsets.diff()[items_S]
    mix = torch.zeros(num_rows * num_codes, dtype=torch.float64, device=rows_S.device)
    # Items with equally many categories together: counts have no rounding errors.
    for length in lengths_S[lengths_S > 0].unique().tolist():
        alike = lengths_S == length
        rows = torch.repeat_interleave(rows_S[alike], length)
        cells = rows * num_codes + categories.rows(items_S[alike]).codes
        mix += torch.bincount(cells, minlength=len(mix)) / length
    with_any = torch.bincount(rows_S[lengths_S > 0], minlength=num_rows).clamp_min(1)
    return mix.view(num_rows, num_codes) / with_any.unsqueeze(1)
