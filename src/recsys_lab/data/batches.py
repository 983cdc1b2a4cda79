"""Prepared dataset -> batches, vectorised from the memory-mapped flat arrays.

No worker processes and no per-row Python: a batch of B histories is one fancy index into the flat
arrays. Shapes: B users, T events, S seen pairs, G targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_lab.contracts import Batch, EvaluationBatch, Share
from recsys_lab.data.crops import Crop, Crops
from recsys_lab.data.formats.npy import RunReader
from recsys_lab.data.histories import FlatData, Histories, as_tensor
from recsys_lab.data.resident import ResidentHistories
from recsys_lab.data.shuffle import shuffle_of
from recsys_lab.data.splits.cold_start import target_ranges

_LOOKED_AT = 100
"""Histories looked at for each one of a batch that begins with an item of its own."""

TargetValues = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]


class TrainingBatches:
    """Endless seeded epochs of training histories that resume exactly.

    The order of epoch e is a permutation drawn from (seed, e), so the state is two numbers,
    `epoch` and `batch`. See `recsys_lab.data.shuffle` for more than 2^24 histories per epoch.

    Args:
        data: the prepared dataset.
        batch_size: histories per batch; the last batch of an epoch may be smaller.
        window: events read per history, including the first target; histories of one event have
            nothing to predict and are skipped.
        seed: of the order, and of random windows.
        crop: which window of a longer history: see `recsys_lab.data.crops.Crop`.
        prefixes: whether every prefix of a window is a separate history, for models with one
            target per history: see `recsys_lab.data.crops.Crops`.
        features: columns that the model reads, as in `Batch.features`.
        supervised: events that may be targets of the loss, bool (T,); None: all.
        device: where the flat arrays are copied, and batches are made; None: they are read on the
            host.
        shard: number of this process and how many there are; each reads its rows of a batch.

    Raises:
        UserError: the dataset lacks a column.
    """

    def __init__(
        self,
        data: FlatData,
        *,
        batch_size: int,
        window: int,
        seed: int,
        crop: Crop = "last",
        prefixes: bool = False,
        features: Sequence[str] = (),
        supervised: NDArray[np.bool_] | None = None,
        device: torch.device | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        segments = np.asarray(data.segments("train"))
        is_long = segments[:, 2] - segments[:, 1] >= 2
        self._users, starts, ends = (column[is_long] for column in segments.T)
        self._crops = Crops(starts, ends, window=window, crop=crop, one_target=prefixes, seed=seed)
        self.device = device
        self._histories = (
            Histories(data, features)
            if device is None
            else ResidentHistories(data, features, device)
        )
        self._supervised = None if supervised is None else RunReader(supervised)
        self._batch_size = batch_size
        self._seed = seed
        self._shard = shard
        self.epoch = 0
        self.batch = 0

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return -(-self.num_histories // self._batch_size)

    @property
    def num_histories(self) -> int:
        """Number of histories per epoch."""
        return len(self._crops)

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch, or the next epoch when the current one is done."""
        if self.batch >= len(self):
            self.epoch, self.batch = self.epoch + 1, 0
        order = shuffle_of(self.num_histories, [self._seed, self.epoch])
        while self.batch < len(self):
            first = self.batch * self._batch_size
            numbers = order[first : first + self._batch_size]
            self.batch += 1  # before the yield: a checkpoint written then must not repeat it
            yield self._read(numbers)

    def first_epoch(self) -> Iterator[Batch]:
        """The first epoch, whole in each process; the state is left unchanged."""
        again = copy(self)
        again._shard = (0, 1)
        again.load_state_dict({"epoch": 0, "batch": 0})
        return iter(again)

    def distinct(self, size: int) -> Batch:
        """A batch of histories that begin with different items, from the start of the first epoch.

        No two prefixes in it are equal, so that the loss of a model that reads them can reach 0.

        Args:
            size: number of histories; fewer if not enough are found.
        """
        numbers = shuffle_of(self.num_histories, [self._seed, 0])[: _LOOKED_AT * size]
        _, starts, _ = self._crops(numbers, 0)
        _, first = np.unique(self._histories.items(starts, starts + 1), return_index=True)
        return self._read(numbers[np.sort(first)[:size]])

    def state_dict(self) -> dict[str, int]:
        """The state, which Lightning stores in every checkpoint."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from a stored state."""
        self.epoch, self.batch = state["epoch"], state["batch"]

    def _read(self, numbers: NDArray[np.int64]) -> Batch:
        """The histories with these numbers."""
        rows, starts, ends = self._crops(numbers, self.epoch)
        share = None
        if self._shard[1] > 1:
            share = Share.of(ends - starts, *self._shard)
            rows, starts, ends = (column[slice(*share.rows)] for column in (rows, starts, ends))
        batch = self._histories(self._users[rows], starts, ends)
        if share is not None:
            batch = replace(batch, share=share)
        if self._supervised is None:
            return batch
        return replace(batch, supervised_T=torch.from_numpy(self._supervised(starts, ends)))


