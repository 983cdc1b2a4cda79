"""ItemKNN: item-based nearest neighbours (Sarwar et al., WWW 2001; Deshpande & Karypis, 2004).

Shapes: U users, V items, B users of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le

from recsys_lab.models.classical.base import (
    fill_by_popularity,
    from_rows,
    history_matrix,
    recommend_by,
    rows_of,
    training_matrix,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData

_BLOCK = 512  # items whose similarities to all others are in memory at a time


class ItemKNN:
    """Scores an item by the sum of its similarities to the items of the history.

    Only the ``num_neighbors`` most similar items of each item are used. With a and b the sets of
    users of items i and j: cosine is ``|a & b| / sqrt(|a| |b|)``, jaccard ``|a & b| / |a | b|``;
    tf_idf is the cosine of ``sqrt(count) * idf(user)``, and bm25 the product of Okapi BM25
    weights (k1 1.2, b 0.75, items as documents, users as terms), both as in the library
    ``implicit``. Items with no neighbour in the history rank last, by popularity.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    ignores_seed = True

    @dataclass(frozen=True)
    class Config:
        """Options of `ItemKNN`.

        Attributes:
            similarity: similarity of two items, computed from their users.
            num_neighbors: number of most similar items kept for each item.
            shrinkage: a similarity supported by n users is multiplied by n / (n + shrinkage),
                which damps chance pairs of rare items (Bell & Koren, ICDM 2007).
            history_decay: weight of a history event relative to the next one; 1: equal weights.
            max_length: most recent events that are read; null for all.
        """

        similarity: Literal["cosine", "jaccard", "tf_idf", "bm25"]
        num_neighbors: Annotated[int, Ge(1)]
        shrinkage: Annotated[float, Ge(0)]
        history_decay: Annotated[float, Gt(0), Le(1)]
        max_length: Annotated[int, Ge(1)] | None

    def __init__(self, config: Config, *, num_items: int) -> None:
        self.config = config
        self.window = config.max_length
        self._num_items = num_items
        self._similarity: csr_matrix | None = None
        self._counts_V = np.zeros(num_items, dtype=np.int64)

    def fit(self, data: TrainingData) -> None:
        """Compute the neighbours of each item, a block of items at a time."""
        from scipy.sparse import vstack

        kind = self.config.similarity
        binary = training_matrix(data, counts=False).T.tocsr()
        weighted = binary
        if kind in ("tf_idf", "bm25"):
            weighted = training_matrix(data, counts=True).T.tocsr()
            weighted = _tf_idf(weighted) if kind == "tf_idf" else _bm25(weighted)
        if kind in ("cosine", "tf_idf"):
            weighted = _unit_rows(weighted)
        blocks = [
            self._neighbors(binary, weighted, first) for first in range(0, self._num_items, _BLOCK)
        ]
        self._similarity = vstack(blocks, format="csr", dtype=np.float32)
        self._counts_V = data.training_item_counts()

    def _neighbors(self, binary: csr_matrix, weighted: csr_matrix, first: int) -> csr_matrix:
        """Similarities of a block of items to their neighbours, (block, V)."""
        rows = slice(first, first + _BLOCK)
        together = (binary[rows] @ binary.T).tocsr()
        if self.config.similarity == "jaccard":
            similar = together.copy()
            users_V = np.diff(binary.indptr)
            of_row = np.repeat(users_V[rows], np.diff(together.indptr))
            similar.data = together.data / (of_row + users_V[together.indices] - together.data)
        else:
            similar = (weighted[rows] @ weighted.T).tocsr()
        if self.config.shrinkage:
            together.data = together.data / (together.data + self.config.shrinkage)
            similar = similar.multiply(together).tocsr()
        return _largest(similar, first, self.config.num_neighbors)

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items most similar to the history that are not excluded."""
        return recommend_by(self._score, batch, k, exclude, self._num_items)

    def _score(self, batch: Batch) -> NDArray[np.float32]:
        history = history_matrix(batch, self._num_items, decay=self.config.history_decay)
        scores_BV: NDArray[np.float32] = (history @ self._similarity).toarray()
        fill_by_popularity(scores_BV, self._counts_V)
        return scores_BV

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The similarity matrix (CSR), and the training events of each item, int64 (V,)."""
        assert self._similarity is not None, "fit or load_arrays comes first"
        return {**rows_of(self._similarity, "similarity"), "counts": self._counts_V}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        shape = (self._num_items, self._num_items)
        self._similarity = from_rows(arrays, "similarity", shape)
        self._counts_V = np.asarray(arrays["counts"], dtype=np.int64)


def _idf(item_users: csr_matrix) -> NDArray[np.float64]:
    """Inverse document frequency of each user: log(V / (1 + items of the user)), (U,)."""
    num_items, num_users = item_users.shape
    per_user_U = np.bincount(item_users.indices, minlength=num_users)
    return np.log(num_items) - np.log1p(per_user_U)  # type: ignore[no-any-return]


def _tf_idf(item_users: csr_matrix) -> csr_matrix:
    weighted = item_users.astype(np.float64)
    weighted.data = np.sqrt(weighted.data) * _idf(item_users)[weighted.indices]
    return weighted


def _bm25(item_users: csr_matrix, k1: float = 1.2, b: float = 0.75) -> csr_matrix:
    weighted = item_users.astype(np.float64)
    events_V = np.asarray(weighted.sum(1)).ravel()
    norm_V = 1 - b + b * events_V / events_V.mean()
    norm = np.repeat(norm_V, np.diff(weighted.indptr))
    tf = weighted.data * (k1 + 1) / (k1 * norm + weighted.data)
    weighted.data = tf * _idf(item_users)[weighted.indices]
    return weighted


def _unit_rows(matrix: csr_matrix) -> csr_matrix:
    """Each row divided by its Euclidean norm; empty rows stay empty."""
    unit = matrix.astype(np.float64)
    norm_V = np.sqrt(np.asarray(unit.multiply(unit).sum(1)).ravel())
    norm_V[norm_V == 0] = 1
    unit.data /= np.repeat(norm_V, np.diff(unit.indptr))
    return unit


def _largest(similar: csr_matrix, first: int, k: int) -> csr_matrix:
    """The k largest positive values of each row without the diagonal; ties keep the lower index.

    Args:
        similar: rows ``first ..`` of a square matrix.
        first: item of the first row.
        k: values kept per row.
    """
    from scipy.sparse import csr_matrix

    similar.sort_indices()
    values, columns, offsets = [], [], [0]
    for row in range(similar.shape[0]):
        span = slice(similar.indptr[row], similar.indptr[row + 1])
        value, column = similar.data[span], similar.indices[span]
        allowed = (column != first + row) & (value > 0)
        value, column = value[allowed], column[allowed]
        if len(value) > k:
            kept = np.sort(np.argsort(-value, kind="stable")[:k])
            value, column = value[kept], column[kept]
        values.append(value.astype(np.float32))
        columns.append(column)
        offsets.append(offsets[-1] + len(value))
    parts = (np.concatenate(values), np.concatenate(columns), np.asarray(offsets))
    return csr_matrix(parts, shape=similar.shape)
