"""Shared by the classical models: interaction matrices, and ranking in bounded memory.

Shapes: U users, V items, B users of a batch, T events of a batch, N training events.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError, install_hint
from recsys_lab.contracts import Batch, ExcludedItems, RankedLists
from recsys_lab.models.ranking import top_k

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from recsys_lab.contracts import Exclude, TrainingData

SCORES_AT_A_TIME = 1 << 24  # 64 MiB of float32


@dataclass(frozen=True)
class TrainingEvents:
    """The training events, grouped by segment, chronological within each.

    Attributes:
        segments_N: segment index, int64 (N,); a segment is a run of consecutive events of a user.
        users_N: user index, int64 (N,).
        items_N: item index, int64 (N,).
        places_N: index into the flat event arrays of the data, int64 (N,).
    """

    segments_N: NDArray[np.int64]
    users_N: NDArray[np.int64]
    items_N: NDArray[np.int64]
    places_N: NDArray[np.int64]


def training_events(data: TrainingData) -> TrainingEvents:
    """All events of the training part."""
    users, starts, ends = np.asarray(data.segments("train"), dtype=np.int64).T
    lengths = ends - starts
    segments_N = np.repeat(np.arange(len(users)), lengths)
    before = np.cumsum(lengths) - lengths
    places_N = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    items_N = np.asarray(data.items[places_N], dtype=np.int64)
    return TrainingEvents(segments_N, users[segments_N], items_N, places_N)


def training_matrix(data: TrainingData, *, counts: bool) -> csr_matrix:
    """The user-item matrix of the training part, float32 (U, V).

    Args:
        data: the dataset.
        counts: entries are event counts; otherwise 1 for every pair that occurs.
    """
    from scipy.sparse import csr_matrix

    events = training_events(data)
    ones_N = np.ones(len(events.items_N), dtype=np.float32)
    shape = (data.num_users, data.num_items)
    matrix = csr_matrix((ones_N, (events.users_N, events.items_N)), shape=shape)
    if not counts:
        matrix.data[:] = 1
    return matrix


def history_matrix(
    batch: Batch, num_items: int, *, decay: float = 1.0, counts: bool = False
) -> csr_matrix:
    """The histories of a batch as a user-item matrix, float32 (B, V).

    Args:
        batch: the histories.
        num_items: V.
        decay: an event has weight ``decay ** (number of later events)``.
        counts: sum the weights of an item's events; otherwise use only its latest event.
    """
    from scipy.sparse import csr_matrix

    lengths = np.asarray(batch.lengths, dtype=np.int64)
    rows_T = np.repeat(np.arange(batch.size), lengths)
    items_T = batch.items_T.numpy()
    ages_T = np.repeat(batch.offsets.numpy()[1:] - 1, lengths) - np.arange(len(items_T))
    weights_T = np.power(np.float64(decay), ages_T).astype(np.float32)
    if not counts:
        pairs_T = rows_T * num_items + items_T
        _, from_the_end = np.unique(pairs_T[::-1], return_index=True)
        kept = len(pairs_T) - 1 - from_the_end
        rows_T, items_T, weights_T = rows_T[kept], items_T[kept], weights_T[kept]
    return csr_matrix((weights_T, (rows_T, items_T)), shape=(batch.size, num_items))


def recommend_by(
    score: Callable[[Batch], NDArray[np.floating[Any]]],
    batch: Batch,
    k: int,
    exclude: Exclude | None,
    num_items: int,
) -> RankedLists:
    """The k best items of each user, scored in chunks of users to bound memory.

    Args:
        score: returns a new array (b, V) for a chunk of b users; it is overwritten.
        batch: the users.
        k: list length.
        exclude: pairs that must not appear.
        num_items: V.
    """
    rows = max(1, SCORES_AT_A_TIME // num_items)
    parts = []
    for first in range(0, batch.size, rows):
        part, left_out = _part_of(batch, exclude, first, min(first + rows, batch.size))
        parts.append(top_k(torch.from_numpy(score(part)), k, left_out, part.users_B))
    return RankedLists(
        torch.cat([p.items_BK for p in parts]), torch.cat([p.scores_BK for p in parts])
    )


def _part_of(
    batch: Batch, exclude: Exclude | None, first: int, last: int
) -> tuple[Batch, Exclude | None]:
    """Rows ``first`` to ``last`` (exclusive) of a batch, and their excluded pairs."""
    if (first, last) == (0, batch.size):
        return batch, exclude
    begin, end = int(batch.offsets[first]), int(batch.offsets[last])
    part = Batch(
        users_B=batch.users_B[first:last],
        items_T=batch.items_T[begin:end],
        offsets=batch.offsets[first : last + 1] - begin,
        lengths=batch.lengths[first:last],
        timestamps_T=None if batch.timestamps_T is None else batch.timestamps_T[begin:end],
    )
    if exclude is None:
        return part, None
    if isinstance(exclude, ExcludedItems):
        return part, exclude.part(first, last)
    rows, items = exclude
    inside = (rows >= first) & (rows < last)
    return part, (rows[inside] - first, items[inside])


def fill_by_popularity(scores_BV: NDArray[np.float32], counts_V: NDArray[np.int64]) -> None:
    """Replace scores of 0 by popularity scores below all positive ones, in place.

    Neighbourhood models score only a few items: the rest of the list is filled by popularity.
    """
    below_V = (counts_V / (counts_V.max(initial=0) + 1) - 1).astype(np.float32)
    np.copyto(scores_BV, below_V, where=scores_BV <= 0)


def rows_of(matrix: csr_matrix, name: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of a CSR matrix: ``name_values``, ``name_columns`` and ``name_offsets``."""
    return {
        f"{name}_values": matrix.data,
        f"{name}_columns": matrix.indices,
        f"{name}_offsets": matrix.indptr,
    }


def from_rows(
    arrays: Mapping[str, NDArray[np.generic]], name: str, shape: tuple[int, int]
) -> csr_matrix:
    """The reverse of `rows_of`."""
    from scipy.sparse import csr_matrix

    parts = tuple(arrays[f"{name}_{part}"] for part in ("values", "columns", "offsets"))
    return csr_matrix(parts, shape=shape)


def require(package: str, model: str) -> None:
    """Check that an optional package is installed.

    Raises:
        UserError: it is not.
    """
    try:
        importlib.import_module(package)
    except ImportError as error:
        msg = f"model={model} needs {package}: {install_hint('baselines')} ({error})"
        raise UserError(msg) from error
