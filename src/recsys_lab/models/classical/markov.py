"""Markov: item-to-item transition counts (first order, and skip-gram co-visitation).

Shapes: V items, B users of a batch, N training events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from recsys_lab.config import UserError
from recsys_lab.models.classical.base import (
    fill_by_popularity,
    from_rows,
    history_matrix,
    recommend_by,
    rows_of,
    training_events,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from recsys_lab.contracts import Batch, Exclude, RankedLists, TrainingData


class Markov:
    """Scores an item by how often it followed the latest items of the history in training.

    ``c(i, j)`` is the sum of ``decay ** (d - 1)`` over all training pairs with j d events after i,
    for d up to ``window``. A history event i gives item j the probability
    ``(c(i, j) + smoothing * p(j)) / (c(i) + smoothing)``, where p(j) is the item's share of
    training events and c(i) the sum over j; the score is the sum over the history, weighted by
    ``history_decay``. ``model=markov`` (window 1, max_length 1, no smoothing) is the first-order
    Markov chain of Rendle et al. (FPMC, WWW 2010) without factors; ``model=markov_decayed`` uses
    longer windows in training and in the history. Items with score 0 rank last, by popularity.

    Args:
        config: the options.
        num_items: catalogue size V.

    Raises:
        UserError: a decay other than 1 is given for a window of one event.
    """

    ignores_seed = True

    @dataclass(frozen=True)
    class Config:
        """Options of `Markov`.

        Attributes:
            window: largest distance d of a counted pair, in events.
            decay: weight of a pair relative to a pair one event closer.
            smoothing: number of pseudo-events, distributed by popularity, added to each item's
                counts.
            history_decay: weight of a history event relative to the next one.
            max_length: most recent events that are read.
        """

        window: Annotated[int, Ge(1)]
        decay: Annotated[float, Gt(0), Le(1)]
        smoothing: Annotated[float, Ge(0)]
        history_decay: Annotated[float, Gt(0), Le(1)]
        max_length: Annotated[int, Ge(1)]

    def __init__(self, config: Config, *, num_items: int) -> None:
        for option, decay, window, length in (
            ("decay", config.decay, "window", config.window),
            ("history_decay", config.history_decay, "max_length", config.max_length),
        ):
            if decay != 1 and length == 1:
                raise UserError(
                    f"model.{option}: got {decay:g} with model.{window}=1, where it has no effect "
                    f"on a single event; use a larger model.{window}, or model.{option}=1"
                )
        self.config = config
        self.window = config.max_length
        self._num_items = num_items
        self._pairs: csr_matrix | None = None
        self._counts_V = np.zeros(num_items, dtype=np.int64)

    def fit(self, data: TrainingData) -> None:
        """Count the ordered item pairs of the training part."""
        from scipy.sparse import csr_matrix

        events = training_events(data)
        shape = (self._num_items, self._num_items)
        pairs = csr_matrix(shape, dtype=np.float32)
        for distance in range(1, self.config.window + 1):
            same = events.segments_N[:-distance] == events.segments_N[distance:]
            before, after = events.items_N[:-distance][same], events.items_N[distance:][same]
            weight = np.full(len(before), self.config.decay ** (distance - 1), dtype=np.float32)
            pairs = pairs + csr_matrix((weight, (before, after)), shape=shape)
        self._pairs = pairs
        self._counts_V = data.training_item_counts()

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k most probable next items that are not excluded."""
        return recommend_by(self._score, batch, k, exclude, self._num_items)

    def _score(self, batch: Batch) -> NDArray[np.float32]:
        assert self._pairs is not None, "fit or load_arrays comes first"
        smoothing = self.config.smoothing
        total_V = np.asarray(self._pairs.sum(1)).ravel() + smoothing
        history = history_matrix(
            batch, self._num_items, decay=self.config.history_decay, counts=True
        )
        # Items that nothing followed have empty rows: avoid dividing by 0.
        history.data /= np.where(total_V > 0, total_V, 1)[history.indices]
        scores_BV: NDArray[np.float32] = (history @ self._pairs).toarray()
        popularity_V = self._counts_V / max(1, int(self._counts_V.sum()))
        if smoothing:
            mass_B = np.asarray(history.sum(1)).ravel() * smoothing
            scores_BV += np.outer(mass_B, popularity_V).astype(np.float32)
        fill_by_popularity(scores_BV, self._counts_V)
        return scores_BV

    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """The pair counts (CSR), and the training events of each item, int64 (V,)."""
        assert self._pairs is not None, "fit or load_arrays comes first"
        return {**rows_of(self._pairs, "pairs"), "counts": self._counts_V}

    def load_arrays(self, arrays: Mapping[str, NDArray[np.generic]], data: TrainingData) -> None:
        """The reverse of `arrays`; ``data`` is not needed."""
        del data
        self._pairs = from_rows(arrays, "pairs", (self._num_items, self._num_items))
        self._counts_V = np.asarray(arrays["counts"], dtype=np.int64)
