"""Histories from flat arrays that live on a device: batches are index arithmetic there.

Shapes: B users, T events of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_lab.contracts import Batch, ListFeature, send
from recsys_lab.data.features.store import Lists
from recsys_lab.data.histories import FlatData, Histories, list_rows
from recsys_lab.data.splits.ranges import CHUNK


class ResidentHistories(Histories):
    """The batches of `Histories`, bit for bit, from copies of the arrays on a device.

    Only the range of each history is sent. List columns stay on the host: the size of their
    batches depends on their content, for which the host would wait.

    Args:
        data: the prepared dataset.
        features: columns to read, as in `Batch.features`.
        device: where the arrays are copied.

    Raises:
        UserError: the dataset lacks a column.
    """

    def __init__(self, data: FlatData, features: Sequence[str], device: torch.device) -> None:
        super().__init__(data, features)
        self._device = device
        columns = resident_columns(data, features)
        self._on_device = {name: _copied(column, device) for name, column in columns.items()}

    def __call__(
        self, users: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> Batch:
        """The events ``start .. end`` of each user as one batch on the device."""
        lengths = ends - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        total = int(offsets[-1])
        # One transfer for all that the host computes.
        packed = np.concatenate([users, starts - offsets[:-1], lengths, offsets])
        parts = [len(users), len(users), len(users), len(users) + 1]
        sent = send(torch.from_numpy(packed), self._device)
        users_B, shifts_B, lengths_B, offsets_ = sent.split(parts)
        rows_T = torch.repeat_interleave(lengths_B, output_size=total)
        places_T = torch.arange(total, device=self._device) + shifts_B[rows_T]
        items_T = _rows(self._on_device["items"], places_T)
        features: dict[str, Tensor | ListFeature] = {}
        for name in (*self._of_events, *self._of_rows):
            column = self._of_rows.get(name)
            if isinstance(column, Lists):
                rows = self.items(starts, ends) if name.startswith("item.") else users
                features[name] = list_rows(column, rows).to(self._device, non_blocking=True)
                continue
            index = {"event": places_T, "item": items_T, "user": users_B}
            features[name] = _rows(self._on_device[name], index[name.partition(".")[0]])
        times = self._on_device.get("timestamps")
        return Batch(
            users_B=users_B,
            items_T=items_T,
            offsets=offsets_,
            lengths=tuple(lengths.tolist()),
            timestamps_T=None if times is None else _rows(times, places_T),
            features=features,
        )


def resident_columns(data: FlatData, features: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays that `ResidentHistories` copies to the device, by name."""
    columns: dict[str, NDArray[Any]] = {"items": data.items}
    if data.timestamps is not None:
        columns["timestamps"] = data.timestamps
    for name in features:
        column = data.features.column(name)
        if not isinstance(column, Lists):
            columns[name] = column
    return columns


def _copied(column: NDArray[Any], device: torch.device) -> Tensor:
    """A copy of a column on the device, which passes through the host in parts."""
    copy = torch.empty(
        len(column), dtype=torch.from_numpy(np.empty(0, column.dtype)).dtype, device=device
    )
    for first in range(0, len(column), CHUNK):
        part = slice(first, first + CHUNK)
        copy[part] = torch.from_numpy(np.array(column[part]))  # not of the map, which is read-only
    return copy


def _rows(column: Tensor, index: Tensor) -> Tensor:
    """Some rows of a column: codes and times as int64, numbers unchanged."""
    rows = column[index]
    return rows if rows.dtype == torch.float32 else rows.long()
