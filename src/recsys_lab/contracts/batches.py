"""What the parts hand to each other: batches and ranked lists.

Shapes: B users in a batch, T events in a batch (all histories laid end to end), K list length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

FIRST_KNOWN = 2
"""Smallest code of a known value in an encoded column; 0 is missing, 1 unknown."""

NO_ITEM = -1
"""Fills a ranked list that has fewer than K admissible items."""

LIST = "list"
"""Column of tables with the number of a list among its user's, from 0, where some have several."""

LISTS_APART = 1 << 32
"""Added to a user's index for each list that the user has before: see `EvaluationBatch.lists_B`."""


@dataclass(frozen=True)
class ListFeature:
    """Several codes for each row.

    Attributes:
        codes: of all rows end to end, int64.
        offsets: row r has ``codes[offsets[r]:offsets[r + 1]]``, int64.
    """

    codes: Tensor
    offsets: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> ListFeature:
        """The same on another device."""
        codes = self.codes.to(device, non_blocking=non_blocking)
        return ListFeature(codes, self.offsets.to(device, non_blocking=non_blocking))

    def rows(self, index: Tensor) -> ListFeature:
        """Some rows, int64 (R,)."""
        lengths = self.offsets.diff()[index]
        ends = lengths.cumsum(0)
        within = torch.arange(int(lengths.sum()), device=index.device)
        within = within - torch.repeat_interleave(ends - lengths, lengths)
        codes = self.codes[torch.repeat_interleave(self.offsets[:-1][index], lengths) + within]
        return ListFeature(codes, torch.cat([ends.new_zeros(1), ends]))


@dataclass(frozen=True)
class Batch:
    """The histories of B users, oldest event first, laid end to end without padding.

    A history may be empty: a model that cannot rank for it must refuse it (as `last_B` does), not
    give it the state of its neighbour in the batch. The lab's own batches hold none.

    There is no padding item: items are ``0 .. V-1``, and a model that needs a rectangle
    makes one itself, so padding can neither be scored nor attended to by accident.

    Attributes:
        users_B: user index, int64 (B,).
        items_T: item index of every event, int64 (T,).
        offsets: user b owns ``items_T[offsets[b]:offsets[b + 1]]``, int64 (B + 1,).
        lengths: the same lengths on the host as a tuple, so that no step waits for the device.
        timestamps_T: seconds since the epoch of every event, int64 (T,), or None.
        features: the columns that the model asks for in its attribute ``features``:
            ``event.NAME`` (T,), ``item.NAME`` of every event's item (T,), ``user.NAME`` (B,); codes
            int64, numbers float32.
        next_times_B: when each user's next event, the one to be predicted, comes, int64 (B,):
            a leak, given only to a model whose attribute ``reads_next_time`` is true, and only
            where the lab ranks held-out events. None where it is not known.
        supervised_T: in training, the events that the loss may ask for, bool (T,); None: all. The
            lab heeds it: models predict all events as ever.
    """

    users_B: Tensor
    items_T: Tensor
    offsets: Tensor
    lengths: tuple[int, ...]
    timestamps_T: Tensor | None = None
    features: Mapping[str, Tensor | ListFeature] = field(default_factory=dict)
    next_times_B: Tensor | None = None
    supervised_T: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of users B."""
        return len(self.lengths)

    @property
    def last_B(self) -> Tensor:
        """Place of each user's last event among the T events, int64 (B,).

        Raises:
            ValueError: a user has none; what stands before it is another user's event.
        """
        if 0 in self.lengths:
            row = self.lengths.index(0)
            msg = (
                f"row {row} of a batch of {self.size} users has an empty history, and no last "
                "event to make a state of; leave such users out, or rank for them by a model that "
                "needs no history (popularity)"
            )
            raise ValueError(msg)
        return self.offsets[1:] - 1

    def events(self, index_N: Tensor, lengths: tuple[int, ...]) -> Batch:
        """Some events of the same users.

        Args:
            index_N: places among the T events, ascending, int64 (N,).
            lengths: how many of them each user has.
        """
        offsets = torch.tensor((0, *lengths)).cumsum(0)
        return Batch(
            self.users_B,
            self.items_T[index_N],
            offsets.to(index_N.device, non_blocking=True),
            lengths,
            None if self.timestamps_T is None else self.timestamps_T[index_N],
            {
                name: column if name.startswith("user.") else _rows(column, index_N)
                for name, column in self.features.items()
            },
            self.next_times_B,
            None if self.supervised_T is None else self.supervised_T[index_N],
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device (Lightning calls this)."""

        def move(x: Tensor) -> Tensor:
            return x.to(device, non_blocking=non_blocking)

        return Batch(
            move(self.users_B),
            move(self.items_T),
            move(self.offsets),
            self.lengths,
            None if self.timestamps_T is None else move(self.timestamps_T),
            {
                name: column.to(device, non_blocking=non_blocking)
                for name, column in self.features.items()
            },
            None if self.next_times_B is None else move(self.next_times_B),
            None if self.supervised_T is None else move(self.supervised_T),
        )


