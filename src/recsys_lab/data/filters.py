"""Which events of the raw log stay: duplicates and the iterative k-core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Filters:
    """The filter settings, applied by the pipeline after bad rows are gone.

    Args:
        config: the settings.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Filters`.

        Attributes:
            drop_duplicates: drop rows that repeat user, item and time (or order); the first stays.
                Without a timestamp and an order nothing is a duplicate.
            min_user_count: users with fewer events go, 0 for off; with ``min_item_count``
                repeated until nothing changes (k-core).
            min_item_count: items with fewer events go, 0 for off.
        """

        drop_duplicates: bool
        min_user_count: Annotated[int, Ge(0)]
        min_item_count: Annotated[int, Ge(0)]

    def __init__(self, config: Config) -> None:
        self.config = config

    def k_core(
        self, users_T: NDArray[np.int32], items_T: NDArray[np.int32]
    ) -> tuple[NDArray[np.bool_], int]:
        """Which events are in the k-core, bool (T,), and the passes that it took.

        The largest k-core is unique, so the order of removals does not matter.
        """
        keep_T = np.ones(len(users_T), dtype=np.bool_)
        limits = self.config.min_user_count, self.config.min_item_count
        if max(limits) <= 1:
            return keep_T, 0
        place = np.arange(len(users_T))
        passes = 0
        while True:
            passes += 1
            keep = np.ones(len(users_T), dtype=np.bool_)
            for codes, limit in zip((users_T, items_T), limits, strict=True):
                if limit > 1 and len(codes):
                    keep &= np.bincount(codes)[codes] >= limit
            if keep.all():
                return keep_T, passes
            keep_T[place[~keep]] = False
            users_T, items_T, place = users_T[keep], items_T[keep], place[keep]


def later_duplicates(
    users_T: NDArray[np.int32], items_T: NDArray[np.int32], keys: list[NDArray[np.int64]]
) -> NDArray[np.bool_]:
    """Which events repeat an earlier one of the same user, item and keys, bool (T,).

    Args:
        users_T: user codes; events are sorted by user, then by the keys.
        items_T: item codes.
        keys: timestamp and/or order of every event, (T,) each.
    """
    repeated_T = np.zeros(len(users_T), dtype=np.bool_)
    if not keys or len(users_T) < 2:
        return repeated_T
    tied = users_T[1:] == users_T[:-1]
    for key in keys:
        tied &= key[1:] == key[:-1]
    # Only events that share user and keys with a neighbour can be duplicates: few, as a rule.
    in_tie = np.concatenate([tied, [False]]) | np.concatenate([[False], tied])
    group = np.cumsum(~np.concatenate([[False], tied]))[in_tie].astype(np.int64)
    pair = group * (int(items_T.max()) + 1) + items_T[in_tie]
    _, first = np.unique(pair, return_index=True)
    later = np.ones(len(pair), dtype=np.bool_)
    later[first] = False
    repeated_T[np.flatnonzero(in_tie)[later]] = True
    return repeated_T
