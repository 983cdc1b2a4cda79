"""Ranking for any histories with a restored run.

Shapes: n histories, V items, D width, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM, ScoresByProduct, traits
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.given_histories import HistoryReader
from recsys_lab.evaluation.protocols.base import ranked_lists

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.data.given_histories import GivenHistories, Histories
    from recsys_lab.experiment.components import Components


@dataclass(frozen=True)
class Recommendations:
    """Ranked lists with raw ids.

    Attributes:
        lists: one row per recommended item, sorted by history and rank: ``history`` (its index) or
            ``user_id`` (and ``list``), ``rank`` (from 1), ``item_id``, ``score``. A history has
            fewer than k rows if fewer items are left, and none if the model cannot rank for it.
        num_unknown: events that were skipped because their item is not in the catalogue.
        num_unranked: histories without a known item, which this model cannot rank for.
    """

    lists: pl.DataFrame
    num_unknown: int
    num_unranked: int


class HistoryRanker:
    """Ranks for histories; stateless between calls, so threads may share it.

    Args:
        parts: components of a restored run.

    Raises:
        UserError: the model cannot rank outside of the lab's own evaluation.
    """

    def __init__(self, parts: Components) -> None:
        self._parts, self._model = parts, parts.model
        self._name = type(parts.model).__name__
        stated = traits(parts.model)
        if stated.reads_next_time:
            raise UserError(
                f"{self._name} reads the time of the event to predict, which is unknown when "
                "recommending; train a variant that does not, e.g. model.time_bias=past"
            )
        self._features = stated.features
        self._read = HistoryReader(
            parts.data, self._name, self._features, reads_times=stated.reads_times
        )
        self._item_ids = pl.Series("item_id", parts.data.item_ids())
        self._not_candidates = self._find_not_candidates()

    def recommend(
        self, histories: Histories, k: int = 10, *, exclude_seen: bool = True
    ) -> Recommendations:
        """The k best items for each history.

        Args:
            histories: see `recsys_lab.data.given_histories.HistoryReader`.
            k: list length; at most the catalogue is ranked.
            exclude_seen: leave out the items of the history.

        Raises:
            UserError: k is not an int of at least 1, or the histories lack a required column.
        """
        k = min(_list_length(k), len(self._item_ids))
        given = self._read(histories)
        ranked = given if self._ranks_empty else given.where(given.lengths > 0)
        items, scores = [], []
        for batch in self._batches(ranked, exclude_seen=exclude_seen):
            with torch.inference_mode():
                lists = ranked_lists(
                    self._model, batch.history, k, self._exclude(batch), len(self._item_ids)
                )
            items.append(lists.items_BK.cpu().numpy())
            scores.append(lists.scores_BK.cpu().numpy())
        nothing = np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        items_nK = np.concatenate([nothing[0], *items])
        scores_nK = np.concatenate([nothing[1], *scores])
        return Recommendations(
            self._frame(ranked.keys, items_nK, scores_nK),
            given.num_unknown,
            len(given.rows) - len(ranked.rows),
        )

    def item_vectors(self) -> NDArray[np.float32]:
        """Vectors of all items, (V, D), in the order of the catalogue.

        Raises:
            UserError: the model has no vectors.
        """
        with torch.inference_mode():
            return self._numpy(self._with_vectors().item_table())

    def user_vectors(self, histories: Histories) -> NDArray[np.float32]:
        """The state of each history, (n, D): its product with `item_vectors` is the score.

        Raises:
            UserError: the model has no vectors, or a history has no known item.
        """
        model, given = self._with_vectors(), self._read(histories)
        empty = np.flatnonzero(given.lengths == 0)
        if len(empty):
            raise UserError(
                f"histories: {len(empty):,} of {len(given.rows):,} have no known item, so they "
                f"have no vector (the first one has index {empty[0]}); leave them out"
            )
        with torch.inference_mode():
            batches = self._batches(given, exclude_seen=False)
            states = [self._numpy(model.query_states(batch.history)) for batch in batches]
        width = self.item_vectors().shape[1]
        return np.concatenate([np.empty((0, width), np.float32), *states])

    @cached_property
    def _ranks_empty(self) -> bool:
        """Whether the model ranks for an empty history: models that cannot raise an error."""
        (batch,) = self._batches(self._read.nothing(), exclude_seen=False)
        try:
            with torch.inference_mode():
                self._model.recommend(batch.history, 1, None)
        except (ValueError, IndexError, RuntimeError):
            return False
        return True

    def _batches(self, given: GivenHistories, *, exclude_seen: bool) -> Iterator[EvaluationBatch]:
        batches = EvaluationBatches(
            given,
            "test",
            batch_size=self._parts.users_at_once,
            window=self._model.window,
            exclude_seen=exclude_seen,
            features=self._features,
        )
        return (batch.to(self._parts.device) for batch in batches)

    def _find_not_candidates(self) -> Tensor:
        """Items that the run's protocol never ranks: with candidates=known, those not trained on.

        Other protocols select by the target, which is not known here: all items are candidates.
        """
        left_out = np.empty(0, dtype=np.int64)
        if self._parts.protocol.candidates() == {"candidates": "known items"}:
            left_out = np.flatnonzero(self._parts.data.training_item_counts() == 0)
        return torch.from_numpy(left_out).to(self._parts.device)

    def _exclude(self, batch: EvaluationBatch) -> Exclude:
        size, left_out = batch.history.size, self._not_candidates
        rows = torch.arange(size, device=left_out.device).repeat_interleave(len(left_out))
        return torch.cat([batch.seen_rows, rows]), torch.cat(
            [batch.seen_items, left_out.repeat(size)]
        )

    def _frame(
        self, keys: pl.DataFrame, items_nK: NDArray[np.int64], scores_nK: NDArray[np.float32]
    ) -> pl.DataFrame:
        rows, columns = np.nonzero(items_nK != NO_ITEM)
        return keys[rows].with_columns(
            rank=pl.Series(columns + 1, dtype=pl.Int32),
            item_id=self._item_ids.gather(items_nK[rows, columns]),
            score=pl.Series(scores_nK[rows, columns]),
        )

    def _with_vectors(self) -> ScoresByProduct:
        if isinstance(self._model, ScoresByProduct):
            return self._model
        raise UserError(
            f"{self._name} has no vectors of users and items: its scores are not products of two "
            "vectors. recommend() works for every model"
        )

    def _numpy(self, vectors: Tensor) -> NDArray[Any]:
        """Vectors as NumPy arrays, of unit length if the model ranks by cosines."""
        if traits(self._model).cosine:
            vectors = F.normalize(vectors, dim=-1)
        return vectors.float().cpu().numpy()


def _list_length(k: object) -> int:
    """Check a list length.

    Raises:
        UserError: it is not an int of at least 1.
    """
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        raise UserError(f"k: got {k!r}, expected a list length, an int of at least 1")
    return int(k)
