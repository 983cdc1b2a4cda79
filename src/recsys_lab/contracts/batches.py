"""Batches and ranked lists.

Shapes: B users in a batch, T events in a batch (all histories concatenated), K list length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from recsys_lab.contracts.devices import send
from recsys_lab.contracts.processes import Share

NO_ITEM = -1
"""Padding of a ranked list with fewer than K admissible items."""

LISTS_APART = 1 << 32
"""Added to a user's index for each earlier list of the user: see `EvaluationBatch.lists_B`."""


class _Tensors:
    """A dataclass of tensors, also nested, that moves as a whole."""

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same on another device (Lightning calls this)."""
        moved: Self = _changed(self, lambda x: x.to(device, non_blocking=non_blocking))
        return moved

    def pin_memory(self) -> Self:
        """The same in pinned memory, from where a GPU copies without making the host wait."""
        pinned: Self = _changed(self, Tensor.pin_memory)
        return pinned


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A value with all its tensors changed, but those that stay on the host."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _changed(one, change) for key, one in value.items()}
    if not isinstance(value, _Tensors):
        return value
    names = (f.name for f in fields(value) if f.name not in _ON_HOST)  # type: ignore[arg-type]
    changed = {name: _changed(getattr(value, name), change) for name in names}
    return replace(value, **changed)  # type: ignore[type-var]


@dataclass(frozen=True)
class ListFeature(_Tensors):
    """A list column: several codes per row.

    Attributes:
        codes: codes of all rows, concatenated, int64.
        offsets: row r has ``codes[offsets[r]:offsets[r + 1]]``, int64.
    """

    codes: Tensor
    offsets: Tensor

    def rows(self, index: Tensor) -> ListFeature:
        """The rows at ``index``, int64 (R,)."""
        lengths = self.offsets.diff()[index]
        ends = lengths.cumsum(0)
        within = torch.arange(int(lengths.sum()), device=index.device)
        within = within - torch.repeat_interleave(ends - lengths, lengths)
        codes = self.codes[torch.repeat_interleave(self.offsets[:-1][index], lengths) + within]
        return ListFeature(codes, torch.cat([ends.new_zeros(1), ends]))


_ON_HOST = frozenset({"supervised_T"})
"""Fields that stay on the host."""


@dataclass(frozen=True)
class Batch(_Tensors):
    """The histories of B users, oldest event first, concatenated without padding.

    Items are ``0 .. V-1``; there is no padding item. A model that needs a padded rectangle makes
    it itself, so that padding cannot be scored or attended to by accident.

    A history may be empty. A model that cannot rank for an empty history must raise an error (as
    `last_B` does). The lab's own batches have no empty histories.

    Attributes:
        users_B: user index, int64 (B,).
        items_T: item index of every event, int64 (T,).
        offsets: user b has ``items_T[offsets[b]:offsets[b + 1]]``, int64 (B + 1,).
        lengths: length of each history, a tuple on the host, so that no step waits for the device.
        timestamps_T: seconds since the epoch of every event, int64 (T,), or None.
        features: columns that the model names in its attribute ``features``: ``event.NAME`` (T,),
            ``item.NAME`` of every event's item (T,), ``user.NAME`` (B,); codes are int64, numbers
            float32.
        next_times_B: time of each user's next event, the one to predict, int64 (B,). A leak: given
            only to models whose attribute ``reads_next_time`` is true, when held-out events are
            ranked. None if not known.
        supervised_T: in training, whether an event may be a target of the loss, bool (T,), always
            on the host, as ``lengths``; None: all. Applied by the lab; models predict all events.
        share: in training with several processes, which part of the step's batch this is; else
            None.
    """

    users_B: Tensor
    items_T: Tensor
    offsets: Tensor
    lengths: tuple[int, ...]
    timestamps_T: Tensor | None = None
    features: Mapping[str, Tensor | ListFeature] = field(default_factory=dict)
    next_times_B: Tensor | None = None
    supervised_T: Tensor | None = None
    share: Share | None = None

    @property
    def size(self) -> int:
        """Number of users B."""
        return len(self.lengths)

    @property
    def ranges_on_host(self) -> tuple[Tensor, Tensor]:
        """Index of each history's first event, and its length, int64 (B,) both, on the host."""
        lengths_B = torch.tensor(self.lengths, dtype=torch.int64)
        return lengths_B.cumsum(0) - lengths_B, lengths_B

    @property
    def last_B(self) -> Tensor:
        """Index of each user's last event among the T events, int64 (B,).

        Raises:
            ValueError: a user has an empty history.
        """
        if 0 in self.lengths:
            row = self.lengths.index(0)
            msg = (
                f"row {row} of a batch of {self.size} users has an empty history, so it has no "
                "last event; leave such users out, or rank for them by a model that does not need "
                "a history (popularity)"
            )
            raise ValueError(msg)
        return self.offsets[1:] - 1

    def events(self, index_N: Tensor, lengths: tuple[int, ...]) -> Batch:
        """A batch with a subset of the events, for the same users.

        Args:
            index_N: indices among the T events, ascending, int64 (N,).
            lengths: number of these events per user.

        Returns:
            The batch, without ``supervised_T``.
        """
        offsets = torch.tensor((0, *lengths)).cumsum(0)
        return Batch(
            self.users_B,
            self.items_T[index_N],
            send(offsets, index_N.device),
            lengths,
            None if self.timestamps_T is None else self.timestamps_T[index_N],
            {
                name: column if name.startswith("user.") else _rows(column, index_N)
                for name, column in self.features.items()
            },
            self.next_times_B,
        )


