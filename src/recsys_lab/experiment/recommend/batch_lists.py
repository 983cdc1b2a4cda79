"""The lists of one batch of histories under rules about their items.

Shapes: B users, V items, K list length, N ranks at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys_lab.contracts import NO_ITEM, ExcludedItems
from recsys_lab.evaluation.protocols.base import ranked_lists
from recsys_lab.experiment.recommend.item_rules import CappedLists

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.experiment.components import Components
    from recsys_lab.experiment.recommend.item_rules import Cap


@dataclass(frozen=True)
class RankedBatch:
    """The lists of a batch of histories, as indices.

    Attributes:
        rows_B: index of each history among those given, int64 (B,).
        items_BK: best first, padded with `NO_ITEM`, int64 (B, K).
        scores_BK: float32 (B, K).
    """

    rows_B: NDArray[np.int64]
    items_BK: NDArray[np.int64]
    scores_BK: NDArray[np.float32]


class BatchLists:
    """Ranks for batches with a run's model.

    Args:
        parts: components of a restored run.
        masked_V: items that no list has, bool (V,); None: there are none.
        caps: most items of a list with one value of a column.
    """

    def __init__(
        self, parts: Components, masked_V: NDArray[np.bool_] | None, caps: tuple[Cap, ...]
    ) -> None:
        self._model, self._num_items, self._caps = parts.model, parts.data.num_items, caps
        self._masked_1V: Tensor | None = None
        if masked_V is not None:
            self._masked_1V = torch.from_numpy(masked_V[None]).to(parts.device)
        # A user's own model may index with the pairs, which needs a tuple.
        self._in_pairs = not type(parts.model).__module__.startswith("recsys_lab.")
        beams = None if parts.decoding is None else parts.decoding.num_beams
        self._longest = min(self._num_items, beams or self._num_items)

    def __call__(
        self, batch: EvaluationBatch, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Items and scores of the lists, (B, K) both, padded with `NO_ITEM`."""
        if not self._caps:
            return self._best(batch, k, self._masked_1V)
        rows_B = np.arange(batch.history.size)
        lists, lacking = CappedLists(self._caps, len(rows_B), k), rows_B
        masked, length = self._masked_1V, min(2 * k, self._longest)
        while len(lacking):
            # All rows each time, so that a row's companions and thus its scores are the same.
            items_BN, scores_BN = self._best(batch, length, masked)
            items_BN[~np.isin(rows_B, lacking)] = NO_ITEM
            lists.add(items_BN, scores_BN)
            lacking = lists.lacking(items_BN)
            if len(lacking):  # next: the best of the others
                masked = self._without(lists, lacking, items_BN, masked)
        return lists.items_BK, lists.scores_BK

    def _without(
        self,
        lists: CappedLists,
        rows: NDArray[np.int64],
        items_BN: NDArray[np.int64],
        masked: Tensor | None,
    ) -> Tensor:
        """The mask, also of items that some rows were offered or cannot have, bool (B, V)."""
        if masked is None:
            masked = torch.zeros(1, self._num_items, dtype=torch.bool)
        mask_BV = masked.expand(len(items_BN), -1).cpu().numpy().copy()
        for row in rows.tolist():
            mask_BV[row] |= lists.full_V(row, self._num_items)
            mask_BV[row, items_BN[row]] = True
        return torch.from_numpy(mask_BV).to(masked.device)

    def _best(
        self, batch: EvaluationBatch, k: int, masked: Tensor | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        history = batch.history
        exclude: Exclude = batch.seen_rows, batch.seen_items
        if masked is not None:
            mask = masked.to(history.items_T.device)
            both = ExcludedItems(batch.seen_rows, batch.seen_items, mask, history.size)
            exclude = (both[0], both[1]) if self._in_pairs else both
        lists = ranked_lists(self._model, history, k, exclude, self._num_items)
        return lists.items_BK.cpu().numpy(), lists.scores_BK.cpu().numpy()