class EvaluationBatches:
    """The users of one phase with history, seen pairs and targets, in user order.

    Args:
        data: the prepared dataset.
        phase: ``validation`` or ``test``.
        batch_size: users per batch.
        window: number of most recent events that the model reads; None for all.
        exclude_seen: whether to fill in the seen pairs.
        shard: (rank, world size): every world-size-th batch from rank on. These are the batches
            that a single process would read, so scores are bit-equal.
        features: columns that the model reads, as in `Batch.features`.
        next_times: whether to fill in `Batch.next_times_B`, which leaks.
        target_times: whether to fill in `EvaluationBatch.target_times_B`.
        target_values: computes `EvaluationBatch.target_values_G` from indices into the flat
            arrays and the items there.
        users: number of users, if not all: a sample that depends only on the users of the phase.

    Raises:
        UserError: the dataset lacks a column.
    """

    def __init__(
        self,
        data: FlatData,
        phase: str,
        *,
        batch_size: int,
        window: int | None,
        exclude_seen: bool,
        shard: tuple[int, int] = (0, 1),
        features: Sequence[str] = (),
        next_times: bool = False,
        target_times: bool = False,
        target_values: TargetValues | None = None,
        users: int | None = None,
    ) -> None:
        self._segments = np.asarray(data.segments(phase))
        if users is not None:
            self._segments = _of_sample(self._segments, users)
        self._numbers = _numbers(self._segments[:, 0])
        rank, world = shard
        count = len(self._segments)
        # With more processes than batches, some repeat the first, whose lists count once: Lightning
        # does not validate in a process without batches, and the others would wait for it.
        self._firsts = range(rank * batch_size, count, world * batch_size) or range(min(1, count))
        self._data = data
        self._histories = Histories(data, features)
        self._batch_size = batch_size
        self._window = window
        self._exclude_seen = exclude_seen
        self._next_times, self._target_times = next_times, target_times
        self._target_values = target_values

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[EvaluationBatch]:
        """All batches, in user order."""
        for first in self._firsts:
            yield self._read(slice(first, first + self._batch_size))

    def of_user(self, user: int, number: int = 0) -> EvaluationBatch:
        """The batch of one list of a user; both must be in the phase.

        Args:
            user: index.
            number: of the list among the user's lists, from 0.
        """
        row = int(np.searchsorted(self._segments[:, 0], user)) + number
        return self._read(slice(row, row + 1))

    def at(self, rows: NDArray[np.int64]) -> EvaluationBatch:
        """The batch of some rows of the phase, by their indices."""
        return self._read(rows)

    def _read(self, rows_of_phase: slice | NDArray[np.int64]) -> EvaluationBatch:
        segments = self._segments[rows_of_phase]
        users, starts, ends, _ = segments.T
        begin = starts if self._window is None else np.maximum(starts, ends - self._window)
        nothing = torch.empty(0, dtype=torch.int64)
        seen_rows, seen_items = nothing, nothing
        if self._exclude_seen:
            seen_rows = torch.from_numpy(np.repeat(np.arange(len(starts)), ends - starts))
            seen_items = torch.from_numpy(self._histories.items(starts, ends))
        places, rows = target_ranges(segments, self._data.dropped_targets)
        items_G = self._data.items[places].astype(np.int64)
        values_G = None
        if self._target_values is not None:
            values_G = torch.from_numpy(self._target_values(places, items_G))
        history = self._histories(users, begin, ends)
        times_B = None
        if (self._next_times or self._target_times) and self._data.timestamps is not None:
            # Every row has targets, but its first event may be a dropped target.
            first = np.searchsorted(rows, np.arange(len(segments)))
            times_B = as_tensor(self._data.timestamps[places[first]])
        if self._next_times:
            history = replace(history, next_times_B=times_B)
        return EvaluationBatch(
            history,
            seen_rows,
            seen_items,
            torch.from_numpy(rows),
            torch.from_numpy(items_G),
            times_B if self._target_times else None,
            values_G,
            None if self._numbers is None else torch.from_numpy(self._numbers[rows_of_phase]),
        )


def _of_sample(segments: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """The rows of a fixed sample of the users, in user order."""
    users_U = np.unique(segments[:, 0])
    if number >= len(users_U):
        return segments
    drawn = np.random.default_rng(0).choice(users_U, number, replace=False, shuffle=False)
    return segments[np.isin(segments[:, 0], drawn)]


def _numbers(users_n: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Number of each row among those of its user, (n,); None where nobody has several."""
    is_first = np.concatenate([[True], users_n[1:] != users_n[:-1]])
    if is_first.all():
        return None
    places = np.arange(len(users_n))
    return places - np.maximum.accumulate(np.where(is_first, places, 0))
