"""Histories of the flat arrays as batches of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_lab.contracts import Batch, ListFeature
from recsys_lab.data.features.store import Lists
from recsys_lab.data.formats.npy import RunReader
from recsys_lab.data.splits.ranges import flat_index


class EncodedColumns(Protocol):
    """Encoded columns of items, users and events."""

    def column(self, name: str) -> NDArray[Any] | Lists:
        """The column ``side.column``."""
        ...


class FlatData(Protocol):
    """The part of a prepared dataset that batches are read from."""

    @property
    def items(self) -> NDArray[np.int32]:
        """Item of every event, (T,)."""
        ...

    @property
    def timestamps(self) -> NDArray[np.int64] | None:
        """Seconds since the epoch of every event, (T,), or None."""
        ...

    @property
    def dropped_targets(self) -> NDArray[np.int64]:
        """Indices of events in the target ranges that are not targets, ascending."""
        ...

    @property
    def features(self) -> EncodedColumns:
        """Encoded columns of items, users and events."""
        ...

    def segments(self, phase: str) -> NDArray[np.int64]:
        """Rows (user, start, end) for train; (user, start, end, target_end) for the others."""
        ...


class Histories:
    """Reads histories with their features.

    Args:
        data: the prepared dataset.
        features: columns to read, as in `Batch.features`.

    Raises:
        UserError: the dataset lacks a column.
    """

    def __init__(self, data: FlatData, features: Sequence[str]) -> None:
        self._items = RunReader(data.items)
        self._times = None if data.timestamps is None else RunReader(data.timestamps)
        columns = {name: data.features.column(name) for name in features}
        self._of_events = {
            name: RunReader(column)
            for name, column in columns.items()
            if name.startswith("event.") and not isinstance(column, Lists)
        }
        self._of_rows = {n: column for n, column in columns.items() if n not in self._of_events}

    def items(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """Items of the events ``start .. end`` of each user, (T,)."""
        return self._items(starts, ends).astype(np.int64)

    def __call__(
        self, users: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> Batch:
        """The events ``start .. end`` of each user as one batch."""
        items_T = self.items(starts, ends)
        features: dict[str, torch.Tensor | ListFeature] = {
            name: as_tensor(read(starts, ends)) for name, read in self._of_events.items()
        }
        for name, column in self._of_rows.items():
            features[name] = feature_rows(column, items_T if name.startswith("item.") else users)
        lengths = ends - starts
        return Batch(
            users_B=torch.from_numpy(np.array(users)),  # a copy: the map cannot be written
            items_T=torch.from_numpy(items_T),
            offsets=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])),
            lengths=tuple(lengths.tolist()),
            timestamps_T=None if self._times is None else as_tensor(self._times(starts, ends)),
            features=features,
        )


def feature_rows(
    column: NDArray[Any] | Lists, rows: NDArray[np.int64]
) -> torch.Tensor | ListFeature:
    """Some rows of a column: codes as int64, numbers unchanged."""
    return list_rows(column, rows) if isinstance(column, Lists) else as_tensor(column[rows])


def list_rows(column: Lists, rows: NDArray[np.int64]) -> ListFeature:
    """Some rows of a list column."""
    starts, ends = column.offsets[rows], column.offsets[rows + 1]
    codes = column.codes[flat_index(starts, ends)].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    return ListFeature(torch.from_numpy(codes), torch.from_numpy(offsets))


def as_tensor(values: NDArray[Any]) -> torch.Tensor:
    """Codes and times as int64, numbers unchanged."""
    return torch.from_numpy(values if values.dtype == np.float32 else values.astype(np.int64))
