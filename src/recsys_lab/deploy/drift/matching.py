"""Users and items of two logs, matched by their raw ids as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from recsys_lab.data.columns.id_spellings import DIFFERENCES, normalized

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Matched:
    """The ids of both logs in one numbering.

    Attributes:
        new: number of every id of NEW; those of OLD are 0, 1, ... in their order, and ids that are
            only in NEW follow.
        size: of the numbering.
        notes: differences in type or spelling.
    """

    new: NDArray[np.int64]
    size: int
    notes: tuple[str, ...]


def match(old: pl.Series, new: pl.Series, side: str) -> Matched:
    """Number the ids of both logs; 7 and "7" are one id.

    Args:
        old: raw ids, each once.
        new: likewise.
        side: ``user`` or ``item``, for the notes.
    """
    texts = pl.DataFrame({"id": old.cast(pl.String)}).with_row_index("number")
    joined = pl.DataFrame({"id": new.cast(pl.String)}).join(
        texts, on="id", how="left", maintain_order="left"
    )
    own = joined["number"].is_null()
    numbers = pl.select(
        pl.when(own).then(len(old) + own.cast(pl.Int64).cum_sum() - 1).otherwise(joined["number"])
    ).to_series()
    notes = _notes(old, new, joined.filter(own)["id"], side)
    return Matched(numbers.cast(pl.Int64).to_numpy(), len(old) + int(own.sum()), tuple(notes))


def _notes(old: pl.Series, new: pl.Series, unmatched: pl.Series, side: str) -> list[str]:
    notes = []
    if old.dtype.is_integer() != new.dtype.is_integer():
        kinds = {True: "integers", False: "text"}
        notes.append(
            f"{side} ids: OLD has {kinds[old.dtype.is_integer()]}, NEW has "
            f"{kinds[new.dtype.is_integer()]}; they are compared as text, so 7 and '7' are one "
            f"{side}, but 7 and '007' are two"
        )
    text = pl.col("id")
    others = pl.DataFrame({"id": unmatched}).lazy()
    every = pl.DataFrame({"id": old.cast(pl.String)}).lazy()
    queries = []
    for difference in DIFFERENCES:
        same = normalized(text, [difference])
        keys = every.select(same.alias("key")).unique()
        queries.append(others.select(text, key=same).join(keys, on="key", how="semi"))
    for name, found in zip(DIFFERENCES, pl.collect_all(queries), strict=True):
        if len(found):
            notes.append(
                f"{side} ids: {len(found):,} of NEW are in OLD only in another spelling ({name}; "
                f"such as {found['id'][0]!r}) and count as new {side}s; prepare both logs with the "
                "same spelling (data.id_normalization)"
            )
    if len(unmatched) == len(new):
        notes.append(
            f"no {side} of NEW is in OLD: other {side}s, or other ids of the same ones (compare "
            f"{str(new[0])!r} with {str(old[0])!r})"
        )
    return notes
