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
from recsys_lab.experiment.recommend.batch_lists import BatchLists, RankedBatch
from recsys_lab.experiment.recommend.item_rules import ItemRules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import EvaluationBatch
    from recsys_lab.data.given_histories import GivenHistories
    from recsys_lab.data.history_lists import Histories
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

    Attributes:
        read: encodes histories.
        not_candidates_V: items that the protocol never ranks, bool (V,); None: there are none.

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
        self.read = HistoryReader(
            parts.data, self._name, self._features, reads_times=stated.reads_times
        )
        self._item_ids = parts.data.raw_ids("item")
        self.not_candidates_V = self._find_not_candidates()

    @property
    def users_at_once(self) -> int:
        """Number of histories that are ranked in one call; rows of a batch are consecutive."""
        return self._parts.users_at_once

    def recommend(
        self,
        histories: Histories,
        k: int = 10,
        *,
        exclude_seen: bool | None = None,
        rules: ItemRules | None = None,
    ) -> Recommendations:
        """The k best items for each history.

        Args:
            histories: see `recsys_lab.data.given_histories.HistoryReader`.
            k: list length; at most the catalogue is ranked.
            exclude_seen: leave out the items of the history; None: as in the run's evaluation.
            rules: items that may be in a list, and caps; None: all items of the catalogue.

        Raises:
            UserError: k is not an int of at least 1, or longer than the decoding's lists, or the
                histories lack a required column.
        """
        if not isinstance(exclude_seen, bool | np.bool_ | None):
            raise UserError(f"exclude_seen: got {exclude_seen!r}, expected True, False or None")
        k = self.list_length(k)
        given = self.read(histories)
        parts = list(self.ranked(given, k, exclude_seen=exclude_seen, rules=rules))
        rows = np.concatenate([np.empty(0, np.int64), *(part.rows_B for part in parts)])
        items_nK = np.concatenate([np.empty((0, k), np.int64), *(p.items_BK for p in parts)])
        scores_nK = np.concatenate([np.empty((0, k), np.float32), *(p.scores_BK for p in parts)])
        lists = self._frame(given.keys[rows], items_nK, scores_nK)
        return Recommendations(lists, given.num_unknown, len(given.rows) - len(rows))

    def list_length(self, k: object) -> int:
        """The number of ranks of a list: k, or the size of the catalogue.

        Raises:
            UserError: k is not an int of at least 1, or longer than the decoding's lists.
        """
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise UserError(f"k: got {k!r}, expected a list length, an int of at least 1")
        length = min(int(k), len(self._item_ids))
        if self._parts.decoding is not None:
            self._parts.decoding.check_length(length)
        return length

    def rules(
        self,
        candidates: Iterable[Any] | None = None,
        blocklist: Iterable[Any] | None = None,
    ) -> tuple[ItemRules, int]:
        """Rules from raw item ids, and how many of the ids are not in the catalogue.

        Args:
            candidates: the only items that may be in a list; None: all.
            blocklist: items that may not.

        Raises:
            UserError: no candidate is in the catalogue.
        """
        allowed_V, unknown = self.read.items.allowed(candidates, blocklist)
        return ItemRules(None if allowed_V.all() else allowed_V), unknown

    def ranked(
        self,
        given: GivenHistories,
        k: int,
        *,
        exclude_seen: bool | None = None,
        rules: ItemRules | None = None,
    ) -> Iterator[RankedBatch]:
        """The k best items for encoded histories, a batch at a time.

        A batch has the same companions wherever the histories are cut at multiples of
        `users_at_once`, so that scores are equal to the last bit. Histories without a known item
        are left out if the model cannot rank for them.

        Args:
            given: of `read`.
            k: of `list_length`.
            exclude_seen: leave out the items of the history; None: as in the run's evaluation.
            rules: see `recommend`.
        """
        rules = rules or ItemRules()
        if exclude_seen is None:
            exclude_seen = self._parts.protocol.config.exclude_seen
        batches = self._batches(given, exclude_seen=exclude_seen)
        lists = BatchLists(self._parts, self._masked(rules), rules.caps)
        lengths = given.lengths
        for first in range(0, len(lengths), self.users_at_once):
            rows = np.arange(first, min(first + self.users_at_once, len(lengths)))
            if not self.ranks_empty:
                rows = rows[lengths[rows] > 0]
            if len(rows):
                batch = batches.at(rows).to(self._parts.device)
                with torch.inference_mode():
                    yield RankedBatch(rows, *lists(batch, k))

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
        model, given = self._with_vectors(), self.read(histories)
        empty = np.flatnonzero(given.lengths == 0)
        if len(empty):
            raise UserError(
                f"histories: {len(empty):,} of {len(given.rows):,} have no known item, so they "
                f"have no vector (the first one has index {empty[0]}); leave them out"
            )
        with torch.inference_mode():
            states = [
                self._numpy(model.query_states(batch.history)) for batch in self._moved(given)
            ]
        width = self.item_vectors().shape[1]
        return np.concatenate([np.empty((0, width), np.float32), *states])

    @cached_property
    def ranks_empty(self) -> bool:
        """Whether the model ranks for an empty history: models that cannot raise an error."""
        (batch,) = self._moved(self.read.nothing())
        try:
            with torch.inference_mode():
                self._model.recommend(batch.history, 1, None)
        except (ValueError, IndexError, RuntimeError):
            return False
        return True

    def _batches(self, given: GivenHistories, *, exclude_seen: bool) -> EvaluationBatches:
        return EvaluationBatches(
            given,
            "test",
            batch_size=self.users_at_once,
            window=self._model.window,
            exclude_seen=exclude_seen,
            features=self._features,
        )

    def _moved(self, given: GivenHistories) -> Iterator[EvaluationBatch]:
        """All batches, on the model's device."""
        for batch in self._batches(given, exclude_seen=False):
            yield batch.to(self._parts.device)

    def _find_not_candidates(self) -> NDArray[np.bool_] | None:
        """Items that the run's protocol never ranks: with candidates=known, those not trained on.

        Other protocols select by the target, which is not known here: all items are candidates.
        """
        if self._parts.protocol.candidates() == {"candidates": "known items"}:
            is_unknown_V: NDArray[np.bool_] = self._parts.data.training_item_counts() == 0
            return is_unknown_V if is_unknown_V.any() else None
        return None

    def _masked(self, rules: ItemRules) -> NDArray[np.bool_] | None:
        """The items that no list has, (V,); None: there are none."""
        masks = [] if self.not_candidates_V is None else [self.not_candidates_V]
        masks += [] if rules.allowed_V is None else [~rules.allowed_V]
        return np.logical_or.reduce(masks) if masks else None

    def _frame(
        self, keys: pl.DataFrame, items_nK: NDArray[np.int64], scores_nK: NDArray[np.float32]
    ) -> pl.DataFrame:
        """One row per recommended item; the lists are those of the keys."""
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