def _rows(column: Tensor | ListFeature, index: Tensor) -> Tensor | ListFeature:
    return column.rows(index) if isinstance(column, ListFeature) else column[index]


@dataclass(frozen=True)
class EvaluationBatch(_Tensors):
    """Users to rank for, with their held-out targets and seen items.

    A user may have several lists, each a row with its own history and targets.

    Attributes:
        history: the events that the model reads (already cut to its window).
        seen_rows: batch row of every seen (user, item) pair, int64 (S,); of the whole history, not
            only the window.
        seen_items: item of every seen pair, int64 (S,).
        target_rows: batch row of every target, int64 (G,), ascending.
        target_items: item of every target, int64 (G,).
        target_times_B: time of each user's first target, int64 (B,), for protocols that need it,
            else None; not passed to models.
        target_values_G: value of each target, float64 (G,), for metrics that need it, else None.
        numbers_B: index of each row's list among the user's lists, int64 (B,); None: all 0.
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
        """Id of each row's list: user index + ``numbers_B`` * `LISTS_APART`, int64 (B,)."""
        if self.numbers_B is None:
            return self.history.users_B
        return self.history.users_B + self.numbers_B * LISTS_APART


@dataclass(frozen=True)
class RankedLists:
    """The K best items for each of B users, best first.

    Attributes:
        items_BK: item index, int64; padded with `NO_ITEM` if fewer than K items are admissible.
        scores_BK: score, float32, non-increasing along a row; ``-inf`` for `NO_ITEM`.
        diagnostics: numbers about how each list was computed, e.g. ``invalid_beams``, (B,) each;
            their means end in the run record and the trackers.
    """

    items_BK: Tensor
    scores_BK: Tensor
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)


class ExcludedItems:
    """Excluded pairs as a short list and a mask, for many excluded items.

    Unpacks into rows and items of all pairs, like a tuple of two tensors, for models that need
    them; `recsys_lab.models.ranking.top_k` reads the mask instead, because with 100,000 excluded
    items the pairs of a batch would take more memory than its scores.

    Attributes:
        rows: row of each listed pair, int64 (P,).
        items: item of each listed pair, int64 (P,).
        mask: further excluded items, bool: (1, V) for every row, or (B, V).
        num_rows: B.
    """

    def __init__(self, rows: Tensor, items: Tensor, mask: Tensor, num_rows: int) -> None:
        self.rows, self.items = rows, items
        self.mask, self.num_rows = mask, num_rows
        self._all: tuple[Tensor, Tensor] | None = None

    def _pairs(self) -> tuple[Tensor, Tensor]:
        if self._all is None:
            rows, items = self.mask.expand(self.num_rows, -1).nonzero(as_tuple=True)
            self._all = torch.cat([self.rows, rows]), torch.cat([self.items, items])
        return self._all

    def __iter__(self) -> Iterator[Tensor]:
        """Rows and items of all pairs, int64."""
        return iter(self._pairs())

    def __getitem__(self, index: int) -> Tensor:
        """Rows (0) or items (1) of all pairs, int64."""
        return self._pairs()[index]

    def __len__(self) -> int:
        """Two, as of a tuple."""
        return 2

    def part(self, first: int, last: int) -> ExcludedItems:
        """Of the rows ``first`` to ``last`` (exclusive), numbered from 0."""
        inside = (self.rows >= first) & (self.rows < last)
        mask = self.mask if len(self.mask) == 1 else self.mask[first:last]
        return ExcludedItems(self.rows[inside] - first, self.items[inside], mask, last - first)


Exclude = tuple[Tensor, Tensor] | ExcludedItems
"""(rows, items) of the pairs that must not be recommended; rows as in `EvaluationBatch`."""


def exclude_from(scores_BV: Tensor, exclude: Exclude | None, value: float) -> None:
    """Overwrite the scores, or marks, of the excluded pairs.

    Args:
        scores_BV: any type, (B, V).
        exclude: the pairs.
        value: written there.
    """
    if isinstance(exclude, ExcludedItems):
        scores_BV.masked_fill_(exclude.mask, value)
        scores_BV[exclude.rows, exclude.items] = value
    elif exclude is not None:
        scores_BV[exclude] = value
