"""Filters by a user's other events and by counts, on coded arrays, chunk by chunk.

All engines return the same coded columns, so from here on there is a single code path whose
results cannot differ. Memory: a chunk of events and a few numbers per user and item.

Shapes: T events in order, U users, V items (codes before trimming), t events of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.formats.npy import map_npy, npy_writer
from recsys_lab.data.preparation.row_counts import RowCounts
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.raw import PART

EVENTS_A_PART = 1 << 21


class HistoryFilters:
    """Selects the events to keep.

    Args:
        columns: ``user``, ``item`` and, where they exist, ``timestamp``, ``order``, `PART` and
            ``kind`` (the event type), (T,) each.
        num_users: U.
        num_items: V.
        part: events per chunk; more if a single user has more.

    Attributes:
        part: as given.
        keep_T: whether an event is kept, bool (T,).
        user_counts: kept events of every user, int64 (U,).
        item_counts: kept events of every item, int64 (V,).
    """

    def __init__(
        self,
        columns: Mapping[str, NDArray[Any]],
        num_users: int,
        num_items: int,
        part: int = EVENTS_A_PART,
    ) -> None:
        self._users, self._items = columns["user"], columns["item"]
        self._keys = {name: columns[name] for name in ("timestamp", "order") if name in columns}
        if self._keys and PART in columns:  # an event may be in two parts
            self._keys[PART] = columns[PART]
        self._kinds = columns.get("kind")
        self.keep_T = np.ones(len(self._users), dtype=np.bool_)
        counts = np.zeros(num_users, dtype=np.int64)
        for first in range(0, len(self._users), part):
            counts += np.bincount(self._users[first : first + part], minlength=num_users)
        self._num_items = num_items
        self._offsets = np.concatenate([[0], np.cumsum(counts)])
        self.part = part
        self.recount()

    def apply(self, filters: Filters, row_counts: RowCounts) -> None:
        """Apply the filters and record the drops.

        Counts of the training part are applied by `recsys_lab.data.preparation.training_filters`.

        Raises:
            UserError: if nothing is left.
        """
        config = filters.config
        row_counts.counts[-1].update(self.distinct())
        if config.drop_duplicates:
            self._each_part(self._not_repeated)
            self._note(row_counts, "duplicates", self._same())
        if config.drop_consecutive_repeats:
            self._each_part(self._not_consecutive)
            self._note(row_counts, "repeats", "same item as the user's event before")
        if config.counts == "training":  # the other filters need the split
            row_counts.refuse_nothing()
            return
        if config.max_history:
            limit = config.max_history
            self._each_part(lambda start, end: self._recent(start, end, limit))
            self._note(row_counts, "history", f"older than the user's last {limit} events")
        limits = config.min_user_count, config.min_item_count
        if max(limits) > 1:
            passes = self._counts_at_least(*limits, iterative=config.iterative)
            reason = (
                f"user with fewer than {limits[0]} or item with fewer than {limits[1]} events "
                f"({passes} pass{'es' if passes > 1 else ''})"
            )
            self._note(row_counts, "k-core" if config.iterative else "counts", reason)
        row_counts.refuse_nothing()

    def sample(self, filters: Filters, row_counts: RowCounts) -> None:
        """Keep only a sample of the users that are left, as `Filters` says; the last filter."""
        number, users = filters.config.sample_users, np.flatnonzero(self.user_counts)
        if number is None or number >= len(users):
            return
        drawn = np.random.default_rng(0).choice(users, number, replace=False, shuffle=False)
        is_drawn = np.zeros(len(self.user_counts), dtype=np.bool_)
        is_drawn[drawn] = True
        for start, end in self.parts():
            self.keep_T[start:end] &= is_drawn[self._users[start:end]]
        self._note(row_counts, "sample", f"user not in the sample of {number}")

    def parts(self) -> Iterator[tuple[int, int]]:
        """Ranges of events (start, end) that hold whole users."""
        start, total = 0, len(self._users)
        while start < total:
            user = np.searchsorted(self._offsets, start + self.part, side="right") - 1
            end = int(self._offsets[user])
            if end <= start:  # a single user is longer than a chunk
                end = int(self._offsets[np.searchsorted(self._offsets, start, side="right")])
            yield start, end
            start = end

    def recount(self) -> None:
        """Count the kept events of every user and item."""
        users = np.zeros(len(self._offsets) - 1, dtype=np.int64)
        items = np.zeros(self._num_items, dtype=np.int64)
        for start, end in self.parts():
            users += np.bincount(self._kept(self._users, start, end), minlength=len(users))
            items += np.bincount(self._kept(self._items, start, end), minlength=len(items))
        self.user_counts, self.item_counts = users, items

    def write_kept(
        self, column: NDArray[Any], file: Path, codes: NDArray[np.int32] | None = None
    ) -> None:
        """Write the kept events of a column as npy.

        Args:
            column: (T,).
            file: the file to write.
            codes: value -> new value; None: values are unchanged.
        """
        with npy_writer(file, column.dtype, int(self.user_counts.sum())) as write:
            for start, end in self.parts():
                part = self._kept(column, start, end)
                write(part if codes is None else codes[part])

    def kept(self, column: NDArray[Any], file: Path) -> NDArray[Any]:
        """The kept events of a column, written to a file and memory-mapped."""
        self.write_kept(column, file)
        return map_npy(file)

    def kept_offsets(self) -> NDArray[np.int64]:
        """Start of the events of each remaining user, and the end of the last one."""
        lengths = self.user_counts[self.user_counts > 0]
        return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def _note(self, row_counts: RowCounts, step: str, reason: str) -> None:
        self.recount()
        dropped = row_counts.rows - int(self.user_counts.sum())
        row_counts.drop(step, dropped, reason, **self.distinct())

    def distinct(self) -> dict[str, int]:
        """Numbers of remaining users and items, for `RowCounts`."""
        return {
            "users": int(np.count_nonzero(self.user_counts)),
            "items": int(np.count_nonzero(self.item_counts)),
        }

    def _each_part(self, stays: Callable[[int, int], NDArray[np.bool_]]) -> None:
        """Apply a rule to the kept events of each chunk."""
        for start, end in self.parts():
            kept = np.flatnonzero(self.keep_T[start:end]) + start
            self.keep_T[kept[~stays(start, end)]] = False

    def _kept(self, column: NDArray[Any], start: int, end: int) -> NDArray[Any]:
        return column[start:end][self.keep_T[start:end]]

    def _same(self) -> str:
        """The reason for dropping duplicates: the columns in which they agree."""
        names = {"timestamp": "time", "order": "order", PART: "part"}
        shared = ["user", "item", *(names[key] for key in self._keys)]
        shared += [] if self._kinds is None else ["event type"]
        return f"same {', '.join(shared[:-1])} and {shared[-1]} as an earlier row"

    def _not_repeated(self, start: int, end: int) -> NDArray[np.bool_]:
        keys = [self._kept(key, start, end) for key in self._keys.values()]
        kinds = None if self._kinds is None else self._kept(self._kinds, start, end)
        return ~later_duplicates(
            self._kept(self._users, start, end), self._kept(self._items, start, end), keys, kinds
        )

    def _not_consecutive(self, start: int, end: int) -> NDArray[np.bool_]:
        users, items = self._kept(self._users, start, end), self._kept(self._items, start, end)
        same = (users[1:] == users[:-1]) & (items[1:] == items[:-1])
        return np.concatenate([np.ones(min(1, len(users)), np.bool_), ~same])

    def _recent(self, start: int, end: int, limit: int) -> NDArray[np.bool_]:
        users = self._kept(self._users, start, end)
        last = np.searchsorted(users, users, side="right")  # one past the user's last event
        recent: NDArray[np.bool_] = last - np.arange(len(users)) <= limit
        return recent

    def _counts_at_least(self, min_user: int, min_item: int, *, iterative: bool) -> int:
        """Drop rare users and items; return the number of passes.

        The largest k-core is unique, so the order of removals does not matter.
        """
        if not iterative:
            for side in (1, 0):
                self._drop_rare([self._sides(min_user, min_item)[side]])
                self.recount()
            return 1
        passes = 0
        while True:
            passes += 1
            sides = self._sides(min_user, min_item)
            if all((counts[counts > 0] >= limit).all() for _, counts, limit in sides):
                return passes
            self._drop_rare(sides)
            self.recount()

    def _sides(
        self, min_user: int, min_item: int
    ) -> list[tuple[NDArray[Any], NDArray[np.int64], int]]:
        return [
            (self._users, self.user_counts, min_user),
            (self._items, self.item_counts, min_item),
        ]

    def _drop_rare(self, sides: list[tuple[NDArray[Any], NDArray[np.int64], int]]) -> None:
        for codes, counts, limit in sides:
            frequent = counts >= limit
            for start, end in self.parts():
                self.keep_T[start:end] &= frequent[codes[start:end]]


def later_duplicates(
    users_T: NDArray[np.int32],
    items_T: NDArray[np.int32],
    keys: list[NDArray[np.int64]],
    kinds_T: NDArray[Any] | None,
) -> NDArray[np.bool_]:
    """Which events repeat an earlier one of the same user, item, keys and type, bool (T,).

    Args:
        users_T: user codes; events are sorted by user, then by the keys.
        items_T: item codes.
        keys: timestamp and/or order of every event, (T,) each.
        kinds_T: type of every event, equal where missing; None where the log has none.
    """
    repeated_T = np.zeros(len(users_T), dtype=np.bool_)
    if not keys or len(users_T) < 2:
        return repeated_T
    tied = users_T[1:] == users_T[:-1]
    for key in keys:
        tied &= key[1:] == key[:-1]
    # Only events that share user and keys with a neighbour can be duplicates; usually few.
    in_tie = np.concatenate([tied, [False]]) | np.concatenate([[False], tied])
    group = np.cumsum(~np.concatenate([[False], tied]))[in_tie].astype(np.int64)
    pair = group * (int(items_T.max()) + 1) + items_T[in_tie]
    if kinds_T is not None:
        kinds, codes = np.unique(kinds_T[in_tie], return_inverse=True)
        pair = np.unique(pair, return_inverse=True)[1] * len(kinds) + codes
    _, first = np.unique(pair, return_index=True)
    later = np.ones(len(pair), dtype=np.bool_)
    later[first] = False
    repeated_T[np.flatnonzero(in_tie)[later]] = True
    return repeated_T
