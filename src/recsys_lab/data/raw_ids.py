"""Raw ids of a prepared dataset, found by their text."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.columns.id_spellings import DECIMAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

UNKNOWN = -1
"""Index of an id that the dataset does not have."""

_FEW = 4096
"""Up to so many ids are looked up one by one; a join would first hash the whole catalogue."""


class RawIds:
    """The index of each raw id; ids are compared as text, so ``7`` and ``"7"`` are one.

    If the dataset's ids are integers, ``"7.0"``, as pandas writes a column with gaps, is ``7``.

    Args:
        ids: in the order of their indices.
    """

    def __init__(self, ids: pl.Series) -> None:
        self._ids = ids

    def __len__(self) -> int:
        """Number of ids."""
        return len(self._ids)

    @cached_property
    def _of_text(self) -> dict[str | None, int]:
        return {text: index for index, text in enumerate(id_texts(self._ids).to_list())}

    def indices(self, raw: pl.Series | Sequence[Any]) -> NDArray[np.int64]:
        """The index of each id, int64; `UNKNOWN` for others and nulls."""
        if not isinstance(raw, pl.Series):
            if len(raw) <= _FEW:
                return self._looked_up(self._spelt(_text(one)) for one in raw)
            raw = pl.Series([_text(one) for one in raw], dtype=pl.String)
        texts = id_texts(raw)
        if self._are_whole:
            texts = texts.str.replace(DECIMAL, "$1")
        if len(texts) <= _FEW:
            return self._looked_up(texts.to_list())
        known = pl.DataFrame({"id": id_texts(self._ids)}).with_row_index("index")
        joined = (
            texts.alias("id").to_frame().join(known, on="id", how="left", maintain_order="left")
        )
        return joined["index"].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()

    @property
    def _are_whole(self) -> bool:
        return self._ids.dtype.is_integer()

    def _spelt(self, text: str | None) -> str | None:
        has_point = text is not None and self._are_whole and "." in text
        return re.sub(DECIMAL, r"\1", text) if has_point and text is not None else text

    def _looked_up(self, texts: Iterable[str | None]) -> NDArray[np.int64]:
        of_text = self._of_text
        codes = [of_text.get(text, UNKNOWN) for text in texts]
        return np.array(codes, np.int64)

    def allowed(
        self, candidates: Iterable[Any] | None = None, blocklist: Iterable[Any] | None = None
    ) -> tuple[NDArray[np.bool_], int]:
        """Which ids may be in a list, bool (n,), and how many of those given are not known.

        Args:
            candidates: the only ids that may be in a list; None: all.
            blocklist: ids that may not.

        Raises:
            UserError: an argument is a text, or no candidate is known.
        """
        allowed, unknown = np.ones(len(self), dtype=bool), 0
        for name, given, allows in (
            ("candidates", candidates, True),
            ("blocklist", blocklist, False),
        ):
            if given is None:
                continue
            if isinstance(given, str | bytes):
                raise UserError(f"{name}: got the text {given!r}, expected a list of raw item ids")
            indices = self.indices(given if isinstance(given, pl.Series) else list(given))
            known = indices[indices != UNKNOWN]
            unknown += len(indices) - len(known)
            if allows and not len(known):
                raise UserError(
                    f"{name}: none of the {len(indices):,} ids is in the catalogue of "
                    f"{len(self):,} items, e.g. {self._ids[0]!r}; give raw item ids"
                )
            is_given = np.zeros(len(self), dtype=bool)
            is_given[known] = True
            allowed &= is_given == allows
        return allowed, unknown


def id_texts(ids: pl.Series) -> pl.Series:
    """Ids as text; whole floats, as pandas writes integers with gaps, without a fraction."""
    if ids.dtype.is_float():
        whole = ids.cast(pl.Int64, strict=False)
        if ((whole == ids) | ids.is_null() | ids.is_nan()).fill_null(value=False).all():
            return whole.cast(pl.String)
    return ids.cast(pl.String)


def _text(raw: Any) -> str | None:
    """An id as text, by the rule of `id_texts`."""
    if type(raw) is str:
        return raw
    is_whole = isinstance(raw, float | np.floating) and float(raw).is_integer()
    return None if raw is None else str(int(raw) if is_whole else raw)
