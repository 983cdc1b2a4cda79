"""Raw ids of a prepared dataset, found by their text."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNKNOWN = -1
"""Index of an id that the dataset does not have."""

_FEW = 4096
"""Up to so many ids are looked up one by one; a join would first hash the whole catalogue."""


class RawIds:
    """The index of each raw id; ids are compared as text, so ``7`` and ``"7"`` are one.

    Args:
        ids: in the order of their indices.
    """

    def __init__(self, ids: pl.Series) -> None:
        self._ids = ids

    def __len__(self) -> int:
        """Number of ids."""
        return len(self._ids)

    @cached_property
    def _of_text(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(id_texts(self._ids).to_list())}

    def indices(self, raw: pl.Series | Sequence[Any]) -> NDArray[np.int64]:
        """The index of each id, int64; `UNKNOWN` for others and nulls."""
        if not isinstance(raw, pl.Series):
            raw = pl.Series([_text(one) for one in raw], dtype=pl.String)
        texts = id_texts(raw)
        if len(texts) <= _FEW:
            of_text = self._of_text
            return np.array([of_text.get(text, UNKNOWN) for text in texts.to_list()], np.int64)
        known = pl.DataFrame({"id": id_texts(self._ids)}).with_row_index("index")
        joined = (
            texts.alias("id").to_frame().join(known, on="id", how="left", maintain_order="left")
        )
        return joined["index"].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()


def id_texts(ids: pl.Series) -> pl.Series:
    """Ids as text; whole floats, as pandas writes integers with gaps, without a fraction."""
    if ids.dtype.is_float():
        whole = ids.cast(pl.Int64, strict=False)
        if ((whole == ids) | ids.is_null() | ids.is_nan()).fill_null(value=False).all():
            return whole.cast(pl.String)
    return ids.cast(pl.String)


def _text(raw: Any) -> str | None:
    """An id as text, by the rule of `id_texts`."""
    is_whole = isinstance(raw, float | np.floating) and float(raw).is_integer()
    return None if raw is None else str(int(raw) if is_whole else raw)