def _rows(column: Tensor | ListFeature, index: Tensor) -> Tensor | ListFeature:
    return column.rows(index) if isinstance(column, ListFeature) else column[index]


@dataclass(frozen=True)
class EvaluationBatch:
    """Users to be ranked for, with what must be found and what must not be shown.

    A user may have several lists, each a row with a history and targets of its own.

    Attributes:
        history: what the model may read (already cut to its window).
        seen_rows: batch row of every seen (user, item) pair, int64 (S,); the whole history,
            not only the window.
        seen_items: item of every seen pair, int64 (S,).
        target_rows: batch row of every target, int64 (G,), ascending.
        target_items: item of every target, int64 (G,).
        target_times_B: time of each user's first target, int64 (B,), for protocols that ask for
            it; models are not given it. None else.
        target_values_G: what each target is worth, float64 (G,), for metrics that ask for it. None
            else.
        numbers_B: number of each row among those of its user, int64 (B,); None: all 0.
    """

    history: Batch
    seen_rows: Tensor
    seen_items: Tensor
    target_rows: Tensor
    target_items: Tensor
    target_times_B: Tensor | None = None
    target_values_G: Tensor | None = None
    numbers_B: Tensor | None = None

    @property
    def lists_B(self) -> Tensor:
        """Id of each row's list: the user's index plus its number times `LISTS_APART`, int64."""
        if self.numbers_B is None:
            return self.history.users_B
        return self.history.users_B + self.numbers_B * LISTS_APART

    def to(self, device: torch.device | str, non_blocking: bool = False) -> EvaluationBatch:
        """The same batch on another device (Lightning calls this)."""
        times_B, values_G = self.target_times_B, self.target_values_G
        numbers_B = self.numbers_B
        return EvaluationBatch(
            self.history.to(device, non_blocking),
            self.seen_rows.to(device, non_blocking=non_blocking),
            self.seen_items.to(device, non_blocking=non_blocking),
            self.target_rows.to(device, non_blocking=non_blocking),
            self.target_items.to(device, non_blocking=non_blocking),
            None if times_B is None else times_B.to(device, non_blocking=non_blocking),
            None if values_G is None else values_G.to(device, non_blocking=non_blocking),
            None if numbers_B is None else numbers_B.to(device, non_blocking=non_blocking),
        )


@dataclass(frozen=True)
class RankedLists:
    """The K best items for each of B users, best first.

    Attributes:
        items_BK: item index, int64; `NO_ITEM` where fewer than K items are admissible.
        scores_BK: score, float32, never increasing along a row; ``-inf`` beside `NO_ITEM`.
    """

    items_BK: Tensor
    scores_BK: Tensor


Exclude = tuple[Tensor, Tensor]
"""(rows, items) of the pairs that must not be recommended, as in `EvaluationBatch`."""
