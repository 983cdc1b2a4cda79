"""The users of a job and their histories, read a range at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.given_histories import GivenHistories, HistoryReader


class Source(Protocol):
    """Users in a fixed order."""

    def __len__(self) -> int:
        """Number of users."""
        ...

    def ids(self, rows: NDArray[np.int64]) -> pl.Series:
        """Raw ids of some users, by their numbers in this order."""
        ...

    def histories(self, first: int, last: int) -> GivenHistories:
        """Histories of the users ``first`` to ``last`` (exclusive)."""
        ...


@dataclass(frozen=True)
class DatasetUsers:
    """Users of the run's dataset, with all their events.

    Attributes:
        reader: of histories.
        user_ids: raw ids of all users of the dataset.
        chosen: their indices, int64 (n,); None: all.
        before: only events before this time, in seconds since the epoch; None: all.
    """

    reader: HistoryReader
    user_ids: pl.Series
    chosen: NDArray[np.int64] | None
    before: int | None

    def __len__(self) -> int:
        """See `Source`."""
        return len(self.user_ids if self.chosen is None else self.chosen)

    def ids(self, rows: NDArray[np.int64]) -> pl.Series:
        """See `Source`."""
        return self.user_ids.gather(rows if self.chosen is None else self.chosen[rows])

    def histories(self, first: int, last: int) -> GivenHistories:
        """See `Source`."""
        users = np.arange(first, last) if self.chosen is None else self.chosen[first:last]
        return self.reader.of_users(users, self.before)


@dataclass(frozen=True)
class FileUsers:
    """Users of a file of events.

    Attributes:
        given: all their histories.
    """

    given: GivenHistories

    def __len__(self) -> int:
        """See `Source`."""
        return len(self.given.rows)

    def ids(self, rows: NDArray[np.int64]) -> pl.Series:
        """See `Source`."""
        return self.given.keys["user_id"].gather(rows)

    def histories(self, first: int, last: int) -> GivenHistories:
        """See `Source`."""
        return self.given.range(first, last)
