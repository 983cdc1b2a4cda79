"""``filter.exclude_items``: ids of items that are no products, such as postage and fees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.data.formats.small_table import read_columns
from recsys_lab.data.raw_ids import UNKNOWN, RawIds, id_texts
from recsys_lab.files.digests import content_hash

OPTION = "filter.exclude_items"
_SHOWN = 50
"""Up to so many ids are recorded one by one."""


def excluded_ids(option: Sequence[str | int] | str) -> tuple[str, ...]:
    """The ids, each once and sorted.

    Args:
        option: a list, or a file with a column item_id.

    Raises:
        UserError: the file cannot be read.
    """
    if not isinstance(option, str):
        return tuple(sorted({str(one) for one in option}))
    if not Path(option).is_file():
        raise UserError(
            f"{OPTION}={option}: there is no such file. For ids write a list: {OPTION}=[{option}]"
        )
    ids = id_texts(read_columns(option, OPTION, ["item_id"], ())["item_id"]).drop_nulls()
    return tuple(sorted(set(ids.to_list()) - {""}))


def recorded(ids: Sequence[str]) -> list[str] | dict[str, Any]:
    """The ids as recorded in the manifest and the fingerprint; many of them as their digest."""
    if len(ids) <= _SHOWN:
        return list(ids)
    return {"ids": len(ids), "sha256": content_hash({"item_id": list(ids)})}


def is_excluded(ids: Sequence[str], items: Any) -> tuple[NDArray[np.bool_], list[str]]:
    """Which items are excluded, bool (V,), and a warning about ids that no event has.

    Args:
        ids: to exclude.
        items: the raw ids of the log, an Arrow array (V,).
    """
    series = pl.from_arrow(items)
    assert isinstance(series, pl.Series)
    indices = RawIds(series).indices(list(ids))
    is_excluded_V = np.zeros(len(series), dtype=np.bool_)
    is_excluded_V[indices[indices != UNKNOWN]] = True
    unknown = [one for one, index in zip(ids, indices, strict=True) if index == UNKNOWN]
    if not unknown:
        return is_excluded_V, []
    hint = did_you_mean(unknown[0], series.cast(pl.String).to_list()).removesuffix(".")
    return is_excluded_V, [
        f"{OPTION}: {len(unknown):,} of {len(ids):,} ids are not in the log: "
        f"{', '.join(map(repr, unknown[:5]))}{hint}"
    ]
