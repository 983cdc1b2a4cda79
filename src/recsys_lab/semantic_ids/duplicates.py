"""One more level that tells apart the items that share their codes.

Shapes: V items, L levels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.pages.number_format import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.semantic_ids.base import Codes


def tuples(codes_VL: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of each item's sequence of codes among the distinct ones in order, (V,)."""
    return np.unique(codes_VL, axis=0, return_inverse=True)[1].reshape(-1)


def deduplicated(
    codes: Codes, most: int, counts_V: NDArray[np.int64], item_ids: Sequence[Any]
) -> Codes:
    """The codes with one more level, which numbers items with equal codes.

    Numbers are given by training events, most first, then by raw id. The level has as many codes as
    the largest group of equal codes has items.

    Args:
        codes: of all items.
        most: items that may share their codes.
        counts_V: training events of each item.
        item_ids: raw id of each item.

    Raises:
        UserError: more items share their codes.
    """
    group_V = tuples(codes.codes_VL)
    rank_V = np.empty(len(group_V), dtype=np.int64)
    rank_V[sorted(range(len(item_ids)), key=item_ids.__getitem__)] = np.arange(len(item_ids))
    order_V = np.lexsort([rank_V, -counts_V, group_V])
    sizes = np.bincount(group_V)
    starts = np.concatenate([[0], sizes.cumsum()[:-1]])
    place_V = np.empty_like(rank_V)
    place_V[order_V] = np.arange(len(order_V)) - starts[group_V[order_V]]
    largest = int(sizes.max())
    _refuse_many(most, largest, codes.codes_VL[group_V == sizes.argmax()][0].tolist())
    return replace(
        codes,
        codes_VL=np.concatenate([codes.codes_VL, place_V[:, None]], 1),
        num_codes=(*codes.num_codes, largest),
    )


def extended(codes: Codes, kept_V: NDArray[np.int64], count: int, most: int) -> Codes:
    """The codes with a level of numbers that some items keep.

    A new item gets the lowest number that no other item with its codes has, in order of the items.

    Args:
        codes: of all items, without the level.
        kept_V: number of each item that keeps it; -1 for the others.
        count: codes that the level had.
        most: items that may share their codes.

    Raises:
        UserError: more items share their codes.
    """
    group_V, numbers_V = tuples(codes.codes_VL), kept_V.copy()
    taken: dict[int, set[int]] = {}
    for group, kept in zip(group_V.tolist(), kept_V.tolist(), strict=True):
        if kept >= 0:
            taken.setdefault(group, set()).add(kept)
    for item in np.flatnonzero(kept_V < 0).tolist():
        own = taken.setdefault(int(group_V[item]), set())
        free = next(n for n in range(len(own) + 1) if n not in own)
        own.add(free)
        numbers_V[item] = free
    largest = int(numbers_V.argmax())
    _refuse_many(most, int(numbers_V[largest]) + 1, codes.codes_VL[largest].tolist())
    return replace(
        codes,
        codes_VL=np.concatenate([codes.codes_VL, numbers_V[:, None]], 1),
        num_codes=(*codes.num_codes, max(count, int(numbers_V[largest]) + 1)),
    )


def _refuse_many(most: int, largest: int, example: list[int]) -> None:
    if largest > most:
        raise UserError(
            f"semantic_ids.deduplicate: got {most}, but {number(largest)} items share the codes "
            f"{example}; use at least {largest}, more levels or codes, other vectors, or null, "
            "with which they share their codes"
        )
