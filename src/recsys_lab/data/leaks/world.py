"""Input of the leak checks: the log, its split, and statistics of the training events.

Shapes: T events concatenated by user, V items, U users.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.splits.base import FlatLog, Segments
from recsys_lab.data.splits.ranges import count_items, first_from, merged, time_at_share


@dataclass(frozen=True)
class World:
    """The dataset to check.

    Attributes:
        log: the events.
        segments: the split.
        filters: the filters that were applied; None: unknown.
        item_ids: raw id of every item, an Arrow array (V,); None: unknown.
        user_ids: raw id of every user, (U,), likewise.
        held_out_phases: phases whose users the split holds out of the other parts.
        top_k: length of the list of most popular items.
        last_window: share of the latest training events that popularity is counted on; without
            timestamps it is counted on all of them.
    """

    log: FlatLog
    segments: Segments
    filters: Filters | None = None
    item_ids: Any = None
    user_ids: Any = None
    held_out_phases: Collection[str] = ()
    top_k: int = 10
    last_window: float = 0.1

    def rows(self, phase: str) -> NDArray[np.int64]:
        """The rows (user, history start, history end, target end) of a phase."""
        return self.segments.rows(phase)

    @cached_property
    def train(self) -> NDArray[np.int64]:
        """The training rows (user, start, end) that hold events."""
        train = self.segments.train
        return train[train[:, 2] > train[:, 1]]

    @cached_property
    def trained(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The indices of training events, as ascending ranges."""
        return merged(self.train[:, 1], self.train[:, 2])

    @cached_property
    def train_counts_V(self) -> NDArray[np.int64]:
        """Number of training events of each item."""
        return count_items(self.log.items, self.train[:, 1], self.train[:, 2], self.log.num_items)

    @cached_property
    def recent_counts_V(self) -> NDArray[np.int64]:
        """Number of training events of each item in the last window."""
        times, starts, ends = self.log.timestamps, self.train[:, 1], self.train[:, 2]
        if times is None or not len(starts):
            return self.train_counts_V
        since = time_at_share(times, starts, ends, 1 - self.last_window)
        recent = first_from(times, starts, ends, since)
        return count_items(self.log.items, recent, ends, self.log.num_items)

    @cached_property
    def last_time(self) -> int | None:
        """Time of the last training event; None without times or training events."""
        if self.log.timestamps is None or not len(self.train):
            return None
        return int(self.log.timestamps[self.train[:, 2] - 1].max())

    def keeps_the_future(self, phase: str) -> bool:
        """Whether all training events are before all targets of the phase.

        If not, reading the future is a property of the split; if so, it deserves a warning.
        """
        rows, times = self.rows(phase), self.log.timestamps
        if times is None or self.last_time is None or not len(rows):
            return False
        return bool(self.last_time < times[rows[:, 2]].min())
